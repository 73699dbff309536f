"""A Deployment whose requests a gateway spreads: its HTTPRoute, what gateways say of it, a kind that is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from modelwright_operator import naming
from modelwright_operator.decide.scaling import QUIET
from modelwright_operator.errors import ClusterUnavailable, NotFound, Refused
from tests.support import builders as make
from tests.support import kubelet
from tests.support.world import World
from tests.table import rollouts
from tests.table.rollouts import HOLD, NAME_A, NAME_B, at, message, serving, summary, want

if TYPE_CHECKING:
    from tests.support.traffic import Traffic

Raw = dict[str, Any]
PARENT: Raw = {"name": "public", "namespace": "edge"}
GATEWAY: Raw = {"mode": "GatewayAPI", "gateway": {"parentRefs": [PARENT], "hostnames": ["churn.example.test"]}}
NOT_KNOWN = NotFound("the server could not find the requested resource")


def by(traffic: Traffic, spec: Raw) -> None:
    """Set spec.traffic."""
    traffic.world.cluster.edit(naming.DEPLOYMENTS, "churn", lambda raw: raw["spec"].update(traffic=spec))


def says(traffic: Traffic, **conditions: str) -> None:
    """Let the gateway's controller write these conditions, and those there are by default."""
    given = {"Accepted": "True", "ResolvedRefs": "True", **conditions}
    found = [
        {"type": kind, "status": status, "reason": "Because", "message": f"{kind} is {status}"}
        for kind, status in given.items()
    ]
    answer = {"parentRef": PARENT, "controllerName": "example.test/gateway", "conditions": found}
    traffic.world.cluster.set_status(naming.HTTP_ROUTES, "churn", {"parents": [answer]})


def route(traffic: Traffic) -> Raw:
    return traffic.world.get(naming.HTTP_ROUTES, "churn")


def weights(traffic: Traffic) -> dict[str, int]:
    [backends] = [rule["backendRefs"] for rule in route(traffic)["spec"]["rules"][-1:]]
    return {item["name"]: item["weight"] for item in backends}


async def through_gateway(traffic: Traffic) -> None:
    by(traffic, GATEWAY)
    await traffic.flow(10)
    says(traffic)
    await traffic.flow(10)


async def until(traffic: Traffic, phase: str, seconds: int = 900) -> None:
    for _ in range(seconds // 10):
        if traffic.status.get("rollout", {}).get("phase") == phase:
            return
        await traffic.flow(10)
    raise AssertionError(traffic.status["rollout"])


async def test_a_rollout_goes_by_the_routes_weights_and_the_pods_forward_nothing() -> None:
    async with serving() as traffic:
        await through_gateway(traffic)
        assert summary(traffic)["Ready"] == "True/Available"
        assert weights(traffic) == {"churn": 100}
        spec = route(traffic)["spec"]
        assert spec["hostnames"] == ["churn.example.test"]
        assert spec["parentRefs"] == [{"group": "gateway.networking.k8s.io", "kind": "Gateway", **PARENT}]
        want(traffic, NAME_B)
        seen: list[dict[str, int]] = []
        for _ in range(200):
            await traffic.flow(5)
            assert traffic.status["traffic"]["weight"] == 0
            if not seen or weights(traffic) != seen[-1]:
                seen.append(weights(traffic))
            if traffic.status["rollout"]["phase"] == "Complete":
                break
        assert seen == [
            {"churn": 100},
            {"churn": 90, "churn-canary": 10},
            {"churn": 50, "churn-canary": 50},
            {"churn": 100},
        ]
        assert traffic.status["stable"]["version"] == NAME_B
        evidence = traffic.status["rollout"]["evidence"]["steps"]
        assert [item["canary"]["requests"] > 0 for item in evidence[:2]] == [True, True]


async def test_a_bad_canary_gets_nothing_any_more() -> None:
    async with serving() as traffic:
        await through_gateway(traffic)
        traffic.bad_canary = 2
        want(traffic, NAME_B)
        await until(traffic, "RolledBack")
        assert weights(traffic) == {"churn": 100}
        assert summary(traffic)["Stalled"] == "True/RolledBack"


async def test_copies_are_counted_by_the_canary_and_end_their_step() -> None:
    steps = [{"shadowPercent": 20, "hold": HOLD}, {"weight": 50, "hold": HOLD}]
    async with serving(rollouts.rules(*steps)) as traffic:
        await through_gateway(traffic)
        want(traffic, NAME_B)
        await traffic.flow(20)
        [rule] = route(traffic)["spec"]["rules"]
        assert weights(traffic) == {"churn": 100}
        assert rule["filters"][0]["requestMirror"]["percent"] == 20
        await until(traffic, "Watching")
        assert traffic.status["stable"]["version"] == NAME_B


async def test_bad_answers_to_copies_roll_back() -> None:
    async with serving(rollouts.rules({"shadowPercent": 100, "hold": HOLD}, {"weight": 50, "hold": HOLD})) as traffic:
        await through_gateway(traffic)
        traffic.bad_canary = 1
        want(traffic, NAME_B)
        await until(traffic, "RolledBack")
        assert traffic.status["rollout"]["step"] == 1


async def test_matched_requests_have_a_rule_of_their_own_while_the_canary_takes_traffic() -> None:
    match = {"header": "x-canary", "value": "always"}
    async with serving() as traffic:
        by(traffic, {**GATEWAY, "match": match})
        await traffic.flow(10)
        says(traffic)
        assert len(route(traffic)["spec"]["rules"]) == 1
        want(traffic, NAME_B)
        await until(traffic, "Stepping")
        await traffic.flow(5)
        named, matched, _ = route(traffic)["spec"]["rules"]
        assert named["matches"][0]["path"]["value"] == "/v2/models/churn/versions"
        assert [item["name"] for item in named["backendRefs"]] == ["churn"]
        assert matched["matches"][0]["headers"] == [{"type": "Exact", "name": "x-canary", "value": "always"}]
        assert [item["name"] for item in matched["backendRefs"]] == ["churn-canary"]


@pytest.mark.parametrize(
    ("track", "found"),
    [("stable", {"churn": 90, "churn-canary": 10}), ("canary", {"churn": 100})],
)
async def test_a_canary_has_its_share_while_a_pod_of_it_is_ready_and_never_more(
    track: str, found: dict[str, int]
) -> None:
    async with serving() as traffic:
        await through_gateway(traffic)
        want(traffic, NAME_B)
        await until(traffic, "Stepping")
        await traffic.flow(5)
        assert weights(traffic) == {"churn": 90, "churn-canary": 10}
        traffic.unready.add(traffic.status[track]["revision"])
        traffic.kubernetes()
        await traffic.world.settle(0)
        assert weights(traffic) == found
        await traffic.flow(5)
        assert weights(traffic) == found
        traffic.unready.clear()
        await traffic.flow(10)
        assert weights(traffic) == {"churn": 90, "churn-canary": 10}


async def test_autoscalers_go_by_the_gateways_spread() -> None:
    hold = {"minSeconds": 3600, "minRequests": 50}
    autoscaling = {"minReplicas": 2, "maxReplicas": 10}
    async with serving(rollouts.rules({"weight": 50, "hold": hold}), autoscaling=autoscaling) as traffic:

        def down() -> str:
            spec: Raw = traffic.world.get(naming.AUTOSCALERS, "churn")["spec"]
            return str(spec["behavior"]["scaleDown"]["selectPolicy"])

        await through_gateway(traffic)
        assert down() == "Max"
        want(traffic, NAME_B)
        await traffic.flow(60)
        assert weights(traffic) == {"churn": 50, "churn-canary": 50}
        assert (traffic.status["traffic"]["weight"], down()) == (0, "Disabled")
        for track in ("stable", "canary"):
            assert traffic.status[track]["revision"] in traffic.status["selector"]
        kubelet.autoscale(traffic.world.cluster, "churn", 6)
        await traffic.flow(60)
        assert rollouts.sizes(traffic) == {NAME_A: 6, NAME_B: 3}
        want(traffic, NAME_A)
        await traffic.flow(60)
        assert (weights(traffic), down()) == ({"churn": 100}, "Disabled")
        await traffic.world.settle(QUIET.total_seconds())
        assert down() == "Max"


@pytest.mark.parametrize("condition", ["Accepted", "ResolvedRefs"])
async def test_a_route_that_is_not_taken_is_said_and_holds_the_rollout(condition: str) -> None:
    async with serving() as traffic:
        await through_gateway(traffic)
        says(traffic, **{condition: "False"})
        await traffic.flow(10)
        assert summary(traffic)["Stalled"] == "True/RouteNotAccepted"
        assert f"{condition} is False" in message(traffic, "Stalled")
        want(traffic, NAME_B)
        await traffic.flow(1200)  # beyond any deadline: no canary is to blame
        assert at(traffic) == ("Starting", 1, 0)
        assert traffic.status["rollout"]["awaiting"] == "Gateway"
        says(traffic)
        await until(traffic, "Complete")


async def test_a_gateway_that_nobody_looks_after_is_said_in_the_end() -> None:
    async with serving() as traffic:
        by(traffic, GATEWAY)
        await traffic.flow(10)
        assert summary(traffic)["Reconciling"] == "True/RoutePending"
        assert "edge/public" in message(traffic)
        await traffic.flow(700)
        assert summary(traffic)["Stalled"] == "True/RouteNotAccepted"


async def test_without_the_kind_it_is_said_and_begins_once_the_kind_is_there() -> None:
    async with serving() as traffic:
        traffic.world.cluster.fail(NOT_KNOWN, resource=naming.HTTP_ROUTES, times=10**6)
        by(traffic, GATEWAY)
        await traffic.flow(10)
        assert summary(traffic)["Stalled"] == "True/GatewayAPIMissing"
        assert summary(traffic)["Available"] == "True/Available"
        assert "spec.traffic.mode" in message(traffic, "Stalled")
        writes, calls = len(traffic.world.cluster.writes()), len(traffic.world.cluster.calls)
        await traffic.flow(300)
        assert len(traffic.world.cluster.writes()) == writes
        assert len(traffic.world.cluster.calls) - calls < 100
        want(traffic, NAME_B)
        await traffic.flow(60)
        assert at(traffic) == ("Starting", 1, 0)
        traffic.world.cluster.faults.clear()
        await traffic.flow(10)
        says(traffic)
        await until(traffic, "Complete")


async def test_another_switch_of_mode_begins_the_step_anew() -> None:
    async with serving() as traffic:
        want(traffic, NAME_B)
        await until(traffic, "Stepping")
        await traffic.flow(10)
        before = traffic.status["traffic"]
        assert before["weight"] == 10
        by(traffic, GATEWAY)
        await traffic.flow(10)
        assert traffic.status["rollout"]["awaiting"] == "Gateway"
        assert traffic.status["traffic"]["weight"] == 0
        assert weights(traffic) == {"churn": 90, "churn-canary": 10}
        says(traffic)
        await traffic.flow(5)
        assert traffic.status["traffic"]["sequence"] == before["sequence"] + 1
        by(traffic, {"mode": "InServer"})
        await traffic.flow(5)
        assert not traffic.world.cluster.names(naming.HTTP_ROUTES)
        assert traffic.status["traffic"]["weight"] == 10
        assert traffic.status["traffic"]["sequence"] == before["sequence"] + 2
        await until(traffic, "Complete")


async def test_a_route_of_somebody_else_is_left_alone() -> None:
    async with serving() as traffic:
        cluster = traffic.world.cluster
        foreign = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "churn"}}
        cluster.create({**foreign, "spec": {"rules": []}})
        by(traffic, GATEWAY)
        await traffic.flow(40)
        assert summary(traffic)["Stalled"] == "True/NameConflict"
        by(traffic, {"mode": "InServer"})
        await traffic.flow(60)
        assert summary(traffic)["Ready"] == "True/Available"
        assert route(traffic)["spec"] == {"rules": []}


async def test_a_route_edited_by_hand_is_put_back_and_one_deleted_is_made_again() -> None:
    async with serving() as traffic:
        await through_gateway(traffic)
        cluster = traffic.world.cluster
        cluster.edit(naming.HTTP_ROUTES, "churn", lambda raw: raw["spec"]["rules"][0].update(backendRefs=[]))
        await traffic.flow(10)
        assert weights(traffic) == {"churn": 100}
        cluster.remove(naming.HTTP_ROUTES, "churn")
        await traffic.flow(10)
        assert weights(traffic) == {"churn": 100}


async def test_at_rest_nothing_is_written() -> None:
    async with serving() as traffic:
        await through_gateway(traffic)
        await traffic.flow(120)
        writes = len(traffic.world.cluster.writes())
        await traffic.flow(600)
        assert len(traffic.world.cluster.writes()) == writes


@pytest.mark.parametrize("verb", ["get", "list", "apply", "delete"])
@pytest.mark.parametrize(
    "error", [ClusterUnavailable("away"), Refused("HTTPRoute", "churn", 403, "forbidden")], ids=["away", "forbidden"]
)
async def test_each_call_for_a_route_may_fail(verb: str, error: Exception) -> None:
    async with serving() as traffic:
        traffic.world.cluster.fail(error, verb=verb, resource=naming.HTTP_ROUTES, times=3)
        await through_gateway_slowly(traffic)
        assert weights(traffic) == {"churn": 100}
        by(traffic, {"mode": "InServer"})
        await traffic.flow(120)
        assert not traffic.world.cluster.names(naming.HTTP_ROUTES)
        assert summary(traffic)["Ready"] == "True/Available"


async def through_gateway_slowly(traffic: Traffic) -> None:
    by(traffic, GATEWAY)
    await traffic.flow(150)
    says(traffic)
    await traffic.flow(60)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mode": "GatewayAPI"}, "spec.traffic.gateway goes with spec.traffic.mode"),
        ({"gateway": {"parentRefs": [PARENT]}}, "spec.traffic.gateway goes with spec.traffic.mode"),
        ({"mode": "GatewayAPI", "gateway": {"parentRefs": []}}, "parentRefs"),
        ({**GATEWAY, "stickyHeader": "x-user"}, "spec.traffic.stickyHeader"),
    ],
)
def test_what_a_gateway_cannot_do_is_refused(given: Raw, said: str) -> None:
    with World() as world, pytest.raises(Refused, match=said):
        world.cluster.create(make.deployment(version=NAME_B).spec(traffic=given).raw)
