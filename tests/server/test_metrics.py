"""The metrics page, read by Prometheus' own parser."""

from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelwright_server import contract
from modelwright_server.telemetry import BUCKETS, Telemetry
from tests.server.models import Built
from tests.server.process import NAME, VERSION, Server, settings

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
LABELS = {"model": NAME, "version": VERSION}


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset({**LABELS, **labels}.items())]


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
        assert value(found, contract.METRIC_REQUESTS, code="200") == 3
        assert value(found, contract.METRIC_REQUESTS, code="400") == 2
        assert {labels for name, labels in found if name == contract.METRIC_REQUESTS} == {
            frozenset({**LABELS, "code": code}.items()) for code in ("200", "400")
        }
        assert value(found, contract.METRIC_ROWS) == 10
        assert value(found, contract.METRIC_DURATION + "_count") == 4
        assert value(found, contract.METRIC_DURATION + "_bucket", le="+Inf") == 4
        assert 0 < value(found, contract.METRIC_DURATION + "_sum") < 4
        assert value(found, contract.METRIC_IN_FLIGHT) == 0
        assert value(found, contract.METRIC_READY) == 1
        assert value(found, contract.METRIC_MODEL_INFO, deployment="churn", namespace="shop") == 1
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
    counts = Telemetry(NAME, VERSION, "d", "n")
    counts.answered(200, BUCKETS[at])
    found = samples(counts.render().decode())
    assert value(found, contract.METRIC_DURATION + "_bucket", le=str(BUCKETS[at])) == 1
    assert at == 0 or value(found, contract.METRIC_DURATION + "_bucket", le=str(BUCKETS[at - 1])) == 0


def test_labels_are_escaped() -> None:
    hostile = 'a"b\\c\nd'
    found = samples(Telemetry(hostile, VERSION, "d", "n").render().decode())
    assert (contract.METRIC_READY, frozenset({"model": hostile, "version": VERSION}.items())) in found
