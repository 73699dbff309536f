"""TrainingJob: what one pass does in every situation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from modelwright_operator import naming
from modelwright_operator.decide.snapshot import Refusal
from modelwright_operator.reasons import Reason
from tests.support import builders as make
from tests.support import kubelet
from tests.support.clock import START
from tests.table.planning import Planned, attempt_job, ended, planned

Raw = dict[str, Any]

JOB = make.training_job
VERSION = "churn-aaaaaaaaaa"


def running(attempt: int = 1) -> make.Maker:
    return (
        JOB().status(attempt=attempt, job="x", startedAt="2026-03-01T12:00:00Z").condition("Ready", "False", "Running")
    )


def finished(kind: str = "Complete", reason: str = "Succeeded") -> make.Maker:
    return (
        running()
        .status(modelVersion=VERSION, observedGeneration=1)
        .condition("Ready", "True", reason)
        .condition(kind, reason=reason)
    )


def pod(job: Raw, active: Raw | None = None, ended_stages: dict[str, Raw] | None = None, phase: str = "Running") -> Raw:
    return kubelet.pod_of(job, kubelet.pod_status(kubelet.stage_statuses(ended_stages or {}, active), phase))


def done_pod(job: Raw, said: dict[str, Raw] | None = None) -> Raw:
    return kubelet.pod_of(job, kubelet.pod_status(kubelet.stage_statuses(said or kubelet.results()), "Succeeded"))


def failed_pod(job: Raw, stage: str, code: int, message: object, **extra: Any) -> Raw:
    before = {name: kubelet.results()[name] for name in kubelet.STAGES[: kubelet.STAGES.index(stage)]}
    return pod(job, kubelet.terminated(stage, code, message, **extra), before, "Failed")


def later(seconds: float) -> Any:
    return START + timedelta(seconds=seconds)


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


@pytest.mark.parametrize(
    ("stage", "code", "message", "reason", "final"),
    [
        pytest.param(
            "fetch",
            2,
            {"stage": "fetch", "reason": "DataNotFound", "message": "spec.data[0].uri"},
            "DataNotFound",
            True,
            id="a stage says it is for good",
        ),
        pytest.param(
            "publish",
            1,
            {"stage": "publish", "reason": "StorageUnavailable", "message": "no space"},
            "StorageUnavailable",
            False,
            id="a stage says it may pass",
        ),
        pytest.param("train", 1, "Traceback (most recent call last)", "StageFailed", False, id="a stage crashed"),
        pytest.param("train", 2, "no message of ours", "StageFailed", False, id="exit code 2 without a reason"),
        pytest.param(
            "train",
            2,
            {"stage": "fetch", "reason": "DataNotFound", "message": "m"},
            "StageFailed",
            False,
            id="another stage's message",
        ),
        pytest.param("train", 2, {"reason": "Verified"}, "StageFailed", False, id="a reason that is none of a stage"),
    ],
)
def test_a_failed_attempt(stage: str, code: int, message: object, reason: str, *, final: bool) -> None:
    subject = running()
    job = attempt_job(subject, conditions=ended("Failed", reason="BackoffLimitExceeded"))
    plan = planned(subject, job, failed_pod(job, stage, code, message))
    assert plan.applies == []
    if final:
        assert plan.conditions == {"Ready": f"False/{reason}", "Stalled": f"True/{reason}", "Failed": f"True/{reason}"}
        assert plan.plan.requeue_after is None
        assert plan.events == [f"Warning/{reason}"]
    else:
        assert plan.conditions == {"Ready": "False/Retrying", "Reconciling": "True/Retrying"}
        assert plan.plan.requeue_after == 10
        assert reason in plan.messages
    assert plan.status["stage"] == stage
    [shown] = [item for item in plan.status["stages"] if item["name"] == stage]
    assert (shown["state"], shown["exitCode"]) == ("Failed", code)


def test_a_stage_killed_for_memory_names_the_field() -> None:
    subject = running(3)
    job = attempt_job(subject, 3, conditions=ended("Failed"))
    plan = planned(subject, job, failed_pod(job, "train", 137, "", reason="OOMKilled"))
    assert plan.conditions["Stalled"] == "True/OutOfMemory"
    assert "spec.resources.limits.memory" in plan.messages


@pytest.mark.parametrize(("attempt", "pause"), [(1, 10), (2, 20)])
def test_a_retry_comes_after_its_pause(attempt: int, pause: int) -> None:
    subject = running(attempt)
    job = attempt_job(subject, attempt, conditions=ended("Failed"))
    others = (job, failed_pod(job, "train", 1, "boom"))
    early = planned(subject, *others, now=later(pause - 1))
    assert (early.applies, early.plan.requeue_after) == ([], 1)
    due = planned(subject, *others, now=later(pause))
    assert due.kinds == ["Job", "Job"]
    assert due.plan.apply[0].observed is not None
    assert due.plan.apply[0].manifest["spec"]["ttlSecondsAfterFinished"] == 86400
    assert due.plan.apply[1].observed is None
    assert due.status["attempt"] == attempt + 1
    assert due.status["stages"] == []


def test_the_last_attempt_fails_the_run() -> None:
    subject = running(3)
    job = attempt_job(subject, 3, conditions=ended("Failed"))
    plan = planned(subject, job, failed_pod(job, "train", 1, "boom"))
    assert plan.applies == []
    assert plan.conditions == {
        "Ready": "False/StageFailed",
        "Stalled": "True/StageFailed",
        "Failed": "True/StageFailed",
    }
    assert "all 3 attempts failed" in plan.messages
    assert "boom" in plan.messages
    assert plan.status["finishedAt"]


def test_an_attempt_past_its_deadline_fails_the_run() -> None:
    subject = running()
    job = attempt_job(subject, conditions=ended("Failed", reason="DeadlineExceeded"))
    plan = planned(subject, job)
    assert plan.conditions["Failed"] == "True/DeadlineExceeded"
    assert "activeDeadlineSeconds" in plan.messages


@pytest.mark.parametrize(
    ("kind", "pods"),
    [
        pytest.param("Complete", "none", id="Complete, pod not seen"),
        pytest.param("Complete", "running", id="Complete, pod seen running"),
        pytest.param("Failed", "none", id="Failed, pod not seen"),
        pytest.param("Failed", "running", id="Failed, pod seen running"),
    ],
)
def test_the_end_of_a_pod_may_be_told_after_that_of_its_job(kind: str, pods: str) -> None:
    """Jobs and pods are watched apart: a run is not failed, nor tried again, on what has not arrived."""
    subject = running(3)
    job = attempt_job(subject, 3, conditions=ended(kind))
    seen = () if pods == "none" else (pod(job, kubelet.running("fetch")),)
    plan = planned(subject, job, *seen, now=later(2))
    assert plan.applies == []
    assert plan.conditions == {"Ready": "False/Running", "Reconciling": "True/Running"}
    assert plan.plan.requeue_after is not None
    reason = "ResultMissing" if kind == "Complete" else "PodLost"
    assert planned(subject, job, *seen, now=later(15)).conditions["Failed"] == f"True/{reason}"


@pytest.mark.parametrize("broken", ["fetch", "train", "evaluate", "publish"])
def test_a_result_that_cannot_be_read_is_no_result(broken: str) -> None:
    subject = running()
    job = attempt_job(subject, conditions=ended("Complete"))
    said = {**kubelet.results(), broken: {"stage": broken, "surprise": 1}}
    plan = planned(subject, job, done_pod(job, said), now=later(10))
    assert plan.kinds == ["Job", "Job"]
    assert plan.status["attempt"] == 2


def test_a_pod_of_another_job_is_not_believed() -> None:
    subject = running()
    job = attempt_job(subject, conditions=ended("Complete"))
    forged = done_pod(job)
    forged["metadata"]["ownerReferences"][0]["uid"] = "uid-of-nobody"
    assert "ModelVersion" not in planned(subject, job, forged, now=later(30)).kinds


def test_a_foreign_job_of_that_name_is_not_ours() -> None:
    """Its labels say that it is; who controls it does not."""
    foreign = attempt_job(running(), conditions=ended("Complete"))
    foreign["metadata"]["ownerReferences"][0]["uid"] = "uid-of-an-earlier-one"
    plan = planned(JOB(), foreign, done_pod(foreign))
    assert plan.kinds == ["Job"]
    assert plan.plan.apply[0].observed is None


def test_a_result_that_no_version_can_hold_fails_the_run() -> None:
    subject = running()
    job = attempt_job(subject, conditions=ended("Complete"))
    said = kubelet.results()
    said["publish"]["uri"] = "https://elsewhere.test/"
    plan = planned(subject, job, done_pod(job, said))
    assert plan.applies == []
    assert plan.conditions["Failed"] == "True/ResultMissing"


def test_a_deleted_job_is_a_failed_attempt_whose_absence_is_confirmed() -> None:
    subject = running()
    plan = planned(subject, now=later(60))
    assert plan.kinds == ["Job"]
    assert plan.status["attempt"] == 2
    gone = naming.job_name("churn-train", "uid-of-churn-train", "1")
    assert (naming.JOBS, gone, None) in [
        (item.resource, item.name, item.resource_version) for item in plan.plan.confirm
    ]


def test_a_deleted_job_of_the_last_attempt_fails_the_run() -> None:
    assert planned(running(3)).conditions["Failed"] == "True/JobDeleted"


def test_a_job_made_before_a_crash_is_taken_up() -> None:
    subject = running(1)
    first = attempt_job(subject, 1, conditions=ended("Failed"))
    plan = planned(subject, first, failed_pod(first, "train", 1, "boom"), attempt_job(subject, 2), now=later(60))
    assert plan.applies == []
    assert plan.status["attempt"] == 2


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
