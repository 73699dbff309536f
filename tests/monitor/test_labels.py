"""Labels over replicas: each gets into the status once, whoever writes it, and whatever becomes of the pods."""

from __future__ import annotations

import random
import threading

from modelwright_server.contract import monitoring
from tests.monitor.labelled import DAY, KEY, OTHER, Object, World, stable


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
