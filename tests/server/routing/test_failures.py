"""Whatever a canary does, its clients get stable's answer, in time, and the failure counts."""

from collections import Counter
from struct import pack
from typing import Any

import pytest

from tests.server.routing.canaries import GOOD, absent, forwarded_by, response, saying, silent
from tests.server.routing.tracks import (
    SHORT_MILLISECONDS,
    STABLE,
    TIMEOUT_MILLISECONDS,
    Pod,
    burst,
    eventually,
    post,
    track,
)

OCTETS = b"application/octet-stream"
RAW_HEAD = (
    b'{"outputs":[{"name":"label","datatype":"INT64","shape":[1],"data":[1]},'
    b'{"name":"probabilities","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}'
)
NOT_FINITE = GOOD.replace(b"INT64", b"FP32").replace(b"[1]}]}", b"[null]}]}")


def raw(*values: float, size: int | None = None) -> bytes:
    fields = b"Inference-Header-Content-Length: %d\r\n" % (len(RAW_HEAD) if size is None else size)
    return response(RAW_HEAD + pack(f"<{len(values)}f", *values), fields=fields, kind=OCTETS)


BROKEN: dict[str, tuple[bytes, str]] = {
    "garbage": (b"\x00\xff\x16\x03\x01 garbage\r\n\r\n", "keep"),
    "another protocol": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "keep"),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(GOOD), GOOD), "keep"),
    "no length": (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + GOOD, "close"),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "keep"),
    "two lengths": (response(fields=b"Content-Length: 3\r\n"), "keep"),
    "a length that is none": (response().replace(b"Content-Length: ", b"Content-Length: +"), "keep"),
    "an enormous length": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n{", "keep"),
    "longer than it says": (response() + b"more", "keep"),
    "shorter than it says": (response()[:-5], "close"),
    "reset in the middle": (response()[:-5], "abort"),
    "an endless head": (b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 9000, "keep"),
    "a header without colon": (response(fields=b"nonsense\r\n"), "keep"),
    "a header with a line end": (response(fields=b"X-A: b\nX-C: d\r\n"), "keep"),
    "a promise to go on": (b"HTTP/1.1 100 Continue\r\n\r\n" + response(), "keep"),
    "not JSON": (response(b"<html>"), "keep"),
    "no text": (response(b""), "keep"),
    "JSON that is no answer": (response(b"[1,2]"), "keep"),
    "an output without a name": (response(b'{"outputs":[{"data":[1]}]}'), "keep"),
    "an output without data": (response(GOOD.replace(b"data", b"date")), "keep"),
    "NaN in JSON": (response(GOOD.replace(b"[1]}]}", b"[NaN]}]}")), "keep"),
    "HTML": (response(GOOD, kind=b"text/html"), "keep"),
    "a refusal in HTML": (response(b"<html>", 400, kind=b"text/html"), "keep"),
    "compressed": (response(GOOD, fields=b"Content-Encoding: gzip\r\n"), "keep"),
    "raw, but too short": (raw(0.5), "keep"),
    "raw, but too long": (raw(0.5, 0.5, 0.5), "keep"),
    "raw, with a wrong size": (raw(0.5, 0.5, size=10**9), "keep"),
}
REFUSED = {f"{status}": (response(b'{"error":"x"}', status), "keep") for status in (500, 503, 404, 301, 204, 429)}
INVALID = {
    "422": (response(b'{"error":"x"}', 422), "keep"),
    "null for a number": (response(NOT_FINITE), "keep"),
    "raw NaN": (raw(0.5, float("nan")), "keep"),
    "raw infinity": (raw(float("-inf"), 1), "keep"),
}


def check(
    stable: Pod, body: bytes, outcome: str, port: int, timeout: int = TIMEOUT_MILLISECONDS, **counted: Any
) -> None:
    """20 connections at half the weight: every client is answered by stable, every failure counts as the canary's."""
    labels = 'protocol="rest"', f'outcome="{outcome}"'
    name = "modelwright_server_forwarded_requests_total"
    before = stable.metric(name, *labels)
    stable.next_step(port, weight=50, canary_timeout_milliseconds=timeout, latency_threshold_milliseconds=60_000)
    answers = burst(stable.server, body)
    assert Counter((answer.status, track(answer)) for answer in answers) == {(200, "stable"): 100}
    step = stable.step()
    canary: dict[str, Any] = step["canary"]
    assert step["stable"]["requests"] == 50
    assert step["stable"]["bad"] == 0
    assert canary["requests"] + step["skipped"] == 50
    assert canary["bad"] == canary["requests"] >= 20
    wanted = {"errors": canary["bad"], "slow": 0, "invalid": 0, "timeouts": 0} | {
        kind: canary["bad"] if counts else 0 for kind, counts in counted.items()
    }
    assert {kind: canary[kind] for kind in wanted} == wanted
    assert stable.metric(name, *labels) - before == canary["bad"]


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_answer_is_not_relayed(stable: Pod, body: bytes, case: str) -> None:
    data, then = BROKEN[case]
    with saying(data, then=then) as canary:
        check(stable, body, "broken", canary.port)
        assert all(forwarded_by(request) == [STABLE.encode()] for request in canary.requests)


@pytest.mark.parametrize("case", REFUSED)
def test_a_failure_is_not_relayed(stable: Pod, body: bytes, case: str) -> None:
    with saying(REFUSED[case][0]) as canary:
        check(stable, body, "refused", canary.port)


@pytest.mark.parametrize("case", INVALID)
def test_a_number_that_is_not_finite_is_not_relayed(stable: Pod, body: bytes, case: str) -> None:
    with saying(INVALID[case][0]) as canary:
        check(stable, body, "invalid", canary.port, errors=False, invalid=True)


def test_a_canary_that_is_not_there_costs_no_request(stable: Pod, body: bytes) -> None:
    with absent() as port:
        check(stable, body, "unreachable", port)


@pytest.mark.parametrize("then", ["close", "abort"])
def test_a_canary_that_hangs_up_costs_no_request(stable: Pod, body: bytes, then: str) -> None:
    with saying(then=then) as canary:
        check(stable, body, "unreachable", canary.port)


def test_a_canary_that_hangs_costs_no_request(stable: Pod, body: bytes) -> None:
    with silent() as canary:
        check(stable, body, "timeout", canary.port, SHORT_MILLISECONDS, timeouts=True)
        eventually(lambda: len(canary.requests) >= 20)


def test_a_canary_that_drips_costs_no_request(stable: Pod, body: bytes) -> None:
    """Each byte in time, the answer never."""
    with saying(*([b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"] + [b" "] * 4000)) as canary:
        check(stable, body, "timeout", canary.port, SHORT_MILLISECONDS, timeouts=True)


def test_a_slow_answer_is_relayed_and_counted(stable: Pod, body: bytes) -> None:
    with saying(b"HTTP/1.1 200 OK\r\n", *[b"X-%d: b\r\n" % at for at in range(4)], response()[16:]) as canary:
        stable.next_step(canary.port, weight=100, latency_threshold_milliseconds=10)
        with stable.server.client() as client:
            answers = [post(client, body) for _ in range(5)]
    assert [(answer.status, answer.body, track(answer)) for answer in answers] == [(200, GOOD, "canary")] * 5
    counts = stable.step()["canary"]
    assert (counts["requests"], counts["bad"], counts["slow"], counts["errors"]) == (5, 5, 5, 0)


def test_a_kept_connection_that_died_meanwhile_costs_nothing(stable: Pod, body: bytes) -> None:
    """It had answered before, so its request goes out once more, on a new one; that one's failure would count."""
    with saying(response(), then="close") as canary:
        stable.next_step(canary.port, weight=100)
        with stable.server.client() as client:
            answers = [post(client, body) for _ in range(30)]
        assert canary.connections >= 30
    assert {track(answer) for answer in answers} == {"canary"}
    counts = stable.step()["canary"]
    assert (counts["requests"], counts["bad"]) == (30, 0)


def test_after_twenty_failures_in_a_row_only_probes_go(stable: Pod, body: bytes) -> None:
    with saying(REFUSED["500"][0]) as canary:
        stable.next_step(canary.port, weight=100)
        burst(stable.server, body, connections=1, each=60)
        assert len(canary.requests) == 20
        step = stable.step()
        assert (step["canary"]["requests"], step["skipped"]) == (20, 40)
        assert stable.metric("modelwright_server_canary_breakers_open", 'protocol="rest"') == 1

        async def mended(_: Any, writer: Any, __: bytes) -> None:
            writer.write(response())

        canary.behaviour = mended
        with stable.server.client() as client:  # the probe comes after five seconds, and closes the breaker
            eventually(lambda: track(post(client, body)) == "canary")
            assert [track(post(client, body)) for _ in range(20)] == ["canary"] * 20
    assert stable.metric("modelwright_server_canary_breakers_open", 'protocol="rest"') == 0
