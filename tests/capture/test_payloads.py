"""Payload logging: what a sink of KServe's gets, and what becomes of events where it is slow, away or refuses."""

from __future__ import annotations

import http.server
import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from modelwright_capture.counts import Counts
from modelwright_capture.payloads import REQUEST, RESPONSE, HttpSink, Payload, PayloadLog, SinkError
from modelwright_capture.table import RedactError
from modelwright_server.contract import capture
from tests.capture.pods import NUMBERS, TEXTS, Pod

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from modelwright_server.schema import Schema


class Hall:
    """What a sink was sent."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], Any]] = []
        self.status, self.hang_up = 202, False

    def of(self, kind: str) -> list[tuple[dict[str, str], Any]]:
        return [(headers, body) for headers, body in self.got if headers["ce-type"] == kind]


@contextmanager
def sink() -> Generator[tuple[Hall, str]]:
    """Run an HTTP server."""
    hall = Hall()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hall.got.append(({name.lower(): value for name, value in self.headers.items()}, json.loads(body)))
            self.send_response(hall.status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            self.close_connection = hall.hang_up

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # named so in the base class
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hall, f"http://127.0.0.1:{server.server_address[1]}/logger?team=a"
    finally:
        server.shutdown()
        server.server_close()


def started(pod: Pod) -> PayloadLog:
    pod.counts = Counts({"namespace": "team"})
    return PayloadLog(pod.settings, pod.schema, pod.digest, HttpSink(pod.settings), pod.counts)


def ended(pod: Pod, log: PayloadLog) -> None:
    log.step()
    log.end(time.monotonic() + 10)
    pod.end()


def count(pod: Pod, outcome: str) -> int:
    return pod.counts.of(capture.METRIC_EVENTS, outcome)


@pytest.mark.parametrize("schema", [NUMBERS, TEXTS])
def test_each_row_is_a_request_and_a_response_as_kserve_sends_them(tmp_path: Path, schema: Schema) -> None:
    with sink() as (hall, url):
        pod = Pod(tmp_path, schema, log_url=url)
        log = started(pod)
        ids = pod.answer(2)
        pod.issuer.serve("canary")
        ids += pod.answer(1, 2)
        ended(pod, log)
    assert [headers["ce-id"] for headers, _ in hall.of(REQUEST)] == ids
    assert [headers["ce-id"] for headers, _ in hall.of(RESPONSE)] == ids
    headers, body = hall.of(RESPONSE)[2]
    assert {name: headers[f"ce-{name}"] for name in ("specversion", "source", "component", "endpoint")} == {
        "specversion": "1.0",
        "source": "/apis/modelwright.dev/v1alpha1/namespaces/team/modeldeployments/churn",
        "component": "predictor",
        "endpoint": "canary",
    }
    assert (headers["ce-inferenceservicename"], headers["ce-namespace"]) == ("churn", "team")
    assert headers["content-type"] == "application/json"
    assert headers["ce-time"].startswith("2023-11-14T22:13:20")
    _, outputs = pod.values(1, 2)
    assert body["id"] == ids[2]
    assert (body["model_name"], body["model_version"]) == ("churn", "churn-1")
    assert [item["data"] for item in body["outputs"]] == [np.ravel(array).tolist() for array in outputs]
    inputs, _ = pod.values(1, 0)
    asked = hall.of(REQUEST)[0][1]["inputs"]
    assert [item["data"] for item in asked] == [np.ravel(array).tolist() for array in inputs]
    assert {item["shape"][0] for item in asked} == {1}
    assert (count(pod, "chosen"), count(pod, "sent"), count(pod, "dropped")) == (6, 6, 0)


@pytest.mark.parametrize(("mode", "kinds"), [("Request", {REQUEST}), ("Response", {RESPONSE})])
def test_one_of_both_where_that_is_asked_for(tmp_path: Path, mode: str, kinds: set[str]) -> None:
    with sink() as (hall, url):
        pod = Pod(tmp_path, log_url=url, log_mode=mode)
        log = started(pod)
        pod.answer(3)
        ended(pod, log)
    assert {headers["ce-type"] for headers, _ in hall.got} == kinds
    assert len(hall.got) == 3


def test_redacted_features_leave_the_pod_in_no_event(tmp_path: Path) -> None:
    with sink() as (hall, url):
        for schema, name, folder in ((NUMBERS, "ssn", "numbers"), (TEXTS, "plan", "texts")):
            (tmp_path / folder).mkdir()
            pod = Pod(tmp_path / folder, schema, log_url=url, log_redact=json.dumps([name]))
            log = started(pod)
            pod.answer(1, 7)
            ended(pod, log)
    matrix, texts = (body["inputs"] for _, body in hall.of(REQUEST))
    assert matrix[0]["data"] == [7.0, -7.0, None]
    assert [item["name"] for item in texts] == ["age"]
    with pytest.raises(RedactError):
        PayloadLog(pod.settings, NUMBERS, pod.digest, HttpSink(pod.settings), pod.counts)


def test_missing_values_are_null(tmp_path: Path) -> None:
    with sink() as (hall, url):
        pod = Pod(tmp_path, log_url=url, log_mode="Request")
        log = started(pod)
        inputs, outputs = pod.values(1, 3)
        inputs[0][0, 1] = np.nan
        mark, at = pod.issuer.take(1)
        pod.recorder(1, [*inputs, *outputs], mark, at)
        ended(pod, log)
    assert hall.got[0][1]["inputs"][0]["data"] == [3.0, None, 6.0]


def test_a_share_of_the_rows_is_chosen_by_their_ids(tmp_path: Path) -> None:
    with sink() as (hall, url):
        pod = Pod(tmp_path, log_url=url, log_percent=20, log_mode="Response")
        log = started(pod)
        ids = pod.answer(500)
        ended(pod, log)
    sent = [headers["ce-id"] for headers, _ in hall.got]
    assert 50 <= len(sent) <= 150
    assert set(sent) <= set(ids)


def test_a_sink_that_hangs_up_after_each_event_gets_all_of_them(tmp_path: Path) -> None:
    with sink() as (hall, url):
        hall.hang_up = True
        pod = Pod(tmp_path, log_url=url)
        log = started(pod)
        pod.answer(20)
        ended(pod, log)
    assert len({(headers["ce-id"], headers["ce-type"]) for headers, _ in hall.got}) == 40
    assert count(pod, "sent") == 40


def test_a_sink_that_refuses_or_is_away_loses_events_which_are_counted(tmp_path: Path) -> None:
    with sink() as (hall, url):
        hall.status = 503
        pod = Pod(tmp_path, log_url=url)
        log = started(pod)
        pod.answer(5)
        ended(pod, log)
        one = HttpSink(pod.settings)
        with pytest.raises(SinkError, match="answered 503"):
            one.post(Payload(REQUEST, "x", 0, "stable", b"{}"))
        one.close()
    assert (count(pod, "sent"), count(pod, "dropped")) == (0, 10)
    gone = HttpSink(pod.settings)
    with pytest.raises(SinkError, match="Connection"):
        gone.post(Payload(REQUEST, "x", 0, "stable", b"{}"))


def test_nobody_waits_for_a_sink_that_is_slow(tmp_path: Path) -> None:
    class Slow:
        """Takes the first event and keeps it."""

        def __init__(self) -> None:
            self.go_on = threading.Event()

        def post(self, payload: Payload) -> None:
            assert self.go_on.wait(30), payload.id

        def close(self) -> None:
            """Nothing is open."""

    pod = Pod(tmp_path, log_url="http://sink.example.org/", log_mode="Request")
    slow = Slow()
    log = PayloadLog(pod.settings, pod.schema, pod.digest, slow, pod.counts)
    for _ in range(3):
        pod.answer(500)
        log.step()
    assert count(pod, "chosen") == 1500
    assert 490 <= count(pod, "dropped") <= 500, "a thousand wait, one or so is being sent"
    slow.go_on.set()
    ended(pod, log)
    assert count(pod, "sent") + count(pod, "dropped") == 1500
