"""The metrics page, read by Prometheus' own parser."""

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from modelwright_server import contract, exposition
from modelwright_server.telemetry import BUCKETS, GRPC_CODES, Snapshot, Telemetry, merged
from tests.server.models import Built
from tests.server.process import NAME, VERSION, Server, settings

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
LABELS = {"model": NAME, "version": VERSION, "track": "stable"}
INFO = {"model": NAME, "version": VERSION, "deployment": "churn", "namespace": "shop"}


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset({**LABELS, **labels}.items())]


def shown(telemetry: Telemetry) -> str:
    return exposition.render(telemetry.info, telemetry.snapshot()).decode()


def counts() -> Telemetry:
    return Telemetry(NAME, VERSION, "d", "n")


def test_requests_are_counted(built: Callable[[str], Built], tmp_path: Path) -> None:
    model = built("logistic")
    with Server(settings(model.folder, tmp_path)) as server:
        server.wait_until_ready()
        for rows in (1, 2, 7):
            assert server.infer({"inputs": model.inputs(model.rows.iloc[:rows])}).status == 200
        server.infer({})
        server.request("GET", "/v2/health/ready")
        server.request("GET", "/v2/models/other")
        server.raw(b"nonsense\r\n\r\n")
        found = samples(server.metrics())
        assert value(found, contract.METRIC_REQUESTS, protocol="rest", code="200") == 3
        assert value(found, contract.METRIC_REQUESTS, protocol="rest", code="400") == 2
        assert {labels for name, labels in found if name == contract.METRIC_REQUESTS} == {
            frozenset({**LABELS, "protocol": "rest", "code": code}.items()) for code in ("200", "400")
        }
        assert value(found, contract.METRIC_REFUSED, protocol="rest", code="400") == 1
        assert value(found, contract.METRIC_ROWS) == 10
        assert value(found, contract.METRIC_DURATION + "_count", protocol="rest") == 4
        assert value(found, contract.METRIC_DURATION + "_bucket", protocol="rest", le="+Inf") == 4
        assert 0 < value(found, contract.METRIC_DURATION + "_sum", protocol="rest") < 4
        assert value(found, contract.METRIC_IN_FLIGHT) == 0
        assert value(found, contract.METRIC_READY) == 1
        assert found[contract.METRIC_MODEL_INFO, frozenset(INFO.items())] == 1
        with server.client() as one, server.client() as two:
            one.request("GET", "/v2")
            two.request("GET", "/v2")
            assert value(samples(server.metrics()), contract.METRIC_CONNECTIONS) == 2


def test_metrics_have_their_own_port_and_only_that_page(logistic: Server) -> None:
    assert logistic.request("GET", "/metrics").status == 404
    logistic, port = Server(logistic.settings), logistic.metrics_port
    logistic.port = port
    page = logistic.request("GET", "/metrics")
    assert page.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert logistic.request("HEAD", "/metrics").headers["content-type"] == page.headers["content-type"]
    assert logistic.request("GET", "/v2").status == 404
    assert logistic.request("PUT", "/metrics").status == 405
    assert logistic.request("POST", "/metrics", b"x").status == 413


@pytest.mark.parametrize("at", [0, 5, len(BUCKETS) - 1])
def test_a_duration_on_a_bound_is_below_it(at: int) -> None:
    telemetry = counts()
    telemetry.rest.answered(200, BUCKETS[at])
    found = samples(shown(telemetry))
    bucket = contract.METRIC_DURATION + "_bucket"
    assert value(found, bucket, protocol="rest", le=str(BUCKETS[at])) == 1
    assert at == 0 or value(found, bucket, protocol="rest", le=str(BUCKETS[at - 1])) == 0


def test_labels_are_escaped() -> None:
    hostile = 'a"b\\c\nd'
    found = samples(shown(Telemetry(hostile, VERSION, "d", "n")))
    assert (contract.METRIC_READY, frozenset({**LABELS, "model": hostile}.items())) in found


def test_calls_of_the_model_are_counted() -> None:
    telemetry = counts()
    telemetry.called(requests=3, rows=70, waited=0.0002, seconds=0.003)
    telemetry.called(requests=1, rows=1, waited=0.0, seconds=0.00002)
    telemetry.queued = 2
    found = samples(shown(telemetry))
    assert value(found, contract.METRIC_ROWS) == 71
    assert value(found, contract.METRIC_BATCH_REQUESTS + "_bucket", le="2.0") == 1
    assert value(found, contract.METRIC_BATCH_REQUESTS + "_sum") == 4
    assert value(found, contract.METRIC_BATCH_ROWS + "_bucket", le="64.0") == 1
    assert value(found, contract.METRIC_BATCH_ROWS + "_bucket", le="128.0") == 2
    assert value(found, contract.METRIC_QUEUE_WAIT + "_bucket", le="0.0001") == 1
    assert value(found, contract.METRIC_QUEUE_WAIT + "_sum") == 0.0002
    assert value(found, contract.METRIC_CALL + "_bucket", le="2.5e-05") == 1
    assert value(found, contract.METRIC_CALL + "_count") == 2
    assert value(found, contract.METRIC_QUEUE_DEPTH) == 2


def test_grpc_statuses_go_by_their_names() -> None:
    telemetry = counts()
    for number in range(len(GRPC_CODES)):
        telemetry.grpc.answered(number, 0.001)
    telemetry.overloaded += 1
    found = samples(shown(telemetry))
    assert all(value(found, contract.METRIC_REQUESTS, protocol="grpc", code=name) == 1 for name in GRPC_CODES)
    assert value(found, contract.METRIC_DURATION + "_count", protocol="grpc") == len(GRPC_CODES)
    assert value(found, contract.METRIC_OVERLOADED) == 1


def test_the_names_of_grpc_statuses_are_grpcs() -> None:
    assert {code.value[0]: code.name for code in grpc.StatusCode} == dict(enumerate(GRPC_CODES))


def test_each_track_has_counts_of_its_own() -> None:
    """What was counted as canary stays there, goes on there, and is no part of stable."""
    telemetry = counts()
    answered = telemetry.rest.answered  # as the transports keep it
    for track, requests in (("canary", 3), ("stable", 2), ("canary", 4)):
        telemetry.track = track
        for _ in range(requests):
            answered(200, 0.001)
        telemetry.called(requests, requests, 0.0, 0.001)
    found = samples(shown(telemetry))
    for track, requests in (("stable", 2), ("canary", 7)):
        assert value(found, contract.METRIC_REQUESTS, protocol="rest", code="200", track=track) == requests
        assert value(found, contract.METRIC_DURATION + "_count", protocol="rest", track=track) == requests
        assert value(found, contract.METRIC_ROWS, track=track) == requests
        assert value(found, contract.METRIC_BATCH_ROWS + "_sum", track=track) == requests
    assert value(found, contract.METRIC_READY, track="canary") == 0
    assert (contract.METRIC_READY, frozenset(LABELS.items())) not in found


Events = st.lists(
    st.tuples(st.sampled_from([200, 400, 503]), st.integers(0, 64).map(lambda n: n / 64)), max_size=20
)  # halves of halves: their sums are exact


@given(st.lists(st.tuples(Events, st.booleans()), min_size=1, max_size=4))
def test_counts_of_several_processes_add_up(processes: list[tuple[list[tuple[int, float]], bool]]) -> None:
    """Many processes' snapshots, added, are the snapshot of one that did it all; ready if all are."""
    alone, parts = counts(), list[Snapshot]()
    alone.ready = all(ready for _, ready in processes)
    for events, ready in processes:
        part = counts()
        part.ready = ready
        for each in (alone, part):
            each.connections += len(events)
            for code, seconds in events:
                each.rest.answered(code, seconds)
                each.grpc.refused(code // 100)
                each.called(code, code, seconds, seconds)
        parts.append(part.snapshot())
    assert merged(parts) == alone.snapshot()
    assert merged(reversed(parts)) == merged(parts)
