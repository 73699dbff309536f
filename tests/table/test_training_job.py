"""TrainingJob: what one pass does in every situation."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_operator import naming
from modelwright_operator.decide.snapshot import Refusal
from modelwright_operator.reasons import Reason
from tests.support import builders as make
from tests.support import kubelet
from tests.table.planning import Planned, attempt_job, ended, planned
from tests.table.runs import JOB, VERSION, done_pod, finished, later, pod, running

Raw = dict[str, Any]


def test_a_new_job_starts_its_first_attempt() -> None:
    plan = planned(JOB())
    assert plan.kinds == ["Job"]
    assert plan.deletes == []
    assert plan.conditions == {"Ready": "False/Pending", "Reconciling": "True/Pending"}
    assert plan.status["attempt"] == 1
    assert plan.status["job"] == plan.plan.apply[0].name
    assert plan.status["startedAt"] == "2026-03-01T12:00:00Z"
    assert plan.events == ["Normal/Pending"]
    assert plan.plan.requeue_after == 15
    assert [(item.resource, item.resource_version) for item in plan.plan.confirm] == [
        ("trainingjobs", "10"),
        ("jobs", None),
    ]


def test_a_suspended_job_is_a_template() -> None:
    plan = planned(JOB().spec(suspend=True))
    assert plan.applies == []
    assert plan.conditions == {"Suspended": "True/Suspended"}
    assert plan.plan.requeue_after is None


@pytest.mark.parametrize("stage", kubelet.STAGES)
def test_suspending_holds_the_running_attempt_back(stage: str) -> None:
    shown = {"stage": stage, "stages": [{"name": stage, "state": "Running"}], "progress": {"percent": 45}}
    subject = running().spec(suspend=True).status(**shown)
    plan = planned(subject, attempt_job(running()))
    assert plan.manifest("Job")["spec"]["suspend"] is True
    assert plan.conditions == {"Suspended": "True/Suspended"}
    assert not {"stage", "progress"} & plan.status.keys()
    assert (plan.status["attempt"], plan.status["stages"]) == (1, [])


def test_resuming_lets_the_same_attempt_go_on() -> None:
    held = attempt_job(running().spec(suspend=True))
    plan = planned(running(), held)
    assert plan.applies == [f"Job/{held['metadata']['name']}"]
    assert plan.manifest("Job")["spec"]["suspend"] is False
    assert plan.status["attempt"] == 1


def test_a_job_in_deletion_is_left_alone() -> None:
    assert not planned(JOB().deleting()).plan.writes


@pytest.mark.parametrize(
    ("active", "conditions", "stage"),
    [
        pytest.param(None, {"Ready": "False/Pending", "Reconciling": "True/Pending"}, "fetch", id="no pod runs yet"),
        pytest.param(
            kubelet.running("fetch"),
            {"Ready": "False/Running", "Reconciling": "True/Running"},
            "fetch",
            id="a stage runs",
        ),
        pytest.param(
            kubelet.waiting("fetch", "ImagePullBackOff", "not found"),
            {"Ready": "False/ImagePullFailed", "Stalled": "True/ImagePullFailed"},
            "fetch",
            id="its image cannot be pulled",
        ),
        pytest.param(
            kubelet.waiting("fetch", "CreateContainerConfigError", "no secret"),
            {"Ready": "False/ContainerConfigInvalid", "Stalled": "True/ContainerConfigInvalid"},
            "fetch",
            id="its container cannot be made",
        ),
        pytest.param(
            kubelet.terminated("fetch", 137, reason="OOMKilled"),
            {"Ready": "False/Running", "Reconciling": "True/Running"},
            "fetch",
            id="a stage was killed, and the Job does not know yet",
        ),
    ],
)
def test_a_running_attempt(active: Raw | None, conditions: dict[str, str], stage: str) -> None:
    subject = running()
    job = attempt_job(subject)
    plan = planned(subject, job, pod(job, active))
    assert plan.applies == []
    assert plan.conditions == conditions
    assert plan.status["stage"] == stage
    assert plan.status["attempt"] == 1


@pytest.mark.parametrize(
    ("message", "reason", "said"),
    [
        pytest.param(
            'persistentvolumeclaim "models" not found',
            "VolumeClaimNotFound",
            "PersistentVolumeClaim models",
            id="claim",
        ),
        pytest.param("0/3 nodes: volume node affinity conflict", "StorageNotShared", "ReadWriteMany", id="affinity"),
    ],
)
def test_a_pod_that_no_node_can_ever_run_stalls(message: str, reason: str, said: str) -> None:
    subject = running()
    job = attempt_job(subject)
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    plan = planned(subject, job, kubelet.pod_of(job, {"phase": "Pending", "conditions": [scheduled]}))
    assert plan.conditions == {"Ready": f"False/{reason}", "Stalled": f"True/{reason}"}
    assert said in plan.messages


def test_a_pod_that_waits_for_room_is_no_stall() -> None:
    subject = running()
    job = attempt_job(subject)
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Insufficient cpu"}
    plan = planned(subject, job, kubelet.pod_of(job, {"phase": "Pending", "conditions": [scheduled]}))
    assert plan.conditions == {"Ready": "False/Unschedulable", "Reconciling": "True/Unschedulable"}


def test_success_makes_the_version_and_says_so_in_one_pass() -> None:
    subject = running()
    job = attempt_job(subject, conditions=ended("Complete"))
    plan = planned(subject, job, done_pod(job))
    assert plan.applies == [f"ModelVersion/{VERSION}"]
    assert plan.conditions == {"Ready": "True/Succeeded", "Complete": "True/Succeeded"}
    assert plan.status["modelVersion"] == VERSION
    assert plan.status["artifact"]["digest"] == make.digest("a")
    assert plan.status["metrics"] == [
        {"name": "accuracy", "value": 0.96, "low": 0.92, "high": 0.98, "dataset": "holdout"}
    ]
    assert plan.status["resolved"]["data"][0]["digest"] == make.digest("d")
    assert [stage["state"] for stage in plan.status["stages"]] == ["Succeeded"] * 4
    assert plan.events == ["Normal/Succeeded"]
    manifest = plan.manifest("ModelVersion")
    assert manifest["spec"]["metrics"] == plan.status["metrics"]
    assert "ownerReferences" not in manifest["metadata"]
    assert manifest["spec"]["provenance"]["trainingJob"] == {"name": "churn-train", "uid": "uid-of-churn-train"}
    assert manifest["spec"]["provenance"]["image"] == make.SETTINGS.training_image


def test_what_is_odd_about_the_data_is_said_and_bounded() -> None:
    subject = running()
    job = attempt_job(subject, conditions=ended("Complete"))
    results = kubelet.results()
    results["train"]["warnings"] = ["the column 'a' predicts the target alone", *"bcdefghij"]
    plan = planned(subject, job, done_pod(job, results))
    assert plan.status["warnings"] == ["the column 'a' predicts the target alone", *"bcdefgh"]
    assert plan.conditions == {"Ready": "True/Succeeded", "Complete": "True/Succeeded"}


@pytest.mark.parametrize(
    ("made_by", "reason", "reproduced"),
    [
        pytest.param("uid-of-churn-train", "Succeeded", False, id="by this run, before a crash"),
        pytest.param("uid-of-another", "Reproduced", True, id="by another run"),
        pytest.param(None, "Reproduced", True, id="by hand"),
    ],
)
def test_a_version_that_exists_is_linked(made_by: str | None, reason: str, *, reproduced: bool) -> None:
    subject = running()
    job = attempt_job(subject, conditions=ended("Complete"))
    provenance = {"trainingJob": {"name": "churn-train", "uid": made_by}} if made_by else None
    plan = planned(subject, job, done_pod(job), make.model_version("a").spec(provenance=provenance))
    assert plan.applies == []
    assert plan.conditions == {"Ready": f"True/{reason}", "Complete": f"True/{reason}"}
    assert plan.status["reproduced"] is reproduced


def test_a_version_of_that_name_with_another_digest_is_a_conflict() -> None:
    subject = running()
    job = attempt_job(subject, conditions=ended("Complete"))
    other = make.model_version("a")
    other.raw["spec"]["artifact"]["digest"] = "sha256:" + "a" * 10 + "b" * 54
    plan = planned(subject, job, done_pod(job), other)
    assert plan.applies == []
    assert plan.conditions == {"Ready": "False/NameConflict", "Stalled": "True/NameConflict"}
    assert plan.plan.requeue_after is not None


@pytest.mark.parametrize("kind", ["Complete", "Failed"])
@pytest.mark.parametrize(
    "jobs",
    [(), ("Complete",), ("Failed",), ("running",)],
    ids=["job gone", "job complete", "job failed", "job running"],
)
def test_an_ended_run_never_trains_again(kind: str, jobs: tuple[str, ...]) -> None:
    subject = finished(kind)
    others = [attempt_job(subject, conditions=[] if state == "running" else ended(state)) for state in jobs]
    plan = planned(subject, *others, now=later(90000))
    assert all(apply.observed is not None for apply in plan.plan.apply)
    assert plan.plan.status is None


def test_the_time_to_live_is_set_once_the_result_is_in_status() -> None:
    subject = finished()
    job = attempt_job(subject, conditions=ended("Complete"))
    assert planned(subject, job).manifest("Job")["spec"]["ttlSecondsAfterFinished"] == 86400
    expiring = attempt_job(subject, expire=True, conditions=ended("Complete"))
    assert planned(subject, expiring).applies == []


def test_a_job_whose_attempt_label_was_taken_away_makes_no_other() -> None:
    subject = finished()
    job = attempt_job(subject, conditions=ended("Complete"))
    del job["metadata"]["labels"][naming.LABEL_ATTEMPT]
    plan = planned(subject, job)
    assert [apply.observed is not None for apply in plan.plan.apply] == [True]


@pytest.mark.parametrize("reason", [Reason.FORBIDDEN, Reason.NAME_CONFLICT, Reason.CHILD_REJECTED])
def test_a_refused_job_is_said_and_tried_again(reason: Reason) -> None:
    plan = planned(JOB(), refusals=(Refusal("Job", "x", reason, "the API server refused Job x"),))
    assert plan.applies == []
    assert plan.conditions == {"Ready": f"False/{reason}", "Stalled": f"True/{reason}"}
    assert plan.plan.requeue_after is not None


def test_a_refusal_after_the_end_leaves_the_result_and_writes_nothing() -> None:
    job = attempt_job(finished(), conditions=ended("Complete"))
    plan = planned(finished(), job, refusals=(Refusal("Job", "x", Reason.FORBIDDEN, "no"),))
    assert not plan.plan.writes
    assert plan.plan.requeue_after is not None


def test_a_template_annotation_that_is_no_json_is_made_anew() -> None:
    subject = running()
    job = attempt_job(subject)
    job["metadata"]["annotations"][naming.ANNOTATION_TEMPLATE] = "{no json"
    plan: Planned = planned(subject, job)
    assert plan.manifest("Job")["spec"]["template"]["spec"]["initContainers"][0]["name"] == "fetch"
