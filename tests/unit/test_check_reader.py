"""Reading checks: of which Deployments, how often, and what becomes of a reading."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiohttp import web

from modelwright_operator import naming
from modelwright_operator.cluster.check_reader import CheckReader
from modelwright_operator.cluster.store import Owner
from modelwright_operator.cluster.workqueue import WorkQueue
from tests.support import builders as make
from tests.support.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Raw = dict[str, Any]

OWNER = Owner(naming.DEPLOYMENT, make.NAMESPACE, "churn")
CHECK: Raw = {"name": "latency", "prometheus": {"query": "latency of $canary and $stable"}, "max": 0.5}
CANARY: Raw = {"revision": "b" * 10, "version": "churn-b", "host": "churn-canary", "restPort": 80, "grpcPort": 8081}


def _deployment(canary: Raw | None, *checks: Raw, phase: str = "Stepping") -> Raw:
    raw: Raw = make.deployment().raw
    raw["spec"]["rollout"] = {"steps": [{"weight": 10}], "analysis": {"checks": list(checks)}}
    raw["status"] = {
        "stable": {"revision": "a" * 10, "version": "churn-a"},
        "previous": {"revision": "0" * 10, "version": "churn-0"},
        "rollout": {"phase": phase, "revision": "b" * 10, "version": "churn-b", "startedAt": "2026-11-22T00:00:00Z"},
        "traffic": {"stable": {"revision": "a" * 10, "version": "churn-a"}, **({"canary": canary} if canary else {})},
    }
    return raw


@contextlib.asynccontextmanager
async def _reader(raw: Raw) -> AsyncIterator[tuple[CheckReader, World, list[str]]]:
    """Have a reader of a Prometheus that answers 0.7 to everything, and what it was asked."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.query["query"])
        return web.json_response({"status": "success", "data": {"resultType": "scalar", "result": [1, "0.7"]}})

    application = web.Application()
    application.router.add_get("/api/v1/query", answer)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        with World() as world:
            world.store.put(naming.DEPLOYMENTS, raw)
            settings = replace(make.SETTINGS, prometheus_url=url)
            reader = CheckReader(settings, cast("Any", world.cluster), world.store, WorkQueue())
            async with reader.client:
                yield reader, world, asked
    finally:
        await runner.cleanup()


@pytest.mark.asyncio
async def test_a_check_is_read_at_its_interval_while_there_is_a_canary() -> None:
    async with _reader(_deployment(CANARY, CHECK)) as (reader, world, asked):
        await reader.read()
        await reader.read()
        assert asked == ["latency of churn-b and churn-a"]
        [(check, (at, reading))] = world.store.readings(OWNER, "b" * 10).items()
        assert (check.name, reading.value, at) == ("latency", 0.7, world.clock.now())
        assert not world.store.readings(OWNER, "a" * 10)
        world.clock.advance(29)
        await reader.read()
        assert len(asked) == 1
        world.clock.advance(1)
        await reader.read()
        assert len(asked) == 2


@pytest.mark.asyncio
async def test_nothing_is_asked_without_a_canary_and_what_was_read_is_forgotten() -> None:
    async with _reader(_deployment(CANARY, CHECK)) as (reader, world, asked):
        await reader.read()
        later = _deployment(None, CHECK)
        later["metadata"]["resourceVersion"] = "999"
        world.store.put(naming.DEPLOYMENTS, later)
        world.clock.advance(60)
        await reader.read()
        assert len(asked) == 1
        assert not world.store.readings(OWNER, "b" * 10)


@pytest.mark.asyncio
async def test_while_it_is_watched_stable_is_what_answered_before() -> None:
    async with _reader(_deployment(CANARY, CHECK, phase="Watching")) as (reader, _, asked):
        await reader.read()
        assert asked == ["latency of churn-b and churn-0"]


@pytest.mark.asyncio
async def test_a_changed_check_is_read_at_once() -> None:
    async with _reader(_deployment(CANARY, CHECK)) as (reader, world, asked):
        await reader.read()
        other = _deployment(CANARY, {**CHECK, "max": 0.9})
        other["metadata"]["resourceVersion"] = "999"
        world.store.put(naming.DEPLOYMENTS, other)
        await reader.read()
        assert len(asked) == 2


@pytest.mark.asyncio
async def test_checks_of_a_newer_release_are_left_alone() -> None:
    async with _reader(_deployment(CANARY, {**CHECK, "graphite": {"target": "x"}})) as (reader, _, asked):
        await reader.read()
        assert asked == []
