"""TrainingJob: attempts that fail, are lost or cannot be believed, and what is tried again."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_operator import naming
from tests.support import kubelet
from tests.table.planning import attempt_job, ended, planned
from tests.table.runs import JOB, done_pod, failed_pod, later, pod, running

Raw = dict[str, Any]


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
