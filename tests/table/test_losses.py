"""Pods taken away, never made or refused: each has a reason of its own, and is tried again only where that helps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from modelwright_operator import naming
from modelwright_operator.cluster.reconcile import _refusal
from modelwright_operator.errors import ClusterUnavailable, Refused
from tests.support import builders as make
from tests.support import kubelet
from tests.support.clock import START
from tests.support.world import World
from tests.table.planning import Planned, attempt_job, ended, planned

Raw = dict[str, Any]

QUOTA = 'pods "x" is forbidden: exceeded quota: small, requested: pods=1, used: pods=4, limited: pods=4'
POLICY = 'pods "x" is forbidden: violates PodSecurity "restricted:latest"'


def subject() -> make.Maker:
    made = make.training_job().status(attempt=1, job="x", startedAt="2026-03-01T12:00:00Z")
    return made.condition("Ready", "False", "Running")


def pod(job: Raw, stage: Raw | None = None, name: str = "", phase: str = "Running", **status: Any) -> Raw:
    """Return a pod of a job in the middle of its stage train, or with another status of that stage."""
    before = {"fetch": kubelet.results()["fetch"]}
    statuses = kubelet.stage_statuses(before, stage or kubelet.running("train"))
    made = kubelet.pod_of(job, {**kubelet.pod_status(statuses, phase), **status}, name)
    made["metadata"]["labels"] |= {naming.LABEL_OWNER_NAME: "churn-train"}
    return made


def deleting(raw: Raw) -> Raw:
    return {**raw, "metadata": {**raw["metadata"], "deletionTimestamp": "2026-03-01T12:01:00Z"}}


def target(reason: str) -> list[Raw]:
    return [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": f"because of {reason}"}]


DISRUPTIONS = [
    ("PreemptionByScheduler", "Disrupted", "preempted"),
    ("EvictionByEvictionAPI", "Disrupted", "drained"),
    ("TerminationByKubelet", "Disrupted", "short of memory"),
    ("DeletionByTaintManager", "NodeLost", "does not answer"),
    ("DeletionByPodGC", "NodeLost", "is gone"),
    ("SomethingNew", "Disrupted", "taken away"),
]


@pytest.mark.parametrize(("why", "reason", "words"), DISRUPTIONS)
@pytest.mark.parametrize("state", ["going", "ended", "replaced"])
def test_what_kubernetes_takes_away_is_said_and_not_counted(why: str, reason: str, words: str, state: str) -> None:
    job = attempt_job(subject())
    if state == "going":
        pods = [deleting(pod(job, conditions=target(why)))]
    else:
        pods = [pod(job, kubelet.terminated("train", 143), phase="Failed", conditions=target(why))]
    if state == "replaced":
        successor = kubelet.pod_of(job, {"phase": "Pending"}, "second")
        successor["metadata"]["creationTimestamp"] = "2026-03-01T12:05:00Z"
        pods.append(successor)
    plan = planned(subject(), job, *pods)
    assert plan.applies == []
    assert plan.conditions == {"Ready": f"False/{reason}", "Reconciling": f"True/{reason}"}
    assert plan.status["attempt"] == 1
    assert words in plan.messages
    assert f"because of {why}" in plan.messages


def test_once_the_next_pod_works_nothing_is_left_of_the_disruption() -> None:
    job = attempt_job(subject())
    taken = pod(job, kubelet.terminated("train", 143), phase="Failed", conditions=target("EvictionByEvictionAPI"))
    successor = pod(job, name="second")
    successor["metadata"]["creationTimestamp"] = "2026-03-01T12:05:00Z"
    plan = planned(subject(), job, taken, successor)
    assert plan.conditions == {"Ready": "False/Running", "Reconciling": "True/Running"}


def test_a_replacement_that_cannot_run_is_worse_than_the_disruption() -> None:
    job = attempt_job(subject())
    taken = pod(job, kubelet.terminated("train", 143), phase="Failed", conditions=target("EvictionByEvictionAPI"))
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Insufficient cpu"}
    successor = kubelet.pod_of(job, {"phase": "Pending", "conditions": [scheduled]}, "second")
    successor["metadata"]["creationTimestamp"] = "2026-03-01T12:05:00Z"
    assert planned(subject(), job, taken, successor).conditions["Reconciling"] == "True/Unschedulable"


def broken(job_pod: Raw | None, attempt: int = 1, spec: Raw | None = None) -> Planned:
    given = subject().spec(**(spec or {}))
    job = attempt_job(given, attempt, conditions=ended("Failed", reason="BackoffLimitExceeded"))
    others = [job_pod] if job_pod is not None else []
    return planned(given, job, *others, now=START + timedelta(seconds=9))


JOB = attempt_job(subject())
FULL = 'Usage of EmptyDir volume "workspace" exceeds the limit "10Gi". '
KILLED = kubelet.terminated("train", 137, reason="OOMKilled")


@pytest.mark.parametrize(
    ("given", "reason", "final", "words"),
    [
        pytest.param(
            pod(JOB, kubelet.terminated("train", 137), phase="Failed", reason="Evicted", message=FULL),
            "Evicted",
            True,
            "too large",
            id="more than its volumes hold",
        ),
        pytest.param(
            pod(JOB, kubelet.terminated("train", 137), phase="Failed", reason="Evicted", message="disk pressure"),
            "Evicted",
            False,
            "disk pressure",
            id="evicted for something else",
        ),
        pytest.param(
            kubelet.pod_of(JOB, {"phase": "Failed", "reason": "OutOfcpu", "message": "Node didn't have enough"}),
            "PodRejected",
            False,
            "OutOfcpu: Node didn't",
            id="refused by the node",
        ),
        pytest.param(
            deleting(pod(JOB, kubelet.terminated("train", 137), phase="Failed")),
            "PodLost",
            False,
            "deleted while stage train ran",
            id="deleted by somebody",
        ),
        pytest.param(
            deleting(pod(JOB, kubelet.terminated("train", 1, "boom"), phase="Failed")),
            "StageFailed",
            False,
            "boom",
            id="deleted after it had failed",
        ),
        pytest.param(pod(JOB, KILLED, phase="Failed"), "OutOfMemory", True, "limits.memory", id="its memory limit"),
    ],
)
def test_how_an_attempt_lost_its_pod(given: Raw, reason: str, words: str, *, final: bool) -> None:
    plan = broken(given)
    if final:
        assert plan.conditions == {"Ready": f"False/{reason}", "Stalled": f"True/{reason}", "Failed": f"True/{reason}"}
    else:
        assert plan.conditions == {"Ready": "False/Retrying", "Reconciling": "True/Retrying"}
        assert f"{reason}: " in plan.messages
    assert words in plan.messages


def test_a_stage_without_a_limit_was_killed_by_its_node_and_is_tried_again() -> None:
    """What the node has to spare may be more next time."""
    plan = broken(pod(JOB, KILLED, phase="Failed"), spec={"resources": {"requests": {"memory": "1Gi"}}})
    assert plan.conditions["Reconciling"] == "True/Retrying"
    assert "OutOfMemory" in plan.messages


def test_at_the_deadline_it_is_said_what_held_the_pod_up() -> None:
    given = subject().condition("Ready", "False", "ImagePullFailed", "image x cannot be pulled")
    job = attempt_job(given, conditions=ended("Failed", reason="DeadlineExceeded"))
    plan = planned(given, job)
    assert plan.conditions["Failed"] == "True/DeadlineExceeded"
    assert "activeDeadlineSeconds" in plan.messages
    assert "ImagePullFailed: image x cannot be pulled" in plan.messages


def test_a_deadline_in_the_middle_of_the_work_blames_nothing_else() -> None:
    job = attempt_job(subject(), conditions=ended("Failed", reason="DeadlineExceeded"))
    assert "held it up" not in planned(subject(), job).messages


@pytest.mark.parametrize(
    ("said", "conditions"),
    [
        pytest.param(QUOTA, {"Ready": "False/QuotaExceeded", "Reconciling": "True/QuotaExceeded"}, id="quota"),
        pytest.param(POLICY, {"Ready": "False/PodRejected", "Stalled": "True/PodRejected"}, id="policy"),
    ],
)
async def test_a_job_whose_pod_cannot_be_made_says_why(said: str, conditions: dict[str, str]) -> None:
    with World() as world:
        world.cluster.create(make.training_job().raw)
        await world.settle()
        [job] = world.jobs()
        await world.rejections.read()
        assert world.summary(naming.TRAINING_JOBS, "churn-train")["Reconciling"] == "True/Pending"
        world.cluster.refused_pods[job["metadata"]["uid"]] = said
        await world.rejections.read()
        await world.settle()
        assert world.summary(naming.TRAINING_JOBS, "churn-train") == conditions
        status = world.get(naming.TRAINING_JOBS, "churn-train")["status"]
        assert said in status["conditions"][0]["message"]
        writes = len(world.cluster.writes())
        await world.rejections.read()
        await world.settle()
        assert len(world.cluster.writes()) == writes

        kubelet.succeed(world.cluster, job, kubelet.results())
        await world.settle()
        asked = len(world.cluster.calls)
        await world.rejections.read()
        assert len(world.cluster.calls) == asked, "nobody asks about a Job that has ended"
        assert world.summary(naming.TRAINING_JOBS, "churn-train")["Complete"] == "True/Succeeded"


async def test_a_verification_whose_pod_cannot_be_made_says_why() -> None:
    with World() as world:
        version = make.model_version("a")
        world.cluster.create(version.raw)
        await world.settle()
        [job] = world.jobs()
        world.cluster.refused_pods[job["metadata"]["uid"]] = QUOTA
        await world.rejections.read()
        await world.settle()
        name = version.raw["metadata"]["name"]
        assert world.summary(naming.MODEL_VERSIONS, name)["Reconciling"] == "True/QuotaExceeded"


async def test_events_that_cannot_be_read_change_nothing() -> None:
    with World() as world:
        world.cluster.create(make.training_job().raw)
        await world.settle()
        world.cluster.fail(ClusterUnavailable("503"), verb="events")
        await world.rejections.read()
        await world.settle()
        assert world.summary(naming.TRAINING_JOBS, "churn-train")["Reconciling"] == "True/Pending"


async def test_a_suspended_job_should_have_no_pod_and_is_not_asked_about() -> None:
    with World() as world:
        world.cluster.create(make.training_job().raw)
        await world.settle()
        world.cluster.edit(naming.TRAINING_JOBS, "churn-train", lambda raw: raw["spec"].update(suspend=True))
        await world.settle()
        await world.rejections.read()
        assert "events" not in {call.verb for call in world.cluster.calls}


@pytest.mark.parametrize(
    ("code", "said", "reason"),
    [
        (403, 'jobs.batch "x" is forbidden: exceeded quota: small, requested: count/jobs.batch=1', "QuotaExceeded"),
        (403, 'jobs.batch "x" is forbidden: a policy', "Forbidden"),
        (422, "exceeded quota is a name here", "ChildRejected"),
    ],
)
def test_a_child_over_quota_is_told_apart(code: int, said: str, reason: str) -> None:
    assert _refusal(Refused("Job", "x", code, said)).reason == reason
