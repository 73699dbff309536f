"""What was found of a model ends in its next version; the loop as a whole, with real traffic, is in tests/demo."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sklearn.datasets import load_breast_cancer

from modelwright_server.contract import monitoring
from tests.e2e.fixtures import DEPLOYMENTS, JOBS, VERSIONS, Object, Team, claim, condition, deployment, is_true
from tests.e2e.fixtures import training_job as job_of
from tests.e2e.rollouts import address, serves
from tests.support.claims import write_files
from tests.support.load import Clients

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.cluster

LAKE = "lake"
LATEST = {"name": "cancer", "follow": "Latest"}
SPEC: Object = {
    "data": [{"name": "all", "uri": f"pvc://{LAKE}/*.csv"}],
    "gates": [{"metric": "accuracy", "min": 0.8}, {"metric": "accuracy", "maxRegression": 0.1}],
    "evaluation": {"holdoutPercent": 25, "champion": {"deployment": "scores"}},
}
ROLLOUT: Object = {
    "steps": [{"weight": 50, "hold": {"minSeconds": 2, "minRequests": 50}}],
    "postPromotionWatchSeconds": 5,
}
DRIFT = monitoring.DATA_DRIFT
NO_WINDOW: Object = {"window": {"rows": 10_000_000, "minSeconds": 86_400, "maxSeconds": 604_800}, "drift": {"of": 3}}
"""Monitoring that finds nothing by itself while a test lasts: these write what it would find."""

ROLLED_OUT = ("RolloutStarted", "StepStarted", "Promoted")
TOLD = {*ROLLED_OUT, "RetrainingBlocked", "RetrainingStarted", "RetrainingRejected", "Retrained"}


def clock() -> datetime:
    """Return the time that the cluster has as well."""
    return datetime.now(UTC)  # noqa: TID251  # of a real cluster


def rows(first: int, last: int) -> bytes:
    """Return some of the breast-cancer rows as CSV."""
    table = load_breast_cancer(as_frame=True).frame
    return str(table.iloc[first:last].to_csv(index=False)).encode()


def found(team: Team, status: str, kind: str = DRIFT) -> None:
    """Write a condition as a sidecar does: under its own field manager, with its report on what answers."""
    known = team.get(DEPLOYMENTS, "scores")
    seen = condition(known, kind)
    others = [
        item for item in known["status"]["conditions"] if item["type"] in monitoring.CONDITIONS and item["type"] != kind
    ]
    now = clock().strftime("%Y-%m-%dT%H:%M:%SZ")
    since = seen["lastTransitionTime"] if seen.get("status") == status else now
    entry = {"type": kind, "status": status, "reason": "FromATest", "message": "", "lastTransitionTime": since}
    stable = known["status"]["stable"]
    report = {"version": stable["version"], "digest": stable["digest"], "window": {"sequence": 1, "closedAt": now}}
    path = f"/apis/modelwright.dev/v1alpha1/namespaces/{team.namespace}/modeldeployments/scores/status"
    body = {
        "apiVersion": "modelwright.dev/v1alpha1",
        "kind": "Deployment",
        "metadata": {"name": "scores"},
        "status": {"conditions": [*others, entry], "monitoring": report},
    }
    query = f"?fieldManager={monitoring.FIELD_MANAGER}&force=true"
    team.cluster.api.request("PATCH", path + query, body, "application/apply-patch+yaml")


def retraining(status: str, reason: str) -> Callable[[Object | None], bool]:
    """Tell whether the condition says so."""

    def holds(seen: Object | None) -> bool:
        said = condition(seen, "Retraining")
        return (said.get("status"), said.get("reason")) == (status, reason)

    return holds


def state(seen: Object) -> Object:
    """Return what the status says of retraining."""
    said: Object = (seen.get("status") or {}).get("retraining") or {}
    return said


def runs(team: Team) -> list[str]:
    """Return the names of the TrainingJobs that were made for the Deployment, oldest first."""
    made = [item for item in team.find(JOBS) if item["metadata"]["name"].startswith("scores-retrain-")]
    made.sort(key=lambda item: int(item["metadata"]["labels"]["modelwright.dev/episode"]))
    return [item["metadata"]["name"] for item in made]


def served(team: Team, *, model: Object | None = None, gates: list[Object] | None = None, **rules: Any) -> str:
    """Have a version trained on the first rows, and a Deployment that serves it; return the version."""
    team.apply(claim(), claim(LAKE))
    write_files(team, LAKE, {"one.csv": rows(0, 300)})
    team.apply(job_of("first", data=SPEC["data"]))
    made = str(team.wait(JOBS, "first", is_true("Complete"), deadline=180)["status"]["modelVersion"])
    chosen = {"version": made} if model is None else model
    spec = {**SPEC, "gates": gates} if gates is not None else SPEC
    team.apply(
        job_of("template", suspend=True, **spec),
        deployment(
            "scores",
            chosen,
            rollout=ROLLOUT,
            monitoring=NO_WINDOW,
            retraining={"trainingJob": "template", "triggers": ["DataDrift"], **rules},
        ),
    )
    team.wait(DEPLOYMENTS, "scores", serves(made), deadline=120)
    return made


def events(team: Team) -> list[str]:
    """Return the reasons of what was told of the Deployment."""
    return [event["reason"] for event in team.find("events.events.k8s.io") if event["regarding"]["name"] == "scores"]


def test_drift_ends_in_a_version_that_answers_and_persisting_drift_in_a_human(team: Team) -> None:
    """Drift: one run, gates, steps, promotion. The promoted version drifts as well: none, before somebody asks."""
    before = served(team, model=LATEST, cooldownSeconds=10)
    team.wait(DEPLOYMENTS, "scores", retraining("False", "RetrainingIdle"))
    write_files(team, LAKE, {"two.csv": rows(300, 569)})
    with Clients(address(team, "scores"), pace=100) as load:
        found(team, "True")
        started = team.wait(DEPLOYMENTS, "scores", retraining("True", "RetrainingRunning"))
        assert state(started)["pending"] == ["DataDrift"]
        seen = team.wait(DEPLOYMENTS, "scores", retraining("False", "Retrained"), deadline=300)
    after = seen["status"]["stable"]["version"]
    [run] = runs(team)
    last = state(seen)["lastRun"]
    assert (last["name"], last["version"], last["champion"], last["outcome"]) == (run, after, before, "Promoted")
    assert after != before
    assert set(load.answers) == {before, after}, load.answers
    provenance = team.get(VERSIONS, after)["spec"]["provenance"]
    assert provenance["trainingJob"]["name"] == run
    assert provenance["data"][0]["rows"] == 569
    assert team.get(JOBS, run)["status"]["resolved"]["champion"]["version"] == before
    history = [entry["event"] for entry in seen["status"]["history"] if entry["event"] in TOLD]
    assert history == ["RetrainingStarted", *ROLLED_OUT, "Retrained"]
    team.wait(
        DEPLOYMENTS, "scores", lambda _: "Retrained" in events(team)
    )  # they are posted after the status is written
    assert events(team).count("RetrainingStarted") == events(team).count("Retrained") == 1

    team.wait(DEPLOYMENTS, "scores", lambda now: condition(now, DRIFT).get("reason") == "BaselineChanged")
    team.wait(DEPLOYMENTS, "scores", lambda now: now and now["status"]["rollout"]["phase"] == "Complete")
    found(team, "True")
    persists = team.wait(DEPLOYMENTS, "scores", retraining("False", "DriftPersists"))
    assert f"{after}, which {run} made against it, is no better" in condition(persists, "Retraining")["message"]
    due = datetime.fromisoformat(state(persists)["nextAllowedAt"])
    team.wait(DEPLOYMENTS, "scores", lambda _: clock() > due + timedelta(seconds=3))
    assert runs(team) == [run]
    assert is_true("Ready")(team.get(DEPLOYMENTS, "scores"))
    team.cluster.kubectl("annotate", "mdep", "scores", "-n", team.namespace, "modelwright.dev/retrain=again")
    again = team.wait(
        DEPLOYMENTS, "scores", lambda now: now and state(now)["lastRun"]["outcome"] == "NoNewData", deadline=180
    )
    assert state(again)["lastRun"]["triggers"] == ["DataDrift", "ByHand"]
    assert len(state(again)["runs"]) == 1, "what found nothing new costs no budget"
    assert len(runs(team)) == 2
    team.wait(DEPLOYMENTS, "scores", retraining("False", "DriftPersists"))
    assert again["status"]["stable"]["version"] == after


def test_a_model_that_is_not_good_enough_is_not_tried_again_within_the_cooldown(team: Team) -> None:
    before = served(team, model=LATEST, gates=[{"metric": "accuracy", "min": 0.9999}], cooldownSeconds=3600)
    team.cluster.delete(JOBS, "template", team.namespace)
    write_files(team, LAKE, {"two.csv": rows(300, 569)})
    found(team, "True")
    blocked = team.wait(DEPLOYMENTS, "scores", retraining("False", "RetrainingBlocked"))
    assert state(blocked)["blocked"]["reason"] == "TemplateNotFound"
    assert "create it with spec.suspend true" in condition(blocked, "Retraining")["message"]
    assert runs(team) == []
    poor = {"sklearn": {"estimator": "sklearn.linear_model.LogisticRegression", "parameters": {"C": 1e-6}}}
    gates = [{"metric": "accuracy", "min": 0.99}]
    team.apply(job_of("template", suspend=True, **{**SPEC, "gates": gates, "trainer": poor}))
    ended = lambda now: now and (state(now).get("lastRun") or {}).get("outcome") == "Rejected"  # noqa: E731
    rejected = team.wait(DEPLOYMENTS, "scores", ended, deadline=180)
    last = state(rejected)["lastRun"]
    assert "accuracy" in last["message"]
    wait = datetime.fromisoformat(state(rejected)["nextAllowedAt"]) - datetime.fromisoformat(last["finishedAt"])
    assert wait == timedelta(seconds=7200), "twice as long after a rejection"
    assert (rejected["status"]["stable"]["version"], is_true("Ready")(rejected)) == (before, True)
    team.wait(DEPLOYMENTS, "scores", retraining("False", "CoolingDown"))
    for _ in range(3):  # it flaps
        found(team, "False")
        team.wait(DEPLOYMENTS, "scores", retraining("False", "RetrainingRejected"))
        found(team, "True")
        team.wait(DEPLOYMENTS, "scores", retraining("False", "CoolingDown"))
    assert runs(team) == [last["name"]]
    history = [item["event"] for item in team.get(DEPLOYMENTS, "scores")["status"]["history"] if item["event"] in TOLD]
    assert history == ["RetrainingBlocked", "RetrainingStarted", "RetrainingRejected"]


def test_a_pinned_version_is_told_of_its_update_and_left_alone(team: Team) -> None:
    before = served(team, cooldownSeconds=10)
    found(team, "True", "DataQualityDegraded")
    found(team, "True")
    blocked = team.wait(DEPLOYMENTS, "scores", retraining("False", "RetrainingBlocked"))
    assert state(blocked)["blocked"]["reason"] == "DataQualityDegraded"
    write_files(team, LAKE, {"two.csv": rows(300, 569)})
    found(team, "False", "DataQualityDegraded")
    seen = team.wait(DEPLOYMENTS, "scores", is_true("UpdateAvailable"), deadline=180)
    made = state(seen)["lastRun"]["version"]
    assert seen["status"]["stable"]["version"] == before != made
    assert "canary" not in seen["status"]
    team.wait(DEPLOYMENTS, "scores", retraining("False", "UpdateAvailable"))
    assert len(runs(team)) == 1
    with Clients(address(team, "scores"), pace=100):
        team.patch(DEPLOYMENTS, "scores", {"spec": {"model": {"version": made}}})
        taken = team.wait(DEPLOYMENTS, "scores", retraining("False", "Retrained"), deadline=120)
    assert taken["status"]["stable"]["version"] == made
    assert condition(taken, "UpdateAvailable") == {}


def test_a_template_that_cannot_learn_anything_new_is_refused(team: Team) -> None:
    """What is wrong with the template or schedule is said at once, before anything calls for a run."""
    pinned = [{**SPEC["data"][0], "digest": "sha256:" + "0" * 64}]
    rules = {"trainingJob": "template", "triggers": ["DataDrift"]}
    team.apply(claim(), claim(LAKE), deployment("scores", LATEST, monitoring=NO_WINDOW, retraining=rules))

    def reason(wanted: str) -> Callable[[Object | None], bool]:
        return lambda seen: bool(seen and (state(seen).get("blocked") or {}).get("reason") == wanted)

    team.wait(DEPLOYMENTS, "scores", reason("TemplateNotFound"))
    for spec, wanted in (
        ({"suspend": True, "data": pinned}, "TemplatePinned"),
        ({"suspend": True, "model": "other"}, "TemplateMismatch"),
        ({"activeDeadlineSeconds": 86_400}, "TemplateNotSuspended"),
    ):
        team.apply(job_of("template", **{**SPEC, **spec}))
        team.wait(DEPLOYMENTS, "scores", reason(wanted))
        team.cluster.delete(JOBS, "template", team.namespace)
        team.wait(DEPLOYMENTS, "scores", reason("TemplateNotFound"))
    team.apply(job_of("template", suspend=True, **SPEC))
    team.wait(DEPLOYMENTS, "scores", retraining("False", "RetrainingIdle"))
    for bad in ({"schedule": "0 25 * * *"}, {"schedule": "0 3 30 2 *"}):
        team.patch(DEPLOYMENTS, "scores", {"spec": {"retraining": bad}})
        team.wait(DEPLOYMENTS, "scores", reason("ScheduleInvalid"))
        team.patch(DEPLOYMENTS, "scores", {"spec": {"retraining": {"schedule": None}}})
        team.wait(DEPLOYMENTS, "scores", retraining("False", "RetrainingIdle"))
    refused = team.cluster.kubectl(
        *("patch", DEPLOYMENTS, "scores", "-n", team.namespace, "--type=merge", "-p"),
        json.dumps({"spec": {"retraining": {"triggers": ["Age"]}}}),
        check=False,
    )
    assert "maxModelAgeSeconds" in str(refused)
