"""The queue: one worker for a key, bursts collapse, changes first, failures back off."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from modelwright_operator.cluster.workqueue import WorkQueue
from tests.support.clock import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def queue(clock: Clock) -> AsyncIterator[WorkQueue[str]]:
    made: WorkQueue[str] = WorkQueue(clock.seconds)
    yield made
    made.close()


async def taken(queue: WorkQueue[str], count: int) -> list[str]:
    """Return the next keys, each worked on at once."""
    keys = []
    for _ in range(count):
        async with asyncio.timeout(5):
            key = await queue.get()
        keys.append(key)
        queue.done(key)
    return keys


async def test_a_burst_is_one_pass(queue: WorkQueue[str]) -> None:
    for _ in range(100):
        queue.add("a")
    assert len(queue) == 1
    assert await taken(queue, 1) == ["a"]
    assert len(queue) == 0


async def test_a_key_in_work_is_given_to_nobody_else_and_worked_on_once_more(queue: WorkQueue[str]) -> None:
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a", background=True)
    queue.add("b")
    assert await queue.get() == "b"
    assert len(queue) == 0
    queue.done("a")
    assert await taken(queue, 1) == ["a"]
    queue.done("b")
    assert len(queue) == 0


async def test_changes_go_before_the_look_at_everything(queue: WorkQueue[str]) -> None:
    for number in range(1000):
        queue.add(f"old-{number}", background=True)
    queue.add("new")
    queue.add("old-999")
    assert await taken(queue, 3) == ["new", "old-999", "old-0"]
    rest = await taken(queue, 998)
    assert rest == [f"old-{number}" for number in range(1, 999)]
    assert len(queue) == 0


async def test_a_key_that_was_hurried_comes_once(queue: WorkQueue[str]) -> None:
    queue.add("a", background=True)
    queue.add("a")
    assert await taken(queue, 1) == ["a"]
    queue.add("a", background=True)
    queue.add("b", background=True)
    assert sorted(await taken(queue, 2)) == ["a", "b"]
    assert len(queue) == 0


async def test_a_waiting_worker_is_woken(queue: WorkQueue[str]) -> None:
    worker = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a", background=True)
    async with asyncio.timeout(5):
        assert await worker == "a"


async def test_every_key_reaches_one_of_many_workers(queue: WorkQueue[str]) -> None:
    seen: list[str] = []

    all_seen = asyncio.Event()

    async def work() -> None:
        while True:
            key = await queue.get()
            await asyncio.sleep(0)
            seen.append(key)
            queue.done(key)
            if len(set(seen)) == 10 and not len(queue):
                all_seen.set()

    workers = [asyncio.create_task(work()) for _ in range(4)]
    for number in range(50):
        queue.add(f"{number % 10}", background=bool(number % 2))
    async with asyncio.timeout(5):
        await all_seen.wait()
    for worker in workers:
        worker.cancel()
    assert set(seen) == {str(number) for number in range(10)}


async def test_the_soonest_of_delayed_wishes_counts(queue: WorkQueue[str]) -> None:
    queue.add_after("a", 1000)
    queue.add_after("a", 0.0)
    queue.add_after("a", 2000)
    assert await taken(queue, 1) == ["a"]


async def test_pauses_grow_until_the_key_was_worked_on_well(queue: WorkQueue[str]) -> None:
    pauses = [queue.add_failed("a") for _ in range(14)]
    assert 0.4 <= pauses[0] <= 0.6
    assert all(0.8 * 2**number * 0.5 <= pause <= 1.2 * 2**number * 0.5 for number, pause in enumerate(pauses[:9]))
    assert max(pauses) <= 360
    assert pauses[-1] >= 240
    queue.forget("a")
    assert queue.add_failed("a") <= 0.6
    assert queue.add_failed("b", at_least=30) == 30


async def test_the_age_of_the_oldest_counts_work_as_well(queue: WorkQueue[str], clock: Clock) -> None:
    assert queue.oldest_seconds == 0
    queue.add("a")
    clock.advance(10)
    queue.add("b")
    assert queue.oldest_seconds == 10
    key = await queue.get()
    assert queue.oldest_seconds == 0
    clock.advance(7)
    assert queue.oldest_seconds == 7
    queue.done(key)
    assert queue.oldest_seconds == 7
    assert await taken(queue, 1) == ["b"]
    assert queue.oldest_seconds == 0


async def test_closing_drops_what_was_delayed(queue: WorkQueue[str]) -> None:
    queue.add_after("a", 0.0)
    queue.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(queue) == 0
