"""Why a Job has no pod: what the API server told the Job's controller, which says so in events alone.

Only Jobs of ours that should have a pod and have none are asked about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from modelwright_operator import naming
from modelwright_operator.cluster.reader import Reader
from modelwright_operator.cluster.store import Owner, owner_of
from modelwright_operator.decide.observed import Job
from modelwright_operator.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterator

log = structlog.get_logger(__name__)

_REASON = "FailedCreate"


class RejectionReader(Reader[tuple[Owner, Job]]):
    """Reads the events of Jobs without pods."""

    def _places(self) -> Iterator[tuple[Owner, Job]]:
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

    async def _read(self, place: tuple[Owner, Job]) -> None:
        owner, job = place
        try:
            said = await self._kube.last_event(owner.namespace, job.uid, _REASON)
        except OperatorError as error:
            log.debug("events not read", namespace=owner.namespace, job=job.name, error=str(error))
            return
        if said and self._store.put_rejection(job.raw, said):
            self._queue.add(owner, background=True)
