"""What keeps a pod from its work, in a reason and in words."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_operator.decide import pods
from modelwright_operator.decide.observed import Pod
from modelwright_operator.reasons import Reason
from tests.support import kubelet

Raw = dict[str, Any]


def pod(*containers: Raw, phase: str = "Pending", **more: Any) -> Pod:
    metadata: Raw = {"name": "p", "namespace": "team", **more.pop("metadata", {})}
    return Pod(
        {"kind": "Pod", "metadata": metadata, "status": {"phase": phase, "containerStatuses": [*containers], **more}}
    )


def unscheduled(message: str) -> Raw:
    return {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}


def restarted(ended: Raw, state: Raw) -> Raw:
    return {**state, "lastState": ended["state"]}


OOM = kubelet.terminated("server", 137, reason="OOMKilled")
SAID = kubelet.terminated("server", 2, {"stage": "serve", "reason": "ModelRejected", "message": "no such operator"})
MAYBE = kubelet.terminated("server", 1, {"stage": "serve", "reason": "StorageUnavailable", "message": "timeout"})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(pod(kubelet.running("server"), phase="Running"), None, id="all is well"),
        pytest.param(pod(kubelet.waiting("server", "ContainerCreating")), None, id="coming up"),
        pytest.param(pod(kubelet.waiting("server", "ErrImagePull")), ("ImagePullFailed", True), id="ErrImagePull"),
        pytest.param(
            pod(kubelet.waiting("server", "InvalidImageName")), ("ImagePullFailed", True), id="InvalidImageName"
        ),
        pytest.param(
            pod(kubelet.waiting("server", "CreateContainerConfigError")), ("ContainerConfigInvalid", True), id="config"
        ),
        pytest.param(
            pod(kubelet.waiting("fetch", "CreateContainerConfigError", 'secret "lake" not found')),
            ("SecretNotFound", True),
            id="no Secret",
        ),
        pytest.param(
            pod(restarted(OOM, kubelet.waiting("server", "CrashLoopBackOff"))), ("OutOfMemory", True), id="killed again"
        ),
        pytest.param(
            pod(restarted(OOM, {**kubelet.running("server"), "ready": False})), ("OutOfMemory", True), id="killed, back"
        ),
        pytest.param(pod(restarted(OOM, kubelet.running("server"))), None, id="killed once, ready since"),
        pytest.param(pod(OOM), None, id="killed just now, whoever owns it decides"),
        pytest.param(pod(SAID), ("ModelRejected", True), id="it said why"),
        pytest.param(pod(MAYBE), ("StorageUnavailable", False), id="it said why, and that it may pass"),
        pytest.param(
            pod(restarted(SAID, kubelet.waiting("server", "CrashLoopBackOff"))),
            ("ModelRejected", True),
            id="said before",
        ),
        pytest.param(
            pod(restarted(kubelet.terminated("server", 3, "boom"), kubelet.waiting("server", "CrashLoopBackOff"))),
            ("CrashLooping", True),
            id="crash loop",
        ),
        pytest.param(pod(kubelet.terminated("server", 1, "[]")), None, id="JSON, but no message"),
        pytest.param(pod(conditions=[unscheduled("Insufficient cpu")]), ("Unschedulable", False), id="no room"),
        pytest.param(
            pod(conditions=[unscheduled('persistentvolumeclaim "m" not found')]),
            ("VolumeClaimNotFound", True),
            id="claim",
        ),
        pytest.param(
            pod(conditions=[unscheduled("2 node(s) had volume node affinity conflict")]),
            ("StorageNotShared", True),
            id="far",
        ),
        pytest.param(pod(phase="Failed", message="Node is out of pods"), ("PodRejected", False), id="rejected"),
        pytest.param(
            pod(kubelet.waiting("server", "ErrImagePull"), metadata={"deletionTimestamp": "x"}), None, id="going away"
        ),
    ],
)
def test_problem(given: Pod, expected: tuple[str, bool] | None) -> None:
    found = pods.problem([given])
    assert (found and (found.reason.value, found.lasting)) == expected


def test_a_reason_that_is_none_of_ours_counts_as_a_crash() -> None:
    found = pods.problem([pod(kubelet.terminated("server", 1, {"reason": "Whatever", "message": "m"}))])
    assert found is not None
    assert (found.reason.value, found.lasting) == ("CrashLooping", False)


def test_a_lasting_problem_is_told_before_a_passing_one() -> None:
    passing, lasting = pod(conditions=[unscheduled("Insufficient cpu")]), pod(kubelet.waiting("server", "ErrImagePull"))
    found = pods.problem([passing, lasting])
    assert found is not None
    assert found.reason == "ImagePullFailed"


@pytest.mark.parametrize(("given", "expected"), [(pod(OOM), True), (pod(SAID), False), (pod(), False)])
def test_killed(given: Pod, expected: bool) -> None:
    assert pods.killed([pod(), given]) is expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"reason": "ModelRejected", "cause": "ExternalData", "message": "m"}, "ModelRejected/ExternalData: m"),
        ({"reason": "ModelRejected", "message": "m"}, "m"),
        ({"reason": "ModelRejected", "cause": "Nonsense: x", "message": "m"}, "m"),
        ({"reason": "ModelRejected", "cause": ["ExternalData"], "message": "m"}, "m"),
        ({"reason": "DigestMismatch", "cause": "ExternalData", "message": "m"}, "m"),
        (
            {"reason": "ModelRejected", "cause": "NotONNX", "message": "m" * 9000},
            f"ModelRejected/NotONNX: …{'m' * 699}",
        ),
    ],
)
def test_the_cause_of_a_rejection_comes_first(said: Raw, expected: str) -> None:
    assert pods.told(said, Reason.CRASH_LOOPING) == (said["reason"], expected)
    found = pods.problem([pod(kubelet.terminated("server", 2, said))])
    assert found is not None
    assert (found.reason, found.message, found.lasting) == (said["reason"], expected, True)


def test_a_long_text_keeps_its_end() -> None:
    cut = pods.cut("x" * 1000 + "the error")
    assert len(cut) == 700
    assert cut.endswith("the error")
