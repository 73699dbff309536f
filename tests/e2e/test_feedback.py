"""Delayed labels on a real cluster: each counts once, also those of pods that are gone, and a bad model is told."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from modelwright_server.contract import monitoring
from tests.e2e.fixtures import (
    DEPLOYMENTS,
    JOBS,
    Object,
    Team,
    condition,
    deployment,
    is_true,
    rows_body,
    training_job,
)
from tests.e2e.test_sidecar import KILL_WORKER, MEASURE, MIB, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

pytestmark = pytest.mark.cluster

RULES = {
    "window": {"rows": 100_000, "minSeconds": 5, "maxSeconds": 10},
    "quality": {"metric": "accuracy", "min": 0.9, "maxLabelDelaySeconds": 86400, "minLabels": 200},
}
FEATURES, TARGETS = load_breast_cancer(return_X_y=True)
RNG = np.random.default_rng(3)
BATCH = 50
WRONG = 0.03  # share of labels that are not the data's, so that accuracy is no round number


def predicted(team: Team, count: int) -> list[Object]:
    """Ask for predictions in many requests; return what to post once the truth is known, and what was predicted."""
    found: list[Object] = []
    for start in range(0, count, BATCH):
        at = RNG.integers(0, len(FEATURES), min(BATCH, count - start))
        body = {**rows_body(FEATURES[at].tolist()), "outputs": [{"name": "label"}, {"name": "prediction_id"}]}
        outputs = {item["name"]: item["data"] for item in team.infer("scores", body)["outputs"]}
        for row, label, text in zip(at, outputs["label"], outputs["prediction_id"], strict=True):
            truth = int(TARGETS[row]) if RNG.random() > WRONG else 1 - int(TARGETS[row])
            found.append({"prediction_id": text, "label": truth, "right": label == truth})
    return found


def post(address: str, body: Any, model: str = "cancer") -> tuple[int, Object]:
    connection = http.client.HTTPConnection(address, monitoring.FEEDBACK_PORT, timeout=10)
    try:
        connection.request("POST", f"/v2/models/{model}/feedback", json.dumps(body))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def post_all(address: str, items: Sequence[Object]) -> None:
    """Post some labels one by one, the others together."""
    bodies = [{name: item[name] for name in ("prediction_id", "label")} for item in items]
    requests = [*bodies[:20], *(bodies[start : start + BATCH] for start in range(20, len(bodies), BATCH))]
    for request in requests:
        status, said = post(address, request)
        assert (status, said["refused"], said["duplicates"]) == (200, 0, 0), said


def pods(team: Team) -> dict[str, str]:
    """Return the addresses of the pods by name."""
    found = team.find("pods", "modelwright.dev/kind=Deployment")
    return {item["metadata"]["name"]: item["status"].get("podIP", "") for item in found}


def quality(seen: Object | None) -> Object:
    found: Object = (((seen or {}).get("status") or {}).get("monitoring") or {}).get("quality") or {}
    return found


def has_labels(count: int) -> Callable[[Object | None], bool]:
    return lambda seen: int(quality(seen).get("labels", 0)) >= count


def has_rows(count: int) -> Callable[[Object | None], bool]:
    """Tell whether so many rows are in windows that were closed."""

    def holds(seen: Object | None) -> bool:
        found = (((seen or {}).get("status") or {}).get("monitoring") or {}).get("total") or {}
        return int(found.get("rows", 0)) >= count

    return holds


def told(kind: str, status: str) -> Callable[[Object | None], bool]:
    return lambda seen: condition(seen, kind).get("status") == status


def accuracy(items: Sequence[Object]) -> float:
    return round(sum(bool(item["right"]) for item in items) / len(items), 6)


def takes_little(team: Team, pod: str) -> None:
    said = team.cluster.kubectl("exec", pod, "-n", team.namespace, "-c", "monitor", "--", "python", "-c", MEASURE)
    pss = json.loads(said)["pss"]
    print(f"the sidecar takes {pss / MIB:.1f} MiB while it monitors and takes labels")
    assert pss <= 64 * MIB


@pytest.fixture
def served(team: Team) -> Team:
    """Give a Deployment of two pods that takes labels, and is trained anew if they say that it is bad."""
    version = team.train("first")["status"]["modelVersion"]
    retraining = {"trainingJob": "template", "triggers": ["Quality"]}
    team.apply(
        training_job("template", suspend=True),
        deployment("scores", {"version": version}, replicas=2, monitoring=RULES, retraining=retraining),
    )
    team.wait(DEPLOYMENTS, "scores", is_true("Ready"))
    eventually(lambda: all(_open(address) for address in pods(team).values()))
    return team


def _open(address: str) -> bool:
    try:
        return post(address, {})[0] == 400
    except OSError:
        return False


def refuses_what_cannot_be(service: str, text: str) -> None:
    forged = [
        {"prediction_id": text.replace(text.split(".")[1], "0" * 10), "label": 1},
        {"prediction_id": text[:30], "label": 1},
        {"prediction_id": text, "label": None},
        {"prediction_id": text, "label": 1, "time": "2099-01-01T00:00:00Z"},
    ]
    status, answer = post(service, forged)
    assert (status, answer["refused"]) == (400, 4), answer
    assert post(service, {"prediction_id": text, "label": 1}, model="other")[0] == 404
    assert post(service, "x" * 600_000)[0] == 413


def turns_bad(team: Team, service: str, items: Sequence[Object]) -> None:
    bad = [{**item, "label": 1 - item["label"], "right": not item["right"]} for item in predicted(team, 600)]
    post_all(service, bad)
    seen = team.wait(DEPLOYMENTS, "scores", told("ModelQualityDegraded", "True"), deadline=60)
    seen = team.wait(DEPLOYMENTS, "scores", has_labels(1600), deadline=60)
    assert (quality(seen)["labels"], quality(seen)["value"]) == (1600, accuracy([*items, *bad]))
    said = condition(seen, "ModelQualityDegraded")
    assert said["reason"] == "QualityDegraded"
    assert "asks for at least 0.9" in said["message"]
    assert condition(seen, "Ready")["status"] == "True"
    eventually(lambda: any(item.get("reason") == "QualityDegraded" for item in team.find("events")))
    lines = [
        item for item in team.get(DEPLOYMENTS, "scores")["status"]["history"] if item["event"] == "QualityDegraded"
    ]
    assert len(lines) == 1, lines


def is_trained_anew_once(team: Team) -> None:
    seen = team.wait(
        DEPLOYMENTS,
        "scores",
        lambda item: (item or {})["status"]["retraining"].get("lastRun", {}).get("outcome") == "NoNewData",
        deadline=90,
    )
    last = seen["status"]["retraining"]["lastRun"]
    assert last["triggers"] == ["Quality"]
    runs = [item["metadata"]["name"] for item in team.find(JOBS) if "-retrain-" in item["metadata"]["name"]]
    assert runs == [last["name"]]
    assert condition(seen, "ModelQualityDegraded")["status"] == "True"


def ends_when_switched_off(team: Team, address: str) -> None:
    team.patch(DEPLOYMENTS, "scores", {"spec": {"monitoring": {"quality": None}, "retraining": None}})
    team.wait(DEPLOYMENTS, "scores", lambda seen: not quality(seen) and not condition(seen, "ModelQualityDegraded"))
    eventually(lambda: post(address, {})[0] == 404)
    ports = {item["name"] for item in team.get("services", "scores")["spec"]["ports"]}
    assert ports == {"http", "grpc", "metrics"}


def test_a_thousand_labels_half_of_them_after_all_pods_were_replaced(served: Team) -> None:
    team = served
    service = team.get("services", "scores")["spec"]["clusterIP"]
    items = predicted(team, 1000)
    team.wait(DEPLOYMENTS, "scores", has_rows(1000))
    before = pods(team)
    address = next(iter(before.values()))
    again = [{name: item[name] for name in ("prediction_id", "label")} for item in items[:30]]
    assert post(address, again)[1]["accepted"] == 30
    assert post(address, again)[1] == {"accepted": 0, "duplicates": 30, "refused": 0, "refusals": []}
    post_all(service, items[30:500])

    team.cluster.kubectl("delete", "pods", "-n", team.namespace, "--wait=true", *before)
    team.wait(DEPLOYMENTS, "scores", lambda seen: ((seen or {})["status"]).get("readyReplicas") == 2, deadline=90)
    after = pods(team)
    assert not before.keys() & after.keys()
    eventually(lambda: all(_open(address) for address in after.values()))
    post_all(service, items[500:750])
    for pod in after:
        team.cluster.kubectl("exec", pod, "-n", team.namespace, "-c", "monitor", "--", "python", "-c", KILL_WORKER)
    eventually(lambda: all(_open(address) for address in after.values()))
    post_all(service, items[750:])

    seen = team.wait(DEPLOYMENTS, "scores", has_labels(1000), deadline=60)
    found = quality(seen)
    assert (found["labels"], found["value"]) == (1000, accuracy(items))
    assert found["low"] < found["value"] < found["high"]
    assert (found["predictions"], found["coverage"]) == (1000, 1)
    assert found["meanDelaySeconds"] < 400
    said = condition(seen, "ModelQualityDegraded")
    assert (said["status"], said["reason"]) == ("False", "QualitySufficient"), said
    print(said["message"], {item["pod"]: item["part"] for item in found["pods"]})

    refuses_what_cannot_be(service, items[0]["prediction_id"])
    assert not team.get(DEPLOYMENTS, "scores")["status"]["retraining"].get("lastRun")
    turns_bad(team, service, items)
    is_trained_anew_once(team)
    takes_little(team, next(iter(after)))
    ends_when_switched_off(team, next(iter(after.values())))
