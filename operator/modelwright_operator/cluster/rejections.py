"""Why a Job has no pod: what the API server told the Job's controller, which says so in events alone.

Only Jobs of ours that should have a pod and have none are asked about, every so often and aside from the passes.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import structlog

from modelwright_operator import naming
from modelwright_operator.cluster.store import Owner, Store, owner_of
from modelwright_operator.decide.observed import Job
from modelwright_operator.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelwright_operator.cluster.kube import Kube
    from modelwright_operator.cluster.workqueue import WorkQueue
    from modelwright_operator.settings import Settings

log = structlog.get_logger(__name__)

_AT_ONCE = 8
_REASON = "FailedCreate"


class RejectionReader:
    """Reads the events of Jobs without pods."""

    def __init__(self, settings: Settings, kube: Kube, store: Store, queue: WorkQueue[Owner]) -> None:
        self._seconds = settings.progress_seconds
        self._kube = kube
        self._store = store
        self._queue = queue

    async def run(self) -> None:
        """Read for ever."""
        while True:
            await asyncio.sleep(self._seconds * random.uniform(0.9, 1.1))  # noqa: S311  # jitter
            await self.read()

    async def read(self) -> None:
        """Read why Jobs have no pods, and wake the objects that own them where that is news."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(owner: Owner, job: Job) -> None:
            async with slots:
                await self._read(owner, job)

        await asyncio.gather(*(one(owner, job) for owner, job in tuple(self._without_pods())))

    def _without_pods(self) -> Iterator[tuple[Owner, Job]]:
        for name in self._store.names(naming.JOBS):
            raw = self._store.get(naming.JOBS, *name)
            owner = owner_of(raw) if raw is not None else None
            if raw is None or owner is None:
                continue
            job = Job(raw)
            pods = (pod["metadata"].get("ownerReferences") or () for pod in self._store.owned(naming.PODS, owner))
            has_pod = any(reference.get("uid") == job.uid for references in pods for reference in references)
            if not (has_pod or job.finished or job.deleting or job.spec.get("suspend")):
                yield owner, job

    async def _read(self, owner: Owner, job: Job) -> None:
        try:
            said = await self._kube.last_event(owner.namespace, job.uid, _REASON)
        except OperatorError as error:
            log.debug("events not read", namespace=owner.namespace, job=job.name, error=str(error))
            return
        if said and self._store.put_rejection(job.raw, said):
            self._queue.add(owner, background=True)
