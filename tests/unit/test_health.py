"""Probes and metrics over HTTP."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import aiohttp
import pytest

from modelwright_operator.cluster import health
from modelwright_operator.cluster.telemetry import Telemetry
from tests.support.builders import SETTINGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Served:
    """An operator's HTTP side, with answers to set."""

    def __init__(self) -> None:
        self.dead: str | None = None
        self.unready: str | None = None
        self.telemetry = Telemetry()
        self.settings = dataclasses.replace(SETTINGS, health_port=0, metrics_port=0)

    async def get(self, port: int, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    made = Served()
    runners = await health.serve(made.settings, made.telemetry, lambda: made.dead, lambda: made.unready)
    health_port, metrics_port = (runner.addresses[0][1] for runner in runners)
    made.settings = dataclasses.replace(SETTINGS, health_port=health_port, metrics_port=metrics_port)
    yield made
    for runner in runners:
        await runner.cleanup()


async def test_probes_say_what_is_wrong(served: Served) -> None:
    port = served.settings.health_port
    assert await served.get(port, "/healthz") == (200, "ok\n")
    assert await served.get(port, "/readyz") == (200, "ok\n")
    served.dead, served.unready = "the queue is stuck", "not synced yet"
    assert await served.get(port, "/healthz") == (503, "the queue is stuck\n")
    assert await served.get(port, "/readyz") == (503, "not synced yet\n")


async def test_metrics_are_on_a_port_of_their_own(served: Served) -> None:
    served.telemetry.observe("modelwright_operator_queue_depth", "Objects waiting.", lambda: 3.0)
    served.telemetry.reconcile_seconds.labels("Deployment", "written").observe(0.002)
    served.telemetry.writes.labels("Deployment", "status").inc()
    served.telemetry.leader.set(1)
    code, text = await served.get(served.settings.metrics_port, "/metrics")
    assert code == 200
    lines = text.splitlines()
    assert "modelwright_operator_queue_depth 3.0" in lines
    assert "modelwright_operator_leader 1.0" in lines
    assert 'modelwright_operator_writes_total{kind="Deployment",write="status"} 1.0' in lines
    assert 'modelwright_operator_reconcile_duration_seconds_count{kind="Deployment",outcome="written"} 1.0' in lines
    assert (await served.get(served.settings.health_port, "/metrics"))[0] == 404
