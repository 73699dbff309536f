"""A Deployment in the simulated world that tries its next version by steps, and how tests speak of it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from modelwright_operator import naming
from tests.support import builders as make
from tests.support.traffic import Traffic
from tests.support.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Raw = dict[str, Any]

A, B, C = (make.verified(seed, age_seconds=age) for seed, age in (("a", 300), ("b", 200), ("c", 100)))
NAME_A, NAME_B, NAME_C = (version.raw["metadata"]["name"] for version in (A, B, C))
HOLD: Raw = {"minSeconds": 30, "minRequests": 50}
STEPS: list[Raw] = [{"weight": 10, "hold": HOLD}, {"weight": 50, "hold": HOLD}]
WATCH = 120


def rules(*steps: Raw, **fields: Any) -> Raw:
    return {"steps": list(steps or STEPS), "postPromotionWatchSeconds": WATCH, **fields}


def put(world: World, version: make.Maker) -> None:
    """Let there be a verified version."""
    world.cluster.create(version.raw)
    world.cluster.set_status(naming.MODEL_VERSIONS, version.raw["metadata"]["name"], version.raw["status"])


@asynccontextmanager
async def serving(rollout: Raw | None = None, **spec: Any) -> AsyncIterator[Traffic]:
    """Have a Deployment that serves version A with four pods, and clients."""
    with World() as world:
        for version in (A, B, C):
            put(world, version)
            world.clock.advance(10)
        fields = {"replicas": 4, "rollout": rollout or rules(), **spec}
        world.cluster.create(make.deployment(version=NAME_A).spec(**fields).raw)
        traffic = Traffic(world)
        await traffic.flow(60)
        assert traffic.status["stable"]["version"] == NAME_A
        yield traffic


def want(traffic: Traffic, version: str) -> None:
    traffic.world.cluster.edit(naming.DEPLOYMENTS, "churn", lambda raw: raw["spec"].update(model={"version": version}))


def change(traffic: Traffic, **fields: Any) -> None:
    traffic.world.cluster.edit(naming.DEPLOYMENTS, "churn", lambda raw: raw["spec"].update(fields))


def ask(traffic: Traffic, action: str, value: str) -> None:
    traffic.world.cluster.edit(
        naming.DEPLOYMENTS,
        "churn",
        lambda raw: raw["metadata"].setdefault("annotations", {}).update({f"modelwright.dev/{action}": value}),
    )


def at(traffic: Traffic) -> tuple[str, int, int]:
    """Return phase, step and weight of the rollout."""
    rollout = traffic.status["rollout"]
    return rollout["phase"], rollout["step"], traffic.status["traffic"]["weight"]


def named(traffic: Traffic) -> str:
    rollout = traffic.status["rollout"]
    return f"{rollout['revision']}/{rollout['step']}"


def sizes(traffic: Traffic) -> dict[str, int]:
    """Return the number of pods wanted of each version."""
    found = {}
    for workload in traffic.world.cluster.all(naming.WORKLOADS):
        variables = workload["spec"]["template"]["spec"]["containers"][0]["env"]
        [version] = [item["value"] for item in variables if item["name"] == "MODELWRIGHT_MODEL_VERSION"]
        found[version] = workload["spec"]["replicas"]
    return found


def points_at(traffic: Traffic, service: str = "churn") -> str:
    return str(traffic.world.get(naming.SERVICES, service)["spec"]["selector"][naming.LABEL_REVISION])


def events(traffic: Traffic) -> list[str]:
    return [entry["event"] for entry in traffic.status["history"]]


def summary(traffic: Traffic) -> dict[str, str]:
    return traffic.world.summary(naming.DEPLOYMENTS, "churn")


def message(traffic: Traffic, kind: str = "Ready") -> str:
    return str(traffic.world.conditions(naming.DEPLOYMENTS, "churn")[kind]["message"])


async def promote(traffic: Traffic) -> None:
    """Let version B go through its steps and take over; what answered before is still there."""
    want(traffic, NAME_B)
    for _ in range(300):
        await traffic.flow(10, every=10)
        if at(traffic)[0] == "Watching":
            break
