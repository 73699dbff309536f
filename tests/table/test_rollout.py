"""Rollouts by steps, as whole stories in the simulated world: how a version takes over."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_operator import naming
from tests.support import builders as make
from tests.support import kubelet
from tests.table.rollouts import (
    HOLD,
    NAME_A,
    NAME_B,
    NAME_C,
    WATCH,
    ask,
    at,
    change,
    events,
    message,
    named,
    points_at,
    put,
    rules,
    serving,
    sizes,
    summary,
    want,
)

Raw = dict[str, Any]


@pytest.mark.asyncio
async def test_a_version_as_good_goes_through_every_step_and_takes_over() -> None:
    async with serving() as traffic:
        old = points_at(traffic)
        want(traffic, NAME_B)
        await traffic.world.settle(0)
        assert at(traffic) == ("Starting", 1, 0)
        assert sizes(traffic) == {NAME_A: 4, NAME_B: 1}
        await traffic.flow(15)
        assert at(traffic) == ("Stepping", 1, 10)
        assert traffic.status["traffic"]["canary"]["host"] == "churn-canary.team.svc"
        assert points_at(traffic, "churn-canary") == traffic.status["canary"]["revision"]
        assert summary(traffic)["Reconciling"] == "True/StepHolding"
        seen = {at(traffic)}
        for _ in range(300):
            await traffic.flow(10, every=10)
            seen.add(at(traffic))
            if traffic.status["stable"]["version"] == NAME_A:
                assert points_at(traffic) == old
                assert sizes(traffic)[NAME_A] == 4
            if at(traffic)[0] == "Watching":
                break
        assert ("Stepping", 2, 50) in seen
        assert traffic.status["stable"]["version"] == NAME_B
        assert points_at(traffic) == traffic.status["stable"]["revision"]
        assert sizes(traffic) == {NAME_A: 4, NAME_B: 4}, "the version before is kept to fall back on"
        assert summary(traffic)["Ready"] == "True/Available"
        await traffic.flow(WATCH + 30)
        assert at(traffic)[0] == "Complete"
        assert sizes(traffic) == {NAME_B: 4}
        assert events(traffic) == ["RolloutStarted", "StepStarted", "StepStarted", "Promoted"]
        assert traffic.world.clock.seconds() > 0
        writes = len(traffic.world.cluster.writes())
        await traffic.world.settle(3600)
        assert len(traffic.world.cluster.writes()) == writes, "at rest nothing is written"


@pytest.mark.asyncio
async def test_without_requests_nothing_is_promoted_and_the_status_says_why() -> None:
    async with serving() as traffic:
        traffic.rate = 0
        want(traffic, NAME_B)
        await traffic.flow(7200, every=60)
        assert at(traffic) == ("Stepping", 1, 10)
        assert traffic.status["rollout"]["awaiting"] == "Requests"
        assert "none has come yet" in message(traffic)
        assert summary(traffic)["Ready"] == "True/StepHolding", "a long hold is no work that advances"
        assert summary(traffic)["RolloutHealthy"] == "Unknown/Inconclusive"
        writes = len(traffic.world.cluster.writes())
        await traffic.world.settle(600)
        assert len(traffic.world.cluster.writes()) == writes, "waiting writes nothing"


@pytest.mark.asyncio
async def test_of_five_changes_in_ten_seconds_only_the_last_is_judged_and_from_its_first_step() -> None:
    async with serving() as traffic:
        want(traffic, NAME_B)
        await traffic.flow(60)
        for version in (NAME_C, NAME_B, NAME_C, NAME_B, NAME_C):
            want(traffic, version)
            await traffic.world.settle(2)
        assert traffic.status["canary"]["version"] == NAME_C
        assert at(traffic) == ("Starting", 1, 0)
        assert "evidence" not in traffic.status["rollout"] or not traffic.status["rollout"]["evidence"].get("steps")
        await traffic.flow(30)
        assert set(sizes(traffic)) == {NAME_A, NAME_C}
        assert "Superseded" in events(traffic)
        counted = traffic.status["rollout"]["evidence"]["steps"][0]["canary"]["requests"]
        assert counted <= 30 * 5


@pytest.mark.asyncio
async def test_a_canary_whose_pods_go_gets_no_requests_until_they_are_back() -> None:
    async with serving() as traffic:
        want(traffic, NAME_B)
        await traffic.flow(20)
        canary = traffic.status["canary"]["revision"]
        traffic.unready.add(canary)
        traffic.kubernetes()
        await traffic.world.settle(0)
        assert "canary" not in traffic.status["traffic"]
        assert traffic.status["traffic"]["weight"] == 0
        await traffic.flow(60)
        assert at(traffic) == ("Stepping", 1, 0)
        traffic.unready.clear()
        traffic.kubernetes()
        await traffic.world.settle(0)
        assert traffic.status["traffic"]["weight"] > 0


@pytest.mark.asyncio
async def test_steps_wait_for_approval_by_annotation_or_commit() -> None:
    steps = [{"weight": 10, "hold": HOLD, "approval": "Required"}, {"weight": 50, "hold": HOLD, "approval": "Required"}]
    async with serving(rules(*steps)) as traffic:
        want(traffic, NAME_B)
        await traffic.flow(300)
        assert at(traffic) == ("Stepping", 1, 10)
        found = summary(traffic)
        assert (found["Ready"], found["ApprovalRequired"]) == ("True/ApprovalRequired",) * 2
        command = f"kubectl annotate modeldeployment churn --overwrite modelwright.dev/approve={named(traffic)}"
        assert command in message(traffic)
        ask(traffic, "approve", named(traffic))
        await traffic.flow(15)
        assert at(traffic) == ("Stepping", 2, 50)
        assert "ApprovalRequired" not in summary(traffic)
        await traffic.flow(1800, every=30)
        assert traffic.status["rollout"]["awaiting"] == "Approval", "the approval of the first step is not the second's"
        change(traffic, rollout={**rules(*steps), "approved": {"version": NAME_B, "step": 2}})
        await traffic.flow(30)
        assert traffic.status["stable"]["version"] == NAME_B


@pytest.mark.asyncio
async def test_a_pause_holds_and_a_skip_and_a_promotion_by_hand_do_not_wait() -> None:
    async with serving() as traffic:
        want(traffic, NAME_B)
        await traffic.flow(10)
        ask(traffic, "pause", named(traffic))
        await traffic.flow(3600, every=60)
        assert at(traffic) == ("Stepping", 1, 10)
        assert summary(traffic)["Ready"] == "True/Paused"
        ask(traffic, "pause", "")
        ask(traffic, "skip", named(traffic))
        await traffic.flow(10)
        assert at(traffic)[1] == 2
        ask(traffic, "promote", named(traffic))
        await traffic.flow(15)
        assert traffic.status["stable"]["version"] == NAME_B
        assert "PromotedByHand" in events(traffic)


@pytest.mark.asyncio
async def test_scaling_in_the_middle_changes_sizes_and_nothing_else() -> None:
    async with serving() as traffic:
        want(traffic, NAME_B)
        await traffic.flow(40)
        before = at(traffic)
        change(traffic, replicas=20)
        await traffic.flow(10)
        assert at(traffic)[0] == before[0]
        assert sizes(traffic)[NAME_A] == 20
        assert sizes(traffic)[NAME_B] in {2, 10}
        assert len([event for event in events(traffic) if event == "RolloutStarted"]) == 1


@pytest.mark.asyncio
async def test_copies_come_before_shares() -> None:
    async with serving(rules({"shadowPercent": 100, "hold": HOLD}, {"weight": 20, "hold": HOLD})) as traffic:
        want(traffic, NAME_B)
        await traffic.flow(15)
        table = traffic.status["traffic"]
        assert (table["weight"], table["shadowPercent"]) == (0, 100)
        assert sizes(traffic)[NAME_B] == 4
        await traffic.flow(60)
        assert at(traffic) == ("Stepping", 2, 20)


@pytest.mark.asyncio
async def test_a_version_with_other_inputs_is_refused_before_any_pod_starts() -> None:
    async with serving() as traffic:
        cluster = traffic.world.cluster
        cluster.edit(naming.MODEL_VERSIONS, NAME_A, lambda raw: raw["status"].update(schema=kubelet.SCHEMA))
        [tensor] = kubelet.SCHEMA["inputs"]
        other = {**kubelet.SCHEMA, "inputs": [{**tensor, "columns": ["a", "c"]}]}
        cluster.edit(naming.MODEL_VERSIONS, NAME_B, lambda raw: raw["status"].update(schema=other))
        want(traffic, NAME_B)
        await traffic.flow(30)
        assert sizes(traffic) == {NAME_A: 4}
        assert summary(traffic)["Stalled"] == "True/SchemaMismatch"
        assert "columns of input: b, c" in message(traffic)
        change(traffic, rollout=rules(allowSchemaChange=True))
        await traffic.flow(30)
        assert at(traffic)[0] == "Stepping"


@pytest.mark.asyncio
async def test_a_version_of_another_model_is_refused() -> None:
    async with serving() as traffic:
        other = make.verified("d", model="spam")
        put(traffic.world, other)
        want(traffic, other.raw["metadata"]["name"])
        await traffic.flow(30)
        assert summary(traffic)["Stalled"] == "True/ModelMismatch"
        assert sizes(traffic) == {NAME_A: 4}


@pytest.mark.asyncio
async def test_figures_are_written_every_ten_seconds_at_most() -> None:
    async with serving(rules({"weight": 10, "hold": {**HOLD, "minSeconds": 3600}})) as traffic:
        want(traffic, NAME_B)
        await traffic.flow(60)
        writes = len(traffic.world.cluster.writes())
        await traffic.flow(600)
        assert len(traffic.world.cluster.writes()) - writes <= 65


@pytest.mark.asyncio
async def test_pods_of_an_earlier_release_are_said_to_spread_nothing() -> None:
    async with serving() as traffic:
        [name] = traffic.world.cluster.names(naming.WORKLOADS)

        def without_sidecar(raw: Raw) -> None:
            pod = raw["spec"]["template"]["spec"]
            pod["initContainers"] = [item for item in pod["initContainers"] if item["name"] != naming.MONITOR_CONTAINER]
            template = naming.canonical_json(raw["spec"]["template"])
            raw["metadata"]["annotations"][naming.ANNOTATION_TEMPLATE] = template

        traffic.world.cluster.edit(naming.WORKLOADS, name, without_sidecar)
        traffic.rate = 0
        want(traffic, NAME_B)
        await traffic.flow(120)
        assert "made by an earlier release" in message(traffic)
        ask(traffic, "promote", named(traffic))
        await traffic.flow(20)
        assert traffic.status["stable"]["version"] == NAME_B
