"""The operator's own metrics, on a registry of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from modelwright_operator import naming
from modelwright_operator.raw import part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client import Metric

    from modelwright_operator.cluster.store import Store

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Condition(NamedTuple):
    """A condition of one of our objects; the fields are the metric's labels."""

    kind: str
    namespace: str
    name: str
    type: str
    status: str
    reason: str


def conditions(store: Store) -> Iterator[Condition]:
    """Yield the conditions of all our objects."""
    for kind, plural in naming.PLURALS.items():
        for namespace, name in store.names(plural):
            for item in part(store.get(plural, namespace, name), "status").get("conditions") or ():
                yield Condition(kind, namespace, name, *(str(item.get(key, "")) for key in Condition._fields[3:]))


class _Conditions(Collector):
    def __init__(self, read: Callable[[], Iterable[Condition]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        yield self._family()

    def collect(self) -> Iterable[Metric]:
        family = self._family()
        for condition in self._read():
            family.add_metric(condition, 1.0)
        yield family

    @staticmethod
    def _family() -> GaugeMetricFamily:
        return GaugeMetricFamily("modelwright_condition", "Always 1: conditions as they are.", labels=Condition._fields)


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
        self.notifications = Counter(
            "modelwright_operator_notifications_total",
            "Events for the webhook: sent, failed, dropped.",
            ["outcome"],
            registry=self.registry,
        )
        self.leader = Gauge("modelwright_operator_leader", "1 while this process leads.", registry=self.registry)

    def observe_conditions(self, read: Callable[[], Iterable[Condition]]) -> None:
        """Add the conditions of all our objects, read when they are scraped."""
        self.registry.register(_Conditions(read))

    def observe(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a gauge that is read when it is scraped."""
        Gauge(name, text, registry=self.registry).set_function(value)
