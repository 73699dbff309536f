"""Versions come and go, Deployments take them up and leave them: what is used never loses its files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelwright_operator import naming
from modelwright_operator.render import cleanup
from tests.support import builders as make
from tests.support import kubelet
from tests.support.driving import driven
from tests.support.fake_cluster import FakeCluster, Key
from tests.support.world import World

Raw = dict[str, Any]
SEEDS = "abcdef"
DAY = 86400
SETTINGS = replace(make.SETTINGS, retention_versions_per_model=1, retention_grace_period_seconds=DAY)


def name_of(seed: str) -> str:
    return naming.version_name("churn", make.digest(seed))


def made(seed: str) -> Raw:
    """Return a version as a TrainingJob makes it."""
    version = make.model_version(seed).labelled(naming.LABEL_MANAGED_BY, naming.MANAGED_BY)
    digest = make.digest(seed).removeprefix("sha256:")
    version.raw["spec"]["artifact"]["uri"] = f"pvc://modelwright-models/churn/{digest}/"
    return version.spec(provenance={"trainingJob": {"name": "gone", "uid": "uid-of-a-job"}}).raw


def container_of(job: Raw) -> str:
    return str(job["spec"]["template"]["spec"]["containers"][0]["name"])


class WatchfulCluster(FakeCluster):
    """Refuses that what is used, or among the newest, loses its files."""

    def used(self) -> set[str]:
        found: set[str] = set()
        for raw in self.all(naming.DEPLOYMENTS):
            status = raw.get("status", {})
            found.add(raw["spec"]["model"].get("version", ""))
            found |= {status.get(track, {}).get("version", "") for track in ("stable", "canary", "previous")}
        return found

    async def apply(self, resource: str, manifest: Raw, *, force: bool) -> Raw:
        new = Key(resource, "team", manifest["metadata"]["name"]) not in self.objects
        if resource == naming.JOBS and new and container_of(manifest) == cleanup.CONTAINER:
            self._check(manifest["metadata"]["labels"][naming.LABEL_OWNER_NAME])
        return await super().apply(resource, manifest, force=force)

    def _check(self, version: str) -> None:
        assert version not in self.used(), "what is used is cleaned up"
        free = [raw for raw in self.all(naming.MODEL_VERSIONS) if raw["metadata"]["name"] not in self.used()]
        newest = max(free, key=lambda raw: (raw["metadata"]["creationTimestamp"], raw["metadata"]["name"]))
        assert version != newest["metadata"]["name"], "the newest is cleaned up"
        since = self.read(naming.MODEL_VERSIONS, version)["status"]["retention"]
        assert since["retiredAt"] >= since["removeAt"], "before its time"

    async def delete(self, resource: str, namespace: str, name: str, uid: str) -> None:
        if resource == naming.MODEL_VERSIONS:
            jobs = [raw for raw in self.all(naming.JOBS) if raw["metadata"]["ownerReferences"][0]["uid"] == uid]
            ended = [
                raw for raw in jobs if raw["spec"]["template"]["spec"]["containers"][0]["name"] == cleanup.CONTAINER
            ]
            assert any(raw["status"]["conditions"][0]["type"] == "Complete" for raw in ended), "before its files"
        await super().delete(resource, namespace, name, uid)


def make_one(cluster: FakeCluster, name: str, seed: str) -> None:
    if name not in cluster.names(naming.MODEL_VERSIONS):
        cluster.create(made(seed))


def deploy(cluster: FakeCluster, name: str, _: str) -> None:
    if cluster.names(naming.DEPLOYMENTS):
        cluster.edit(naming.DEPLOYMENTS, "churn", lambda raw: raw["spec"]["model"].update(version=name))
    else:
        cluster.create(make.deployment(version=name).raw)


def undeploy(cluster: FakeCluster, _: str, __: str) -> None:
    if cluster.names(naming.DEPLOYMENTS):
        cluster.remove(naming.DEPLOYMENTS, "churn")


def delete(cluster: FakeCluster, name: str, _: str) -> None:
    if name in cluster.names(naming.MODEL_VERSIONS):
        cluster.remove(naming.MODEL_VERSIONS, name)


def jobs_end(cluster: FakeCluster, _: str, __: str) -> None:
    for job in list(cluster.all(naming.JOBS)):
        if not job.get("status", {}).get("conditions"):
            kubelet.verify(cluster, job, 0, {"stage": "verify", "sizeBytes": 7})


def pods_come(cluster: FakeCluster, _: str, __: str) -> None:
    for workload in list(cluster.all(naming.WORKLOADS)):
        kubelet.scale(cluster, workload)


DOING = {
    "make": make_one,
    "deploy": deploy,
    "undeploy": undeploy,
    "delete": delete,
    "jobs end": jobs_end,
    "pods come": pods_come,
}


async def act(world: World, what: str, seed: str) -> None:
    """Do one thing that users, pods or time do, then let the operator come to rest."""
    if what in DOING:
        DOING[what](world.cluster, name_of(seed), seed)
    if what == "restart":
        await world.restart()
    world.clock.advance({"a minute": 61, "a day": DAY}.get(what, 1))
    await world.inbox.resync()
    await world.settle()


ACTS = (*DOING, "restart", "a minute", "a day")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(ACTS), st.sampled_from(SEEDS)), min_size=10, max_size=40))
def test_what_is_used_or_newest_never_loses_its_files(acts: list[tuple[str, str]]) -> None:
    async def play() -> None:
        cluster = WatchfulCluster()
        with World(cluster, SETTINGS) as world:
            for seed in SEEDS[:3]:
                await act(world, "make", seed)
            for what, seed in acts:
                await act(world, what, seed)
            for what in ("pods come", "jobs end", "a day", "a minute", "a minute", "jobs end") * 3:
                await act(world, what, "a")
            writes = len(cluster.writes())
            await act(world, "a day", "a")
            assert len(cluster.writes()) == writes, "rest means no writes"
            free = set(cluster.names(naming.MODEL_VERSIONS)) - cluster.used()
            assert len(free) <= 1, "all others are gone"

    driven(play())
