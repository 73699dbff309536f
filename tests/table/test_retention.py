"""Which versions go, when, and what never does."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from modelwright_operator import api, naming
from modelwright_operator.render import cleanup
from modelwright_training import contract as training
from tests.support import builders as make
from tests.support import kubelet
from tests.support.fake_cluster import FakeCluster
from tests.support.world import World

Raw = dict[str, Any]
DAY = 86400
SETTINGS = replace(make.SETTINGS, retention_versions_per_model=2, retention_grace_period_seconds=DAY)
SEEDS = "abcdef"


def name_of(seed: str) -> str:
    return naming.version_name("churn", make.digest(seed))


def uri_of(seed: str) -> str:
    return f"pvc://modelwright-models/churn/{make.digest(seed).removeprefix('sha256:')}/"


def made(seed: str) -> make.Maker:
    """Return a version as a TrainingJob makes it."""
    version = make.model_version(seed).labelled(naming.LABEL_MANAGED_BY, naming.MANAGED_BY)
    version.raw["spec"]["artifact"]["uri"] = uri_of(seed)
    return version.spec(provenance={"trainingJob": {"name": "gone", "uid": f"uid-of-job-{seed}"}})


class House:
    """A world in which versions were made one after the other, an hour apart, and verified."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cluster: FakeCluster = world.cluster

    async def fill(self, *versions: make.Maker) -> None:
        for version in versions:
            self.cluster.create(version.raw)
            await self.world.settle()
            await self.end_jobs()
            self.world.clock.advance(3600)
        await self.later(0)

    async def end_jobs(self, code: int = 0, message: str = "") -> None:
        """Let the Jobs that run end, be it a verification or a clean-up."""
        for job in list(self.world.jobs()):
            if not job.get("status", {}).get("conditions"):
                kubelet.verify(self.cluster, job, code, message or {"stage": "verify", "sizeBytes": 7})
        await self.world.settle()

    async def later(self, seconds: float) -> None:
        """Let time go on to the next full list."""
        self.world.clock.advance(seconds)
        await self.world.inbox.resync()
        await self.world.settle()

    @property
    def versions(self) -> list[str]:
        return list(self.cluster.names(naming.MODEL_VERSIONS))

    def ahead(self, seed: str) -> Raw | None:
        found: Raw | None = self.world.get(naming.MODEL_VERSIONS, name_of(seed))["status"].get("retention")
        return found

    def ready(self, seed: str) -> str:
        return self.world.summary(naming.MODEL_VERSIONS, name_of(seed))["Ready"]

    def cleanups(self) -> list[str]:
        return [
            job["metadata"]["labels"][naming.LABEL_OWNER_NAME]
            for job in self.world.jobs()
            if job["spec"]["template"]["spec"]["containers"][0]["name"] == cleanup.CONTAINER
        ]


async def test_the_oldest_goes_after_its_time_with_its_files() -> None:
    with World(settings=SETTINGS) as world:
        house = House(world)
        await house.fill(*(made(seed) for seed in "abc"))
        await house.later(0)
        assert [house.ahead(seed) is not None for seed in "abc"] == [True, False, False]
        assert house.ready("a") == "True/Verified"
        await house.later(DAY - 7200)
        assert house.cleanups() == []
        await house.later(7200)
        assert house.ready("a") == "False/Retired"
        await house.later(120)
        assert house.cleanups() == [name_of("a")]
        assert name_of("a") in house.versions
        await house.end_jobs()
        assert house.versions == [name_of("b"), name_of("c")]
        await house.later(30 * DAY)
        assert house.versions == [name_of("b"), name_of("c")]


async def test_the_clean_up_job_sees_the_claim_and_the_exact_address() -> None:
    version = api.ModelVersion.model_validate(made("a").stored())
    pod = cleanup.batch_job(version, "1", SETTINGS)["spec"]["template"]["spec"]
    [container] = pod["containers"]
    environment = {item["name"]: item["value"] for item in container["env"]}
    assert environment["MODELWRIGHT_CLEANUP_URI"] == uri_of("a")
    assert environment["MODELWRIGHT_CLEANUP_DIGEST"] == make.digest("a")
    assert [volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]] == ["modelwright-models"]
    assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize("moment", ["waiting", "retired"])
async def test_using_it_keeps_it(moment: str) -> None:
    with World(settings=SETTINGS) as world:
        house = House(world)
        await house.fill(*(made(seed) for seed in "abc"))
        await house.later(0)
        if moment == "retired":
            await house.later(DAY)
            assert house.ready("a") == "False/Retired"
        world.cluster.create(make.deployment(version=name_of("a")).raw)
        await world.settle()
        await house.end_jobs()
        await house.later(10 * DAY)
        assert house.ahead("a") is None
        assert house.ready("a") == "True/Verified"
        assert house.cleanups() == []


async def test_from_the_clean_up_on_there_is_no_way_back() -> None:
    with World(settings=SETTINGS) as world:
        house = House(world)
        await house.fill(*(made(seed) for seed in "abc"))
        await house.later(DAY + 7200)
        await house.later(120)
        assert house.cleanups() == [name_of("a")]
        world.cluster.create(make.deployment(version=name_of("a")).raw)
        await house.later(600)
        assert house.ready("a") == "False/Retired"
        assert world.cluster.names(naming.WORKLOADS) == [], "what loses its files is not served"
        await house.end_jobs()
        assert name_of("a") not in house.versions
        assert world.summary(naming.DEPLOYMENTS, "churn")["Stalled"] == "True/VersionNotFound"


async def test_a_clean_up_waits_for_training_and_training_for_a_clean_up() -> None:
    with World(settings=SETTINGS) as world:
        house = House(world)
        await house.fill(*(made(seed) for seed in "abc"))
        world.cluster.create(make.training_job("busy").raw)
        await world.settle()
        [busy] = [job for job in world.jobs() if job["metadata"]["labels"][naming.LABEL_OWNER_NAME] == "busy"]
        await house.later(2 * DAY)
        assert house.cleanups() == []
        kubelet.fail(world.cluster, busy, "fetch", 2, {"stage": "fetch", "reason": "DataNotFound", "message": "x"})
        await house.later(600)
        assert house.cleanups() == [name_of("a")]
        world.cluster.create(make.training_job("next").raw)
        await house.later(60)
        assert world.summary(naming.TRAINING_JOBS, "next")["Reconciling"] == "True/Pending"
        assert not any(job["metadata"]["labels"][naming.LABEL_OWNER_NAME] == "next" for job in world.jobs())
        await house.end_jobs()
        await house.later(60)
        assert any(job["metadata"]["labels"][naming.LABEL_OWNER_NAME] == "next" for job in world.jobs())


async def test_a_clean_up_that_fails_says_so_and_is_tried_again_when_asked() -> None:
    with World(settings=SETTINGS) as world:
        house = House(world)
        await house.fill(*(made(seed) for seed in "abc"))
        await house.later(DAY + 7200)
        await house.later(120)
        await house.end_jobs(2, "its manifest.json has the digest x")
        assert house.ready("a") == "False/CleanupFailed"
        name = name_of("a")
        said = world.conditions(naming.MODEL_VERSIONS, name)["Stalled"]["message"]
        assert "has the digest x" in said
        await house.later(10 * DAY)
        assert name in house.versions
        world.cluster.edit(
            naming.MODEL_VERSIONS,
            name,
            lambda raw: raw["metadata"].setdefault("annotations", {}).update({naming.ANNOTATION_RETRY: "2"}),
        )
        await house.later(60)
        await house.end_jobs()
        assert name not in house.versions


async def test_files_that_another_version_names_stay() -> None:
    with World(settings=SETTINGS) as world:
        house = House(world)
        copy = make.Maker(
            naming.MODEL_VERSION,
            "copy",
            {"model": "other", "artifact": {"uri": uri_of("a").rstrip("/"), "digest": make.digest("a")}},
        )
        await house.fill(copy, *(made(seed) for seed in "abc"))
        await house.later(DAY + 7200)
        await house.later(120)
        assert house.versions == [name_of("b"), name_of("c"), "copy"]
        assert house.cleanups() == []


async def test_training_the_same_again_makes_it_new() -> None:
    with World(settings=SETTINGS) as world:
        house = House(world)
        await house.fill(*(made(seed) for seed in "abc"))
        await house.later(0)
        assert house.ahead("a") is not None
        world.cluster.create(make.training_job("again").raw)
        await world.settle()
        [job] = [job for job in world.jobs() if job["metadata"]["labels"][naming.LABEL_OWNER_NAME] == "again"]
        kubelet.succeed(world.cluster, job, kubelet.results("a"))
        await house.later(60)
        assert world.get(naming.TRAINING_JOBS, "again")["status"]["modelVersion"] == name_of("a")
        assert [house.ahead(seed) is not None for seed in "abc"] == [False, True, False]


async def _story(world: World) -> None:
    house = House(world)
    await house.fill(*(made(seed) for seed in "abc"))
    for pause in (DAY, 120, 60):
        await house.later(pause)
        await house.end_jobs()
    await house.later(60)


async def test_killed_after_any_write_it_ends_the_same() -> None:
    with World(settings=SETTINGS) as world:
        await _story(world)
        good = list(world.cluster.writes())
        expected = list(world.cluster.names(naming.MODEL_VERSIONS))
    assert expected == [name_of("b"), name_of("c")]
    for number, call in enumerate(good):
        if call.verb == "create_event":
            continue
        cluster = FakeCluster()
        cluster.crash_after = number
        with World(cluster, SETTINGS) as world:
            await _story(world)
            assert world.crashes == 1, call
        assert list(cluster.names(naming.MODEL_VERSIONS)) == expected, call
        made_jobs = [item.raw for item in cluster.happened if (item.resource, item.kind) == (naming.JOBS, "ADDED")]
        removing = [job for job in made_jobs if job["metadata"]["name"] == _cleanup_name(cluster, "a")]
        assert len(removing) == 1, call


def _cleanup_name(cluster: FakeCluster, seed: str) -> str:
    [version] = [
        item.raw
        for item in cluster.happened
        if (item.resource, item.kind, item.raw["metadata"]["name"]) == (naming.MODEL_VERSIONS, "ADDED", name_of(seed))
    ]
    return cleanup.job_name(api.ModelVersion.model_validate(version), "1")


@pytest.mark.parametrize("keep", [0, 3])
async def test_what_is_not_beyond_the_number_stays_for_ever(keep: int) -> None:
    with World(settings=replace(SETTINGS, retention_versions_per_model=keep)) as world:
        house = House(world)
        await house.fill(*(made(seed) for seed in "abc"))
        await house.later(100 * DAY)
        assert len(house.versions) == 3
        assert [house.ahead(seed) for seed in "abc"] == [None] * 3


def stranger(seed: str, how: str) -> make.Maker:
    """Return an old version that is not ours to remove."""
    version = made(seed)
    if how == "imported":
        return version.spec(provenance=None)
    if how == "applied by a user":
        return version.metadata(labels=None)
    version.raw["spec"]["artifact"]["uri"] = "pvc://modelwright-models/churn/mine/"
    return version


@pytest.mark.parametrize("how", ["imported", "applied by a user", "not under its digest"])
async def test_what_is_not_ours_is_neither_counted_nor_removed(how: str) -> None:
    with World(settings=SETTINGS) as world:
        house = House(world)
        await house.fill(stranger("a", how), *(made(seed) for seed in "bcd"))
        await house.later(DAY + 7200)
        await house.later(120)
        await house.end_jobs()
        assert house.versions == [name_of("a"), name_of("c"), name_of("d")]


BUCKETS = replace(SETTINGS, retention_object_stores=True)


def in_bucket(seed: str) -> make.Maker:
    """Return a version that a TrainingJob made in an object store."""
    version = made(seed)
    version.raw["spec"]["artifact"] |= {"uri": uri_of(seed).replace("pvc://modelwright-models", "s3://lake")}
    version.raw["spec"]["artifact"] |= {"secretName": "lake", "endpoint": "http://store:7070", "region": "eu"}
    return version


def _removing(world: World) -> list[Raw]:
    """Return the containers of the clean-up Jobs."""
    containers: list[Raw] = [job["spec"]["template"]["spec"]["containers"][0] for job in world.jobs()]
    return [container for container in containers if container["name"] == cleanup.CONTAINER]


async def test_what_is_in_an_object_store_stays_unless_the_settings_say_so() -> None:
    for settings, left in ((SETTINGS, ["a", "b", "c"]), (BUCKETS, ["b", "c"])):
        with World(settings=settings) as world:
            house = House(world)
            await house.fill(*(in_bucket(seed) for seed in "abc"))
            await house.later(DAY + 7200)
            await house.later(120)
            removing = _removing(world)
            assert len(removing) == (1 if settings is BUCKETS else 0)
            for container in removing:
                assert container["envFrom"][0]["secretRef"]["name"] == "lake"
                given = {item["name"]: item["value"] for item in container["env"]}
                assert given[training.ENV_CLEANUP_ENDPOINT] == "http://store:7070"
                assert given[training.ENV_CLEANUP_SECRET] == "lake"
            await house.end_jobs()
            assert house.versions == [name_of(seed) for seed in left]


async def test_files_in_an_object_store_that_another_namespace_names_stay() -> None:
    with World(settings=BUCKETS) as world:
        house = House(world)
        other = in_bucket("a").spec(provenance=None).metadata(namespace="elsewhere", uid="uid-elsewhere").raw
        await house.fill(*(in_bucket(seed) for seed in "abc"))
        world.store.put(naming.MODEL_VERSIONS, other)
        house.cluster.create(other)
        await house.later(DAY + 7200)
        await house.later(120)
        assert not _removing(world), "only the version goes"
        left = [
            (raw["metadata"]["namespace"], raw["metadata"]["name"]) for raw in house.cluster.all(naming.MODEL_VERSIONS)
        ]
        assert sorted(left) == [("elsewhere", name_of("a")), ("team", name_of("b")), ("team", name_of("c"))]


def _point(model: Raw, raw: Raw) -> None:
    raw["spec"]["model"] = model


async def test_what_served_before_is_kept_for_the_way_back() -> None:
    with World(settings=SETTINGS) as world:
        house = House(world)
        await house.fill(*(made(seed) for seed in "abcd"))
        world.cluster.create(make.deployment(version=name_of("a")).raw)
        await world.settle()
        for wanted in ("a", "d"):
            model = {"version": name_of(wanted)}
            world.cluster.edit(naming.DEPLOYMENTS, "churn", partial(_point, model))
            await world.settle()
            for workload in list(world.cluster.all(naming.WORKLOADS)):
                kubelet.scale(world.cluster, workload)
            await world.settle()
        status = world.get(naming.DEPLOYMENTS, "churn")["status"]
        assert (status["stable"]["version"], status["previous"]["version"]) == (name_of("d"), name_of("a"))
        await house.later(10 * DAY)
        assert house.versions == [name_of(seed) for seed in "abcd"]
