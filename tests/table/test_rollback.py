"""Rollouts by steps, as whole stories in the simulated world: how a version is given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from modelwright_operator import naming
from modelwright_operator.cluster.evidence import EvidenceReader
from tests.support import kubelet
from tests.table.rollouts import (
    HOLD,
    NAME_A,
    NAME_B,
    NAME_C,
    ask,
    at,
    change,
    events,
    message,
    named,
    points_at,
    promote,
    rules,
    serving,
    sizes,
    summary,
    want,
)

if TYPE_CHECKING:
    from modelwright_operator.decide.pages import Page

Raw = dict[str, Any]


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
async def test_what_cannot_be_decided_in_time_is_rolled_back_where_that_is_asked_for() -> None:
    step = {"weight": 10, "hold": {**HOLD, "maxSeconds": 600}}
    async with serving(rules(step, analysis={"onInconclusive": "Rollback"})) as traffic:
        traffic.rate = 0
        want(traffic, NAME_B)
        await traffic.flow(900, every=60)
        assert at(traffic)[0] == "RolledBack"
        assert summary(traffic)["RolledBack"] == "True/Inconclusive"


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
async def test_the_guard_stands_while_a_step_waits_for_a_human() -> None:
    async with serving(rules({"weight": 10, "hold": HOLD, "approval": "Required"})) as traffic:
        want(traffic, NAME_B)
        await traffic.flow(1800, every=30)
        assert traffic.status["rollout"]["awaiting"] == "Approval"
        traffic.bad_canary = 2
        await traffic.flow(300)
        assert at(traffic)[0] == "RolledBack"


@pytest.mark.asyncio
async def test_in_the_watch_what_turns_bad_falls_back_at_once() -> None:
    async with serving() as traffic:
        await promote(traffic)
        traffic.bad_stable = 3
        await traffic.flow(60)
        assert traffic.status["stable"]["version"] == NAME_A
        assert points_at(traffic) == traffic.status["stable"]["revision"]
        assert summary(traffic)["RolledBack"] == "True/CanaryWorse"
        assert sizes(traffic) == {NAME_A: 4}


@pytest.mark.asyncio
async def test_in_the_watch_going_back_needs_no_rollout() -> None:
    async with serving() as traffic:
        await promote(traffic)
        want(traffic, NAME_A)
        await traffic.flow(5)
        assert traffic.status["stable"]["version"] == NAME_A
        assert points_at(traffic) == traffic.status["stable"]["revision"]
        await traffic.flow(60)
        assert sizes(traffic) == {NAME_A: 4}


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
async def test_one_that_hangs_is_judged_by_what_it_did_before_its_pods_were_found_not_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is out of the table before anybody has looked at how it failed."""
    async with serving() as traffic:
        world = traffic.world
        [workload] = world.cluster.all(naming.WORKLOADS)
        pod = kubelet.serving_pod(workload, {})
        world.cluster.create(pod)
        world.cluster.set_status(naming.PODS, pod["metadata"]["name"], {"phase": "Running", "podIP": "10.244.0.9"})
        want(traffic, NAME_B)
        await world.settle(0)
        traffic.kubernetes()
        await world.settle(0)
        assert at(traffic) == ("Stepping", 1, 10)
        traffic.bad_canary = 1
        traffic.answer(4, told=False)
        traffic.unready.add(traffic.status["canary"]["revision"])
        traffic.kubernetes()
        await world.settle(0)
        assert "canary" not in traffic.status["traffic"]
        port: Any = world.cluster
        queue: Any = world.agenda
        reader = EvidenceReader(world.settings, port, world.store, queue)

        async def page(_: str) -> Page:
            return traffic.page

        monkeypatch.setattr(reader, "_page", page)
        await reader.read()
        await traffic.flow(5)
        assert at(traffic)[0] == "Stepping", "whose pods went for a moment only may come back"
        await traffic.flow(10)
        assert at(traffic)[0] == "RolledBack"
        assert "20 of 20 of its last answers were bad" in message(traffic)


@pytest.mark.asyncio
async def test_what_was_rolled_back_does_not_come_in_by_way_of_no_pods() -> None:
    async with serving() as traffic:
        want(traffic, NAME_B)
        traffic.bad_canary = 1
        await traffic.flow(60)
        change(traffic, replicas=0)
        await traffic.flow(60)
        assert summary(traffic)["RolledBack"] == "True/CanaryBroken"
        change(traffic, replicas=4)
        await traffic.flow(60)
        assert traffic.status["stable"]["version"] == NAME_A
        assert sizes(traffic) == {NAME_A: 4}
        assert events(traffic)[-1] == "RolledBack"


@pytest.mark.asyncio
async def test_without_pods_nothing_is_tried_and_what_was_begins_anew_with_them() -> None:
    async with serving() as traffic:
        want(traffic, NAME_B)
        await traffic.flow(60)
        assert at(traffic)[0] == "Stepping"
        change(traffic, replicas=0)
        await traffic.flow(30)
        assert at(traffic)[0] == "Withdrawn"
        assert sizes(traffic) == {NAME_A: 0}
        assert summary(traffic)["Ready"] == "True/ScaledToZero"
        await traffic.flow(3600, every=300)
        want(traffic, NAME_C)
        await traffic.flow(60)
        assert traffic.status["stable"]["version"] == NAME_A
        change(traffic, replicas=4)
        await traffic.flow(20)
        assert at(traffic) == ("Stepping", 1, 10)
        assert set(sizes(traffic)) == {NAME_A, NAME_C}
