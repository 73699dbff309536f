"""Deployments whose number of pods an autoscaler has: it is followed by everything, and written by nothing of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from modelwright_operator import naming
from modelwright_operator.cluster.store import Owner
from modelwright_operator.decide.scaling import QUIET
from modelwright_operator.errors import Conflict
from tests.support import builders as make
from tests.support import kubelet
from tests.table.planning import planned, revision_of, service_of, workload_of
from tests.table.rollouts import (
    NAME_A,
    NAME_B,
    A,
    ask,
    at,
    change,
    named,
    promote,
    rules,
    serving,
    sizes,
    summary,
    want,
)

if TYPE_CHECKING:
    from tests.support.traffic import Traffic

Raw = dict[str, Any]
AUTOSCALING: Raw = {"minReplicas": 2, "maxReplicas": 10}
LONG: Raw = {"minSeconds": 3600, "minRequests": 50}


def scaler(traffic: Traffic) -> Raw:
    spec: Raw = traffic.world.get(naming.AUTOSCALERS, "churn")["spec"]
    return spec


def down(traffic: Traffic) -> str:
    return str(scaler(traffic)["behavior"]["scaleDown"]["selectPolicy"])


def size_of(traffic: Traffic, name: str, replicas: int) -> None:
    kubelet.autoscale(traffic.world.cluster, name, replicas)


@pytest.mark.asyncio
async def test_the_autoscaler_has_the_workload_that_answers_and_nobody_writes_its_size() -> None:
    async with serving(autoscaling=AUTOSCALING, replicas=7) as traffic:
        assert sizes(traffic) == {NAME_A: 2}, "spec.replicas is ignored"
        assert scaler(traffic)["scaleTargetRef"]["name"] == f"churn-{traffic.status['stable']['revision']}"
        assert (scaler(traffic)["minReplicas"], scaler(traffic)["maxReplicas"]) == (2, 10)
        [metric] = scaler(traffic)["metrics"]
        assert metric["containerResource"]["target"]["averageUtilization"] == 70
        for count in (6, 3, 9):
            size_of(traffic, "churn", count)
            writes = len([call for call in traffic.world.cluster.writes() if call.resource != naming.DEPLOYMENTS])
            await traffic.flow(60)
            assert sizes(traffic) == {NAME_A: count}
            assert traffic.status["replicas"] == traffic.status["readyReplicas"] == count
            after = [call for call in traffic.world.cluster.writes() if call.resource != naming.DEPLOYMENTS]
            assert after[writes:] == [], "an autoscaler's count is followed, not answered"
        change(traffic, replicas=1)
        await traffic.flow(60)
        assert sizes(traffic) == {NAME_A: 9}


@pytest.mark.asyncio
async def test_what_somebody_edited_is_put_back_without_touching_the_count() -> None:
    async with serving(autoscaling=AUTOSCALING) as traffic:
        size_of(traffic, "churn", 6)
        await traffic.flow(30)
        name = f"churn-{traffic.status['stable']['revision']}"
        traffic.world.cluster.edit(naming.WORKLOADS, name, lambda raw: raw["spec"].update(paused=True))
        await traffic.flow(30)
        spec = traffic.world.get(naming.WORKLOADS, name)["spec"]
        assert "paused" not in spec
        assert spec["replicas"] == 6


@pytest.mark.asyncio
async def test_a_count_that_came_between_look_and_write_is_not_undone() -> None:
    """The write is refused, since it says which look it rests on."""
    async with serving(autoscaling=AUTOSCALING) as traffic:
        world = traffic.world
        name = f"churn-{traffic.status['stable']['revision']}"
        world.cluster.edit(naming.WORKLOADS, name, lambda raw: raw["spec"].update(progressDeadlineSeconds=1))
        world.deliver()
        size_of(traffic, "churn", 8)
        with pytest.raises(Conflict):
            await world.reconciler.reconcile(Owner(naming.DEPLOYMENT, "team", "churn"))
        assert world.get(naming.WORKLOADS, name)["spec"]["replicas"] == 8
        await traffic.flow(30)
        spec = world.get(naming.WORKLOADS, name)["spec"]
        assert (spec["replicas"], spec["progressDeadlineSeconds"]) == (8, 600)


@pytest.mark.asyncio
async def test_a_canary_follows_the_size_of_what_answers_and_has_it_before_it_takes_over() -> None:
    steps = [{"weight": 10, "hold": LONG}, {"weight": 50, "hold": LONG}]
    async with serving(rules(*steps), autoscaling=AUTOSCALING) as traffic:
        size_of(traffic, "churn", 4)
        want(traffic, NAME_B)
        await traffic.flow(60)
        assert at(traffic) == ("Stepping", 1, 10)
        assert sizes(traffic) == {NAME_A: 4, NAME_B: 1}
        size_of(traffic, "churn", 10)
        await traffic.flow(30)
        assert sizes(traffic) == {NAME_A: 10, NAME_B: 1}
        ask(traffic, "skip", named(traffic))
        await traffic.flow(60)
        assert sizes(traffic) == {NAME_A: 10, NAME_B: 5}
        size_of(traffic, "churn", 6)
        await traffic.flow(30)
        assert sizes(traffic) == {NAME_A: 6, NAME_B: 3}
        ask(traffic, "promote", named(traffic))
        old = traffic.status["stable"]["revision"]
        await traffic.world.settle(0)
        assert (sizes(traffic), at(traffic)[0]) == ({NAME_A: 6, NAME_B: 6}, "Promoting")
        assert scaler(traffic)["scaleTargetRef"]["name"] == f"churn-{old}"
        await traffic.flow(30)
        assert at(traffic)[0] == "Watching"
        assert sizes(traffic) == {NAME_A: 6, NAME_B: 6}
        assert scaler(traffic)["scaleTargetRef"]["name"] == f"churn-{traffic.status['stable']['revision']}"


@pytest.mark.asyncio
async def test_without_steps_the_next_version_gets_the_present_size_before_it_takes_over() -> None:
    async with serving(autoscaling=AUTOSCALING) as traffic:
        traffic.world.cluster.edit(naming.DEPLOYMENTS, "churn", lambda raw: raw["spec"].pop("rollout"))
        size_of(traffic, "churn", 5)
        await traffic.flow(30)
        want(traffic, NAME_B)
        await traffic.world.settle(0)
        assert sizes(traffic) == {NAME_A: 5, NAME_B: 5}
        assert traffic.status["stable"]["version"] == NAME_A
        await traffic.flow(60)
        assert sizes(traffic) == {NAME_B: 5}
        assert traffic.status["stable"]["version"] == NAME_B


@pytest.mark.asyncio
async def test_while_a_canary_answers_and_some_minutes_longer_pods_are_only_added() -> None:
    async with serving(rules({"weight": 50, "hold": LONG}), autoscaling=AUTOSCALING) as traffic:
        assert down(traffic) == "Max"
        want(traffic, NAME_B)
        await traffic.flow(60)
        assert (at(traffic), down(traffic)) == (("Stepping", 1, 50), "Disabled")
        want(traffic, NAME_A)
        await traffic.flow(60)
        assert (at(traffic)[2], down(traffic)) == (0, "Disabled"), "what it recommended then still counts"
        writes = len(traffic.world.cluster.writes())
        await traffic.world.settle(QUIET.total_seconds())
        assert down(traffic) == "Max"
        assert [call.resource for call in traffic.world.cluster.writes()[writes:]] == [naming.AUTOSCALERS]


@pytest.mark.asyncio
async def test_what_was_promoted_is_scaled_and_what_answered_before_is_kept_as_large() -> None:
    async with serving(autoscaling=AUTOSCALING) as traffic:
        size_of(traffic, "churn", 4)
        await traffic.flow(10)
        await promote(traffic)
        assert sizes(traffic) == {NAME_A: 4, NAME_B: 4}
        size_of(traffic, "churn", 9)
        await traffic.flow(10)
        assert sizes(traffic) == {NAME_A: 9, NAME_B: 9}
        await traffic.flow(600)
        assert sizes(traffic) == {NAME_B: 9}
        assert at(traffic)[0] == "Complete"


@pytest.mark.asyncio
async def test_by_hand_again_the_autoscaler_goes_and_spec_replicas_counts() -> None:
    async with serving(autoscaling=AUTOSCALING) as traffic:
        size_of(traffic, "churn", 5)
        await traffic.flow(30)

        def by_hand(raw: Raw) -> None:
            del raw["spec"]["autoscaling"]
            raw["spec"]["replicas"] = 3

        traffic.world.cluster.edit(naming.DEPLOYMENTS, "churn", by_hand)
        await traffic.flow(30)
        assert sizes(traffic) == {NAME_A: 3}
        assert traffic.world.cluster.names(naming.AUTOSCALERS) == []
        assert "ScalingActive" not in summary(traffic)


@pytest.mark.asyncio
async def test_an_autoscaler_begins_with_the_pods_there_are() -> None:
    async with serving() as traffic:
        assert sizes(traffic) == {NAME_A: 4}
        change(traffic, autoscaling=AUTOSCALING)
        await traffic.flow(30)
        assert sizes(traffic) == {NAME_A: 4}
        assert traffic.world.cluster.names(naming.AUTOSCALERS) == ["churn"]


@pytest.mark.asyncio
async def test_a_workload_that_was_deleted_comes_back_as_large_as_the_autoscaler_had_it() -> None:
    async with serving(autoscaling=AUTOSCALING) as traffic:
        size_of(traffic, "churn", 8)
        await traffic.flow(30)
        traffic.world.cluster.remove(naming.WORKLOADS, f"churn-{traffic.status['stable']['revision']}")
        await traffic.flow(30)
        assert sizes(traffic) == {NAME_A: 8}


@pytest.mark.asyncio
async def test_at_none_no_autoscaler_works_so_there_are_pods_again() -> None:
    async with serving(autoscaling=AUTOSCALING, replicas=0) as traffic:
        size_of(traffic, "churn", 0)
        await traffic.flow(30)
        assert sizes(traffic) == {NAME_A: 2}
        assert summary(traffic)["Available"] == "True/Available"


@pytest.mark.asyncio
async def test_an_autoscaler_of_somebody_else_is_left_alone() -> None:
    async with serving() as traffic:
        theirs = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "churn"},
            "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "other"}},
        }
        traffic.world.cluster.create(theirs)
        change(traffic, autoscaling=AUTOSCALING)
        await traffic.flow(30)
        assert scaler(traffic)["scaleTargetRef"]["name"] == "other"
        assert summary(traffic)["Stalled"] == "True/NameConflict"
        assert summary(traffic)["Available"] == "True/Available"


@pytest.mark.asyncio
async def test_what_is_promoted_needs_half_its_pods_to_be_taken_back() -> None:
    """What answered before is being scaled up after a peak began: its clients should not wait for the last pod."""
    async with serving(autoscaling=AUTOSCALING) as traffic:
        size_of(traffic, "churn", 4)
        await traffic.flow(10)
        await promote(traffic)
        size_of(traffic, "churn", 8)
        traffic.kubernetes()
        await traffic.world.settle(0)
        before = traffic.status["previous"]["revision"]
        assert traffic.world.get(naming.WORKLOADS, f"churn-{before}")["status"]["readyReplicas"] == 4
        ask(traffic, "abort", named(traffic))
        await traffic.world.settle(0)
        assert traffic.status["stable"]["version"] == NAME_A


@pytest.mark.asyncio
async def test_autoscalers_of_users_see_all_pods_that_answer() -> None:
    """They take the pods' use together for that of all requests: a canary's share belongs to it, copies do not."""
    steps = [{"shadowPercent": 50, "hold": LONG}, {"weight": 50, "hold": LONG}]
    async with serving(rules(*steps)) as traffic:
        stable = traffic.status["stable"]["revision"]
        mine = "app.kubernetes.io/managed-by=modelwright,modelwright.dev/kind=Deployment,modelwright.dev/name=churn,"
        alone = f"{mine}modelwright.dev/revision={stable}"
        assert traffic.status["selector"] == alone
        want(traffic, NAME_B)
        await traffic.flow(60)
        assert (at(traffic)[1], traffic.status["selector"]) == (1, alone)
        change(traffic, replicas=6)  # as kubectl scale and autoscalers of users do
        await traffic.flow(60)
        assert sizes(traffic) == {NAME_A: 6, NAME_B: 3}
        assert (at(traffic)[1], traffic.status["replicas"]) == (1, 6)
        ask(traffic, "skip", named(traffic))
        await traffic.flow(60)
        both = sorted([stable, traffic.status["canary"]["revision"]])
        assert at(traffic) == ("Stepping", 2, 50)
        assert traffic.status["selector"] == f"{mine}modelwright.dev/revision in ({both[0]},{both[1]})"
        assert traffic.status["replicas"] == 6
        change(traffic, replicas=8)
        await traffic.flow(60)
        assert sizes(traffic) == {NAME_A: 8, NAME_B: 4}
        assert at(traffic) == ("Stepping", 2, 50)


def condition(status: str, reason: str) -> Raw:
    return {"type": "ScalingActive", "status": status, "reason": reason, "message": "pod churn-x1: no figures"}


@pytest.mark.parametrize(
    ("resources", "said", "shown"),
    [
        (None, None, "Unknown/AutoscalerPending"),
        (None, condition("True", "ValidMetricFound"), "True/Autoscaled"),
        (None, condition("False", "FailedGetContainerResourceMetric"), "False/MetricsUnavailable"),
        (None, condition("False", "AmbiguousSelector"), "False/AutoscalerConflict"),
        (None, condition("False", "ScalingDisabled"), "Unknown/AutoscalerPending"),
        ({"limits": {"memory": "1Gi"}}, None, "False/CPURequestMissing"),
        (
            {"limits": {"memory": "1Gi"}},
            condition("False", "FailedGetContainerResourceMetric"),
            "False/CPURequestMissing",
        ),
        ({"limits": {"memory": "1Gi"}}, condition("True", "ValidMetricFound"), "True/Autoscaled"),
        ({"limits": {"cpu": 1}}, None, "Unknown/AutoscalerPending"),
        ({"requests": {"cpu": "100m"}}, None, "Unknown/AutoscalerPending"),
    ],
)
def test_the_status_says_whether_the_autoscaler_works(resources: Raw | None, said: Raw | None, shown: str) -> None:
    fields: Raw = {"autoscaling": AUTOSCALING} | ({"server": {"resources": resources}} if resources else {})
    subject = make.deployment(version=NAME_A).spec(**fields)
    subject = subject.status(stable=revision_of(subject, A))
    others: list[make.Maker | Raw] = [A, workload_of(subject, A, replicas=2), service_of(subject, A)]
    first = planned(subject, *others)
    there = make.stored(first.manifest("HorizontalPodAutoscaler"))
    seen = planned(subject, *others, {**there, "status": {"conditions": [said]} if said else {}})
    assert "HorizontalPodAutoscaler" not in seen.kinds
    assert seen.conditions["ScalingActive"] == shown
    assert seen.conditions["Ready"] == "True/Available"
    assert "churn-x1" not in seen.messages, "what names another pod each time would be written each time"
