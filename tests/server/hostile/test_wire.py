"""Requests whose framing lies: nothing of them may be read as another request, and the next client is served."""

import socket
from collections.abc import Iterator

import pytest

from tests.server.hostile.wire import LAST, LIVE, Reply, connect, exchange, infer_body, post, replies, sized
from tests.server.process import Server, read_all

BODY = infer_body()


def statuses(found: list[Reply]) -> list[int]:
    return [reply.status for reply in found]


@pytest.fixture(autouse=True)
def healthy_afterwards(logistic: Server) -> Iterator[None]:
    yield
    assert logistic.infer(BODY).status == 200


def refused(server: Server, data: bytes) -> None:
    """One error for all of it, and the end of the connection."""
    (reply,) = exchange(server, data + LIVE + LIVE)
    assert reply.status in {400, 501, 505}, reply
    assert b"\r\nConnection: close" in reply.head
    assert reply.body.startswith(b'{"error":"')


AMBIGUOUS = {
    "length in capitals and small": post("Content-Length: 5", "content-length: 6", body=b"12345"),
    "length ended by nul": post("Content-Length: 5\0", body=b"12345"),
    "length in fullwidth digits": b"POST /v2 HTTP/1.1\r\nHost: a\r\nContent-Length: \xef\xbc\x95\r\n\r\n12345",
    "length with underscore": post("Content-Length: 1_0", body=b"1234567890"),
    "length with fraction": post("Content-Length: 5.0", body=b"12345"),
    "length with exponent": post("Content-Length: 5e0", body=b"12345"),
    "length with vertical tab": post("Content-Length: \x0b5", body=b"12345"),
    "space before colon of length": post("Content-Length : 5", body=b"12345"),
    "space before colon of coding": post("Transfer-Encoding : chunked", body=b"0\r\n\r\n"),
    "tab before colon of coding": post("Transfer-Encoding\t: chunked", body=b"0\r\n\r\n"),
    "vertical tab before coding": post("Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
    "vertical tab behind coding": post("Transfer-Encoding: chunked\x0b", body=b"0\r\n\r\n"),
    "coding in quotes": post('Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"),
    "coding with parameter": post("Transfer-Encoding: chunked;q=1", body=b"0\r\n\r\n"),
    "coding behind a comma": post("Transfer-Encoding: ,chunked", body=b"0\r\n\r\n"),
    "chunked is not the last": post("Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
    "folded coding": post("Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n"),
    "line feed in coding": b"POST /v2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun\nked\r\n\r\n0\r\n\r\n",
    "length and coding of many spellings": post("content-LENGTH: 5", "transfer-ENCODING: Chunked", body=b"0\r\n\r\n"),
    "chunk size in 0x": post("Transfer-Encoding: chunked", body=b"0x1\r\na\r\n0\r\n\r\n"),
    "chunk size with sign": post("Transfer-Encoding: chunked", body=b"-1\r\na\r\n0\r\n\r\n"),
    "chunk size with underscore": post("Transfer-Encoding: chunked", body=b"1_0\r\n1234567890123456\r\n0\r\n\r\n"),
    "no chunk size": post("Transfer-Encoding: chunked", body=b"\r\na\r\n0\r\n\r\n"),
    "space before chunk size": post("Transfer-Encoding: chunked", body=b" 1\r\na\r\n0\r\n\r\n"),
    "chunk size that wraps around": post("Transfer-Encoding: chunked", body=b"10000000000000001\r\na\r\n0\r\n\r\n"),
    "chunk longer than said": post("Transfer-Encoding: chunked", body=b"1\r\nabc\r\n0\r\n\r\n"),
    "chunk ended by carriage return": post("Transfer-Encoding: chunked", body=b"1\r\na\r0\r\n\r\n"),
    "line feed in chunk extension": post("Transfer-Encoding: chunked", body=b"1;a\nb\r\na\r\n0\r\n\r\n"),
    "trailer without colon": post("Transfer-Encoding: chunked", body=b"0\r\nnothing\r\n\r\n"),
    "nul in name": b"GET /v2 HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n",
    "nul in target": b"GET /v2\0 HTTP/1.1\r\nHost: a\r\n\r\n",
    "empty name": b"GET /v2 HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "text before version": b"GET /v2 x HTTP/1.1\r\nHost: a\r\n\r\n",
    "small method": b"get /v2 HTTP/1.1\r\nHost: a\r\n\r\n",
    "small protocol": b"GET /v2 http/1.1\r\nHost: a\r\n\r\n",
    "version with more digits": b"GET /v2 HTTP/1.10\r\nHost: a\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "TLS": bytes.fromhex("16030100f8010000f40303") + bytes(200),
    "line ends alone": b"\n" * 1000 + b"GET /v2 HTTP/1.1\nHost: a\n\n",
    "zeros": bytes(1000),
}


@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_the_ambiguous_is_refused(logistic: Server, data: bytes) -> None:
    refused(logistic, data)


def test_a_name_that_only_looks_like_the_coding_is_no_coding(logistic: Server) -> None:
    data = post("Transfer_Encoding: chunked", "X-Content-Length: 1", f"Content-Length: {len(BODY)}", body=BODY)
    assert statuses(exchange(logistic, data + LAST)) == [200, 200]


def test_a_coding_in_any_case_and_with_spaces_is_one(logistic: Server) -> None:
    chunks = b'%x;name="value"\r\n%b\r\n0\r\nTrailer: a\r\n\r\n' % (len(BODY), BODY)
    for line in ("TRANSFER-ENCODING: CHUNKED", "Transfer-Encoding:\t chunked \t"):
        found = statuses(exchange(logistic, post(line, body=chunks) + LAST))
        assert found in ([200, 200], [501]), line  # llhttp gives the spaces on: then refusing is safe as well


def test_trailers_change_nothing(logistic: Server) -> None:
    trailers = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: b\r\nContent-Encoding: gzip\r\nExpect: x\r\n"
    body = b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(BODY), BODY, trailers)
    assert statuses(exchange(logistic, post("Transfer-Encoding: chunked", body=body) + LAST)) in ([200, 200], [400])


def test_a_body_longer_than_said_is_no_request(logistic: Server) -> None:
    for said in (0, 1, len(BODY) - 1):
        found = exchange(logistic, post(f"Content-Length: {said}", body=BODY) + LIVE)
        assert statuses(found) == [400, 400]
        assert b"\r\nConnection: close" in found[1].head


def test_a_body_shorter_than_said_takes_what_follows_for_its_own(logistic: Server) -> None:
    found = exchange(logistic, post(f"Content-Length: {len(BODY) + len(LIVE)}", body=BODY) + LIVE + LAST)
    assert statuses(found) == [400, 200]
    assert "not JSON" in found[0].body.decode()


def test_a_body_that_ends_before_it_should_is_not_answered(logistic: Server) -> None:
    assert exchange(logistic, post(f"Content-Length: {len(BODY) + 1}", body=BODY), shut=True) == []
    assert exchange(logistic, post("Transfer-Encoding: chunked", body=b"ff\r\n"), shut=True) == []
    assert exchange(logistic, b"GET /v2 HT", shut=True) == []


def test_a_body_with_a_get_is_a_body(logistic: Server) -> None:
    data = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(LIVE), LIVE)
    assert statuses(exchange(logistic, data + LAST)) == [200, 200]
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(LIVE), LIVE)
    data = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked
    assert statuses(exchange(logistic, data + LAST)) == [200, 200]


@pytest.mark.parametrize(
    "target",
    [b"http://b/v2/health/live", b"http://user:word@a:99/v2/health/live", b"HTTP://[::1]/v2/health/live?x#y"],
)
def test_an_absolute_target_is_its_path(logistic: Server, target: bytes) -> None:
    data = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target
    assert statuses(exchange(logistic, data + LAST)) == [200, 200]


@pytest.mark.parametrize(
    "target",
    [b"http://[/v2", b"//v2/health/live", b"/v2/health/live%0d%0a", b"/v2//health/live", b"/V2/health/live", b"/%00",
     b"/v2/models/%ed%a0%80", b"/v2/health/live/", b"/../v2/health/live", b"/\xc3\xa9", b"http:", b"///", b"/%",
     b"/%zz"],
)  # fmt: skip
def test_odd_targets_are_unknown_paths(logistic: Server, target: bytes) -> None:
    found = exchange(logistic, b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target + LAST)
    assert statuses(found) in ([404, 200], [400]), found
    assert found[0].body.startswith(b'{"error":"')


def test_every_split_of_a_request_is_read_the_same(logistic: Server) -> None:
    """Two pieces, cut anywhere, each in a packet of its own."""
    data = sized(BODY[:40], "Expect: 100-continue", "X: y") + post(
        "Transfer-Encoding: chunked", "Connection: close", body=b'5\r\n{"a":\r\n2;x=y\r\n1}\r\n0\r\nT: u\r\n\r\n'
    )
    whole = [(reply.status, reply.body) for reply in exchange(logistic, data)]
    assert [status for status, _ in whole] == [400, 400]
    for cut in range(1, len(data)):
        with connect(logistic) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(data[:cut])
            connection.sendall(data[cut:])
            assert [(reply.status, reply.body) for reply in replies(read_all(connection))] == whole


def test_urgent_data_changes_nothing(logistic: Server) -> None:
    with connect(logistic) as connection:
        connection.sendall(LAST[:10])
        connection.send(b"!", socket.MSG_OOB)
        connection.sendall(LAST[10:])
        assert statuses(replies(read_all(connection))) == [200]
