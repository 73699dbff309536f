"""A plan carried out: in order, on what was observed, and never onto what is somebody else's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from modelwright_operator import api, naming
from modelwright_operator.cluster.execute import Executor
from modelwright_operator.cluster.notify import Notifier
from modelwright_operator.cluster.store import Store
from modelwright_operator.cluster.telemetry import Telemetry
from modelwright_operator.decide.observed import Child
from modelwright_operator.errors import ClusterUnavailable, Conflict, NotOurs, Refused
from modelwright_operator.plan.outcome import Apply, Confirm, Delete, Event, Plan
from modelwright_operator.render import serving
from tests.support import builders as make
from tests.support.fake_cluster import FakeCluster

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

Raw = dict[str, Any]


class Stage:
    """A Deployment on a cluster, and the executor."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.store = Store()
        port: Any = self.cluster
        self.executor = Executor(port, self.store, make.SETTINGS, Notifier(make.SETTINGS, Telemetry()))
        self.cluster.create(make.deployment().raw)

    @property
    def deployment(self) -> api.Deployment:
        return api.Deployment.model_validate(self.cluster.read(naming.DEPLOYMENTS, "churn"))

    def service(self, revision: str = "r") -> Raw:
        return serving.service(self.deployment, revision)

    async def execute(self, plan: Plan) -> None:
        await self.executor.execute(self.deployment, naming.DEPLOYMENT, plan)

    async def made(self) -> Child:
        """Return the Service, created by an earlier plan."""
        await self.execute(Plan(apply=(Apply(self.service()),)))
        return Child(self.cluster.read(naming.SERVICES, "churn"))

    def verbs(self) -> list[str]:
        return [f"{call.verb} {call.resource}" for call in self.cluster.calls]


STATUS = {"replicas": 1, "conditions": []}
EVENT = Event("Normal", "Available", "text")


async def test_the_order_is_confirm_children_deletions_status_events() -> None:
    stage = Stage()
    old = Child(stage.cluster.create({**stage.service(), "metadata": {"name": "old", "namespace": "team"}}))
    version = stage.deployment.metadata.resource_version
    confirm = Confirm(naming.DEPLOYMENTS, "churn", version)
    await stage.execute(Plan((Apply(stage.service()),), (Delete(old),), (confirm,), STATUS, (EVENT,)))
    assert stage.verbs() == [
        "get modeldeployments",
        "get services",
        "apply services",
        "delete services",
        "get services",
        "apply_status modeldeployments",
        "create_event events",
    ]
    assert stage.store.get(naming.SERVICES, "team", "churn") is not None
    assert stage.store.get(naming.SERVICES, "team", "old") is None
    event = stage.cluster.events[0]
    assert (event["reason"], event["note"], event["regarding"]["uid"]) == (
        "Available",
        "text",
        stage.deployment.metadata.uid,
    )


async def test_before_the_first_pods_come_their_identity_and_it_is_looked_at_seldom() -> None:
    stage = Stage()
    version = api.ModelVersion.model_validate(make.verified("a").stored())
    workload = serving.workload(stage.deployment, version, "0123456789", make.SETTINGS)
    await stage.execute(Plan(apply=(Apply(workload),)))
    assert stage.verbs() == [
        "get serviceaccounts",
        "apply serviceaccounts",
        "get rolebindings",
        "apply rolebindings",
        "get deployments",
        "apply deployments",
    ]
    await stage.execute(Plan(apply=(Apply(stage.service()),)))
    assert stage.verbs()[6:] == ["get services", "apply services"]


async def test_what_moved_since_stops_everything() -> None:
    stage = Stage()
    with pytest.raises(Conflict, match="moved"):
        await stage.execute(Plan((Apply(stage.service()),), (), (Confirm(naming.DEPLOYMENTS, "churn", "1"),), STATUS))
    assert stage.cluster.writes() == []


async def test_what_is_there_although_it_should_not_be_stops_everything() -> None:
    stage = Stage()
    await stage.made()
    stage.cluster.calls.clear()
    with pytest.raises(Conflict):
        await stage.execute(Plan((Apply(stage.service("s")),), (), (Confirm(naming.SERVICES, "churn", None),)))
    assert stage.cluster.writes() == []


async def test_a_foreign_object_of_that_name_is_never_touched() -> None:
    stage = Stage()
    stage.cluster.create(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "churn"}, "spec": {"selector": {"a": "b"}}}
    )
    with pytest.raises(NotOurs, match="not controlled by this object"):
        await stage.execute(Plan((Apply(stage.service()),)))
    assert stage.cluster.read(naming.SERVICES, "churn")["spec"]["selector"] == {"a": "b"}
    assert stage.cluster.writes() == []


async def test_a_child_that_came_meanwhile_is_looked_at_first() -> None:
    stage = Stage()
    await stage.made()
    with pytest.raises(Conflict, match="was there already"):
        await stage.execute(Plan((Apply(stage.service("s")),)))
    assert stage.store.get(naming.SERVICES, "team", "churn") is not None


@pytest.mark.parametrize("successor", [False, True], ids=["deleted", "replaced by another"])
async def test_a_child_that_is_not_the_one_observed_is_a_conflict(*, successor: bool) -> None:
    stage = Stage()
    observed = await stage.made()
    stage.cluster.remove(naming.SERVICES, "churn")
    if successor:
        stage.cluster.create({**stage.service(), "spec": {"selector": {"a": "b"}}})
    with pytest.raises(Conflict):
        await stage.execute(Plan((Apply(stage.service("s"), observed),)))
    with pytest.raises(Conflict) if successor else _nothing():
        await stage.execute(Plan(delete=(Delete(observed),)))
    assert (stage.cluster.names(naming.SERVICES) == ["churn"]) == successor


class _nothing:  # noqa: N801  # stands where pytest.raises stands
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


async def test_what_others_wrote_into_a_child_goes() -> None:
    stage = Stage()
    await stage.made()
    edited = stage.cluster.edit(naming.SERVICES, "churn", lambda raw: raw["spec"]["selector"].update(extra="x"))
    stage.store.put(naming.SERVICES, edited)
    known = stage.store.get(naming.SERVICES, "team", "churn")
    assert known is not None
    await stage.execute(Plan((Apply(stage.service(), Child(known)),)))
    assert "extra" not in stage.cluster.read(naming.SERVICES, "churn")["spec"]["selector"]


async def test_a_status_decided_on_an_older_object_is_not_written() -> None:
    stage = Stage()
    before = stage.deployment
    stage.cluster.edit(naming.DEPLOYMENTS, "churn", lambda raw: raw["spec"].update(replicas=2))
    with pytest.raises(Conflict):
        await stage.executor.execute(before, naming.DEPLOYMENT, Plan(status=STATUS, events=(EVENT,)))
    assert stage.cluster.events == []


async def test_an_object_that_is_gone_has_no_status() -> None:
    stage = Stage()
    before = stage.deployment
    stage.cluster.remove(naming.DEPLOYMENTS, "churn")
    await stage.executor.execute(before, naming.DEPLOYMENT, Plan(status=STATUS, events=(EVENT,)))
    assert stage.cluster.events == []


@pytest.mark.parametrize(
    "error", [ClusterUnavailable("503"), Refused("Event", "e", 403, "no")], ids=lambda e: type(e).__name__
)
async def test_a_lost_event_is_no_failure(error: Exception) -> None:
    stage = Stage()
    stage.cluster.fail(error, verb="create_event")
    await stage.execute(Plan(status=STATUS, events=(EVENT,)))
    assert stage.cluster.read(naming.DEPLOYMENTS, "churn")["status"]["replicas"] == 1


@pytest.fixture
def trail(caplog: pytest.LogCaptureFixture) -> Generator[Callable[[], list[Raw]]]:
    """Return a function that gives the lines of the audit log since it was last called."""
    structlog.configure(processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter])
    caplog.set_level(logging.INFO, logger="modelwright.audit")

    def taken() -> list[Raw]:
        found: list[Any] = [item.msg for item in caplog.records if item.name == "modelwright.audit"]
        caplog.clear()
        return found

    yield taken
    structlog.reset_defaults()


LINE = {"at": "2026-11-22T10:00:00Z", "event": "Promoted", "version": "churn-1", "message": "took over"}
OTHER = {**LINE, "at": "2026-11-22T11:00:00Z", "event": "RolledBack"}


async def test_each_line_of_a_history_is_logged_once_as_it_is_written(trail: Callable[[], list[Raw]]) -> None:
    stage = Stage()
    await stage.execute(Plan(status={**STATUS, "history": [LINE]}))
    (first,) = trail()
    uid = stage.deployment.metadata.uid
    told = {key: first[key] for key in ("event", "at", "version", "message", "kind", "namespace", "name", "uid")}
    assert told == {**LINE, "kind": "Deployment", "namespace": "team", "name": "churn", "uid": uid}
    await stage.execute(Plan(status={**STATUS, "replicas": 2, "history": [LINE]}))
    assert trail() == []
    await stage.execute(Plan(status={**STATUS, "history": [LINE, OTHER]}))
    assert [line["event"] for line in trail()] == ["RolledBack"]
    await stage.execute(Plan(status={**STATUS, "history": [OTHER, LINE]}))  # the oldest was left out
    assert [line["event"] for line in trail()] == ["Promoted"]


async def test_a_status_that_is_not_written_is_not_logged(trail: Callable[[], list[Raw]]) -> None:
    stage = Stage()
    stale = stage.deployment
    await stage.execute(Plan(status=STATUS))
    with pytest.raises(Conflict):
        await stage.executor.execute(stale, naming.DEPLOYMENT, Plan(status={**STATUS, "history": [LINE]}))
    assert trail() == []
