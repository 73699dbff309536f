"""What attacks cost the others: latencies of a healthy client, with and without each attack, in turn.

Run it with ``python -m tests.server.hostile.latency``.  Not a test: on a machine whose cores the attacker shares with
the server, part of what it measures is the attacker.  The goal (issue 4) is a p99 at most doubled.
"""

import contextlib
import gzip
import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

from tests.server import models
from tests.server.hostile.wire import LIVE, infer_body, post, sized
from tests.server.process import INFER, Server, settings

ROUNDS = 5
SECONDS = 1.5
RATE = 200  # requests a second of the healthy client
BODY = infer_body()
PAUSE_SECONDS = 0.005
Attack = Callable[[int, Event], None]


def _sockets(port: int, count: int) -> list[socket.socket]:
    return [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]


def _again(port: int, over: Event, data: bytes) -> None:
    """Send the same bytes over new connections, some hundred times a second."""
    while not over.is_set():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(data)
            connection.recv(1 << 16)
        over.wait(PAUSE_SECONDS)


def idle(port: int, over: Event) -> None:
    """Nine thousand connections that say nothing."""
    kept = _sockets(port, 9000)
    over.wait()
    del kept


def slow_heads(port: int, over: Event) -> None:
    """A thousand requests whose heads come byte by byte."""
    kept = _sockets(port, 1000)
    while not over.is_set():
        for connection in kept:
            with contextlib.suppress(OSError):
                connection.send(b"G" if connection.getsockname()[1] % 2 else b"X")
        over.wait(0.2)


def slow_bodies(port: int, over: Event) -> None:
    """A thousand requests whose bodies come byte by byte."""
    kept = _sockets(port, 1000)
    for connection in kept:
        connection.sendall(post("Content-Length: 100000"))
    while not over.is_set():
        for connection in kept:
            with contextlib.suppress(OSError):
                connection.send(b" ")
        over.wait(0.2)


def unread(port: int, over: Event) -> None:
    """A hundred connections that ask much and read nothing."""
    kept = _sockets(port, 100)
    for connection in kept:
        connection.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            connection.send(LIVE * 1000)
    over.wait()


def nonsense(port: int, over: Event) -> None:
    _again(port, over, os.urandom(1000))


def header_flood(port: int, over: Event) -> None:
    _again(port, over, b"GET /v2 HTTP/1.1\r\n" + b"X: y\r\n" * 10_000)


def depth_bomb(port: int, over: Event) -> None:
    _again(port, over, sized(b"[" * 200_000 + b"]" * 200_000, "Connection: close"))


def number_bomb(port: int, over: Event) -> None:
    _again(port, over, sized(infer_body().replace(b"1.5]", b"9" * 5000 + b"]"), "Connection: close"))


def zip_bomb(port: int, over: Event) -> None:
    _again(port, over, sized(gzip.compress(bytes(64 << 20)), "Content-Encoding: gzip", "Connection: close"))


def pipelining(port: int, over: Event) -> None:
    _again(port, over, LIVE * 200 + LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))


def large_body(port: int, over: Event) -> None:
    """Sixteen MiB of JSON that mean nothing, one after the other."""
    _again(port, over, sized(b'{"a":[' + b"1," * ((8 << 20) - 16) + b"1]}", "Connection: close"))


ATTACKS: tuple[Attack, ...] = (
    idle, slow_heads, slow_bodies, unread, nonsense, header_flood, depth_bomb, number_bomb, zip_bomb, pipelining,
    large_body,
)  # fmt: skip


def healthy(server: Server) -> list[float]:
    """Latencies of one client that asks at a fixed rate, from when each request was due."""
    found: list[float] = []
    with server.client() as client:
        due = time.perf_counter()
        while len(found) < SECONDS * RATE:
            time.sleep(max(0.0, due - time.perf_counter()))
            assert client.request("POST", INFER, BODY).status == 200
            found.append(time.perf_counter() - due)
            due += 1 / RATE
    return found


@contextlib.contextmanager
def under(attack: Attack, port: int) -> Iterator[None]:
    over = multiprocessing.Event()
    attacker = multiprocessing.Process(target=attack, args=(port, over), daemon=True)
    attacker.start()
    time.sleep(0.7)  # the time it takes to open its connections
    try:
        yield
    finally:
        over.set()
        attacker.join(10)
        attacker.kill()
        attacker.join()


def spread(latencies: list[float]) -> tuple[float, float]:
    """Median and 99th percentile in ms."""
    cuts = statistics.quantiles(latencies, n=100)
    return cuts[49] * 1e3, cuts[98] * 1e3


def main() -> None:
    """Print a line for each attack."""
    wanted = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        built = models.logistic(Path(folder) / models.CLAIM, "logistic")
        with Server(settings(built.folder, Path(folder))) as server:
            server.wait_until_ready()
            healthy(server)
            print(
                f"{'attack':14} {'quiet p50':>9} {'p99':>7} {'attacked p50':>12} {'p99':>7} {'p99 ratio':>9} {'MiB':>5}"
            )
            for attack in ATTACKS:
                if wanted and attack.__name__ not in wanted:
                    continue
                quiet: list[float] = []
                attacked: list[float] = []
                for _ in range(ROUNDS):
                    quiet += healthy(server)
                    with under(attack, server.port):
                        attacked += healthy(server)
                (p50, p99), (attacked_p50, attacked_p99) = spread(quiet), spread(attacked)
                print(
                    f"{attack.__name__:14} {p50:9.2f} {p99:7.2f} {attacked_p50:12.2f} {attacked_p99:7.2f}"
                    f" {attacked_p99 / p99:9.2f} {server.memory('VmHWM') >> 20:5}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
