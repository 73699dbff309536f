"""Rollouts that ask elsewhere, too, as whole stories in the simulated world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from modelwright_operator import api
from modelwright_operator.api.checks import PrometheusQuery
from modelwright_operator.cluster.store import Owner
from modelwright_operator.decide.checks import Reading, unavailable
from tests.support.builders import NAMESPACE
from tests.table.rollouts import NAME_A, NAME_B, at, message, rules, serving, summary, want

if TYPE_CHECKING:
    from tests.support.traffic import Traffic

Raw = dict[str, Any]

CHECK = api.Check(name="latency", prometheus=PrometheusQuery(query="up"), max=0.5, failure_limit=2)
ANALYSIS: Raw = {"checks": [{"name": "latency", "prometheus": {"query": "up"}, "max": 0.5, "failureLimit": 2}]}
GOOD, BAD, NONE = Reading(0.2), Reading(0.7), unavailable("Prometheus did not answer within 5 s")


async def _flow(traffic: Traffic, seconds: int, reading: Reading) -> None:
    """Let the check be read every ten seconds meanwhile."""
    owner = Owner("Deployment", NAMESPACE, "churn")
    for _ in range(0, seconds, 10):
        if traffic.status.get("traffic", {}).get("canary"):
            revision = traffic.status["rollout"]["revision"]
            traffic.world.store.put_reading(owner, revision, CHECK, traffic.world.clock.now(), reading)
            traffic.world.agenda.add(owner, background=True)
        await traffic.flow(10)


@pytest.mark.asyncio
async def test_a_check_that_fails_rolls_a_healthy_canary_back() -> None:
    async with serving(rules(analysis=ANALYSIS)) as traffic:
        want(traffic, NAME_B)
        await _flow(traffic, 60, BAD)
        assert at(traffic)[0] == "RolledBack"
        rejection = traffic.status["rejected"][0]
        assert rejection["reason"] == "CheckFailed"
        assert rejection["message"] == "check failed 2 times in a row: latency is 0.7, above max 0.5"
        assert summary(traffic)["RolledBack"] == "True/CheckFailed"


@pytest.mark.asyncio
async def test_a_check_that_cannot_be_read_holds_every_step_and_says_why() -> None:
    async with serving(rules(analysis=ANALYSIS)) as traffic:
        want(traffic, NAME_B)
        await _flow(traffic, 300, NONE)
        assert at(traffic) == ("Stepping", 1, 10)
        assert "step 1 cannot end yet: Prometheus did not answer within 5 s" in message(traffic)
        [known] = traffic.status["rollout"]["checks"]
        assert (known["reason"], known["failures"], "value" in known) == ("MetricUnavailable", 0, False)
        await _flow(traffic, 900, GOOD)
        assert traffic.status["stable"]["version"] == NAME_B


@pytest.mark.asyncio
async def test_a_reading_of_the_step_before_does_not_end_a_step() -> None:
    async with serving(rules(analysis=ANALYSIS)) as traffic:
        want(traffic, NAME_B)
        await traffic.flow(5)
        while at(traffic)[:2] != ("Stepping", 2):
            await _flow(traffic, 10, GOOD)
        await traffic.flow(1800, every=30)
        assert at(traffic)[:2] == ("Stepping", 2)
        assert "check latency has not been read in this step yet" in message(traffic)


@pytest.mark.asyncio
async def test_failures_are_counted_once_and_survive_a_restart_of_the_operator() -> None:
    async with serving(rules(analysis=ANALYSIS)) as traffic:
        want(traffic, NAME_B)
        while not traffic.status["traffic"].get("canary"):
            await traffic.flow(5)
        await _flow(traffic, 10, BAD)
        await traffic.flow(60)
        assert traffic.status["rollout"]["checks"][0]["failures"] == 1
        await traffic.world.restart()
        await traffic.flow(30)
        assert traffic.status["rollout"]["checks"][0]["failures"] == 1
        await _flow(traffic, 10, BAD)
        assert at(traffic)[0] == "RolledBack"


@pytest.mark.asyncio
async def test_what_was_promoted_is_checked_while_it_is_watched() -> None:
    async with serving(rules(analysis=ANALYSIS)) as traffic:
        want(traffic, NAME_B)
        await traffic.flow(5)
        while at(traffic)[0] != "Watching":
            await _flow(traffic, 10, GOOD)
        await _flow(traffic, 40, BAD)
        assert at(traffic)[0] == "RolledBack"
        assert traffic.status["stable"]["version"] == NAME_A
