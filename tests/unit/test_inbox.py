"""What arrives: into the store, and every key it concerns into the queue."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_operator import naming
from modelwright_operator.cluster.inbox import Inbox
from modelwright_operator.cluster.store import Owner, Store
from modelwright_operator.errors import ClusterUnavailable
from tests.support import builders as make
from tests.support.clock import Clock
from tests.support.fake_cluster import FakeCluster
from tests.support.fake_objects import resource_of
from tests.table.planning import attempt_job, workload_of

Raw = dict[str, Any]

VERSION = make.model_version("a")
NAME = VERSION.raw["metadata"]["name"]
STABLE = {"revision": "r", "version": NAME, "model": "churn", "digest": make.digest("a")}


class Wishes:
    """Takes what a queue takes."""

    def __init__(self) -> None:
        self.urgent: set[Owner] = set()
        self.background: set[Owner] = set()

    def add(self, key: Owner, *, background: bool = False) -> None:
        (self.background if background else self.urgent).add(key)


def inbox(*known: make.Maker, cluster: FakeCluster | None = None) -> tuple[Inbox, Store, Wishes]:
    store, wishes = Store(), Wishes()
    for maker in known:
        store.put(maker.resource, maker.stored())
    queue: Any = wishes
    port: Any = cluster or FakeCluster(Clock())
    return Inbox(make.SETTINGS, port, store, queue), store, wishes


def owner(kind: str, name: str) -> Owner:
    return Owner(kind, "team", name)


CHURN = owner(naming.DEPLOYMENT, "churn")
THE_VERSION = owner(naming.MODEL_VERSION, NAME)
THE_JOB = owner(naming.TRAINING_JOB, "churn-train")


@pytest.mark.parametrize("kind", [None, "ADDED", "MODIFIED", "DELETED"])
@pytest.mark.parametrize(
    ("known", "arrived", "urgent", "background"),
    [
        pytest.param((), make.training_job().stored(), {THE_JOB}, set(), id="a job"),
        pytest.param((), attempt_job(make.training_job()), {THE_JOB}, set(), id="its batch Job"),
        pytest.param((), workload_of(make.deployment(), make.verified("a")), {CHURN}, set(), id="a workload"),
        pytest.param(
            (make.deployment(version=NAME), make.deployment("other", version="else")),
            VERSION.stored(),
            {THE_VERSION},
            {CHURN},
            id="a version wakes who names it",
        ),
        pytest.param(
            (make.deployment(), make.deployment("other", follow="else")),
            VERSION.stored(),
            {THE_VERSION},
            {CHURN},
            id="a version wakes who follows its model",
        ),
        pytest.param(
            (),
            make.model_version("a").spec(provenance={"trainingJob": {"name": "churn-train", "uid": "u"}}).stored(),
            {THE_VERSION},
            {THE_JOB},
            id="a version wakes its maker",
        ),
        pytest.param(
            (),
            make.training_job().status(modelVersion=NAME).stored(),
            {THE_JOB},
            {THE_VERSION},
            id="a job wakes its version",
        ),
        pytest.param(
            (VERSION,),
            make.deployment(version=NAME).stored(),
            {CHURN},
            {THE_VERSION},
            id="a Deployment wakes what it names",
        ),
        pytest.param(
            (VERSION,), make.deployment().status(stable=STABLE).stored(), {CHURN}, {THE_VERSION}, id="… what it serves"
        ),
        pytest.param(
            (make.deployment().spec(retraining={"trainingJob": "churn-train"}), make.deployment("other")),
            make.training_job().stored(),
            {THE_JOB},
            {CHURN},
            id="a template wakes who is trained anew from it",
        ),
        pytest.param(
            (),
            make.training_job().owned_by(make.deployment()).stored(),
            {THE_JOB},
            {CHURN},
            id="a run wakes who it was made for",
        ),
        pytest.param(
            (make.deployment(version="else").status(retraining={"lastRun": {"version": NAME}}),),
            VERSION.stored(),
            {THE_VERSION},
            {CHURN},
            id="a version wakes who it was made for",
        ),
        pytest.param(
            (make.model_version("a").status(usedBy=["churn"]),),
            make.deployment(version="else").stored(),
            {CHURN},
            {THE_VERSION},
            id="… what it used",
        ),
    ],
)
def test_who_is_woken(
    known: tuple[make.Maker, ...], arrived: Raw, urgent: set[Owner], background: set[Owner], kind: str | None
) -> None:
    box, store, wishes = inbox(*known)
    box.event(resource_of(arrived), kind, arrived)
    assert wishes.urgent == urgent
    assert wishes.background == background
    there = store.get(resource_of(arrived), "team", arrived["metadata"]["name"])
    assert (there is None) == (kind == "DELETED")


def test_what_is_older_than_what_is_known_is_no_news() -> None:
    box, store, wishes = inbox()
    new, old = (
        make.training_job().metadata(resourceVersion="12").raw,
        make.training_job().metadata(resourceVersion="9").raw,
    )
    box.event(naming.TRAINING_JOBS, "MODIFIED", new)
    wishes.urgent.clear()
    box.event(naming.TRAINING_JOBS, "MODIFIED", old)
    assert wishes.urgent == set()
    known = store.get(naming.TRAINING_JOBS, "team", "churn-train")
    assert known is not None
    assert known["metadata"]["resourceVersion"] == "12"


def test_a_deletion_told_late_does_not_take_its_successor() -> None:
    box, store, _ = inbox()
    box.event(naming.TRAINING_JOBS, "ADDED", make.training_job().metadata(uid="second").raw)
    box.event(naming.TRAINING_JOBS, "DELETED", make.training_job().metadata(uid="first").raw)
    assert store.get(naming.TRAINING_JOBS, "team", "churn-train") is not None


async def test_a_full_list_brings_what_is_there_and_takes_ghosts_away() -> None:
    cluster = FakeCluster()
    cluster.create(make.training_job("there").raw)
    box, store, wishes = inbox(make.training_job("ghost"), cluster=cluster)
    before = box.synced
    await box.resync()
    assert (before, box.synced) == (False, True)
    assert [name.name for name in store.names(naming.TRAINING_JOBS)] == ["there"]
    assert owner(naming.TRAINING_JOB, "there") in wishes.background
    assert wishes.urgent == set()
    assert 0 <= box.resync_age_seconds < 60


async def test_a_list_that_fails_half_way_forgets_nothing() -> None:
    cluster = FakeCluster()
    cluster.fail(ClusterUnavailable("503"), verb="list", resource=naming.MODEL_VERSIONS)
    box, store, _ = inbox(VERSION, cluster=cluster)
    with pytest.raises(ClusterUnavailable):
        await box.resync()
    assert not box.synced
    assert store.size(naming.MODEL_VERSIONS) == 1


async def test_the_watchs_first_list_is_no_news_where_it_equals_ours() -> None:
    cluster = FakeCluster()
    cluster.create(make.training_job("there").raw)
    box, store, wishes = inbox(cluster=cluster)
    await box.resync()
    listed = dict(store.get(naming.TRAINING_JOBS, "team", "there") or {})
    box.event(naming.TRAINING_JOBS, None, listed)
    assert wishes.urgent == set()
    box.event(naming.TRAINING_JOBS, None, listed)  # a later list, after who knows what
    assert wishes.urgent == {owner(naming.TRAINING_JOB, "there")}


async def test_what_changed_between_the_two_lists_is_news() -> None:
    cluster = FakeCluster()
    cluster.create(make.training_job("there").raw)
    box, store, wishes = inbox(cluster=cluster)
    await box.resync()
    listed = dict(store.get(naming.TRAINING_JOBS, "team", "there") or {})
    newer = {**listed, "metadata": {**listed["metadata"], "resourceVersion": "999"}}
    box.event(naming.TRAINING_JOBS, None, newer)
    assert wishes.urgent == {owner(naming.TRAINING_JOB, "there")}
