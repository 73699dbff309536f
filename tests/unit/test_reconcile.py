"""The workers: what a pass that fails in any way leaves behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modelwright_operator import naming
from modelwright_operator.cluster.execute import Executor
from modelwright_operator.cluster.notify import Notifier
from modelwright_operator.cluster.reconcile import Reconciler
from modelwright_operator.cluster.store import Owner, Store
from modelwright_operator.cluster.telemetry import Telemetry
from modelwright_operator.cluster.workqueue import WorkQueue
from modelwright_operator.errors import ClusterUnavailable, Conflict, Refused
from tests.support import builders as make
from tests.support.fake_cluster import FakeCluster

CHURN = Owner(naming.DEPLOYMENT, "team", "churn")


class Watched(WorkQueue[Owner]):
    """A queue that tells when a pass has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = asyncio.Event()

    def done(self, key: Owner) -> None:
        super().done(key)
        self.passed.set()


class Shop:
    """One worker over one Deployment."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.store = Store()
        self.queue = Watched()
        self.telemetry = Telemetry()
        port: Any = self.cluster
        executor = Executor(port, self.store, make.SETTINGS, Notifier(make.SETTINGS, Telemetry()))
        self.reconciler = Reconciler(make.SETTINGS, self.store, self.queue, executor, self.telemetry)
        self.store.put(naming.DEPLOYMENTS, self.cluster.create(make.deployment().raw))

    async def one_pass(self) -> dict[str, float]:
        """Run the worker over the key once; return how passes have ended so far."""
        self.queue.add(CHURN)
        worker = asyncio.create_task(self.reconciler.work())
        async with asyncio.timeout(10):
            await self.queue.passed.wait()
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        outcomes = self.outcomes()
        self.queue.close()
        return outcomes

    def outcomes(self) -> dict[str, float]:
        return {
            sample.labels["outcome"]: sample.value
            for metric in self.telemetry.registry.collect()
            for sample in metric.samples
            if sample.name.endswith("duration_seconds_count")
        }


@pytest.mark.parametrize(
    ("error", "verb", "times", "outcome"),
    [
        pytest.param(None, "", 0, "written", id="well"),
        pytest.param(Conflict("moved"), "apply_status", 1, "conflict", id="conflict"),
        pytest.param(ClusterUnavailable("503"), "apply_status", 1, "unavailable", id="unavailable"),
        pytest.param(Refused("Deployment", "churn", 422, "no"), "apply_status", 9, "refused", id="status refused"),
        pytest.param(RuntimeError("a bug"), "apply_status", 1, "error", id="a bug"),
    ],
)
async def test_a_pass_ends_in_an_outcome_and_the_worker_goes_on(
    error: Exception | None, verb: str, times: int, outcome: str
) -> None:
    shop = Shop()
    if error is not None:
        shop.cluster.fail(error, verb=verb, times=times)
    assert await shop.one_pass() == {outcome: 1.0}


async def test_an_object_that_is_gone_is_no_work() -> None:
    shop = Shop()
    shop.store.remove(naming.DEPLOYMENTS, "team", "churn")
    assert await shop.one_pass() == {"unchanged": 1.0}
    assert shop.cluster.calls == []


async def test_a_pass_without_change_makes_no_request() -> None:
    shop = Shop()
    await shop.reconciler.reconcile(CHURN)
    shop.cluster.calls.clear()
    await shop.reconciler.reconcile(CHURN)
    assert shop.cluster.calls == []


async def test_after_a_conflict_the_object_is_read_anew() -> None:
    shop = Shop()
    shop.cluster.edit(naming.DEPLOYMENTS, "churn", lambda raw: raw["spec"].update(replicas=5))
    with pytest.raises(Conflict):
        await shop.reconciler.reconcile(CHURN)
    await shop.reconciler.reconcile(CHURN)
    status = shop.cluster.read(naming.DEPLOYMENTS, "churn")["status"]
    assert status["observedGeneration"] == 2
