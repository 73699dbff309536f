"""The sidecars' identity in a namespace: made where it is missing, mended where it is wrong, else left alone."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_operator import naming
from modelwright_operator.cluster import accounts
from modelwright_operator.cluster.accounts import MonitorAccounts
from modelwright_operator.errors import ClusterUnavailable, NotOurs, Refused
from modelwright_operator.render import sidecar
from tests.support import builders as make
from tests.support.fake_cluster import FakeCluster, Fault

ROLE = make.SETTINGS.monitor_role
ACCOUNT = naming.MONITOR_ACCOUNT


class Stage:
    """A namespace, and who sees to it."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        port: Any = self.cluster
        self.accounts = MonitorAccounts(port, make.SETTINGS)

    async def ensure(self, namespace: str = "team", *, starting: bool = True) -> list[str]:
        """Return the requests it took."""
        self.cluster.calls.clear()
        await self.accounts.ensure(namespace, starting=starting)
        return [f"{call.verb} {call.resource}" for call in self.cluster.calls]

    def binding(self) -> Any:
        return self.cluster.read(naming.ROLE_BINDINGS, ROLE)


READS = ["get serviceaccounts", "get rolebindings"]


async def test_both_are_made_once_and_belong_to_no_deployment() -> None:
    stage = Stage()
    assert await stage.ensure() == [
        "get serviceaccounts",
        "apply serviceaccounts",
        "get rolebindings",
        "apply rolebindings",
    ]
    assert stage.cluster.read(naming.SERVICE_ACCOUNTS, ACCOUNT)["automountServiceAccountToken"] is False
    assert "ownerReferences" not in str(stage.cluster.objects)
    assert await stage.ensure() == [], "known for some minutes"
    assert stage.binding()["roleRef"]["name"] == ROLE
    assert stage.binding()["subjects"] == [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": "team"}]


async def test_where_all_is_as_it_should_be_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "_STARTING_SECONDS", 0.0)
    stage = Stage()
    await stage.ensure()
    assert await stage.ensure() == READS


async def test_a_namespace_made_anew_gets_them_before_its_pods_start(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    now = [1000.0]
    monkeypatch.setattr(accounts, "monotonic", lambda: now[0])
    await stage.ensure()
    stage.cluster.objects.clear()
    now[0] += 30
    assert await stage.ensure(starting=False) == [], "what runs has its token"
    assert "apply serviceaccounts" in await stage.ensure(starting=True)


async def test_each_namespace_is_seen_to() -> None:
    stage = Stage()
    await stage.ensure("one")
    assert "apply rolebindings" in await stage.ensure("two")


async def test_what_was_deleted_or_spoilt_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "_LOOK_AGAIN_SECONDS", 0.0)
    stage = Stage()
    await stage.ensure()
    stage.cluster.remove(naming.SERVICE_ACCOUNTS, ACCOUNT)
    assert "apply serviceaccounts" in await stage.ensure(starting=False)
    spoilt = {**stage.binding(), "subjects": []}
    stage.cluster.remove(naming.ROLE_BINDINGS, ROLE)
    stage.cluster.create(spoilt)
    assert await stage.ensure(starting=False) == [*READS, "apply rolebindings"]
    assert stage.binding()["subjects"][0]["name"] == ACCOUNT


async def test_what_somebody_else_made_is_left_alone_where_it_serves() -> None:
    stage = Stage()
    own = {
        **sidecar.account("team"),
        "metadata": {"name": ACCOUNT, "namespace": "team", "annotations": {"a/role": "x"}},
    }
    wider = sidecar.binding("team", ROLE)
    wider["metadata"] = {"name": ROLE, "namespace": "team"}
    wider["roleRef"] = {**wider["roleRef"], "kind": "Role"}
    wider["subjects"] = [*wider["subjects"], {"kind": "User", "name": "somebody"}]
    stage.cluster.create(own)
    stage.cluster.create(wider)
    assert await stage.ensure() == READS


async def test_what_somebody_else_made_is_never_taken_over() -> None:
    stage = Stage()
    other = {**sidecar.binding("team", ROLE), "subjects": []}
    other["metadata"] = {"name": ROLE, "namespace": "team"}
    stage.cluster.create(other)
    with pytest.raises(NotOurs, match=r"delete it, or add the account to its subjects"):
        await stage.ensure()
    assert stage.binding()["subjects"] == []


def refusing(stage: Stage, resource: str) -> None:
    error = Refused("RoleBinding", ROLE, 403, "forbidden")
    stage.cluster.faults.append(Fault(error, lambda call: (call.verb, call.resource) == ("apply", resource), times=9))


async def test_a_refusal_stops_what_is_starting_and_is_tried_again() -> None:
    stage = Stage()
    refusing(stage, naming.ROLE_BINDINGS)
    for _ in range(2):
        with pytest.raises(Refused, match="forbidden"):
            await stage.ensure()
    stage.cluster.faults.clear()
    assert "apply rolebindings" in await stage.ensure()


async def test_a_refusal_stops_nothing_that_runs() -> None:
    stage = Stage()
    refusing(stage, naming.ROLE_BINDINGS)
    await stage.ensure(starting=False)
    assert await stage.ensure(starting=False) == [], "not asked again at each pass"
    with pytest.raises(Refused):
        await stage.ensure(starting=True)


async def test_an_api_server_that_is_away_is_asked_again() -> None:
    stage = Stage()
    stage.cluster.faults.append(Fault(ClusterUnavailable("away"), lambda call: call.verb == "get"))
    with pytest.raises(ClusterUnavailable):
        await stage.ensure(starting=False)
    assert "apply rolebindings" in await stage.ensure(starting=False)
