"""How far training is: the last progress line of each running stage's log, read every so often into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import structlog

from modelwright_operator import naming
from modelwright_operator.cluster.reader import Reader
from modelwright_operator.cluster.store import Owner, owner_of
from modelwright_operator.decide.observed import Job, LogLine, Pod
from modelwright_operator.decide.training import running_stage
from modelwright_operator.errors import OperatorError
from modelwright_training.contract import last_progress

if TYPE_CHECKING:
    from collections.abc import Iterator

log = structlog.get_logger(__name__)


class _Running(NamedTuple):
    """A container whose log is worth reading."""

    owner: Owner
    pod: Pod
    container: str


class ProgressReader(Reader[_Running]):
    """Reads the logs of running training pods."""

    def _places(self) -> Iterator[_Running]:
        """Yield the running stages of pods that a TrainingJob's own Job controls: labels alone prove nothing."""
        for name in self._store.names(naming.PODS):
            raw = self._store.get(naming.PODS, *name)
            owner = owner_of(raw) if raw is not None else None
            if raw is None or owner is None or owner.kind != naming.TRAINING_JOB:
                continue
            pod = Pod(raw)
            stage = running_stage(pod)
            if stage is not None and not pod.deleting and pod.controller_uid in self._jobs(owner):
                yield _Running(owner, pod, stage)

    def _jobs(self, owner: Owner) -> set[str]:
        job = self._store.get(naming.TRAINING_JOBS, owner.namespace, owner.name)
        uid = job["metadata"].get("uid") if job is not None else None
        return {job.uid for job in map(Job, self._store.owned(naming.JOBS, owner)) if job.controller_uid == uid}

    async def _read(self, place: _Running) -> None:
        owner, pod, container = place
        try:
            line = last_progress(await self._kube.log_tail(owner.namespace, pod.name, container))
        except OperatorError as error:
            log.debug("log not read", namespace=owner.namespace, pod=pod.name, container=container, error=str(error))
            return
        if line is not None and self._store.put_line(pod.raw, LogLine(container, line)):
            self._queue.add(owner, background=True)
