"""`python -m tests.benchmarks serving`: our server beside others, all on one core in one run."""

from __future__ import annotations

import math
import statistics
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.benchmarks.serving import grpc_load, payloads, results, servers
from tests.benchmarks.serving.comparison import CONNECTIONS, ROWS, Comparison, HttpPlan
from tests.benchmarks.serving.cores import Patience, prepare
from tests.benchmarks.serving.environments import interpreter
from tests.benchmarks.serving.grpc_load import GrpcLoad
from tests.benchmarks.serving.load import STEP_SECONDS, Effort, HttpLoad
from tests.benchmarks.serving.models import MODELS, BenchmarkModel, model

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.benchmarks.report import Report
    from tests.benchmarks.serving.servers import Running

PARTS = ("rest", "grpc", "start")
REALTIME_HELP = "for a busy machine: other work stands still during each second of measuring (root only)"
_STARTS = 5


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the command line's options."""
    parser.add_argument("--quick", action="store_true", help="only what the goals need, less patiently")
    parser.add_argument("--realtime", action="store_true", help=REALTIME_HELP)
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part; may be repeated")


def run(chosen: argparse.Namespace) -> Report:
    """Measure and compare."""
    quick: bool = chosen.quick
    prepare(realtime=chosen.realtime)
    parts: list[str] = chosen.only or list(PARTS)
    comparison = Comparison(effort(quick=quick, realtime=chosen.realtime))
    linear = model("linear")
    with with_floor(comparison, linear):
        if "rest" in parts and quick:
            _rest_goals(comparison)
        elif "rest" in parts:
            _rest(comparison)
        if "grpc" in parts:
            _grpc(comparison, linear, (32,) if quick else CONNECTIONS, ROWS[:1] if quick else ROWS)
        if "start" in parts:
            _start(comparison, linear)
    return results.report("-".join(["serving", *["quick"] * quick, *(chosen.only or ())]), comparison)


def effort(*, quick: bool, realtime: bool) -> Effort:
    """Return how hard to try; with `realtime` nothing else runs in a step, and other work gets as long after it."""
    if realtime:
        return Effort(3, 3, Patience(0, rest=STEP_SECONDS), quiet=math.inf)
    return Effort(3, 3, Patience(20)) if quick else Effort(3, 8, Patience(900))


@contextmanager
def with_floor(comparison: Comparison, linear: BenchmarkModel) -> Iterator[None]:
    """Keep nginx running, with our server's answer to one row as its fixed answer."""
    print("the servers run on {} ({})".format(*interpreter()), file=sys.stderr, flush=True)
    with servers.modelwright(linear) as ours:
        answer = payloads.post(ours.port, payloads.json_payload(linear, 1))[1]
    with servers.nginx(answer) as comparison.floor:
        yield


def _rest_goals(comparison: Comparison) -> None:
    linear, dense = model("linear"), model("dense")
    with servers.modelwright(linear) as ours:
        with comparison.between_floors("modelwright/linear", payloads.json_payload(linear, 1)):
            HttpPlan(("json",), (1,), (1, 32)).apply(comparison, "modelwright", ours, linear)
            _varying(comparison, ours, linear, (32,))
        HttpPlan(("binary",), (64,), (8,)).apply(comparison, "modelwright", ours, linear)
        comparison.figures |= {"pss_mib": ours.process.pss_mib(), "rss_mib": ours.process.rss_mib()}
    with servers.fastapi(linear) as other:
        HttpPlan(("json",), (1,), (32,)).apply(comparison, "fastapi", other, linear)
    with servers.modelwright(dense) as ours:
        HttpPlan(("json",), (1,), (32,)).apply(comparison, "modelwright", ours, dense)
    _in_process(comparison, linear, dense)


def _rest(comparison: Comparison) -> None:
    one = payloads.json_payload(model("linear"), 1)
    for served in map(model, MODELS):
        with servers.modelwright(served) as ours, comparison.between_floors(f"modelwright/{served.name}", one):
            HttpPlan().apply(comparison, "modelwright", ours, served)
            if served.name == "linear":
                _varying(comparison, ours, served, (1, 32))
                comparison.figures |= {"pss_mib": ours.process.pss_mib(), "rss_mib": ours.process.rss_mib()}
        with servers.fastapi(served) as other, comparison.between_floors(f"fastapi/{served.name}", one):
            HttpPlan(("json",)).apply(comparison, "fastapi", other, served)
            if served.name == "linear":
                comparison.figures["fastapi_rss_mib"] = other.process.rss_mib()
        _in_process(comparison, served)


def _varying(comparison: Comparison, running: Running, served: BenchmarkModel, connections: tuple[int, ...]) -> None:
    for count in connections:
        load = HttpLoad(payloads.json_payload(served, 1), count, varying=True)
        comparison.add(f"modelwright/{served.name}/json/b1/c{count}/varying", running, load)


def _in_process(comparison: Comparison, *served: BenchmarkModel) -> None:
    for each in served:
        comparison.effort.patience.await_quiet(comparison.effort.quiet)
        for rows, seconds in servers.in_process(each).items():
            comparison.figures[f"inprocess_{each.name}_b{rows}_microseconds"] = 1e6 * seconds


def _grpc(comparison: Comparison, served: BenchmarkModel, connections: tuple[int, ...], rows: tuple[int, ...]) -> None:
    with servers.modelwright(served) as ours:
        for count in rows:
            grpc_load.check_answers(served, ours.grpc_port, count)
            message = grpc_load.request(served, count)
            size = len(grpc_load.call(ours.grpc_port, message))
            with servers.grpcio_echo(size) as echo:
                for each in connections:
                    load = GrpcLoad(message, size, each)
                    comparison.add(f"grpcio-echo/{served.name}/grpc/b{count}/c{each}", echo, load)
                    comparison.add(f"modelwright/{served.name}/grpc/b{count}/c{each}", ours, load)


def _start(comparison: Comparison, served: BenchmarkModel) -> None:
    comparison.figures["start_seconds"] = _start_seconds(comparison, servers.modelwright, served)
    comparison.figures["fastapi_start_seconds"] = _start_seconds(comparison, servers.fastapi, served)
    comparison.effort.patience.await_quiet(comparison.effort.quiet)
    for rows, microseconds in servers.ring_cost(served).items():
        comparison.figures["ring_write_microseconds" + f"_{rows}_rows" * (rows != "1")] = microseconds


def _start_seconds(
    comparison: Comparison,
    server: Callable[[BenchmarkModel], AbstractContextManager[Running]],
    served: BenchmarkModel,
) -> float:
    """Return the median time from a process's begin to its first 200 for readiness."""
    seconds: list[float] = []
    for _ in range(_STARTS):
        comparison.effort.patience.await_quiet(comparison.effort.quiet)
        with server(served) as running:
            seconds.append(running.start_seconds)
    return statistics.median(seconds)
