"""What the API server will not take reaches the status of whom it concerns, and heals by itself once it is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_cli import structural
from modelwright_operator import naming
from modelwright_operator.errors import ClusterUnavailable, Refused
from tests.support import builders as make
from tests.support import kubelet
from tests.support.world import World

Raw = dict[str, Any]

VERSION = make.model_version("a").raw
NAME = VERSION["metadata"]["name"]


def forbidden(kind: str, name: str = "x") -> Refused:
    return Refused(kind, name, 403, f"cannot patch resource {kind}")


async def serving(world: World, replicas: int = 2) -> None:
    """Bring a Deployment to rest."""
    world.cluster.create(VERSION)
    world.cluster.create(make.deployment(version=NAME).spec(replicas=replicas).raw)
    for _ in range(6):
        await world.settle(30)
        for job in world.jobs():
            if not job.get("status", {}).get("conditions"):
                kubelet.verify(world.cluster, job)
        for workload in list(world.cluster.all(naming.WORKLOADS)):
            kubelet.scale(world.cluster, workload)


@pytest.mark.parametrize(
    ("resource", "kind"),
    [
        (naming.WORKLOADS, "Deployment"),
        (naming.SERVICES, "Service"),
        (naming.DISRUPTION_BUDGETS, "PodDisruptionBudget"),
        (naming.NETWORK_POLICIES, "NetworkPolicy"),
    ],
)
async def test_a_forbidden_child_is_said_and_made_once_it_is_allowed(resource: str, kind: str) -> None:
    with World() as world:
        world.cluster.fail(forbidden(kind), verb="apply", resource=resource, times=10**6)
        await serving(world)
        said = world.conditions(naming.DEPLOYMENTS, "churn")
        assert said["Stalled"]["reason"] == "Forbidden"
        assert kind in said["Stalled"]["message"]
        world.cluster.faults.clear()
        for _ in range(6):
            await world.settle(70)
            for workload in list(world.cluster.all(naming.WORKLOADS)):
                kubelet.scale(world.cluster, workload)
        assert world.summary(naming.DEPLOYMENTS, "churn")["Ready"] == "True/Available"


async def test_a_forbidden_deletion_is_said() -> None:
    with World() as world:
        await serving(world, replicas=2)
        world.cluster.fail(forbidden("PodDisruptionBudget"), verb="delete", times=10**6)
        world.cluster.edit(naming.DEPLOYMENTS, "churn", lambda raw: raw["spec"].update(replicas=1))
        for _ in range(3):
            await world.settle(10)
            for workload in list(world.cluster.all(naming.WORKLOADS)):
                kubelet.scale(world.cluster, workload)
        assert world.summary(naming.DEPLOYMENTS, "churn")["Stalled"] == "True/Forbidden"
        assert world.summary(naming.DEPLOYMENTS, "churn")["Available"] == "True/Available"


async def test_a_job_that_is_forbidden_is_said_and_started_once_it_is_allowed() -> None:
    with World() as world:
        world.cluster.create(make.training_job().raw)
        world.cluster.fail(forbidden("Job"), verb="apply", resource=naming.JOBS, times=3)
        await world.settle(10)
        assert world.summary(naming.TRAINING_JOBS, "churn-train")["Stalled"] == "True/Forbidden"
        await world.settle(300)
        assert world.summary(naming.TRAINING_JOBS, "churn-train")["Ready"] == "False/Pending"
        assert len(world.jobs()) == 1


async def test_a_job_that_is_forbidden_only_once_it_is_to_expire_leaves_the_result() -> None:
    with World() as world:
        world.cluster.create(make.training_job().raw)
        await world.settle(5)
        world.cluster.fail(forbidden("Job"), verb="apply", resource=naming.JOBS, times=10**6)
        kubelet.succeed(world.cluster, world.jobs()[0])
        await world.settle(300)
        assert world.summary(naming.TRAINING_JOBS, "churn-train") == {
            "Ready": "True/Succeeded",
            "Complete": "True/Succeeded",
        }
        assert len(world.cluster.writes()) < 30


async def test_a_name_that_is_taken_is_said_and_used_once_it_is_free() -> None:
    with World() as world:
        foreign = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "churn"},
            "spec": {"selector": {"a": "b"}},
        }
        world.cluster.create(foreign)
        await serving(world, replicas=1)
        said = world.conditions(naming.DEPLOYMENTS, "churn")
        assert said["Stalled"]["reason"] == "NameConflict"
        assert "delete or rename it" in said["Stalled"]["message"]
        assert world.get(naming.SERVICES, "churn")["spec"]["selector"] == {"a": "b"}
        world.cluster.remove(naming.SERVICES, "churn")
        await world.settle(120)
        assert world.summary(naming.DEPLOYMENTS, "churn")["Ready"] == "True/Available"


async def test_a_status_that_is_refused_is_not_tried_without_end() -> None:
    with World() as world:
        world.cluster.fail(Refused("Deployment", "churn", 422, "too long"), verb="apply_status", times=10**6)
        world.cluster.create(make.deployment().raw)
        await world.settle(20)
        tried = [call for call in world.cluster.calls if call.verb == "apply_status"]
        assert 1 < len(tried) < 60
        assert world.agenda.failed


async def test_a_status_that_is_refused_once_is_told_as_refused_at_least() -> None:
    with World() as world:
        world.cluster.fail(Refused("Deployment", "churn", 422, "status.url: too long"), verb="apply_status")
        world.cluster.create(make.deployment().raw)
        await world.step()
        said = world.conditions(naming.DEPLOYMENTS, "churn")
        assert said["Stalled"]["reason"] == "ChildRejected"
        assert "status.url" in said["Stalled"]["message"]


@pytest.mark.parametrize(
    ("resource", "maker"),
    [
        (naming.TRAINING_JOBS, make.training_job()),
        (naming.MODEL_VERSIONS, make.model_version("a")),
        (naming.DEPLOYMENTS, make.deployment()),
    ],
)
async def test_an_object_of_a_newer_version_is_left_alone_and_told_so(
    resource: str, maker: make.Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = structural.schema_of(maker.raw["kind"])["properties"]["spec"]["properties"]
    monkeypatch.setitem(known, "fieldOfALaterVersion", {"type": "integer"})
    with World() as world:
        world.cluster.create(maker.spec(fieldOfALaterVersion=1).raw)
        await world.settle(5)
        said = world.conditions(resource, maker.raw["metadata"]["name"])
        assert said["Stalled"]["reason"] == "InvalidSpec"
        assert "fieldOfALaterVersion" in said["Stalled"]["message"]
        assert {call.verb for call in world.cluster.writes()} <= {"apply_status", "create_event"}
        writes = len(world.cluster.writes())
        await world.settle(1000)
        assert len(world.cluster.writes()) == writes


async def test_being_asked_to_wait_is_heeded() -> None:
    with World() as world:
        world.cluster.create(make.deployment().raw)
        world.cluster.fail(ClusterUnavailable("429", retry_after=7.0), verb="apply_status")
        await world.step()
        [due] = world.agenda.due.values()
        assert due == world.clock.seconds() + 7
