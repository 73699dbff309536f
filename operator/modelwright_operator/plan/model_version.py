"""ModelVersion: verified once, by the job that published it or by a Job of its own; then it says who uses it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from modelwright_operator import api, naming
from modelwright_operator.decide import approval, conditions, losses, pods
from modelwright_operator.decide.signing import Trust
from modelwright_operator.plan import history, retention
from modelwright_operator.plan.outcome import Apply, Confirm, Plan, finish, refused, wanted
from modelwright_operator.raw import is_map
from modelwright_operator.reasons import Reason
from modelwright_operator.render import verification
from modelwright_server.contract import Cause

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelwright_operator.decide.conditions import Mark
    from modelwright_operator.decide.observed import Job, Pod
    from modelwright_operator.decide.snapshot import ModelVersionSnapshot

_FIRST = "1"
_USERS = 50
_INT64 = 2**63

_Verdict = tuple[tuple["Mark", ...], dict[str, Any], Plan]


def plan(snapshot: ModelVersionSnapshot) -> Plan:
    """Return what to write for a ModelVersion."""
    version = snapshot.version
    if version.metadata.deletion_timestamp is not None:
        return Plan()
    users = sorted(snapshot.users)
    used: dict[str, Any] = {"usedBy": users[:_USERS]}
    match retention.step(snapshot, _attempt(version)):
        case retention.Gone(writes):
            return writes
        case retention.Retired(marks, values, writes):
            known = {**_kept_values(version), **values, **used}
        case retention.Kept(future, look_again):
            marks, values, writes = _verdict(snapshot)
            known = {**values, **future, **used}
            if look_again is not None and writes.requeue_after is None:
                writes = replace(writes, requeue_after=look_again)
    rules = approval.Rules.of(snapshot.settings)
    approved = approval.mark(version, rules)
    marks = (*marks, *([approved] if approved is not None else []), _in_use(users))
    told = history.happened(version, marks)
    known = {**known, "history": history.remembered(version, told, snapshot.now)}
    return finish(version, marks, known, snapshot.now, replace(writes, events=(*writes.events, *history.events(told))))


def _kept_values(version: api.ModelVersion) -> dict[str, Any]:
    """Return what the status says and no pass decides anew."""
    anew = {"conditions", "observed_generation", "used_by", "retention", "history"}
    return version.status.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=anew)


def _in_use(users: Sequence[str]) -> Mark:
    if not users:
        return conditions.false(conditions.IN_USE, Reason.NOT_IN_USE, "no Deployment serves this version")
    shown = ", ".join(users[:5]) + (f" and {len(users) - 5} more" if len(users) > 5 else "")  # noqa: PLR2004  # five names fit
    return conditions.true(conditions.IN_USE, Reason.IN_USE, f"served by {shown}")


def _accepted(reason: str, message: str) -> tuple[Mark, ...]:
    return (*conditions.ready(reason, message), conditions.true(conditions.VERIFIED, reason, message))


def _rejected(reason: str, message: str) -> tuple[Mark, ...]:
    return (*conditions.stalled(reason, message), conditions.false(conditions.VERIFIED, reason, message))


def _pending(reason: Reason, message: str) -> tuple[Mark, ...]:
    return (*conditions.reconciling(reason, message), conditions.unknown(conditions.VERIFIED, reason, message))


def _attempt(version: api.ModelVersion) -> str:
    return version.metadata.annotations.get(naming.ANNOTATION_RETRY, _FIRST)[:240]


def _verdict(snapshot: ModelVersionSnapshot) -> _Verdict:
    version = snapshot.version
    status = version.status
    values = _kept_values(version)
    decided = conditions.find(status.conditions, conditions.VERIFIED)
    trust = Trust.of(snapshot.settings)
    attempt = trust.attempt(_attempt(version))
    tried = status.verification.attempt if status.verification else None
    accepted = decided is not None and decided.status == "True" and trust.satisfied(status.verification)
    rejected = decided is not None and decided.status == "False" and tried == attempt
    if decided is not None and (accepted or rejected):
        make = _accepted if accepted else _rejected
        expire = Plan(requeue_after=60.0) if snapshot.refusals else Plan(apply=_expire(snapshot))
        return make(decided.reason, decided.message), values, expire
    # Where keys are known a Job looks for a signature, since it is not the job's word that counts then.
    if (made := _made_by_job(snapshot)) is not None and (made[1] or not trust.keys):
        marks, wait = made
        return marks, values, Plan(requeue_after=30.0 if wait else None)
    if (refusal := refused(snapshot.refusals)) is not None:
        unknown = conditions.unknown(conditions.VERIFIED, snapshot.refusals[0].reason, snapshot.refusals[0].message)
        return (*refusal, unknown), values, Plan(requeue_after=60.0)
    return _verify(snapshot, attempt, values)


def _made_by_job(snapshot: ModelVersionSnapshot) -> tuple[tuple[Mark, ...], bool] | None:
    """Return the verdict where a TrainingJob answers for the artifact, or None where nobody does.

    A job's status is written by the operator alone, and its digest came from the stage that published the artifact; a
    provenance is written by whoever wrote the version, so it is only the pointer to that status.
    """
    version, job = snapshot.version, snapshot.training_job
    maker = version.spec.provenance.training_job if version.spec.provenance else None
    if maker is None or job is None or job.metadata.uid != maker.uid:
        return None
    artifact = job.status.artifact
    if artifact is not None and job.status.model_version == version.metadata.name:
        if (artifact.digest, artifact.uri) != (version.spec.artifact.digest, version.spec.artifact.uri):
            return None
        message = f"published and checked by TrainingJob {job.metadata.name}"
        return _accepted(Reason.PUBLISHED_BY_TRAINING_JOB, message), False
    ended = (conditions.COMPLETE, conditions.FAILED)
    if any(conditions.holds(job.status.conditions, kind) for kind in ended):
        return None
    message = f"waiting for TrainingJob {job.metadata.name} to record what it published"
    return _pending(Reason.AWAITING_TRAINING_JOB, message), True


def _expire(snapshot: ModelVersionSnapshot) -> tuple[Apply, ...]:
    attempt = snapshot.version.status.verification.attempt if snapshot.version.status.verification else None
    manifests = [
        verification.batch_job(snapshot.version, attempt or _FIRST, snapshot.settings, item, expire=True)
        for item in snapshot.jobs
        if item.finished and not item.deleting and item.name == _name(snapshot.version, attempt or _FIRST)
    ]
    return wanted(manifests, snapshot.jobs)


def _name(version: api.ModelVersion, attempt: str) -> str:
    return naming.job_name(version.metadata.name, version.metadata.uid, attempt)


def _verify(snapshot: ModelVersionSnapshot, attempt: str, values: Mapping[str, Any]) -> _Verdict:
    version = snapshot.version
    name = _name(version, attempt)
    job = next((item for item in snapshot.jobs if item.name == name and not item.deleting), None)
    fresh: dict[str, Any] = {**values, "verification": {"job": name, "attempt": attempt}}
    if job is None:
        manifest = verification.batch_job(version, attempt, snapshot.settings)
        confirm = Confirm(naming.MODEL_VERSIONS, version.metadata.name, version.metadata.resource_version)
        marks = _pending(Reason.VERIFYING, "the artifact is being checked against its digest")
        return marks, fresh, Plan(apply=(Apply(manifest),), confirm=(confirm,), requeue_after=30.0)
    own = [pod for pod in snapshot.pods if pod.controller_uid == job.uid]
    if job.finished:
        return _result(snapshot, job, own, fresh)
    keep = Plan(
        apply=wanted([verification.batch_job(version, attempt, snapshot.settings, job)], snapshot.jobs),
        requeue_after=30.0,
    )
    # A pod that has ended has its say once the Job has: then it is a verdict.
    under_way = [pod for pod in own if not pod.ended(naming.VERIFY_CONTAINER)]
    trouble = pods.problem(under_way)
    if not own and (refused_pod := snapshot.rejections.get(job.uid)):
        trouble = losses.uncreated(refused_pod)
    if trouble is not None and trouble.reason is Reason.QUOTA_EXCEEDED:
        return _pending(trouble.reason, trouble.message), fresh, keep
    if trouble is not None and trouble.lasting:
        marks = conditions.stalled(trouble.reason, trouble.message)
        return (*marks, conditions.unknown(conditions.VERIFIED, trouble.reason, trouble.message)), fresh, keep
    return _pending(Reason.VERIFYING, "the artifact is being checked against its digest"), fresh, keep


def _message(own: Sequence[Pod]) -> dict[str, Any]:
    """Return what the newest ended pod reported; pods run foreign models, so nothing of it is taken for granted."""
    ended = [
        (str(container.terminated.get("finishedAt", "")), str(container.terminated.get("message", "")))
        for pod in own
        if (container := pod.container(naming.VERIFY_CONTAINER)) is not None and container.terminated is not None
    ]
    if not ended:
        return {}
    try:
        parsed = json.loads(max(ended)[1])
    except ValueError:
        return {"message": max(ended)[1]}
    return parsed if is_map(parsed) else {}


def _result(snapshot: ModelVersionSnapshot, job: Job, own: Sequence[Pod], values: dict[str, Any]) -> _Verdict:
    version, said, trust = snapshot.version, _message(own), Trust.of(snapshot.settings)
    again = f"kubectl annotate mv {version.metadata.name} {naming.ANNOTATION_RETRY}=$(date +%s) --overwrite"
    if job.has("Complete"):
        size = said.get("sizeBytes")
        found: dict[str, Any] = {"sizeBytes": size} if type(size) is int and 0 <= size < _INT64 else {}
        try:
            given = api.Schema.model_validate({**said["schema"], **({"task": said["task"]} if "task" in said else {})})
            found["schema"] = given.model_dump(mode="json", by_alias=True, exclude_none=True)
        except (KeyError, TypeError, ValidationError):
            pass  # too large for a message, or not to be believed: the artifact has it
        return _signed(trust, said, {**values, **found})
    reason, text = _failure(said, own)
    if reason is Reason.MODEL_REJECTED:
        return _rejected(reason, f"{text}; mend the model and import it as another ModelVersion"), values, Plan()
    return _rejected(reason, f"{text}; mend it, then: {again}"), values, Plan()


def _signed(trust: Trust, said: Mapping[str, Any], values: dict[str, Any]) -> _Verdict:
    """Return the verdict on an artifact that was found right, by who signed it."""
    words, key = "the artifact is what its digest says, and the model runs", trust.found(said)
    if key is not None:
        checked = {**values["verification"], "keyId": key}
        return (
            _accepted(Reason.VERIFIED, f"{words}; it is signed by key {key[:12]}…"),
            {**values, "verification": checked},
            Plan(),
        )
    if trust.required:  # the Job's own finding, unless its image is older than signatures
        message = "the verification found no signature by a trusted key; sign the model and import it again"
        return _rejected(Reason.SIGNATURE_INVALID, message), values, Plan()
    return _accepted(Reason.VERIFIED, words), values, Plan()


def _failure(said: Mapping[str, Any], own: Sequence[Pod]) -> tuple[Reason, str]:
    """Return reason and words of a verification that found fault, or did not come to its end."""
    if "reason" not in said and pods.killed(own):
        limit = f"loading or running the model reached the verification's memory limit of {verification.MEMORY_LIMIT}"
        return Reason.MODEL_REJECTED, pods.rejected(Cause.OUT_OF_MEMORY, limit)
    if "reason" not in said and (trouble := pods.problem(own)) is not None:
        return trouble.reason, trouble.message
    return pods.told({"message": "the verification Job left no message; see its log", **said}, Reason.ARTIFACT_INVALID)
