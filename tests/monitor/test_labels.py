"""Labels over replicas: each gets into the status once, whoever writes it, and whatever becomes of the pods."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from modelwright_monitor import labels as labels_module
from modelwright_monitor.apiserver import ApiError
from modelwright_monitor.conditions import Mark
from modelwright_monitor.labels import Counted, Labels, now_seconds
from modelwright_monitor.listener import Answer, Listener
from modelwright_monitor.report import Report
from modelwright_monitor.writer import Writer
from modelwright_server.contract import MonitorSettings, monitoring
from tests.monitor.conftest import eventually
from tests.monitor.replicas import FakeObject, write_model

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from modelwright_monitor.listener import Request

Object = dict[str, Any]
DAY = 86_400
QUALITY = {"metric": "accuracy", "min": 0.8, "minLabels": 50}
DIGEST = "sha256:" + hashlib.sha256(b"{}").hexdigest()
KEY = DIGEST[7:17]
OTHER = "sha256:" + "a" * 64


def stable(digest: str = DIGEST, version: str = "churn-1") -> Object:
    return {"revision": "0123456789", "version": version, "model": "churn", "digest": digest}


class World(FakeObject):
    """The Deployment and its pods."""

    def __init__(self, folder: Path, port: int, quality: Object | None = None) -> None:
        super().__init__({"window": {"maxSeconds": 3600}, "quality": quality or QUALITY})
        self.seen["status"] = {"stable": stable(), **self.seen["status"]}
        self.folder = folder
        self.port = port
        self.pods: list[Pod] = []
        self.addresses: list[str] = []
        self.clock = 0.0

    def now(self) -> float:
        return now_seconds() + self.clock

    def add(self, number: int) -> Pod:
        pod = Pod(self, number)
        self.pods.append(pod)
        self.addresses.append(pod.address)
        return pod

    def tell(self) -> None:
        """Let each pod see the Deployment as it is."""
        for pod in self.pods:
            pod.labels.take(self.read()[0])

    def close_canary(self, pod: Pod, rows: int, digest: str) -> None:
        """Let a pod close the first window of the canary."""
        marks = tuple(Mark(kind, "Unknown", "r", "m") for kind in (monitoring.DATA_DRIFT, monitoring.DATA_QUALITY))
        window = {"sequence": 1, "rows": rows}
        document = {"window": window, "lost": 0, "digest": digest, "features": [], "prediction": []}
        writer = Writer(self.connect, self.now, time.sleep, pod.labels)  # type: ignore[arg-type]
        assert writer.close("canary", 1, lambda _before: Report(document, marks, (), ()), time.monotonic() + 20)
        self.tell()

    def close_window(self, pod: Pod, rows: int = 100, sequence: int | None = None) -> bool:
        """Let a pod close a window as its session does."""
        before = self.seen["status"].get("monitoring", {}).get("window", {}).get("sequence", 0)
        number = before + 1 if sequence is None else sequence
        window = {"sequence": number, "rows": rows, "closedAt": "2020-01-01T00:00:00Z"}
        made = Report({"window": window, "lost": 0, "digest": DIGEST}, (), (), ())
        writer = Writer(self.connect, self.now, time.sleep, pod.labels)  # type: ignore[arg-type]
        done = writer.close("stable", number, lambda _before: made, time.monotonic() + 20)
        self.tell()
        return done

    @property
    def quality(self) -> Object:
        found: Object = self.seen["status"]["monitoring"].get("quality", {})
        return found


class Pod:
    """A pod: its labels, and what answers the others."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.address = f"127.0.0.{number}"
        folder = world.folder / f"windows{number}"
        folder.mkdir(exist_ok=True)
        self.settings = MonitorSettings(
            deployment="churn",
            namespace="team",
            model_dir=str(world.folder / "model"),
            windows_dir=str(folder),
            host=self.address,
            window_port=world.port,
            feedback_port=0,
        )
        self.labels = self.started()
        self.sent = 0
        self.number = number
        self.listener = Listener(self.address, world.port, {monitoring.LABELS_PATH: self.answer})
        self.listener.start()

    def answer(self, request: Request) -> Answer:
        return self.labels.answer(request)

    def started(self) -> Labels:
        world = self.world
        made = Labels(self.settings, self.address, lambda: world.addresses, world.connect, world.now)  # type: ignore[arg-type]
        made.take(world.read()[0])
        return made

    def post(self, right: int, wrong: int = 0, digest: str = DIGEST, age: float = 3600) -> None:
        """Post labels, some of them as predicted."""
        made = int((self.world.now() - age) * 1000)
        batch = [
            {
                "prediction_id": f"1.{digest[7:17]}.s.{self.number:012x}.{self.sent + at:x}.{made:x}.0000403f.1",
                "label": 1 if at < right else 0,
            }
            for at in range(right + wrong)
        ]
        self.sent += len(batch)
        said = self.labels._feedback.answer("churn", json.dumps(batch).encode())
        assert said.document.get("accepted") == len(batch), said

    def gone(self) -> None:
        """Take the pod away."""
        self.listener.shutdown()
        self.listener.server_close()
        self.world.pods.remove(self)
        self.world.addresses.remove(self.address)


@pytest.fixture
def world(tmp_path: Path) -> Generator[World]:
    write_model(tmp_path / "model")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    made = World(tmp_path, port)
    yield made
    for pod in list(made.pods):
        pod.gone()


def test_labels_of_all_pods_ride_on_the_window_that_closes(world: World) -> None:
    first, second, third = (world.add(number) for number in (1, 2, 3))
    first.post(40, 10)
    second.post(45, 5)
    assert world.close_window(third, rows=400)
    assert len(world.writes) == 1
    quality = world.quality
    assert (quality["metric"], quality["version"], quality["labels"]) == ("accuracy", "churn-1", 100)
    assert (quality["value"], quality["predictions"], quality["coverage"]) == (0.85, 400, 0.25)
    assert quality["meanDelaySeconds"] == 3600
    assert quality["low"] < 0.85 < quality["high"]
    condition = world.condition(monitoring.MODEL_QUALITY)
    assert (condition["status"], condition["reason"]) == ("False", "QualitySufficient")
    assert "accuracy of churn-1 is 0.85 (95 %" in condition["message"]
    assert [pod.labels._ledger.labels for pod in world.pods] == [0, 0, 0]
    assert world.close_window(first)
    assert world.quality["labels"] == 100, "none is counted twice"


def test_what_is_shown_to_be_bad_is_degraded_and_what_is_not_is_not(world: World) -> None:
    pod = world.add(1)
    pod.post(20, 9)
    world.close_window(pod)
    condition = world.condition(monitoring.MODEL_QUALITY)
    assert (condition["status"], condition["reason"]) == ("Unknown", "InsufficientLabels")
    assert "29 of 50 labels for accuracy of churn-1" in condition["message"]
    pod.post(56, 15)
    world.close_window(pod)
    condition = world.condition(monitoring.MODEL_QUALITY)
    assert (condition["status"], world.quality["value"]) == ("False", 0.76)
    assert "is not at least 0.8, as asked for, is not shown yet" in condition["message"]
    pod.post(500, 400)
    world.close_window(pod)
    condition = world.condition(monitoring.MODEL_QUALITY)
    assert (condition["status"], condition["reason"]) == ("True", "QualityDegraded")
    assert "spec.monitoring.quality asks for at least 0.8" in condition["message"]


def test_pods_that_end_write_what_nobody_has(world: World) -> None:
    pods = [world.add(number) for number in (1, 2, 3, 4)]
    for pod in pods[:3]:
        pod.post(10, 2)
    threads = [threading.Thread(target=pod.labels.end) for pod in pods]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for pod in pods:
        pod.gone()
    assert len(world.writes) == 3, "one for each pod that had labels"
    replacement = world.add(5)
    replacement.post(20, 0)
    world.close_window(replacement)
    assert (world.quality["labels"], world.quality["value"]) == (56, round(50 / 56, 6))


def test_a_pod_that_ends_while_another_takes_its_labels_does_not_write_them_again(world: World) -> None:
    ending, other = world.add(1), world.add(2)
    ending.post(30)
    apply = world.apply_status
    offers = other.labels.gather()
    assert [offer.pod for offer in offers if offer.cohorts.tallies] == [ending.labels._ledger.pod]

    def beaten(status: Object, version: str) -> None:
        world.apply_status = apply  # type: ignore[method-assign]
        assert other.labels._write(lambda: offers)
        apply(status, version)

    world.apply_status = beaten  # type: ignore[method-assign]
    ending.labels.end()
    assert (len(world.writes), world.quality["labels"]) == (1, 30)


def test_where_no_window_closes_one_pod_writes(world: World) -> None:
    pods = [world.add(number) for number in (1, 2, 3)]
    for pod in pods:
        pod.labels._look()
    pods[1].post(30)
    pods[2].post(30)
    for pod in pods:
        pod.labels._look()
    assert world.writes == [], "a window may still take them along"
    world.clock = 3700
    for pod in pods:
        pod.labels._look()
        world.tell()
    assert (len(world.writes), world.quality["labels"]) == (1, 60)
    pods[0].post(5)
    for pod in pods:
        pod.labels._look()
    assert len(world.writes) == 1, "the next may take as long again"
    world.clock = -1000
    pods[0].labels._look()
    assert len(world.writes) == 2, "a report from the future is no reason to wait for the future"


def test_a_worker_that_was_killed_is_followed_by_one_that_knows(world: World) -> None:
    pod = world.add(1)
    chance = random.Random(3)
    total = 0
    for _ in range(30):
        pod.post(5)
        total += 5
        if chance.random() < 0.3:
            pod.labels = pod.started()
        if chance.random() < 0.3:
            world.close_window(pod)
        if chance.random() < 0.3:
            pod.labels.gather()
            pod.labels = pod.started()
    world.close_window(pod)
    world.close_window(pod)
    assert world.quality["labels"] == total


def test_of_several_that_close_a_window_one_counts(world: World) -> None:
    pods = [world.add(number) for number in (1, 2, 3)]
    total = rows = 0
    for window in range(1, 8):
        for pod in pods:
            pod.post(7)
            total += 7
        threads = [threading.Thread(target=world.close_window, args=(pod, 50, window)) for pod in pods]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rows += 50
        world.tell()
    world.close_window(pods[0])
    assert (world.quality["labels"], world.quality["predictions"]) == (total, rows + 100)
    assert len(world.writes) == 8


def test_after_a_promotion_the_new_version_is_judged_by_its_own_labels(world: World) -> None:
    pod = world.add(1)
    pod.post(10, 90)
    world.close_window(pod)
    assert world.condition(monitoring.MODEL_QUALITY)["status"] == "True"
    world.seen["status"].update(stable=stable(OTHER, "churn-2"), previous=stable())
    world.tell()
    pod.post(60, digest=OTHER)
    pod.post(0, 20)
    world.close_window(pod)
    assert world.condition(monitoring.MODEL_QUALITY)["status"] == "False"
    assert (world.quality["version"], world.quality["labels"], world.quality["value"]) == ("churn-2", 60, 1)
    labels = {item["version"]: item["labels"] for item in world.quality["cohorts"]}
    assert labels == {KEY: 120, "a" * 10: 60}
    world.seen["status"].update(previous=stable("sha256:" + "b" * 64, "churn-0"))
    world.tell()
    world.close_window(pod)
    assert {item["version"] for item in world.quality["cohorts"]} == {"a" * 10}


def test_labels_of_a_canary_are_cohorts_of_its_own(world: World) -> None:
    pod = world.add(1)
    world.seen["status"]["canary"] = stable(OTHER, "churn-2")
    world.tell()
    pod.post(60)
    pod.post(0, 30, digest=OTHER)
    world.close_canary(pod, 200, OTHER)
    assert world.seen["status"]["monitoring"]["canary"]["window"]["rows"] == 200
    assert (world.quality["version"], world.quality["labels"], world.quality["predictions"]) == ("churn-1", 60, 0)
    assert world.condition(monitoring.MODEL_QUALITY)["status"] == "False"
    found = {item["version"]: (item.get("predictions"), item["labels"]) for item in world.quality["cohorts"]}
    assert found == {KEY: (None, 60), "a" * 10: (200, 30)}
    world.close_window(pod, rows=300)
    assert world.quality["predictions"] == 300
    assert len(world.quality["cohorts"]) == 2


def test_cohorts_show_when_what_was_predicted(world: World) -> None:
    pod = world.add(1)
    for days_ago, right in ((12, 60), (6, 50), (0, 40)):
        pod.post(right, 60 - right, age=days_ago * DAY + 1)
    world.close_window(pod)
    shown = [(item["labels"], item["value"]) for item in world.quality["cohorts"] if item.get("labels")]
    assert shown == [(60, 1), (60, 0.833333), (60, 0.666667)]
    days = [item["day"] for item in world.quality["cohorts"]]
    assert days == sorted(days)
    world.clock = 5 * DAY
    world.tell()
    world.close_window(pod)
    assert world.quality["labels"] == 120, "what is older than labels may be is not judged any more"


def test_without_spec_quality_there_is_nothing(world: World) -> None:
    pod = world.add(1)
    pod.post(60)
    world.close_window(pod)
    assert world.quality
    del world.seen["spec"]["monitoring"]["quality"]
    world.tell()
    said = pod.labels._feedback.answer("churn", b"{}")
    assert said.status == 404
    world.close_window(pod)
    assert world.quality == {}
    assert world.condition(monitoring.MODEL_QUALITY) == {}
    pod.labels.end()
    assert len(world.writes) == 2


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
