"""Leadership: who may work, and how soon another takes over."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from modelwright_operator.cluster.leader import Leader, Timing
from modelwright_operator.settings import Settings

if TYPE_CHECKING:
    from modelwright_operator.cluster.kube import Kube

Lease = dict[str, Any]

SETTINGS = Settings(serving_image="s", training_image="t", feast_image="f", lease_namespace="system", identity="me")
NEVER = 3600.0


class FakeLease:
    """A Lease whose holder changes by itself, a step with each reading; the last one stays."""

    def __init__(self, *holders: str) -> None:
        self._holders = list(holders)
        self.reads = 0
        self.put: list[Lease] = []

    async def get_lease(self, namespace: str, name: str) -> Lease:
        self.reads += 1
        holder = self._holders.pop(0) if len(self._holders) > 1 else self._holders[0]
        return {"metadata": {"namespace": namespace, "name": name}, "spec": {"holderIdentity": holder}}

    async def put_lease(self, lease: Lease) -> Lease:
        self.put.append(lease)
        return lease


def leader(lease: FakeLease, timing: Timing) -> Leader:
    return Leader(SETTINGS, cast("Kube", lease), timing=timing)


async def test_a_released_lease_is_taken_at_the_next_look_of_who_stands_by() -> None:
    lease = FakeLease("other", "other", "")
    candidate = leader(lease, Timing(lease=NEVER, retry=NEVER, standby=0.001))
    async with asyncio.timeout(10):
        await candidate.acquire()
    assert candidate.leading
    assert [written["spec"]["holderIdentity"] for written in lease.put] == ["me"]


async def test_a_crashed_operator_takes_its_own_lease_up_again_at_once() -> None:
    lease = FakeLease("me")
    candidate = leader(lease, Timing(lease=NEVER, retry=NEVER, standby=NEVER))
    async with asyncio.timeout(10):
        await candidate.acquire()
    assert candidate.leading


async def test_a_lease_that_nobody_renews_is_taken_once_it_has_run_out() -> None:
    lease = FakeLease("other")
    timing = Timing(lease=30, retry=NEVER, standby=0.001)
    candidate = Leader(SETTINGS, cast("Kube", lease), timing=timing, clock=lambda: 10.0 * lease.reads)
    async with asyncio.timeout(10):
        await candidate.acquire()
    assert lease.reads == 4  # seen first at 10, still valid at 20 and 30, run out at 40
    assert [written["spec"]["holderIdentity"] for written in lease.put] == ["me"]


async def test_who_loses_the_lease_stops_leading() -> None:
    lease = FakeLease("me", "other")
    candidate = leader(lease, Timing(lease=NEVER, renew_deadline=NEVER, retry=0.001, standby=0.001))
    await candidate.acquire()
    async with asyncio.timeout(10):
        await candidate.keep()
    assert not candidate.leading


async def test_who_was_frozen_past_its_deadline_cannot_prove_that_it_leads() -> None:
    lease, now = FakeLease("me"), [100.0]
    timing = Timing(lease=20, renew_deadline=14, retry=NEVER, standby=NEVER)
    frozen = Leader(SETTINGS, cast("Kube", lease), timing=timing, clock=lambda: now[0])
    proven = [frozen.proven]
    await frozen.acquire()
    for seconds in (0.0, 13.9, 0.2):
        now[0] += seconds
        proven.append(frozen.proven)
    assert proven == [False, True, True, False]
    assert frozen.leading, "it does not know yet"


async def test_an_answer_that_comes_late_proves_no_more_than_when_it_was_asked_for() -> None:
    now = [100.0]

    class Slow(FakeLease):
        async def put_lease(self, lease: Lease) -> Lease:
            now[0] += 15  # frozen between asking and being answered
            return await super().put_lease(lease)

    timing = Timing(lease=20, renew_deadline=14, retry=NEVER, standby=NEVER)
    frozen = Leader(SETTINGS, cast("Kube", Slow("me")), timing=timing, clock=lambda: now[0])
    await frozen.acquire()
    assert frozen.leading
    assert not frozen.proven


def test_nobody_takes_over_before_who_leads_has_stopped() -> None:
    timing = Timing()
    assert timing.renew_deadline + timing.retry < timing.lease
    assert timing.lease + timing.standby < 30, "what the design promises"


def test_who_runs_alone_always_leads() -> None:
    alone = Leader(replace(SETTINGS, lease_namespace=""), cast("Kube", FakeLease("other")))
    assert alone.proven
