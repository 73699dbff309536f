"""`python -m tests.benchmarks peers`: our server beside KServe, MLServer and Triton, all on one core in one run.

Each runs in an environment of its own, set up to its advantage: one worker, no access log, the same session of
onnxruntime. One that cannot be installed, does not start, or fails under load is reported, and the rest goes on.
"""

from __future__ import annotations

import sys
import sysconfig
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.serving import grpc_load, payloads, results, servers
from tests.benchmarks.serving.comparison import CONNECTIONS, ROWS, Comparison, HttpPlan
from tests.benchmarks.serving.cores import BenchmarkError, prepare
from tests.benchmarks.serving.environments import environment, program
from tests.benchmarks.serving.grpc_load import GrpcLoad
from tests.benchmarks.serving.models import MODELS, NAME, model
from tests.benchmarks.serving.run import REALTIME_HELP, effort, with_floor

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.benchmarks.report import Report
    from tests.benchmarks.serving.models import BenchmarkModel
    from tests.benchmarks.serving.servers import Running

_READY = f"/v2/models/{NAME}/ready"


@dataclass(frozen=True)
class Peer:
    """A server to compare with; `forms` are those of REST that it speaks."""

    name: str
    forms: tuple[str, ...]

    @contextmanager
    def serving(self, served: BenchmarkModel) -> Iterator[Running]:
        """Run it."""
        ports = [servers.free_port() for _ in range(3)]
        command = [str(environment(self.name)), program(f"{self.name}_server"), str(served.onnx), *map(str, ports)]

        def ready(_: object) -> tuple[int, int] | None:
            found = servers.answers(ports[0], _READY) and servers.listens(ports[1])
            return (ports[0], ports[1]) if found else None

        with tempfile.TemporaryDirectory() as folder:
            # Triton's Python backend links libpython by its bare name, and would find another release's.
            libraries = str(sysconfig.get_config_var("LIBDIR"))
            variables = {"HOME": folder, "TMPDIR": folder, "LD_LIBRARY_PATH": libraries}
            with servers.started(self.name, command, variables, ready) as running:
                yield running


PEERS = (Peer("kserve", ("json", "binary")), Peer("mlserver", ("json",)), Peer("pytriton", ("json", "binary")))


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the command line's options."""
    parser.add_argument("--quick", action="store_true", help="only JSON, one row, 32 connections, the linear model")
    parser.add_argument("--realtime", action="store_true", help=REALTIME_HELP)
    names = [peer.name for peer in PEERS]
    parser.add_argument("--only", choices=names, action="append", help="only this server; may be repeated")


def run(chosen: argparse.Namespace) -> Report:
    """Measure and compare."""
    quick: bool = chosen.quick
    prepare(realtime=chosen.realtime)
    comparison = Comparison(effort(quick=quick, realtime=chosen.realtime))
    models = [model("linear")] if quick else [model(name) for name in MODELS]
    with with_floor(comparison, models[0]):
        _measure(comparison, "modelwright", servers.modelwright, ("json", "binary"), models, quick=quick)
        for peer in PEERS:
            if not chosen.only or peer.name in chosen.only:
                try:
                    _measure(comparison, peer.name, peer.serving, peer.forms, models, quick=quick)
                except (BenchmarkError, OSError) as error:
                    comparison.problems[peer.name] = str(error)
                    print(f"  {peer.name}: {error}", file=sys.stderr, flush=True)
    return results.report("-".join(["peers", *["quick"] * quick, *(chosen.only or ())]), comparison)


def _measure(
    comparison: Comparison,
    server: str,
    serving: Callable[[BenchmarkModel], AbstractContextManager[Running]],
    forms: tuple[str, ...],
    models: list[BenchmarkModel],
    *,
    quick: bool,
) -> None:
    """Give a server all loads; the wide ones for the linear model only."""
    one = payloads.json_payload(models[0], 1)
    for served in models:
        with serving(served) as running, comparison.between_floors(f"{server}/{served.name}", one):
            if quick:
                HttpPlan(("json",), (1,), (32,)).apply(comparison, server, running, served)
            elif served.name == "linear":
                HttpPlan(forms).apply(comparison, server, running, served)
                _grpc(comparison, server, running, served)
            else:
                HttpPlan(("json",), ROWS, (1, 32)).apply(comparison, server, running, served)
            if served.name == "linear":
                comparison.figures[f"{server}_rss_mib"] = running.process.rss_mib()
                comparison.figures[f"{server}_start_seconds"] = running.start_seconds


def _grpc(comparison: Comparison, server: str, running: Running, served: BenchmarkModel) -> None:
    for rows in ROWS:
        grpc_load.check_answers(served, running.grpc_port, rows)
        message = grpc_load.request(served, rows)
        size = len(grpc_load.call(running.grpc_port, message))
        for connections in CONNECTIONS[:-1]:
            load = GrpcLoad(message, size, connections)
            comparison.add(f"{server}/{served.name}/grpc/b{rows}/c{connections}", running, load)
