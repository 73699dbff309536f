"""What comes over the wire: framing, order, limits, and attempts to make two parsers disagree."""

import json
import re
import socket
from collections.abc import Callable

import pytest

from tests.server.models import Built
from tests.server.process import DEADLINE, INFER, NAME, Server, read_all

BODY = json.dumps({"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 30], "data": [1.5] * 30}]}).encode()
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def post(*headers: str, body: bytes = BODY, path: str = INFER) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: a", *headers, "", ""]).encode() + body


def sized(*headers: str, body: bytes = BODY) -> bytes:
    return post(f"Content-Length: {len(body)}", *headers, body=body)


def statuses(data: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", data)]


def chunked(data: bytes, size: int) -> bytes:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_chunked_bodies(logistic: Server, size: int) -> None:
    data = logistic.raw(post("Transfer-Encoding: chunked", "Connection: close", body=chunked(BODY, size)))
    assert statuses(data) == [200]


def test_bytes_may_come_one_by_one(logistic: Server) -> None:
    with socket.create_connection(("127.0.0.1", logistic.port), timeout=DEADLINE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in sized("Connection: close"):
            connection.send(bytes([byte]))
        assert statuses(read_all(connection)) == [200]


def test_pipelined_requests_are_answered_in_order(logistic: Server) -> None:
    paths = ["/v2", f"/v2/models/{NAME}", "/v2/health/live", "/nothing", f"/v2/models/{NAME}/ready"]
    wanted = [logistic.request("GET", path).body for path in paths] * 20
    requests = b"".join(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for path in paths) * 20
    data = logistic.raw(requests + LAST)
    found = [part.split(b"\r\n\r\n", 1)[1] for part in data.split(b"HTTP/1.1 ")[1:]]
    assert found[:-1] == wanted


def test_slow_answers_do_not_lose_their_place(built: Callable[[str], Built], serving: Callable[[str], Server]) -> None:
    """Large batches are answered by a thread, health checks at once; the client sees them in order."""
    model, server = built("slow"), serving("slow")
    many = json.dumps({"id": "many", "inputs": model.inputs(model.rows)}).encode()
    one = json.dumps({"id": "one", "inputs": model.inputs(model.rows.iloc[:1])}).encode()
    data = server.raw((sized(body=many) + LIVE + sized(body=one)) * 30 + LAST)
    found = [json.loads(part.split(b"\r\n\r\n", 1)[1]) for part in data.split(b"HTTP/1.1 ")[1:]]
    assert [item.get("id", "live") for item in found] == ["many", "live", "one"] * 30 + ["live"]


def test_a_client_that_ends_its_side_still_gets_its_answers(
    built: Callable[[str], Built], serving: Callable[[str], Server]
) -> None:
    model = built("slow")
    many = json.dumps({"inputs": model.inputs(model.rows)}).encode()
    assert statuses(serving("slow").raw(sized(body=many) * 3, shut=True)) == [200] * 3


def test_a_client_that_leaves_harms_nobody(built: Callable[[str], Built], serving: Callable[[str], Server]) -> None:
    model, server = built("slow"), serving("slow")
    many = json.dumps({"inputs": model.inputs(model.rows)}).encode()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as connection:
            connection.sendall(sized(body=many) * 2)
    assert server.infer(many).status == 200
    assert re.search(r"requests_in_flight{.*} 0\.0\n", server.metrics())


def test_head_has_the_headers_of_get_and_no_body(logistic: Server) -> None:
    for path in ("/v2", "/v2/health/ready", f"/v2/models/{NAME}"):
        got, head = logistic.request("GET", path), logistic.request("HEAD", path)
        assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")
    assert logistic.request("HEAD", INFER).status == 405


def test_connection_options(logistic: Server) -> None:
    assert b"Connection: close\r\n" in logistic.raw(LAST)
    assert b"Connection: close\r\n" in logistic.raw(b"GET /v2 HTTP/1.0\r\n\r\n")
    kept = logistic.raw(b"GET /v2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /v2 HTTP/1.0\r\n\r\n")
    assert statuses(kept) == [200, 200]
    assert b"Connection: keep-alive\r\n" in kept


def test_expectations(logistic: Server) -> None:
    with socket.create_connection(("127.0.0.1", logistic.port), timeout=DEADLINE) as connection:
        connection.sendall(post(f"Content-Length: {len(BODY)}", "Expect: 100-Continue", "Connection: close", body=b""))
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert statuses(read_all(connection)) == [200]
    assert statuses(logistic.raw(sized("Expect: 100-continue", "Connection: close", body=b""))) == [400]
    assert statuses(logistic.raw(sized("Expect: the-impossible"))) == [417]
    assert statuses(logistic.raw(post("Content-Length: 999999999", "Expect: 100-continue", body=b""))) == [413]


def test_upgrades_are_not_taken_up(logistic: Server) -> None:
    """Java's client asks for HTTP/2 with its first request, also with a body."""
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk")
    assert statuses(logistic.raw(sized(*upgrade) + LAST)) == [200, 200]
    get = "\r\n".join(["GET /v2 HTTP/1.1", "Host: a", *upgrade, "", ""]).encode()
    assert statuses(logistic.raw(get + LAST)) == [200, 200]
    assert (
        statuses(logistic.raw(post("Transfer-Encoding: chunked", *upgrade, body=chunked(BODY, 9)) + LAST)) == [200] * 2
    )
    assert statuses(logistic.raw(sized(*upgrade, "Expect: 100-continue") + LAST)) == [100, 200, 200]
    closing = ("Connection: Upgrade, close", "Upgrade: h2c")
    assert statuses(logistic.raw(sized(*closing) + LIVE)) == [200]
    assert statuses(logistic.raw(sized(*upgrade, body=LIVE) + LAST)) == [400, 200]
    assert statuses(logistic.raw(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n" + LIVE)) == [405]
    assert statuses(logistic.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")) == [400]


SMUGGLING = {
    "length and chunked": post("Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunked and length": post("Transfer-Encoding: chunked", "Content-Length: 5", body=b"0\r\n\r\n"),
    "two lengths": post("Content-Length: 5", "Content-Length: 6", body=b"12345"),
    "the same length twice": post("Content-Length: 5", "Content-Length: 5", body=b"12345"),
    "list of lengths": post("Content-Length: 5, 5", body=b"12345"),
    "signed length": post("Content-Length: +5", body=b"12345"),
    "negative length": post("Content-Length: -5", body=b"12345"),
    "hexadecimal length": post("Content-Length: 0x5", body=b"12345"),
    "empty length": post("Content-Length:", body=b""),
    "huge length": post("Content-Length: 99999999999999999999999999", body=b""),
    "text after length": post("Content-Length: 5 x", body=b"12345"),
    "bare line feeds": b"GET /v2 HTTP/1.1\nHost: a\n\n",
    "bare line feed in head": b"GET /v2 HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    "bare carriage return": b"GET /v2 HTTP/1.1\r\nHost: a\r\nX: b\rc: d\r\n\r\n",
    "folded header": b"GET /v2 HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    "folded length": b"POST /v2 HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 5\r\n\r\n12345",
    "space before colon": b"GET /v2 HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
    "space before name": b"GET /v2 HTTP/1.1\r\n X: b\r\nHost: a\r\n\r\n",
    "no colon": b"GET /v2 HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n",
    "nul in value": b"GET /v2 HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
    "gzip, chunked": post("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "chunked twice": post("Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
    "chunked in two headers": post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "identity coding": post("Transfer-Encoding: identity", body=b"0\r\n\r\n"),
    "unknown coding": post("Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "chunked in HTTP/1.0": b"POST /v2 HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk size": post("Transfer-Encoding: chunked", body=b"zz\r\n\r\n"),
    "signed chunk size": post("Transfer-Encoding: chunked", body=b"+1\r\na\r\n0\r\n\r\n"),
    "huge chunk size": post("Transfer-Encoding: chunked", body=b"fffffffffffffffff\r\n"),
    "chunk without end": post("Transfer-Encoding: chunked", body=b"1\r\nab\r\n0\r\n\r\n"),
    "chunk ended by line feed": post("Transfer-Encoding: chunked", body=b"1\na\n0\n\n"),
    "no host": b"GET /v2 HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /v2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "version 2.0": b"GET /v2 HTTP/2.0\r\nHost: a\r\n\r\n",
    "version 0.9": b"GET /v2\r\n\r\n",
    "version 1.2": b"GET /v2 HTTP/1.2\r\nHost: a\r\n\r\n",
    "no method": b" /v2 HTTP/1.1\r\nHost: a\r\n\r\n",
    "unknown method": b"FETCH /v2 HTTP/1.1\r\nHost: a\r\n\r\n",
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40,
}


@pytest.mark.parametrize("data", SMUGGLING.values(), ids=SMUGGLING.keys())
def test_what_parsers_disagree_on_is_refused_and_ends_the_connection(logistic: Server, data: bytes) -> None:
    answer = logistic.raw(data + LIVE)
    assert len(statuses(answer)) == 1, answer
    assert statuses(answer)[0] in {400, 413, 501, 505}, answer
    assert b"Connection: close\r\n" in answer
    assert b'{"error":"' in answer


def test_a_smuggled_request_is_never_answered(logistic: Server) -> None:
    inner = b"GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n"
    for prefix in SMUGGLING.values():
        assert len(statuses(logistic.raw(prefix + inner + inner))) == 1


def test_spaces_around_a_length_are_no_part_of_it(logistic: Server) -> None:
    """Allowed by RFC 9110; whatever the parser makes of it, the body's end is where it says."""
    answer = logistic.raw(post(f"Content-Length:   {len(BODY)} \t") + LAST)
    assert statuses(answer) in ([200, 200], [400])


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /v2 HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (b"GET /v2 HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 101 + b"\r\n", 431),
        (b"GET /v2 HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 2_000_000, 431),
        (b"GET /v2 HTTP/1.1\r\nHost: a\r\n" + b"a" * 2_000_000, 431),
        (b"GET /" + b"a" * 2_000_000, 414),
        (post("Content-Length: 1073741824"), 413),
        (post("Content-Length: 16777217"), 413),
        (post("Transfer-Encoding: chunked", body=(b"100000\r\n" + b" " * 0x100000 + b"\r\n") * 17), 413),
        (post("Transfer-Encoding: chunked", body=b"0\r\n" + b"X: a\r\n" * 200 + b"\r\n"), 431),
    ],
    ids=["target", "value", "count", "endless value", "endless name", "endless target", "1 GiB", "1 over", "chunks",
         "trailers"],
)  # fmt: skip
def test_sizes_are_limited(logistic: Server, data: bytes, status: int) -> None:
    before = logistic.memory()
    answer = logistic.raw(data)
    assert statuses(answer) == [status], answer[:300]
    assert b"<reset>" not in answer
    assert logistic.memory() - before < 64 << 20


def test_an_ordinary_client_sees_why_its_large_body_is_refused(logistic: Server) -> None:
    answer = logistic.infer(b" " * (17 << 20))
    assert (answer.status, answer.json) == (413, {"error": "the body is larger than 16777216 bytes"})


def test_the_largest_body_is_read(logistic: Server) -> None:
    body = BODY + b" " * ((16 << 20) - len(BODY))
    assert logistic.infer(body).status == 200


def test_refusals_wait_for_the_answers_before_them(
    built: Callable[[str], Built], serving: Callable[[str], Server]
) -> None:
    model = built("slow")
    many = json.dumps({"inputs": model.inputs(model.rows)}).encode()
    data = serving("slow").raw(sized(body=many) * 2 + b"GET /v2 HTTP/1.1\r\n\r\n" + LIVE)
    assert statuses(data) == [200, 200, 400]


def test_many_bodies_at_once_are_bounded(logistic: Server) -> None:
    """Incomplete bodies share 64 MiB; beyond it clients are told to come back."""
    before = logistic.memory()
    connections = [socket.create_connection(("127.0.0.1", logistic.port), timeout=DEADLINE) for _ in range(8)]
    refused = 0
    for connection in connections:
        connection.sendall(post("Content-Length: 16000000", body=b""))
        try:
            connection.sendall(b" " * 15_000_000)
        except OSError:
            refused += 1
    assert logistic.memory() - before < 160 << 20
    assert logistic.infer(b"{}").status in {400, 503}
    for connection in connections[6:]:
        assert b"503" in read_all(connection)
    for connection in connections:
        connection.close()
    wait = logistic.request("GET", "/v2/health/live")
    assert wait.status == 200
    assert logistic.infer(BODY).status == 200
