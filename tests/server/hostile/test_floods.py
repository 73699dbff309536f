"""Much of everything: connections, requests nobody reads the answers of, bodies, chunks. Memory stays bounded."""

import contextlib
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server.hostile.wire import LIVE, connect, exchange, infer_body, post, replies, sized
from tests.server.models import Built
from tests.server.process import DEADLINE, NAME, Server, read_all, settings

MIB = 1 << 20
BODY = infer_body()
MOST = 10_000  # connections, see Limits
SPARE_FILES = 200


@pytest.fixture
def server(built: Callable[[str], Built], tmp_path: Path) -> Iterator[Server]:
    """A server of its own, so that what it takes is this test's; answers afterwards."""
    with Server(settings(built("logistic").folder, tmp_path)) as running:
        running.wait_until_ready()
        for _ in range(10):
            assert running.infer(BODY).status == 200
        yield running
        assert running.infer(BODY).status == 200


@pytest.fixture
def files() -> Iterator[int]:
    """As many open files as this process may have, for the server as well."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = hard if hard != resource.RLIM_INFINITY else max(soft, 2 * MOST)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def connections(server: Server, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(connect(server)) for _ in range(count)]


@pytest.mark.usefixtures("files")
def test_ten_thousand_idle_connections(files: int, built: Callable[[str], Built], tmp_path: Path) -> None:
    with Server(settings(built("logistic").folder, tmp_path)) as server:  # started with the raised limit
        server.wait_until_ready()
        before = server.memory()
        count = min(MOST, files - SPARE_FILES)
        print(f"{count} connections of {MOST}: {files} files may be open")
        with connections(server, count - 1) as idle:
            for connection in idle[::2]:
                connection.sendall(b"GET /v2/health/live HT")
            assert server.infer(BODY).status == 200
            assert server.memory() - before < 160 * MIB
            if count == MOST:
                with connect(server), connect(server) as one_more:
                    (reply,) = replies(read_all(one_more))
                    assert (reply.status, b"too many connections" in reply.body) == (503, True)
                    assert b"\r\nRetry-After: " in reply.head
            for connection in idle[-2:]:  # it has not forgotten them
                connection.sendall(LIVE if connection is idle[-1] and count % 2 else b"")
        assert server.infer(BODY).status == 200


@pytest.mark.parametrize("path", ["/openapi.json", f"/v2/models/{NAME}", "/v2/health/live", "/nothing"])
def test_answers_nobody_reads(server: Server, path: str) -> None:
    """Each connection asks as much as the system takes from it."""
    before = server.memory("VmHWM")
    flood = f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * 20_000
    with connections(server, 20) as greedy:
        for connection in greedy:
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sent = 0
                while sent < len(flood):
                    sent += connection.send(flood[sent:])
        assert server.request("GET", "/v2/health/live").status == 200
        assert server.memory("VmHWM") - before < 64 * MIB


def test_predictions_nobody_reads(server: Server) -> None:
    before = server.memory("VmHWM")
    flood = sized(BODY) * 20_000
    with connections(server, 20) as greedy:
        for connection in greedy:
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sent = 0
                while sent < len(flood):
                    sent += connection.send(flood[sent:])
        assert server.infer(BODY).status == 200
        assert server.memory("VmHWM") - before < 64 * MIB


def test_a_flood_of_pipelined_requests_is_answered_in_full(server: Server) -> None:
    count = 5000
    found = exchange(server, sized(BODY) * count + sized(BODY, "Connection: close"))
    assert [reply.status for reply in found] == [200] * (count + 1)
    assert {reply.body for reply in found} == {server.infer(BODY).body}


def test_idle_clients_keep_no_body_of_theirs(server: Server) -> None:
    before = server.memory()
    large = sized(BODY + b" " * (15 * MIB))
    with connections(server, 20) as clients:
        for connection in clients:
            connection.sendall(large)
            assert connection.recv(15).startswith(b"HTTP/1.1 200 OK")
        assert server.infer(BODY).status == 200
        assert server.memory() - before < 64 * MIB


def test_bodies_in_the_smallest_chunks(server: Server) -> None:
    before = server.memory("VmHWM")
    chunks = b"1\r\n \r\n" * MIB + b"1\r\n{\r\n0\r\n\r\n"
    (reply,) = exchange(server, post("Transfer-Encoding: chunked", "Connection: close", body=chunks))
    assert (reply.status, b"not JSON" in reply.body) == (400, True)
    assert server.memory("VmHWM") - before < 48 * MIB


ENDLESS = {
    "chunk extension": b"1;" + b"a" * MIB,
    "quoted chunk extension": b'1;a="' + b"b" * MIB,
    "trailer": b"0\r\nX: " + b"a" * MIB,
    "name of a trailer": b"0\r\n" + b"a" * MIB,
    "zeros": b"0" * MIB,
}


@pytest.mark.parametrize("endless", ENDLESS.values(), ids=ENDLESS.keys())
def test_chunks_that_never_come(server: Server, endless: bytes) -> None:
    before = server.memory("VmHWM")
    with connect(server) as connection:
        connection.sendall(post("Transfer-Encoding: chunked", body=b"1\r\n{\r\n" + endless[:10]))
        with contextlib.suppress(OSError):  # refused and cut off
            for _ in range(64):
                connection.sendall(endless[10:])
        assert b"HTTP/1.1 4" in read_all(connection)[:20]
    assert server.memory("VmHWM") - before < 24 * MIB


def test_many_clients_that_leave_in_the_middle(server: Server) -> None:
    before = server.memory()
    whole = sized(BODY)
    for at in range(0, len(whole), 2):
        with connect(server) as connection:
            connection.sendall(whole[:at])
    with connections(server, 200) as clients:
        for connection in clients:
            connection.sendall(post("Content-Length: 300000", body=b" " * 200_000))
    assert server.infer(BODY + b" " * (15 * MIB)).status == 200  # the shared room for bodies is free again
    assert server.memory() - before < 96 * MIB


def test_a_reset_in_the_middle_of_an_answer(server: Server) -> None:
    flood = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 200
    for _ in range(20):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(flood)
        connection.recv(100)
        connection.close()
    assert server.request("GET", "/openapi.json").status == 200
