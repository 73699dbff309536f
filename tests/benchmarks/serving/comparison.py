"""Measurements of several servers in one run, each between two readings of nginx."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from tests.benchmarks.serving.load import Answered, Effort, HttpLoad, Step, measure
from tests.benchmarks.serving.payloads import PAYLOADS, check_answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.serving.models import BenchmarkModel
    from tests.benchmarks.serving.payloads import Payload
    from tests.benchmarks.serving.servers import Running


class Load(Protocol):
    """Requests to a server for some time."""

    def run(self, running: Running) -> Answered:
        """Send them; return what was answered."""


CONNECTIONS = (1, 8, 32, 128)
ROWS = (1, 64)
FLOOR_LOADS = {"c1": (1, False), "c32": (32, False)}


@dataclass
class Comparison:
    """What was measured so far.

    Attributes:
        effort: how hard to try for undisturbed figures.
        floor: nginx, which runs all the time and is idle while others are measured.
        steps: by server, model, form, rows and connections: `modelwright/linear/json/b1/c32`.
        floors: nginx's better reading around each server, by server, model and connections: `modelwright/linear/c32`.
        figures: what is not a step, by the name in the report.
        problems: servers that could not be measured, and why.
    """

    effort: Effort
    floor: Running | None = None
    steps: dict[str, Step] = field(default_factory=dict)
    floors: dict[str, Step] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, running: Running, load: Load) -> Step:
        """Measure a load on a server and keep what was found under a name."""
        step = self.steps[name] = self._measured(name, running, load)
        return step

    @contextmanager
    def between_floors(self, server: str, payload: Payload) -> Iterator[None]:
        """Read nginx before and after a server, with the same request; the better reading counts."""
        before = self._floor(payload)
        yield
        for name, step in self._floor(payload).items():
            self.floors[f"{server}/{name}"] = max(before[name], step, key=lambda reading: reading.rate)

    def _floor(self, payload: Payload) -> dict[str, Step]:
        if self.floor is None:
            return {}
        return {
            name: self._measured(f"nginx/{name}", self.floor, HttpLoad(payload, connections, varying))
            for name, (connections, varying) in FLOOR_LOADS.items()
        }

    def _measured(self, name: str, running: Running, load: Load) -> Step:
        step = measure(running.process, partial(load.run, running), self.effort)
        mark = f", DISTURBED by {step.foreign:.2f} cores of other work" if step.disturbed else ""
        text = f"{name}: {step.rate:,.0f}/s, p50 {step.p50:.0f} µs, p99 {step.p99:.0f} µs, CPU {step.cpu:.2f} µs"
        print(f"  {text} each, {100 * step.busy:.0f} % of its core{mark}", file=sys.stderr, flush=True)
        return step


@dataclass(frozen=True)
class HttpPlan:
    """Which loads a server gets: forms, numbers of rows and of connections."""

    forms: tuple[str, ...] = ("json", "binary")
    rows: tuple[int, ...] = ROWS
    connections: tuple[int, ...] = CONNECTIONS

    def apply(self, comparison: Comparison, server: str, running: Running, served: BenchmarkModel) -> None:
        """Check the server's answers, then measure it."""
        for form in self.forms:
            for rows in self.rows:
                check_answers(served, running.port, form, rows)
                payload = PAYLOADS[form](served, rows)
                for connections in self.connections:
                    name = f"{server}/{served.name}/{form}/b{rows}/c{connections}"
                    comparison.add(name, running, HttpLoad(payload, connections))
