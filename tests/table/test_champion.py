"""TrainingJob with a champion: whom an attempt is compared with, and what becomes of the comparison."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import builders as make
from tests.support import kubelet
from tests.support.clock import START
from tests.table.planning import Planned, attempt_job, ended, planned, revision_of

Raw = dict[str, Any]

GATES = [{"metric": "accuracy", "maxRegression": 0.01, "confidence": 0.95}]


def challenger(reference: Raw | None = None) -> make.Maker:
    evaluation = {"holdoutPercent": 25, "champion": reference or {"deployment": "churn"}}
    return make.training_job().spec(evaluation=evaluation, gates=GATES)


def best() -> make.Maker:
    return make.verified("b")


def serving() -> make.Maker:
    deployment = make.deployment("churn", version=best().raw["metadata"]["name"])
    return deployment.status(stable=revision_of(deployment, best()))


def told(plan: Planned) -> Raw | None:
    """Return the champion that the pod is told of."""
    [container] = plan.manifest("Job")["spec"]["template"]["spec"]["containers"]
    [config] = [item["value"] for item in container["env"] if item["name"] == "MODELWRIGHT_TRAINING_JOB"]
    found: Raw | None = json.loads(config).get("champion")
    return found


@pytest.mark.parametrize("reference", [{"deployment": "churn"}, {"version": "churn-bbbbbbbbbb"}])
def test_an_attempt_is_told_of_what_serves_when_it_starts(reference: Raw) -> None:
    plan = planned(challenger(reference), serving(), best())
    artifact = best().raw["spec"]["artifact"]
    assert told(plan) == {"version": best().raw["metadata"]["name"], **artifact}
    assert plan.status["resolved"]["champion"] == told(plan)
    fetch = plan.manifest("Job")["spec"]["template"]["spec"]["initContainers"][0]
    mounts = [(mount["mountPath"], mount.get("readOnly")) for mount in fetch["volumeMounts"]]
    assert ("/stores/modelwright-models", True) in mounts


def test_only_fetch_gets_the_secret_of_a_champion_in_an_object_store() -> None:
    lake = {"uri": "s3://lake/churn/", "endpoint": "https://minio.example.org", "secretName": "lake"}
    version = best()
    version = version.spec(artifact={**version.raw["spec"]["artifact"], **lake})
    plan = planned(challenger({"version": version.raw["metadata"]["name"]}), version)
    assert (told(plan) or {})["access"] == {"endpoint": "https://minio.example.org", "secret": "lake"}
    pod = plan.manifest("Job")["spec"]["template"]["spec"]
    secrets = {
        item["name"]: [source["secretRef"]["name"] for source in item.get("envFrom", [])]
        for item in [*pod["initContainers"], *pod["containers"]]
    }
    assert {name: names for name, names in secrets.items() if names} == {"fetch": ["lake"]}


@pytest.mark.parametrize("others", [[], [make.deployment("churn", version="churn-bbbbbbbbbb")]], ids=["none", "new"])
def test_where_nothing_serves_yet_there_is_no_champion(others: list[make.Maker]) -> None:
    plan = planned(challenger(), *others)
    assert told(plan) is None
    assert "champion" not in plan.status.get("resolved", {})


@pytest.mark.parametrize("reference", [{"deployment": "churn"}, {"version": "churn-bbbbbbbbbb"}])
def test_a_champion_that_does_not_exist_is_waited_for(reference: Raw) -> None:
    plan = planned(challenger(reference), serving())
    assert plan.applies == []
    assert plan.conditions == {"Ready": "False/VersionNotFound", "Stalled": "True/VersionNotFound"}
    assert "churn-bbbbbbbbbb" in plan.messages
    assert plan.plan.requeue_after is not None


def test_a_running_attempt_keeps_its_champion_whatever_serves_now() -> None:
    first = planned(challenger(), serving(), best())
    subject = challenger().status(attempt=1, resolved=first.status["resolved"])
    job = attempt_job(challenger())
    job["spec"]["template"] = first.manifest("Job")["spec"]["template"]
    job["metadata"]["annotations"] = first.manifest("Job")["metadata"]["annotations"]
    plan = planned(subject, job)
    assert plan.applies == []
    assert plan.status["resolved"]["champion"] == told(first)


def judged(verdict: Raw, **more: Any) -> Planned:
    first = planned(challenger(), serving(), best())
    job = attempt_job(challenger(), conditions=ended("Complete"))
    job["spec"]["template"] = first.manifest("Job")["spec"]["template"]
    said = kubelet.results()
    said["evaluate"] |= {"gates": [{"gate": 0, **verdict}], **more}
    pod = kubelet.pod_of(job, kubelet.pod_status(kubelet.stage_statuses(said), "Succeeded"))
    return planned(challenger().status(attempt=1), job, pod, serving(), best(), now=START)


@pytest.mark.parametrize(
    ("verdict", "more", "words"),
    [
        pytest.param({"verdict": "Failed", "observed": 0.05, "limit": 0.08}, {}, "0.05 worse than", id="worse"),
        pytest.param(
            {"verdict": "Failed", "observed": -0.002, "limit": 0.03, "rows": 900},
            {},
            "0.002 better than the champion's, and may be 0.03 worse (confidence 0.95), above maxRegression 0.01; about"
            " 900 rows of holdout would tell",
            id="too few rows",
        ),
        pytest.param(
            {"verdict": "ChampionNotComparable"},
            {"championProblem": "it needs the column 'x'"},
            "accuracy: ChampionNotComparable: it needs the column 'x'",
            id="not comparable",
        ),
        pytest.param({"verdict": "NotMeasured"}, {}, "could not be measured of both models", id="not measured"),
    ],
)
def test_a_challenger_that_does_not_hold_makes_no_version(verdict: Raw, more: Raw, words: str) -> None:
    plan = judged(verdict, **more)
    assert plan.conditions["Failed"] == "True/GatesNotPassed"
    assert words in plan.messages
    assert plan.kinds == []
    assert plan.status["gates"][0]["verdict"] == verdict["verdict"]
    assert plan.status["gates"][0]["maxRegression"] == 0.01


@pytest.mark.parametrize(
    "verdict", [{"verdict": "NoChampion"}, {"verdict": "Passed", "observed": 0.001, "limit": 0.009}], ids=str
)
def test_a_challenger_that_holds_becomes_a_version(verdict: Raw) -> None:
    plan = judged(verdict)
    assert plan.conditions["Complete"] == "True/Succeeded"
    assert plan.kinds == ["ModelVersion"]
    assert plan.status["resolved"]["champion"]["version"] == best().raw["metadata"]["name"]


def test_a_gate_on_latency_brings_the_stage_and_is_judged_by_it() -> None:
    subject = make.training_job().spec(gates=[{"metric": "latencyP99Milliseconds", "max": 0.1}]).status(attempt=1)
    job, said = attempt_job(subject, conditions=ended("Complete")), kubelet.results()
    assert "latency" in kubelet.stages_of(job)
    said["latency"]["gates"] = [{"gate": 0, "verdict": "Failed", "observed": 0.5}]
    statuses = kubelet.stage_statuses(said, stages=kubelet.stages_of(job))
    plan = planned(subject, job, kubelet.pod_of(job, kubelet.pod_status(statuses, "Succeeded")))
    assert plan.conditions["Failed"] == "True/GatesNotPassed"
    assert "latencyP99Milliseconds is 0.5, above max 0.1" in plan.messages
