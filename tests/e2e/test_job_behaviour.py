"""Training jobs on a real cluster: how far they are, and what happens to them in the middle of each stage."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.e2e.fixtures import (
    CLAIM,
    JOBS,
    VERSIONS,
    Object,
    Team,
    claim,
    condition,
    is_true,
    training_job,
)
from tests.support.claims import run_in_claim

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.cluster

STAGES = ("fetch", "train", "evaluate", "publish")
# Some ten seconds of fitting, which says nothing of itself meanwhile; converted at once.
SLOW = {
    "trainer": {
        "sklearn": {
            "estimator": "sklearn.neural_network.MLPClassifier",
            "parameters": {"hidden_layer_sizes": [128], "max_iter": 1500, "tol": 0, "n_iter_no_change": 1500},
        }
    }
}
ARTIFACTS = """
import json, pathlib
from modelwright_server import artifact
found = {}
for model in pathlib.Path("/claim").iterdir():
    if model.is_dir() and model.name != "lost+found":
        found[model.name] = sorted(entry.name for entry in model.iterdir())
        for entry in model.iterdir():
            artifact.verify(entry, "sha256:" + entry.name)
print(json.dumps(found))
"""


def pods_of(team: Team, name: str) -> list[Object]:
    selector = f"modelwright.dev/kind=TrainingJob,modelwright.dev/name={name}"
    return sorted(team.find("pods", selector), key=lambda pod: str(pod["metadata"]["creationTimestamp"]))


def percent(seen: Object | None) -> int:
    return int((((seen or {}).get("status") or {}).get("progress") or {}).get("percent", -1))


def in_stage(name: str) -> Callable[[Object | None], object]:
    """Tell whether the run has come to that stage, or past it."""
    later = STAGES[STAGES.index(name) :]
    return lambda seen: (((seen or {}).get("status") or {}).get("stage") or "") in later


def test_progress_is_shown_and_an_eviction_is_no_failure(team: Team) -> None:
    team.apply(claim(), training_job("slow", **SLOW))

    def fitting(seen: Object | None) -> bool:
        progress = ((seen or {}).get("status") or {}).get("progress") or {}
        return str(progress.get("message", "")).startswith("fitting sklearn.neural_network")

    seen = team.wait(JOBS, "slow", fitting, deadline=90)
    assert seen["status"]["progress"]["percent"] == 30, "fetch is done, and 20 percent of train"
    assert seen["status"]["progress"]["etaSeconds"] > 0
    table = team.cluster.kubectl("get", "tj", "slow", "-n", team.namespace, "-o", "wide")
    header, row = (line.split() for line in table.splitlines()[:2])
    assert dict(zip(header, row, strict=False))["PERCENT"] == "30", table

    [first] = pods_of(team, "slow")
    name = first["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": team.namespace}}
    path = f"/api/v1/namespaces/{team.namespace}/pods/{name}/eviction"
    team.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    said = team.wait(JOBS, "slow", is_true("Reconciling", "Disrupted"), deadline=30)
    assert "EvictionByEvictionAPI" in condition(said, "Reconciling")["message"]

    done = team.wait(JOBS, "slow", is_true("Complete"), deadline=120)
    assert done["status"]["attempt"] == 1
    assert done["status"]["progress"] == {"percent": 100}
    assert len(team.find("jobs.batch")) == 1
    assert len(team.find(VERSIONS)) == 1


def restrict(team: Team, name: str, hard: dict[str, str]) -> None:
    """Put a quota on the namespace, and wait until it counts."""
    team.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard}})

    def counts(seen: Object | None) -> object:
        return ((seen or {}).get("status") or {}).get("hard")

    team.wait("resourcequotas", name, counts)


def test_a_quota_is_said_and_the_run_goes_on_once_there_is_room(team: Team) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "spec": {"hard": {"pods": "0"}},
    }
    team.apply(claim(), quota)
    team.cluster.wait(
        "resourcequotas", "small", team.namespace, lambda seen: ((seen or {}).get("status") or {}).get("hard")
    )
    team.apply(training_job("poor"))
    seen = team.wait(JOBS, "poor", is_true("Reconciling", "QuotaExceeded"), deadline=40)
    assert "exceeded quota: small" in condition(seen, "Reconciling")["message"]
    team.cluster.delete("resourcequotas", "small", team.namespace)
    done = team.wait(JOBS, "poor", is_true("Complete"), deadline=150)
    assert done["status"]["attempt"] == 1


def test_a_job_over_quota_is_said_too(team: Team) -> None:
    team.apply(claim())
    restrict(team, "none", {"count/jobs.batch": "0"})
    team.apply(training_job("poor"))
    seen = team.wait(JOBS, "poor", is_true("Stalled", "QuotaExceeded"), deadline=30)
    assert "exceeded quota: none" in condition(seen, "Stalled")["message"]


def test_what_no_node_can_run_is_said(team: Team) -> None:
    team.apply(claim(), training_job("huge", resources={"requests": {"cpu": "1000"}}))
    seen = team.wait(JOBS, "huge", is_true("Reconciling", "Unschedulable"), deadline=30)
    assert "Insufficient cpu" in condition(seen, "Reconciling")["message"]


def delete_pod(team: Team, name: str) -> None:
    for pod in pods_of(team, name):
        team.cluster.kubectl(
            "delete", "pod", pod["metadata"]["name"], "-n", team.namespace, "--wait=false", check=False
        )


def delete_job(team: Team, name: str) -> None:
    job = team.get(JOBS, name)["status"]["job"]
    team.cluster.kubectl("delete", "job", job, "-n", team.namespace, "--wait=false", check=False)


def suspend(team: Team, name: str) -> None:
    team.patch(JOBS, name, {"spec": {"suspend": True}})
    ended = is_true("Complete")  # it may have been faster
    team.wait(JOBS, name, lambda seen: is_true("Suspended")(seen) or ended(seen), deadline=30)
    team.patch(JOBS, name, {"spec": {"suspend": False}})


BLOWS: dict[str, Callable[[Team, str], None]] = {"pod": delete_pod, "job": delete_job, "suspend": suspend}


def test_struck_in_the_middle_of_any_stage_each_run_ends_in_one_whole_version(team: Team) -> None:
    team.apply(claim())

    def play(blow: str, stage: str) -> Object:
        name = f"{blow}-{stage}"
        team.apply(training_job(name, model=name))
        team.wait(JOBS, name, in_stage(stage), deadline=120)
        BLOWS[blow](team, name)
        return team.wait(JOBS, name, is_true("Complete"), deadline=180)

    cases = [(blow, stage) for stage in STAGES for blow in BLOWS]
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda case: play(*case), cases))

    versions = {item["metadata"]["name"]: item for item in team.find(VERSIONS)}
    assert len(versions) == len(cases), "one each, never two"
    for (blow, stage), seen in zip(cases, ended, strict=True):
        status, where = seen["status"], f"{blow} in {stage}"
        assert versions[status["modelVersion"]]["spec"]["model"] == f"{blow}-{stage}", where
        assert not status.get("reproduced"), where
        assert status["attempt"] in ({1} if blow == "suspend" else {1, 2}), where
    struck = [seen["status"]["attempt"] for (blow, _), seen in zip(cases, ended, strict=True) if blow != "suspend"]
    assert struck.count(2) >= len(STAGES), f"most blows met a running attempt: {struck}"
    stored = json.loads(run_in_claim(team, CLAIM, ARTIFACTS))
    digests = {item["spec"]["model"]: item["spec"]["artifact"]["digest"] for item in versions.values()}
    assert stored == {model: [digest.removeprefix("sha256:")] for model, digest in digests.items()}, "whole, and alone"
