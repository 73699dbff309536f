"""Labels posted over HTTP: what is counted, what is refused, and what a hostile client can do."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from modelwright_monitor.feedback import listener
from modelwright_monitor.feedback.intake import MOST_LABELS, Feedback, Wanted
from modelwright_monitor.feedback.listener import MAX_BODY_BYTES, MAX_HEAD_BYTES, THREADS, Listener
from modelwright_monitor.quality.joining import Rules
from modelwright_monitor.quality.ledger import Ledger
from modelwright_monitor.quality.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Generator

NOW = 1_800_000_000.0
MADE = int((NOW - 3600) * 1000)
RULES = Rules(14 * 86_400, ("9f2c41ab07",), {"9f2c41ab07": ("no", "yes")})


def predicted(number: int = 0, label: str = "yes", version: str = "9f2c41ab07") -> str:
    return f"1.{version}.s.00ff00ff00ff.{number:x}.{MADE:x}.0000403f.{label}"


def item(number: int = 0, label: Any = "yes", **fields: Any) -> dict[str, Any]:
    return {"prediction_id": predicted(number), "label": label, **fields}


@dataclass
class Server:
    """The port, and what was counted behind it."""

    feedback: Feedback
    ledger: Ledger
    listener: Listener
    kept: list[int] = field(default_factory=list[int])

    @property
    def port(self) -> int:
        return self.listener.port

    def send(self, data: bytes, *, half: bool = False) -> bytes:
        """Send bytes, and return all that is answered."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(data)
            if half:
                connection.shutdown(socket.SHUT_WR)
            answer = b""
            while part := connection.recv(65536):
                answer += part
            return answer

    def post(self, body: Any, path: str = "/v2/models/churn/feedback", method: str = "POST") -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body if isinstance(body, bytes) else json.dumps(body))
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def counted(self) -> tuple[int, int]:
        """Return how many labels were counted, and how many of them as predicted."""
        tallies = list(self.ledger.offer().cohorts.tallies.values())
        return sum(tally.labels for tally in tallies), sum(tally.correct for tally in tallies)


@pytest.fixture
def server() -> Generator[Server]:
    ledger, kept = Ledger(), list[int]()
    feedback = Feedback(ledger, Memory, lambda: kept.append(ledger.labels), lambda: NOW)
    feedback.wanted = Wanted(frozenset({"churn"}), RULES)
    found = Listener("127.0.0.1", 0, feedback.answer)
    found.start()
    yield Server(feedback, ledger, found, kept)
    found.close(0.1)


def test_one_label_and_many(server: Server) -> None:
    assert server.post(item(time="2027-01-15T07:30:00Z")) == (
        200,
        {"accepted": 1, "duplicates": 0, "refused": 0, "refusals": []},
    )
    many = [item(number, "yes" if number % 4 else "no") for number in range(1, 1001)]
    status, said = server.post(many)
    assert (status, said["accepted"]) == (200, 1000)
    assert server.counted() == (1001, 751)
    assert server.kept == [1, 1001], "what was taken is kept before it is answered"


def test_a_label_sent_twice_counts_once(server: Server) -> None:
    batch = [item(1), item(2), item(1, "no")]
    assert server.post(batch)[1] == {"accepted": 2, "duplicates": 1, "refused": 0, "refusals": []}
    assert server.post(batch)[1] == {"accepted": 0, "duplicates": 3, "refused": 0, "refusals": []}
    forged = {"prediction_id": predicted(1, "no"), "label": "no"}
    assert server.post(forged)[1]["duplicates"] == 1, "the rest of the id does not make another prediction of it"
    assert server.counted() == (2, 2)
    assert server.feedback.counts()["duplicate"] == 5


BAD = [
    (3, "malformed", "must be an object"),
    ({}, "malformed", "prediction_id must be a text"),
    ({"prediction_id": predicted()}, "malformed", "label must be"),
    ({"prediction_id": predicted(), "label": None}, "malformed", "label must be"),
    ({"prediction_id": predicted(), "label": ["yes"]}, "malformed", "label must be"),
    ({"prediction_id": predicted(), "label": "yes", "lable": "no"}, "malformed", "'lable' is unknown"),
    ({"prediction_id": "", "label": "yes"}, "malformed", "must begin with"),
    ({"prediction_id": predicted()[:40], "label": "yes"}, "malformed", "is cut off"),
    ({"prediction_id": "x" * 10_000, "label": "yes"}, "malformed", "at most 285"),
    ({"prediction_id": predicted(label="~FF"), "label": "yes"}, "malformed", "not UTF-8"),
    ({"prediction_id": predicted(version="0000000000"), "label": "yes"}, "unknown_version", "neither answers"),
    (item(time="today"), "malformed", "time must be"),
    (item(time="2027-01-15T07:30:00"), "malformed", "with its zone"),
    (item(time=True), "malformed", "time must be"),
    (item(time=10**400), "malformed", "time must be"),
    (item(time=None), "malformed", "time must be"),
    (item(time=NOW + 3600), "in_the_future", "label's time"),
    (item(time=NOW - 7200), "before_prediction", "before the prediction"),
]


@pytest.mark.parametrize(("bad", "reason", "problem"), BAD)
def test_a_bad_label_is_refused_by_itself(server: Server, bad: Any, reason: str, problem: str) -> None:
    status, said = server.post([item(7), bad, item(8)])
    assert (status, said["accepted"], said["refused"]) == (200, 2, 1)
    [refusal] = said["refusals"]
    assert (refusal["index"], refusal["reason"]) == (1, reason)
    assert problem in refusal["error"]
    status, said = server.post(bad)
    assert (status, said["accepted"]) == (400, 0)
    assert problem in said["error"]
    assert server.counted() == (2, 2)
    assert server.feedback.counts()[reason] == 2


def test_of_many_refusals_some_are_told(server: Server) -> None:
    status, said = server.post([3] * 1000)
    assert (status, said["refused"], len(said["refusals"])) == (400, 1000, 20)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"prediction_id": "1", "label": NaN}',
        b'{"label": ' + b"9" * 5000 + b"}",
        json.dumps([3] * (MOST_LABELS + 1)).encode(),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_whole(server: Server, body: bytes) -> None:
    status, said = server.post(body)
    assert status == 400
    assert list(said) == ["error"]
    assert server.counted() == (0, 0)


def test_other_paths_models_and_methods(server: Server) -> None:
    assert server.post(item(), path="/v2/models/other/feedback")[0] == 404
    assert server.post(item(), path="/v2/models/churn/infer")[0] == 404
    assert server.post(item(), method="PUT")[0] == 405
    server.feedback.wanted = None
    status, said = server.post(item())
    assert status == 404
    assert "spec.monitoring.quality" in said["error"]
    assert server.counted() == (0, 0)


HEAD = b"POST /v2/models/churn/feedback HTTP/1.1\r\nHost: h\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (HEAD + b"\r\n", 411),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", 411),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400),
        (HEAD + b"Content-Length: 1\r\ncontent-length: 2\r\n\r\n11", 400),
        (HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1), 413),
        (HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 413),
        (HEAD + b"X: " + b"y" * (MAX_HEAD_BYTES + 100) + b"\r\n\r\n", 431),
        (b"\x16\x03\x01\x02\r\n\r\n", 400),
        (b"POST /v2/models/churn/feedback\r\n\r\n", 400),
    ],
)
def test_what_is_no_such_request_is_refused(server: Server, data: bytes, status: int) -> None:
    assert server.send(data).startswith(b"HTTP/1.1 %d " % status)


def test_a_client_that_sends_more_than_is_read_gets_its_answer(server: Server) -> None:
    body = b"x" * (MAX_BODY_BYTES + 1)
    said = server.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert said.startswith(b"HTTP/1.1 413 ")
    assert b"send fewer labels" in said


def test_a_client_that_waits_to_be_asked_is_asked(server: Server) -> None:
    body = json.dumps(item()).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_clients_that_hang_or_leave_keep_nobody_waiting_for_long(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "REQUEST_SECONDS", 0.5)
    server.post(item(0))  # threads that waited for a request before know the new time from here on
    half = HEAD + b"Content-Length: 100\r\n\r\n{"
    assert server.send(half, half=True) == b""
    hanging = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3 * THREADS)]
    for connection in hanging:
        connection.sendall(half)
    started = time.monotonic()
    assert server.post(item(1))[0] == 200
    assert time.monotonic() - started < 5
    assert sum(thread.name.startswith("feedback-") for thread in threading.enumerate()) == THREADS
    for connection in hanging:
        connection.close()


def test_closed_it_has_answered_what_was_under_way_and_takes_no_more(server: Server) -> None:
    body = json.dumps(item()).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body))
        server.post(item(1))
        threading.Timer(0.2, connection.sendall, [body]).start()
        server.listener.close(5)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    assert server.counted() == (2, 2)
    with pytest.raises(OSError, match="refused"):
        server.post(item(2))
    assert not any(thread.name.startswith("feedback-") for thread in threading.enumerate())


def test_many_clients_at_once(server: Server) -> None:
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda number: server.post(item(number % 200))[0], range(400)))
    assert set(statuses) == {200}
    assert server.counted() == (200, 200)


def test_the_largest_bodies_take_bounded_memory(server: Server) -> None:
    largest = [b"[" + b"{}," * (MAX_BODY_BYTES // 3 - 2) + b"3]", b"[" + b"[]," * (MAX_BODY_BYTES // 3 - 2) + b"3]"]
    tracemalloc.start()
    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda number: server.post(largest[number % 2])[0], range(4)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(statuses) == {400}
    assert peak < 32 << 20, f"{peak >> 20} MiB"
