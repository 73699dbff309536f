"""What the server must reach, and whether it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.report import Table

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Goal:
    """A figure and its limit; `most` says that it may not be exceeded, else it must be reached."""

    key: str
    meaning: str
    limit: float
    most: bool = False

    def met(self, value: float) -> bool:
        """Return whether a value is good enough."""
        return value <= self.limit if self.most else value >= self.limit


@dataclass(frozen=True)
class Found:
    """A goal's figure, and the same by CPU time a request, which other work on the machine disturbs less.

    Attributes:
        disturbed: other work took part of the machine while it was measured: the figure proves nothing.
    """

    value: float
    by_cpu: float | None = None
    disturbed: bool = False


GOALS = (
    Goal("rest_json_b1_c32_vs_nginx", "JSON, 1 row, 32 connections: of nginx's fixed answer", 0.55),
    Goal("rest_json_b1_c32_varying_head_vs_nginx", "the same, 11 mesh headers that differ each time", 0.50),
    Goal("rest_json_b1_c32_vs_fastapi", "JSON, 1 row, 32 connections: times FastAPI", 10.0),
    Goal(
        "rest_json_b1_c1_p50_above_nginx_microseconds", "JSON, 1 row, 1 connection: p50 above nginx's, µs", 25.0, True
    ),
    Goal("rest_json_b1_c32_p99_vs_fastapi", "JSON, 1 row, 32 connections: p99, of FastAPI's", 1 / 8, True),
    Goal("binary_b64_vs_inprocess", "binary, 64 rows: of the rows/s in one process", 0.30),
    Goal("dense_c32_vs_inprocess_unbatched", "compute-bound net, 32 connections: times calls in one process", 2.5),
    Goal("grpc_b1_vs_grpcio_echo", "gRPC, 1 row, 32 connections: of a grpcio aio echo", 0.6),
    Goal("ring_write_microseconds", "ring, µs a request", 1.0, True),
    Goal("start_seconds", "process begun to ready, s", 0.5, True),
    Goal("pss_mib", "memory after load (PSS), MiB", 80.0, True),
    Goal("rest_json_b1_c32_vs_kserve", "JSON, 1 row, 32 connections: times KServe", 25.0),
)


def goals_table(found: Mapping[str, Found]) -> Table:
    """Return goal, figure and verdict for each goal that has a figure."""
    rows: list[tuple[str, ...]] = []
    for goal in GOALS:
        if (figure := found.get(goal.key)) is not None:
            sign = "<=" if goal.most else ">="
            by_cpu = "" if figure.by_cpu is None else f"{figure.by_cpu:.3g}"
            verdict = "met" if goal.met(figure.value) else "NOT MET"
            verdict += " (disturbed: measure again)" * figure.disturbed
            rows.append((goal.meaning, f"{sign} {goal.limit:g}", f"{figure.value:.3g}", by_cpu, verdict))
    return Table("Goals", ("", "goal", "found", "by CPU time", ""), tuple(rows))
