"""`python -m tests.benchmarks routing`: what routing costs requests that stay, and adds to those that do not."""

from __future__ import annotations

import json
import socket
import statistics
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from modelwright_server.contract.traffic import FILE, Canary, Stable, Table
from tests.benchmarks import report
from tests.benchmarks.serving import servers
from tests.benchmarks.serving.cores import BenchmarkError, prepare
from tests.benchmarks.serving.load import HttpLoad
from tests.benchmarks.serving.models import VERSION, model
from tests.benchmarks.serving.payloads import PATH, json_payload

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from tests.benchmarks.serving.payloads import Payload
    from tests.benchmarks.serving.servers import Running

STABLE, CANARY = "a" * 10, "b" * 10
CONNECTIONS = 32
_PAIRS = 60
_ROUNDS, _REQUESTS = 30, 200
_TABLE_SECONDS = 1.2  # a table is looked for twice a second
_RECEIVE = 1 << 16
LOSS_GOAL = 3.0
ADDED_GOAL = 150.0


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the command line's options."""
    parser.add_argument("--realtime", action="store_true", help="all other work stands still (as root)")


def run(chosen: argparse.Namespace) -> report.Report:
    """Measure both."""
    prepare(realtime=chosen.realtime)
    served = model("linear")
    payload = json_payload(served, 1)
    with (
        tempfile.TemporaryDirectory() as folder,
        servers.modelwright(served) as canary,
        servers.modelwright(served) as plain,
        servers.modelwright(served, revision=STABLE, control_dir=folder) as stable,
    ):
        _route(Path(folder), canary, weight=0)
        losses = [loss(plain, stable, payload, at) for at in range(_PAIRS)]
        _route(Path(folder), canary, weight=100)
        pairs = _latencies(canary.port, stable.port, payload)
    loss = report.spread([rate for rate, _ in losses])
    cpu = report.spread([seconds for _, seconds in losses])
    added = report.spread([forwarded - direct for direct, forwarded in pairs])
    direct = statistics.median(direct for direct, _ in pairs)
    rows = (
        ("throughput lost with a canary at weight 0, %", f"at most {LOSS_GOAL:g}", str(loss)),
        ("CPU time of a request more than without, %", "", str(cpu)),
        ("the canary's own answer, p50, µs", "", f"{direct:.0f}"),
        ("a forwarded request adds to it, p50, µs", f"at most {ADDED_GOAL:g}", str(added)),
    )
    return report.Report(
        "routing",
        {"losses": losses, "latencies": pairs},
        (report.Table("Routing", ("", "goal", "median (least to most)"), rows),),
        {"weight0_throughput_loss_percent": loss.median, "forward_added_p50_microseconds": added.median},
    )


def _route(folder: Path, canary: Running, weight: int) -> None:
    table = Table(
        stable=Stable(revision=STABLE, version=VERSION),
        canary=Canary(
            revision=CANARY, version=VERSION, host="127.0.0.1", rest_port=canary.port, grpc_port=canary.grpc_port
        ),
        weight=weight,
        latency_threshold_milliseconds=1000,
    )
    fresh = folder / "fresh"
    fresh.write_bytes(table.to_json())
    fresh.replace(folder / FILE)
    time.sleep(_TABLE_SECONDS)


def loss(plain: Running, stable: Running, payload: Payload, at: int) -> tuple[float, float]:
    """Return how many percent fewer answers one gives than the other, and how much more CPU time each of them takes.

    Who begins takes turns.
    """
    load = HttpLoad(payload, CONNECTIONS)
    order = (plain, stable) if at % 2 else (stable, plain)
    rates: dict[int, float] = {}
    costs: dict[int, float] = {}
    for running in order:
        before = running.process.cpu_seconds()
        answered = load.run(running)
        rates[id(running)] = answered.requests / answered.seconds
        costs[id(running)] = (running.process.cpu_seconds() - before) / answered.requests
    one, other = id(plain), id(stable)
    return 100 * (1 - rates[other] / rates[one]), 100 * (costs[other] / costs[one] - 1)


def _latencies(direct: int, forwarding: int, payload: Payload) -> list[tuple[float, float]]:
    """Return the medians of each round, in microseconds: straight to the canary, and by way of stable."""
    data = b"POST %b HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        PATH.encode(),
        len(payload.body),
        payload.body,
    )
    with _connected(direct) as one, _connected(forwarding) as other:
        _median(one, data, b"Track: stable")  # nobody told the canary what it is
        _median(other, data, b"Track: canary")
        return [(_median(one, data, b"Track: stable"), _median(other, data, b"Track: canary")) for _ in range(_ROUNDS)]


@contextmanager
def _connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def _median(connection: socket.socket, data: bytes, label: bytes) -> float:
    taken: list[float] = []
    for _ in range(_REQUESTS):
        started = time.perf_counter()
        connection.sendall(data)
        answer = connection.recv(_RECEIVE)
        taken.append(time.perf_counter() - started)
        head, _, body = answer.partition(b"\r\n\r\n")
        if label not in head or "outputs" not in json.loads(body):
            message = f"an answer is not as it should be: {answer[:300]!r}"
            raise BenchmarkError(message)
    return 1e6 * statistics.median(taken)
