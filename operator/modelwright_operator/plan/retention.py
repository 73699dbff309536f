"""What becomes of a version that is no longer kept: it waits, is taken out of use, loses its files, and is deleted.

    kept ──superfluous──► waits until removeAt ──► Retired ──a while──► clean-up Job ──► deleted
      ▲                          │                    │
      └──── used or kept again ──┴────────────────────┘            from the Job on there is no way back

While it waits it is a version like any other. Retired it is not verified, so that no Deployment starts to use it; a
Deployment that did so in the same moment has a while to be noticed. No clean-up is begun while a TrainingJob of the
model is under way, and none is started while a clean-up is: it could publish the very same artifact again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from modelwright_operator import api, naming
from modelwright_operator.decide import conditions, losses, pods
from modelwright_operator.decide.observed import Child
from modelwright_operator.decide.retention import shared, superfluous
from modelwright_operator.plan.outcome import Apply, Confirm, Delete, Plan, wanted
from modelwright_operator.reasons import Reason
from modelwright_operator.render import cleanup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelwright_operator.decide.conditions import Mark
    from modelwright_operator.decide.observed import Job, Pod
    from modelwright_operator.decide.snapshot import ModelVersionSnapshot

_SETTLE_SECONDS = 60
_LOOK_SECONDS = 30.0
_LONGEST_SECONDS = 3600.0


@dataclass(frozen=True)
class Kept:
    """Nothing happens to it, or not yet.

    Attributes:
        values: what the status says of its future.
        requeue_after: when to look again; None: an event will tell.
    """

    values: Mapping[str, Any]
    requeue_after: float | None = None


@dataclass(frozen=True)
class Retired:
    """It is out of use; the marks, values and plan are all of its pass."""

    marks: tuple[Mark, ...]
    values: Mapping[str, Any]
    plan: Plan


@dataclass(frozen=True)
class Gone:
    """The pass deletes it."""

    plan: Plan


def under_way(version: api.ModelVersion) -> bool:
    """Tell whether a version's files are being removed: from then on it is as good as gone."""
    ahead = version.status.retention
    failed = any(item.reason == Reason.CLEANUP_FAILED for item in version.status.conditions)
    return ahead is not None and ahead.job is not None and not failed


def step(snapshot: ModelVersionSnapshot, attempt: str) -> Kept | Retired | Gone:
    """Return what is next for a version, as far as its being kept is concerned."""
    version, settings, now = snapshot.version, snapshot.settings, snapshot.now
    name, known = version.metadata.name, version.status.retention
    job = next((item for item in snapshot.jobs if item.name == cleanup.job_name(version, attempt)), None)
    if job is not None or (known is not None and known.job is not None):
        return _remove(snapshot, attempt, job)
    if not superfluous(name, snapshot.siblings, settings.retention_versions_per_model):
        return Kept({})
    grace = settings.retention_grace_period_seconds
    ahead = known or api.Retention(remove_at=now + timedelta(seconds=grace))
    left = (ahead.remove_at - now).total_seconds()
    if left > 0:
        return Kept(_values(ahead), min(left, _LONGEST_SECONDS))
    retired_at = ahead.retired_at or now
    ahead = ahead.model_copy(update={"retired_at": retired_at})
    settled = (now - retired_at).total_seconds() >= min(_SETTLE_SECONDS, grace)
    if not settled or snapshot.training:
        marks = _marks("it is not among the versions that are kept, and about to be removed")
        return Retired(marks, _values(ahead), Plan(requeue_after=_LOOK_SECONDS))
    confirm = (Confirm(naming.MODEL_VERSIONS, name, version.metadata.resource_version),)
    if shared(name, snapshot.siblings):  # the files stay with the other
        return Gone(Plan(delete=(_delete(version),), confirm=confirm))
    manifest = cleanup.batch_job(version, attempt, settings)
    begun = ahead.model_copy(update={"job": str(manifest["metadata"]["name"]), "attempt": attempt})
    start = Plan(apply=(Apply(manifest),), confirm=confirm, requeue_after=_LOOK_SECONDS)
    return Retired(_removing(), _values(begun), start)


def _values(ahead: api.Retention) -> Mapping[str, Any]:
    return {"retention": ahead.model_dump(mode="json", by_alias=True, exclude_none=True)}


def _remove(snapshot: ModelVersionSnapshot, attempt: str, job: Job | None) -> Retired | Gone:
    version = snapshot.version
    known = version.status.retention or api.Retention(remove_at=snapshot.now)
    values = _values(known.model_copy(update={"job": cleanup.job_name(version, attempt), "attempt": attempt}))
    if job is not None and job.has("Complete"):
        return Gone(Plan(delete=(_delete(version),)))
    manifest = cleanup.batch_job(version, attempt, snapshot.settings, job)
    if job is None:
        return Retired(_removing(), values, Plan(apply=(Apply(manifest),), requeue_after=_LOOK_SECONDS))
    own = [pod for pod in snapshot.pods if pod.controller_uid == job.uid]
    if job.finished:
        return Retired(_failed(version, _said(own)), values, Plan())
    keep = Plan(apply=wanted([manifest], snapshot.jobs), requeue_after=_LOOK_SECONDS)
    said = snapshot.rejections.get(job.uid)
    trouble = losses.uncreated(said) if said and not own else pods.problem(own)
    if trouble is not None and trouble.lasting:
        return Retired(_out_of_use(conditions.stalled(trouble.reason, trouble.message)), values, keep)
    return Retired(_removing(), values, keep)


def _said(own: Sequence[Pod]) -> str:
    ends = [item.terminated for pod in own for item in pod.containers if item.terminated is not None]
    texts = [pods.cut(str(end.get("message", ""))) for end in ends]
    return next((text for text in reversed(texts) if text), "the clean-up Job did not end well")


def _delete(version: api.ModelVersion) -> Delete:
    metadata = {"name": version.metadata.name, "namespace": version.metadata.namespace, "uid": version.metadata.uid}
    return Delete(Child({"apiVersion": naming.API_VERSION, "kind": naming.MODEL_VERSION, "metadata": metadata}))


def _marks(message: str) -> tuple[Mark, ...]:
    return _out_of_use(conditions.reconciling(Reason.RETIRED, message))


def _removing() -> tuple[Mark, ...]:
    return _marks("its files are being removed; then it is deleted")


def _failed(version: api.ModelVersion, said: str) -> tuple[Mark, ...]:
    again = f"kubectl annotate mv {version.metadata.name} {naming.ANNOTATION_RETRY}=$(date +%s) --overwrite"
    message = f"its files could not be removed: {said}; mend it, then: {again}; or delete the version, files stay then"
    return _out_of_use(conditions.stalled(Reason.CLEANUP_FAILED, message))


def _out_of_use(marks: tuple[Mark, ...]) -> tuple[Mark, ...]:
    return (*marks, conditions.unknown(conditions.VERIFIED, Reason.RETIRED, "it is being removed and cannot be served"))
