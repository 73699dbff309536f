"""Labels only narrow the watch, ownership is the controller reference: taking labels away fools nobody."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_operator import naming
from tests.support import builders as make
from tests.support import kubelet
from tests.support.world import World

LABELS = [naming.LABEL_MANAGED_BY, naming.LABEL_OWNER_KIND, naming.LABEL_OWNER_NAME, naming.LABEL_ATTEMPT]


def without(label: str) -> Any:
    return lambda raw: raw["metadata"]["labels"].pop(label, None)


@pytest.mark.parametrize("restart", [False, True], ids=["watched", "after a restart"])
@pytest.mark.parametrize("label", LABELS)
async def test_a_training_job_without_its_labels_is_still_the_one(label: str, *, restart: bool) -> None:
    with World() as world:
        world.cluster.create(make.training_job().raw)
        await world.settle(5)
        [job] = world.jobs()
        world.cluster.edit(naming.JOBS, job["metadata"]["name"], without(label))
        if restart:
            await world.restart()
        await world.settle(60)
        [same] = world.jobs()
        assert same["metadata"]["uid"] == job["metadata"]["uid"]
        assert label in same["metadata"]["labels"]
        kubelet.succeed(world.cluster, same)
        await world.settle(60)
        assert world.summary(naming.TRAINING_JOBS, "churn-train")["Complete"] == "True/Succeeded"


@pytest.mark.parametrize("label", LABELS[:3])
async def test_a_workload_without_its_labels_is_still_the_one(label: str) -> None:
    with World() as world:
        version = make.model_version("a").raw
        world.cluster.create(version)
        await world.settle(1)
        kubelet.verify(world.cluster, world.jobs()[0])
        world.cluster.create(make.deployment(version=version["metadata"]["name"]).raw)
        await world.settle(5)
        [workload] = world.cluster.all(naming.WORKLOADS)
        kubelet.scale(world.cluster, workload)
        await world.settle(20)
        world.cluster.edit(naming.WORKLOADS, workload["metadata"]["name"], without(label))
        await world.settle(20)
        [same] = world.cluster.all(naming.WORKLOADS)
        assert same["metadata"]["uid"] == workload["metadata"]["uid"]
        assert label in same["metadata"]["labels"]
        assert world.summary(naming.DEPLOYMENTS, "churn") == {"Ready": "True/Available", "Available": "True/Available"}
