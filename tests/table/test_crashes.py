"""`kill -9` before and after each write, and each call failing once: the same end, nothing done twice."""

from __future__ import annotations

import re
from typing import Any

import pytest

from modelwright_operator import naming
from modelwright_operator.errors import ClusterUnavailable, Conflict
from tests.support.fake_cluster import FakeCluster
from tests.support.world import World
from tests.table.scenarios import SCENARIOS, Scenario

pytestmark = pytest.mark.timeout(1200)  # a story of a hundred calls is played a hundred times

Raw = dict[str, Any]
_VOLATILE = {
    "lastTransitionTime",
    "startedAt",
    "finishedAt",
    "versionCreatedAt",
    "creationTimestamp",
    "resourceVersion",
    "generation",
    "observedGeneration",
    "uid",
    "at",
    "changedAt",
    "endedAt",
    "evidence",
    "nextAllowedAt",
    "runs",
    "since",
    "stepStartedAt",
    "watchUntil",
}
_NUMBER = re.compile(r"[0-9][0-9.e+]*")


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _NUMBER.sub("#", item) if name == "message" else _lasting(item)  # how many were counted when
            for name, item in value.items()
            if name not in _VOLATILE
        }
    if isinstance(value, list):
        return [_lasting(item) for item in value]
    return value


def _end(cluster: FakeCluster) -> dict[str, Raw]:
    kept = {}
    for key, raw in cluster.objects.items():
        status = raw.get("status", {})
        conditions = {item["type"]: item for item in status.get("conditions", [])}
        kept["/".join(key)] = _lasting({**raw, "status": {**status, "conditions": conditions}})
        if key.resource == naming.JOBS:  # its labels hold uids that Kubernetes gave
            (
                kept["/".join(key)]["spec"].pop("selector"),
                kept["/".join(key)]["spec"]["template"]["metadata"].pop("labels"),
            )
            if naming.LABEL_SEARCH in raw["metadata"]["labels"]:  # what is left of the search's time, and its hash
                spec = kept["/".join(key)]["spec"]
                spec["activeDeadlineSeconds"] = spec["activeDeadlineSeconds"] > 1
                kept["/".join(key)]["metadata"]["annotations"].pop(naming.ANNOTATION_APPLIED)
        if key.resource == naming.PODS:
            kept["/".join(key)]["metadata"].pop("labels")
    return kept


async def _played(scenario: Scenario, cluster: FakeCluster) -> FakeCluster:
    with World(cluster) as world:
        await scenario.play(world)
    return cluster


@pytest.fixture(scope="module")
def ends() -> dict[str, FakeCluster]:
    return {}


async def _baseline(scenario: Scenario, ends: dict[str, FakeCluster]) -> FakeCluster:
    if scenario.name not in ends:
        ends[scenario.name] = await _played(scenario, FakeCluster())
    return ends[scenario.name]


def _created(cluster: FakeCluster, resource: str) -> list[str]:
    return sorted(
        event.raw["metadata"]["name"]
        for event in cluster.happened
        if (event.resource, event.kind) == (resource, "ADDED")
    )


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_crash_at_every_write(scenario: Scenario, ends: dict[str, FakeCluster]) -> None:
    """After a write is also before the next one, since nothing but the API server remembers."""
    good = await _baseline(scenario, ends)
    for number in range(-1, len(good.writes())):
        if number >= 0 and good.writes()[number].verb == "create_event":
            continue  # nothing is decided on events
        cluster = FakeCluster()
        if number < 0:
            cluster.crash_before = 0
        else:
            cluster.crash_after = number
        where = f"crash after write {number}: {good.writes()[number]}"
        with World(cluster) as world:
            await scenario.play(world)
            assert world.crashes == 1, where
        assert _end(cluster) == _end(good), where
        assert _created(cluster, naming.JOBS) == _created(good, naming.JOBS), where
        assert _created(cluster, naming.MODEL_VERSIONS) == _created(good, naming.MODEL_VERSIONS), where


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_each_call_failing_once(scenario: Scenario, ends: dict[str, FakeCluster]) -> None:
    good = await _baseline(scenario, ends)
    first = next(number for number, call in enumerate(good.calls) if call.verb != "list")
    for number in range(first, len(good.calls)):
        if good.calls[number].verb == "create_event":
            continue
        cluster = FakeCluster()
        error = Conflict("moved") if number % 2 else ClusterUnavailable("503")
        cluster.fail_call(number, error)
        await _played(scenario, cluster)
        where = f"call {number} failed: {good.calls[number]}: {error}"
        assert _end(cluster) == _end(good), where
        assert _created(cluster, naming.JOBS) == _created(good, naming.JOBS), where


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_rest_means_no_writes(scenario: Scenario) -> None:
    cluster = FakeCluster()
    with World(cluster) as world:
        await scenario.play(world)
        done, versions = (
            len(cluster.writes()),
            {key: raw["metadata"]["resourceVersion"] for key, raw in cluster.objects.items()},
        )
        await world.settle(3600)
        await world.restart()
        await world.settle(3600)
    assert cluster.writes()[done:] == []
    assert {key: raw["metadata"]["resourceVersion"] for key, raw in cluster.objects.items()} == versions
