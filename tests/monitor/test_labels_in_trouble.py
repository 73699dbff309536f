"""Labels where something is broken, away, late or of another release."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from modelwright_monitor import labels as labels_module
from modelwright_monitor.apiserver import ApiError
from modelwright_monitor.labels import Counted
from modelwright_monitor.listener import Answer
from modelwright_server.contract import monitoring
from tests.monitor.labelled import DIGEST, KEY, QUALITY, Object, World
from tests.monitor.replicas import eventually


@pytest.mark.parametrize("broken", [{"cohorts": [{"version": 3}], "pods": []}, {"cohorts": 5}, {"pods": [{}]}])
def test_a_status_that_cannot_be_read_is_begun_anew(world: World, broken: Object) -> None:
    pod = world.add(1)
    world.seen["status"]["monitoring"] = {"quality": broken}
    world.tell()
    pod.post(60)
    world.close_window(pod)
    assert world.quality["labels"] == 60


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"pod": "me"}', b"[" * 100_000, b'{"pod":"' + b"x" * (3 << 20), b"\xff"]
)
def test_what_is_no_offer_is_passed_over(world: World, body: bytes) -> None:
    pod, hostile = world.add(1), world.add(2)
    hostile.listener.paths = {monitoring.LABELS_PATH: lambda _request: Answer(http.HTTPStatus.OK, body, "text/plain")}
    pod.post(60)
    world.close_window(pod)
    assert world.quality["labels"] == 60


def test_what_an_earlier_worker_left_may_be_broken(world: World) -> None:
    pod = world.add(1)
    (world.folder / "windows1" / "labels.json").write_bytes(b"{")
    pod.labels = pod.started()
    pod.post(60)
    world.close_window(pod)
    assert world.quality["labels"] == 60


def test_an_auc_comes_from_the_classes_of_the_model(world: World) -> None:
    world.seen["spec"]["monitoring"]["quality"] = {"metric": "roc_auc", "min": 0.5, "minLabels": 10}
    pod = world.add(1)
    made = int((world.now() - 60) * 1000)
    scores = {0: "cdcccc3d", 1: "6666663f"}  # 0.1 and 0.9
    batch = [
        {"prediction_id": f"1.{KEY}.s.000000000009.{at:x}.{made:x}.{scores[at % 2]}.{at % 2}", "label": at % 2}
        for at in range(100)
    ]
    pod.labels._feedback.answer("churn", json.dumps(batch).encode())
    world.close_window(pod)
    assert (world.quality["value"], world.quality["high"]) == (1, 1)
    assert world.condition(monitoring.MODEL_QUALITY)["status"] == "False"


def test_the_api_server_away_keeps_labels_for_later(world: World, caplog: pytest.LogCaptureFixture) -> None:
    pod = world.add(1)
    pod.post(60)

    def away() -> Any:
        message = "away"
        raise ApiError(message)

    connect = pod.labels._connect
    pod.labels._connect = away
    pod.labels.end()
    assert "labels cannot be written" in caplog.text
    pod.labels._connect = connect
    pod.labels = pod.started()
    world.close_window(pod)
    assert world.quality["labels"] == 60


def test_the_port_opens_once_labels_are_wanted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels_module, "_LOOK_SECONDS", 0.05)
    quality = world.seen["spec"]["monitoring"].pop("quality")
    pod = world.add(1)
    pod.labels.start()
    assert vars(pod.labels)["_listener"] is None
    world.seen["spec"]["monitoring"]["quality"] = quality
    world.tell()
    eventually(lambda: pod.labels._listener, "no port")
    assert pod.labels._listener is not None
    connection = http.client.HTTPConnection("127.0.0.1", pod.labels._listener.port)
    connection.request("POST", "/v2/models/churn/feedback", b"{}")
    assert connection.getresponse().status == 400
    pod.labels._listener.close(1)


def test_a_verdict_by_other_rules_waits_for_no_label(world: World) -> None:
    pods = [world.add(number) for number in (1, 2)]
    world.clock = 3700
    for pod in pods:
        pod.labels._look()
        world.tell()
    assert len(world.writes) == 1
    assert world.condition(monitoring.MODEL_QUALITY)["reason"] == "InsufficientLabels"
    world.clock = 7500
    for pod in pods:
        pod.labels._look()
    assert len(world.writes) == 1, "nothing is new"
    world.seen["metadata"]["generation"] = 2
    world.tell()
    for pod in pods:
        pod.labels._look()
        world.tell()
    assert len(world.writes) == 2
    assert world.condition(monitoring.MODEL_QUALITY)["observedGeneration"] == 2


@pytest.mark.parametrize(
    "quality", [{"metric": "f7", "min": 0.5}, {"metric": "accuracy", "min": "high"}, {"metric": ["accuracy"]}, 7, []]
)
def test_what_another_release_may_ask_for_stops_nothing(world: World, quality: Any) -> None:
    pod = world.add(1)
    world.seen["spec"]["monitoring"]["quality"] = quality
    world.tell()
    assert world.close_window(pod)
    world.seen["spec"]["monitoring"]["quality"] = QUALITY
    world.tell()
    pod.post(60)
    world.close_window(pod)
    assert world.quality["labels"] == 60


def test_the_metrics_say_what_became_of_labels(world: World) -> None:
    pod = world.add(1)
    pod.post(3)
    pod.labels._feedback.answer("churn", b"[1, 2]")
    page = pod.labels.page().decode()
    line = 'modelwright_monitor_feedback_labels_total{namespace="team",deployment="churn",outcome="%s"} %d'
    assert line % ("accepted", 3) in page
    assert line % ("malformed", 2) in page
    assert line % ("too_late", 0) in page


def test_rows_that_were_lost_count_as_predicted(world: World) -> None:
    pod = world.add(1)
    document, marks = pod.labels.into(world.seen, [], Counted(DIGEST, 7))
    assert document is not None
    assert document["predictions"] == 7
    assert [mark.status for mark in marks] == ["Unknown"]
