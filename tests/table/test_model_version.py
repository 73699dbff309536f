"""ModelVersion: what one pass does in every situation."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_operator import naming
from modelwright_operator.decide.snapshot import Refusal
from modelwright_operator.reasons import Reason
from tests.support import builders as make
from tests.support import kubelet
from tests.table.planning import ended, planned, verification_job

Raw = dict[str, Any]

NAME = "churn-aaaaaaaaaa"
URI = "pvc://modelwright-models/churn/a/"
MADE = {"trainingJob": {"name": "churn-train", "uid": "uid-of-churn-train"}}


def version() -> make.Maker:
    return make.model_version("a")


def made() -> make.Maker:
    return version().spec(provenance=MADE)


def maker(digest: str = make.digest("a"), uri: str = URI, name: str = NAME) -> make.Maker:
    artifact = {"digest": digest, "uri": uri, "sizeBytes": 5}
    job = make.training_job().status(attempt=1, modelVersion=name, artifact=artifact)
    return job.condition("Complete", reason="Succeeded").condition("Ready", reason="Succeeded")


def pod(job: Raw, code: int, message: object, **extra: Any) -> Raw:
    ended_container = kubelet.terminated(naming.VERIFY_CONTAINER, code, message, **extra)
    phase = "Succeeded" if code == 0 else "Failed"
    return kubelet.pod_of(job, {"phase": phase, "containerStatuses": [ended_container]})


def test_an_imported_version_is_verified_by_a_job() -> None:
    plan = planned(version())
    assert plan.kinds == ["Job"]
    assert plan.conditions == {
        "Ready": "False/Verifying",
        "Reconciling": "True/Verifying",
        "Verified": "Unknown/Verifying",
        "InUse": "False/NotInUse",
    }
    assert plan.status["verification"] == {"job": plan.plan.apply[0].name, "attempt": "1"}
    assert plan.plan.requeue_after == 30
    assert plan.plan.confirm != ()


def test_a_version_made_by_a_job_needs_no_verification() -> None:
    plan = planned(made(), maker())
    assert plan.applies == []
    assert plan.conditions["Verified"] == "True/PublishedByTrainingJob"
    assert plan.conditions["Ready"] == "True/PublishedByTrainingJob"


@pytest.mark.parametrize(
    ("subject", "job"),
    [
        pytest.param(made(), maker().metadata(uid="uid-of-another"), id="a job of that name, but not that one"),
        pytest.param(made(), maker(digest=make.digest("b")), id="the job published another digest"),
        pytest.param(made(), maker(uri="pvc://elsewhere/"), id="the job published elsewhere"),
        pytest.param(made(), maker(name="churn-bbbbbbbbbb"), id="the job made another version"),
        pytest.param(made(), None, id="the job is gone"),
        pytest.param(version(), maker(), id="no provenance"),
    ],
)
def test_a_claimed_provenance_is_not_believed(subject: make.Maker, job: make.Maker | None) -> None:
    plan = planned(subject, *((job,) if job else ()))
    assert plan.kinds == ["Job"]
    assert plan.conditions["Verified"] == "Unknown/Verifying"


def test_a_version_waits_for_its_job_to_record_it() -> None:
    plan = planned(made(), make.training_job().status(attempt=1))
    assert plan.applies == []
    assert plan.conditions["Verified"] == "Unknown/AwaitingTrainingJob"
    assert plan.conditions["Reconciling"] == "True/AwaitingTrainingJob"
    assert plan.plan.requeue_after == 30


def test_a_good_verification() -> None:
    job = verification_job(version(), conditions=ended("Complete"))
    said = {"stage": "verify", "sizeBytes": 77, "task": "Classification", "schema": kubelet.SCHEMA}
    plan = planned(version(), job, pod(job, 0, said))
    assert plan.conditions["Verified"] == "True/Verified"
    assert plan.conditions["Ready"] == "True/Verified"
    assert plan.status["sizeBytes"] == 77
    assert plan.status["schema"]["inputs"][0]["columns"] == ["a", "b"]
    assert plan.status["schema"]["task"] == "Classification"


@pytest.mark.parametrize(
    "said",
    [
        pytest.param("no json", id="no JSON"),
        pytest.param([1], id="no object"),
        pytest.param({"sizeBytes": True, "schema": 5}, id="true as a size"),
        pytest.param({"sizeBytes": -1, "schema": {}}, id="negative size"),
        pytest.param({"sizeBytes": 10**30, "schema": {"inputs": "x"}}, id="a size no integer field holds"),
        pytest.param({"sizeBytes": "7", "schema": {**kubelet.SCHEMA, "surprise": 1}}, id="unknown field"),
    ],
)
def test_a_verification_says_what_it_likes(said: object) -> None:
    job = verification_job(version(), conditions=ended("Complete"))
    plan = planned(version(), job, pod(job, 0, said))
    assert plan.conditions["Verified"] == "True/Verified"
    assert "sizeBytes" not in plan.status
    assert "schema" not in plan.status


@pytest.mark.parametrize(
    ("code", "message", "extra", "reason"),
    [
        pytest.param(
            2, {"stage": "verify", "reason": "DigestMismatch", "message": "x"}, {}, "DigestMismatch", id="its reason"
        ),
        pytest.param(
            2, {"stage": "verify", "reason": "Nonsense", "message": "x"}, {}, "ArtifactInvalid", id="no reason of ours"
        ),
        pytest.param(1, "Traceback: boom", {}, "ArtifactInvalid", id="a crash"),
        pytest.param(2, {"reason": "ModelRejected"}, {}, "ModelRejected", id="no cause"),
    ],
)
def test_a_failed_verification(code: int, message: object, extra: Raw, reason: str) -> None:
    job = verification_job(version(), conditions=ended("Failed"))
    plan = planned(version(), job, pod(job, code, message, **extra))
    assert plan.applies == []
    assert plan.conditions["Verified"] == f"False/{reason}"
    assert plan.conditions["Stalled"] == f"True/{reason}"
    next_step = "import it as another" if reason == "ModelRejected" else naming.ANNOTATION_RETRY
    assert next_step in plan.messages


@pytest.mark.parametrize(
    ("code", "message", "extra", "said"),
    [
        pytest.param(
            2,
            {"stage": "verify", "reason": "ModelRejected", "cause": "ExternalData", "message": "../secret"},
            {},
            "ModelRejected/ExternalData: ../secret; mend the model and import it as another ModelVersion",
            id="its cause",
        ),
        pytest.param(
            137, "", {"reason": "OOMKilled"}, "ModelRejected/OutOfMemory: loading or running the model", id="killed"
        ),
    ],
)
def test_a_rejected_model_says_its_cause_first(code: int, message: object, extra: Raw, said: str) -> None:
    job = verification_job(version(), conditions=ended("Failed"))
    plan = planned(version(), job, pod(job, code, message, **extra))
    assert plan.conditions["Verified"] == "False/ModelRejected"
    assert plan.conditions["Stalled"] == "True/ModelRejected"
    [ready] = [item["message"] for item in plan.status["conditions"] if item["type"] == "Ready"]
    assert ready.startswith(said)


def test_a_pod_of_another_job_is_not_believed() -> None:
    job = verification_job(version(), conditions=ended("Failed"))
    forged = pod(job, 2, {"stage": "verify", "reason": "DigestMismatch", "message": "x"})
    forged["metadata"]["ownerReferences"][0]["uid"] = "uid-of-nobody"
    assert planned(version(), job, forged).conditions["Verified"] == "False/ArtifactInvalid"


def refused() -> make.Maker:
    subject = version().status(verification={"job": "x", "attempt": "1"}, observedGeneration=1)
    return subject.condition("Verified", "False", "DigestMismatch", "m").condition("Stalled", reason="DigestMismatch")


def test_a_refusal_stands_until_a_retry_is_asked_for() -> None:
    assert planned(refused()).applies == []
    plan = planned(refused().annotated(naming.ANNOTATION_RETRY, "2"))
    assert plan.kinds == ["Job"]
    assert plan.plan.apply[0].name != planned(version()).plan.apply[0].name
    assert plan.status["verification"]["attempt"] == "2"
    assert plan.conditions["Verified"] == "Unknown/Verifying"


def test_what_was_verified_is_never_verified_again() -> None:
    subject = (
        make.verified("a").status(verification={"job": "x", "attempt": "1"}).annotated(naming.ANNOTATION_RETRY, "2")
    )
    assert planned(subject).applies == []


def test_the_time_to_live_is_set_once_the_verdict_is_in_status() -> None:
    subject = make.verified("a").status(verification={"job": "x", "attempt": "1"})
    job = verification_job(subject, conditions=ended("Complete"))
    assert planned(subject, job).manifest("Job")["spec"]["ttlSecondsAfterFinished"] == 60
    assert planned(subject, verification_job(subject, expire=True, conditions=ended("Complete"))).applies == []


def test_what_keeps_the_verification_from_running_is_said() -> None:
    job = verification_job(version())
    scheduled = {
        "type": "PodScheduled",
        "status": "False",
        "message": 'persistentvolumeclaim "modelwright-models" not found',
    }
    plan = planned(version(), job, kubelet.pod_of(job, {"phase": "Pending", "conditions": [scheduled]}))
    assert plan.conditions["Stalled"] == "True/VolumeClaimNotFound"
    assert plan.conditions["Verified"] == "Unknown/VolumeClaimNotFound"
    assert plan.plan.requeue_after == 30


def test_a_finding_is_a_verdict_once_the_job_has_ended() -> None:
    """Not before: the reason would stand beside `Verified` Unknown, and Deployments would say another than then."""
    job = verification_job(version())
    said = {"stage": "verify", "reason": "ModelRejected", "cause": "NotONNX", "message": "m"}
    plan = planned(version(), job, pod(job, 2, said))
    assert plan.conditions["Reconciling"] == "True/Verifying"
    assert plan.conditions["Verified"] == "Unknown/Verifying"


def test_a_try_that_was_killed_is_no_stall_while_the_job_tries_again() -> None:
    job = verification_job(version())
    plan = planned(version(), job, pod(job, 137, "", reason="OOMKilled"))
    assert plan.conditions["Reconciling"] == "True/Verifying"


@pytest.mark.parametrize(
    ("users", "in_use"),
    [
        pytest.param((), "False/NotInUse", id="nobody"),
        pytest.param((make.deployment(version=NAME),), "True/InUse", id="named"),
        pytest.param(
            (
                make.deployment().status(
                    stable={"revision": "r", "version": NAME, "model": "churn", "digest": make.digest("a")}
                ),
            ),
            "True/InUse",
            id="served",
        ),
        pytest.param((make.deployment(version=NAME).deleting(),), "False/NotInUse", id="its user is being deleted"),
    ],
)
def test_in_use(users: tuple[make.Maker, ...], in_use: str) -> None:
    plan = planned(make.verified("a"), *users)
    assert plan.conditions["InUse"] == in_use
    assert plan.status["usedBy"] == (["churn"] if in_use.startswith("True") else [])


def test_more_users_than_a_status_holds() -> None:
    users = tuple(make.deployment(f"user-{number:02}", version=NAME) for number in range(60))
    plan = planned(make.verified("a"), *users)
    assert len(plan.status["usedBy"]) == 50
    assert "and 55 more" in plan.messages


def test_a_refused_job_is_said_and_tried_again() -> None:
    plan = planned(version(), refusals=(Refusal("Job", "x", Reason.FORBIDDEN, "no"),))
    assert plan.applies == []
    assert plan.conditions["Stalled"] == "True/Forbidden"
    assert plan.conditions["Verified"] == "Unknown/Forbidden"
    assert plan.plan.requeue_after == 60


def test_a_refusal_after_the_verdict_leaves_it_and_writes_nothing() -> None:
    subject = make.verified("a").status(verification={"job": "x", "attempt": "1"})
    settled = subject.status(**planned(subject).status)
    job = verification_job(subject, conditions=ended("Complete"))
    plan = planned(settled, job, refusals=(Refusal("Job", "x", Reason.FORBIDDEN, "no"),))
    assert not plan.plan.writes


def test_a_version_in_deletion_is_left_alone() -> None:
    assert not planned(version().deleting()).plan.writes
