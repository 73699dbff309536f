"""Rollouts by steps, as whole stories in the simulated world: what is written, what is told, what never happens."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from modelwright_operator import naming
from tests.support import builders as make
from tests.support import kubelet
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
async def test_a_bad_version_is_rolled_back_with_the_numbers_and_not_tried_again() -> None:
    async with serving() as traffic:
        want(traffic, NAME_B)
        traffic.bad_canary = 1
        await traffic.flow(60)
        assert at(traffic) == ("RolledBack", 1, 0)
        assert traffic.forwarded[traffic.status["rejected"][0]["revision"]] <= 20 * 5, (
            "20 seconds of 10 % of 50 a second"
        )
        assert "canary" not in traffic.status["traffic"]
        found = summary(traffic)
        assert (found["Ready"], found["Stalled"]) == ("False/RolledBack", "True/RolledBack")
        assert (found["RolledBack"], found["Available"]) == ("True/CanaryBroken", "True/Available")
        assert traffic.status["rejected"][0]["version"] == NAME_B
        assert traffic.status["rollout"]["evidence"]["verdict"] == "Rollback"
        assert f"{NAME_A} answers requests" in message(traffic)
        assert "modelwright.dev/retry=" in message(traffic)
        assert sizes(traffic) == {NAME_A: 4}
        assert events(traffic)[-1] == "RolledBack"
        writes = len(traffic.world.cluster.writes())
        await traffic.flow(3600, every=300)
        await traffic.world.restart()
        await traffic.flow(60)
        assert len(traffic.world.cluster.writes()) == writes


@pytest.mark.asyncio
async def test_pods_outlive_the_table_that_names_them() -> None:
    """Traffic moves first: sidecars take a moment to pass the table on."""
    async with serving() as traffic:
        want(traffic, NAME_B)
        await traffic.flow(20)
        ask(traffic, "abort", named(traffic))
        await traffic.world.settle(0)
        assert at(traffic)[0] == "RolledBack"
        assert sizes(traffic) == {NAME_A: 4, NAME_B: 1}
        await traffic.world.settle(8)
        assert sizes(traffic) == {NAME_A: 4, NAME_B: 1}
        await traffic.world.settle(10)
        assert sizes(traffic) == {NAME_A: 4}


@pytest.mark.asyncio
async def test_what_was_rolled_back_is_tried_again_on_request_or_after_another_model() -> None:
    async with serving() as traffic:
        want(traffic, NAME_B)
        traffic.bad_canary = 1
        await traffic.flow(60)
        revision = traffic.status["rejected"][0]["revision"]
        ask(traffic, "retry", f"{revision}/1")
        await traffic.flow(60)
        assert traffic.status["rejected"][0]["attempts"] == 2, "the same request does not count for a second failure"
        assert at(traffic)[0] == "RolledBack"
        await traffic.flow(600, every=60)
        assert traffic.status["rejected"][0]["attempts"] == 2
        want(traffic, NAME_A)
        await traffic.flow(30)
        assert summary(traffic)["Ready"] == "True/Available"
        traffic.bad_canary = 0
        want(traffic, NAME_B)
        await traffic.flow(30)
        assert at(traffic)[0] == "Stepping"


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
async def test_what_cannot_be_decided_in_time_is_rolled_back_where_that_is_asked_for() -> None:
    step = {"weight": 10, "hold": {**HOLD, "maxSeconds": 600}}
    async with serving(rules(step, analysis={"onInconclusive": "Rollback"})) as traffic:
        traffic.rate = 0
        want(traffic, NAME_B)
        await traffic.flow(900, every=60)
        assert at(traffic)[0] == "RolledBack"
        assert summary(traffic)["RolledBack"] == "True/Inconclusive"


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
async def test_going_back_in_the_middle_withdraws_the_canary() -> None:
    async with serving() as traffic:
        want(traffic, NAME_B)
        await traffic.flow(60)
        want(traffic, NAME_A)
        await traffic.flow(30)
        assert at(traffic)[0] == "Withdrawn"
        assert sizes(traffic) == {NAME_A: 4}
        assert summary(traffic)["Ready"] == "True/Available"
        assert "rejected" not in traffic.status


@pytest.mark.asyncio
async def test_pods_that_never_get_ready_are_given_up_after_the_deadline() -> None:
    async with serving(progressDeadlineSeconds=120) as traffic:
        want(traffic, NAME_B)
        await traffic.world.settle(0)
        traffic.unready.add(traffic.status["canary"]["revision"])
        await traffic.flow(110)
        assert at(traffic) == ("Starting", 1, 0)
        assert summary(traffic)["Reconciling"] == "True/RollingOut"
        await traffic.flow(30)
        assert at(traffic)[0] == "RolledBack"
        assert summary(traffic)["RolledBack"] == "True/ProgressDeadlineExceeded"
        assert sizes(traffic)[NAME_A] == 4


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


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        ({"exitCode": 137, "reason": "OOMKilled"}, "OutOfMemory"),
        ({"exitCode": 139, "reason": "Error"}, "CanaryCrashed"),
    ],
)
@pytest.mark.asyncio
async def test_a_server_that_dies_is_reason_enough(ended: Raw, reason: str) -> None:
    async with serving() as traffic:
        want(traffic, NAME_B)
        await traffic.flow(20)
        [workload] = [
            item
            for item in traffic.world.cluster.all(naming.WORKLOADS)
            if item["metadata"]["labels"][naming.LABEL_REVISION] == traffic.status["canary"]["revision"]
        ]
        died = {**ended, "finishedAt": traffic.world.clock.text(), "message": ""}
        state = kubelet.waiting("server", "CrashLoopBackOff" if reason == "OutOfMemory" else "PodInitializing")
        status = {"phase": "Running", "containerStatuses": [{**state, "lastState": {"terminated": died}}]}
        pod = kubelet.serving_pod(workload, status)
        traffic.world.cluster.create(pod)
        traffic.world.cluster.set_status(naming.PODS, pod["metadata"]["name"], status)
        await traffic.world.settle(5)
        assert at(traffic)[0] == "RolledBack"
        assert summary(traffic)["RolledBack"] == f"True/{reason}"


@pytest.mark.asyncio
async def test_a_broken_stable_version_does_not_block_its_cure() -> None:
    async with serving() as traffic:
        want(traffic, NAME_B)
        await traffic.flow(20)
        traffic.unready.add(traffic.status["stable"]["revision"])
        traffic.rate = 0
        await traffic.flow(120)
        assert traffic.status["stable"]["version"] == NAME_B
        assert "StableUnavailable" in events(traffic)


@pytest.mark.asyncio
async def test_steps_wait_for_approval_by_annotation_or_commit() -> None:
    steps = [{"weight": 10, "hold": HOLD, "approval": "Required"}, {"weight": 50, "hold": HOLD, "approval": "Required"}]
    async with serving(rules(*steps)) as traffic:
        want(traffic, NAME_B)
        await traffic.flow(300)
        assert at(traffic) == ("Stepping", 1, 10)
        found = summary(traffic)
        assert (found["Ready"], found["ApprovalRequired"]) == ("True/ApprovalRequired",) * 2
        assert f"modelwright.dev/approve={named(traffic)}" in message(traffic)
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
async def test_the_guard_stands_while_a_step_waits_for_a_human() -> None:
    async with serving(rules({"weight": 10, "hold": HOLD, "approval": "Required"})) as traffic:
        want(traffic, NAME_B)
        await traffic.flow(1800, every=30)
        assert traffic.status["rollout"]["awaiting"] == "Approval"
        traffic.bad_canary = 2
        await traffic.flow(300)
        assert at(traffic)[0] == "RolledBack"


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
async def test_in_the_watch_what_turns_bad_falls_back_at_once() -> None:
    async with serving() as traffic:
        want(traffic, NAME_B)
        for _ in range(300):
            await traffic.flow(10, every=10)
            if at(traffic)[0] == "Watching":
                break
        traffic.bad_stable = 3
        await traffic.flow(60)
        assert traffic.status["stable"]["version"] == NAME_A
        assert points_at(traffic) == traffic.status["stable"]["revision"]
        assert summary(traffic)["RolledBack"] == "True/CanaryWorse"
        assert sizes(traffic) == {NAME_A: 4}


@pytest.mark.asyncio
async def test_in_the_watch_going_back_needs_no_rollout() -> None:
    async with serving() as traffic:
        want(traffic, NAME_B)
        for _ in range(300):
            await traffic.flow(10, every=10)
            if at(traffic)[0] == "Watching":
                break
        want(traffic, NAME_A)
        await traffic.flow(5)
        assert traffic.status["stable"]["version"] == NAME_A
        assert points_at(traffic) == traffic.status["stable"]["revision"]
        await traffic.flow(60)
        assert sizes(traffic) == {NAME_A: 4}


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
async def test_what_is_followed_passes_over_a_rejected_version() -> None:
    async with serving() as traffic:
        change(traffic, model={"name": "churn", "follow": "Latest"})
        traffic.bad_canary = 1
        await traffic.flow(60)
        assert traffic.status["rejected"][0]["version"] == NAME_C, "the newest came first"
        await traffic.flow(60)
        assert [item["version"] for item in traffic.status["rejected"]] == [NAME_C, NAME_B]
        assert traffic.status["stable"]["version"] == NAME_A
        assert summary(traffic)["Stalled"] == "True/RolledBack"
        assert NAME_C in message(traffic)


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
