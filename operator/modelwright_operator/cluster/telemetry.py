"""The operator's own metrics, on a registry of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Callable

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Telemetry:
    """Everything measured about the operator; docs/reference/metrics.md lists it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconcile_seconds = Histogram(
            "modelwright_operator_reconcile_duration_seconds",
            "Time of one pass over one object, in seconds.",
            ["kind", "outcome"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.writes = Counter(
            "modelwright_operator_writes_total",
            "Writes of plans carried out: apply, delete, status.",
            ["kind", "write"],
            registry=self.registry,
        )
        self.leader = Gauge("modelwright_operator_leader", "1 while this process leads.", registry=self.registry)

    def observe(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a gauge that is read when it is scraped."""
        Gauge(name, text, registry=self.registry).set_function(value)
