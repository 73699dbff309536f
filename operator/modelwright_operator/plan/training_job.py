"""TrainingJob: one Job for each attempt, one ModelVersion at the end, and never a second training.

What has been is read from the status before the children: a Job that its TTL or a person removed does not bring a
finished run back. `status.attempt` says which attempt was started last; its Job's name follows from it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

from pydantic import ValidationError

from modelwright_operator import api, naming
from modelwright_operator.decide import captured, conditions, gates, progress, reproduction, training
from modelwright_operator.decide.pods import cut
from modelwright_operator.plan import retention, search
from modelwright_operator.plan.outcome import Apply, Confirm, Delete, Plan, finish, refused, stopped, wanted
from modelwright_operator.plan.outcome import Move as _Move
from modelwright_operator.plan.outcome import values_of as _values
from modelwright_operator.reasons import Reason
from modelwright_operator.render import training as render
from modelwright_operator.render.version import champion_status, metrics_of, model_version_of, resolved
from modelwright_training import contract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from modelwright_operator.decide.conditions import Mark
    from modelwright_operator.decide.observed import Job
    from modelwright_operator.decide.snapshot import TrainingJobSnapshot
    from modelwright_operator.render.common import Manifest

_PROGRESS_SECONDS = 15.0
_REFUSED_SECONDS = 60.0
_REPORT_SECONDS = 10.0


def plan(snapshot: TrainingJobSnapshot) -> Plan:
    """Return what to write for a TrainingJob."""
    job = snapshot.job
    if job.metadata.deletion_timestamp is not None:
        return Plan()
    status = job.status
    if conditions.holds(status.conditions, conditions.COMPLETE) or conditions.holds(
        status.conditions, conditions.FAILED
    ):
        move = _ended(snapshot)
    elif marks := refused(snapshot.refusals):
        move = _Move(marks, _values(status), Plan(requeue_after=_REFUSED_SECONDS))
    elif not (snapshot.jobs or job.spec.suspend) and (lacking := captured.missing(job)) is not None:
        marks = conditions.stalled(Reason.CAPTURE_NOT_FOUND, lacking)
        move = _Move(marks, _values(status), Plan(requeue_after=_PROGRESS_SECONDS))
    else:
        move = _next(snapshot)
    over = not search.pending(snapshot) or conditions.holds(status.conditions, conditions.FAILED)
    settled = search.settled(snapshot) if over else ()
    return finish(job, move.marks, move.values, snapshot.now, replace(move.plan, apply=(*settled, *move.plan.apply)))


def _kept(status: api.TrainingJobStatus) -> tuple[Mark, ...]:
    return tuple(conditions.Mark(item.type, item.status, item.reason, item.message) for item in status.conditions)


def _job_name(snapshot: TrainingJobSnapshot, attempt: int) -> str:
    return naming.job_name(snapshot.job.metadata.name, snapshot.job.metadata.uid, str(attempt))


def _job(snapshot: TrainingJobSnapshot, attempt: int) -> Job | None:
    name = _job_name(snapshot, attempt)
    return next((item for item in snapshot.jobs if item.name == name and not item.deleting), None)


def _ended(snapshot: TrainingJobSnapshot) -> _Move:
    """Leave the result as it is, and let Kubernetes remove the Jobs."""
    expire = (
        Plan(requeue_after=_REFUSED_SECONDS) if snapshot.refusals else Plan(apply=_expire(snapshot, _started(snapshot)))
    )
    return _Move(_kept(snapshot.job.status), _values(snapshot.job.status), expire)


def _expire(snapshot: TrainingJobSnapshot, last: int) -> tuple[Apply, ...]:
    """Return what lets Kubernetes remove the finished Jobs of all attempts up to the last one given."""
    manifests = [
        render.batch_job(snapshot.job, attempt, snapshot.settings, item, expire=True)
        for attempt in range(1, last + 1)
        if (item := _job(snapshot, attempt)) is not None and item.finished
    ]
    return wanted(manifests, snapshot.jobs)


def _started(snapshot: TrainingJobSnapshot) -> int:
    """Return the attempt started last: the recorded one, or the next if a crash came between Job and status."""
    recorded = snapshot.job.status.attempt
    return recorded if _job(snapshot, recorded + 1) is None else recorded + 1


def _next(snapshot: TrainingJobSnapshot) -> _Move:
    job = snapshot.job
    if job.spec.tuning is not None and search.pending(snapshot):
        return search.step(snapshot, job.spec.tuning)
    attempt = _started(snapshot)
    current = _job(snapshot, attempt)
    if current is not None and current.finished:
        return _judge(snapshot, attempt, current)
    if job.spec.suspend:
        return _suspend(snapshot, attempt, current, _values(job.status))
    if current is not None:
        return _run(snapshot, attempt, current)
    if attempt:
        resumed = job.spec.scheduling and conditions.holds(job.status.conditions, conditions.SUSPENDED)
        return _start(snapshot, attempt, _values(job.status)) if resumed else _deleted(snapshot, attempt)
    return _begin(snapshot)


def _begin(snapshot: TrainingJobSnapshot) -> _Move:
    values = _values(snapshot.job.status)
    if any(retention.under_way(version) for version in snapshot.versions):
        message = "waiting until the files of an old version are removed, since this run might make the same again"
        return _Move(conditions.reconciling(Reason.PENDING, message), values, Plan(requeue_after=_PROGRESS_SECONDS))
    return _start(snapshot, 1, values)


def _start(snapshot: TrainingJobSnapshot, attempt: int, values: Mapping[str, Any]) -> _Move:
    job, seen = snapshot.job, snapshot.champion
    if seen is not None and seen.version is None:
        message = (
            f"the champion of spec.evaluation is ModelVersion {seen.name}, which does not exist: restore or replace it"
        )
        return _Move(
            conditions.stalled(Reason.VERSION_NOT_FOUND, message), values, Plan(requeue_after=_PROGRESS_SECONDS)
        )
    champion = _champion(seen.version) if seen is not None and seen.version is not None else None
    manifest = render.batch_job(job, attempt, snapshot.settings, champion=champion)
    name = str(manifest["metadata"]["name"])
    started = values.get("startedAt") or conditions.rfc3339(snapshot.now)
    marks = conditions.reconciling(Reason.PENDING, f"attempt {attempt} of {job.spec.retry_limit + 1} was started")
    fresh: dict[str, Any] = {
        **values,
        "attempt": attempt,
        "job": name,
        "startedAt": started,
        "stage": None,
        "stages": [],
        "progress": None,
    }
    if job.spec.evaluation.champion is not None:
        known = champion_status(champion)
        told = known.model_dump(mode="json", by_alias=True) if known is not None else None
        fresh["resolved"] = {**(values.get("resolved") or {}), "champion": told}
    confirm = [Confirm(naming.JOBS, name, None)]
    if attempt > 1 and _job(snapshot, attempt - 1) is None:  # two attempts never run at once
        confirm.append(Confirm(naming.JOBS, _job_name(snapshot, attempt - 1), None))
    return _Move(
        marks,
        fresh,
        Plan(
            apply=(*_expire(snapshot, attempt - 1), Apply(manifest)),
            confirm=(Confirm(naming.TRAINING_JOBS, job.metadata.name, job.metadata.resource_version), *confirm),
            requeue_after=_PROGRESS_SECONDS,
        ),
    )


def _suspend(snapshot: TrainingJobSnapshot, attempt: int, current: Job | None, values: Mapping[str, Any]) -> _Move:
    """Hold the pods back; `Ready` and `Reconciling` are absent, so that nobody waits for a template.

    Kubernetes deletes the pods of a suspended Job. Resumed, the same attempt begins anew with its first stage. A Job in
    a queue is deleted instead: its suspension is the queue's, which would start it again.
    """
    marks = conditions.suspended()
    if current is None:
        return _Move(marks, values, Plan())
    manifests = [render.batch_job(snapshot.job, attempt, snapshot.settings, current)]
    held: dict[str, Any] = {**_recorded(snapshot, attempt, current), "stage": None, "stages": [], "progress": None}
    if snapshot.job.spec.scheduling:
        seen = Confirm(naming.JOBS, current.name, current.resource_version)  # it may have ended meanwhile
        return _Move(marks, held, Plan(delete=(Delete(current),), confirm=(seen,)))
    return _Move(marks, held, Plan(apply=wanted(manifests, snapshot.jobs)))


def _stages(stages: Sequence[training.Stage]) -> dict[str, Any]:
    failed = next((stage for stage in stages if stage.state == "Failed"), None)
    active = failed or next((stage for stage in stages if stage.state != "Succeeded"), stages[-1])
    return {
        "stage": active.name.value,
        "stages": [
            {
                "name": stage.name.value,
                "state": stage.state,
                "exitCode": stage.exit_code,
                "message": stage.message[:2048] if stage.message else None,
                "startedAt": conditions.rfc3339(stage.started_at) if stage.started_at else None,
                "finishedAt": conditions.rfc3339(stage.finished_at) if stage.finished_at else None,
            }
            for stage in stages
        ],
    }


def _recorded(snapshot: TrainingJobSnapshot, attempt: int, current: Job) -> dict[str, Any]:
    values = _values(snapshot.job.status)
    started = values.get("startedAt") or conditions.rfc3339(snapshot.now)
    return {**values, "attempt": attempt, "job": current.name, "startedAt": started}


def _progress(
    snapshot: TrainingJobSnapshot, current: Job, stages: Sequence[training.Stage]
) -> Mapping[str, Any] | None:
    pod = training.newest([pod for pod in snapshot.pods if pod.controller_uid == current.uid])
    line = snapshot.lines.get(pod.uid) if pod is not None else None
    searched = snapshot.job.spec.tuning is not None
    return progress.progress(stages, line, snapshot.job.status.progress, snapshot.now, searched=searched)


def _run(snapshot: TrainingJobSnapshot, attempt: int, current: Job) -> _Move:
    job = snapshot.job
    seen = training.outcome(current, snapshot.pods, snapshot.rejections.get(current.uid))
    values = {**_recorded(snapshot, attempt, current), **_stages(seen.stages)}
    values["progress"] = _progress(snapshot, current, seen.stages)
    manifests = [render.batch_job(job, attempt, snapshot.settings, current)]
    keep = Plan(apply=wanted(manifests, snapshot.jobs), requeue_after=_PROGRESS_SECONDS)
    if job.spec.scheduling and current.spec.get("suspend"):
        held: dict[str, Any] = {**values, "stage": None, "stages": [], "progress": None}
        waits = f"attempt {attempt} of {job.spec.retry_limit + 1} waits in queue {job.spec.scheduling.queue_name}"
        message = f"{waits} and goes on by itself once that lets it; `kubectl get workloads` shows why it waits"
        return _Move(conditions.reconciling(Reason.QUEUED, message), held, keep)
    trouble = seen.problem if isinstance(seen, training.InProgress) else None
    of = f"attempt {attempt} of {job.spec.retry_limit + 1}"
    if trouble is not None:
        shape = conditions.stalled if trouble.lasting else conditions.reconciling
        return _Move(shape(trouble.reason, trouble.message), values, keep)
    if all(stage.state == "Waiting" for stage in seen.stages):
        return _Move(conditions.reconciling(Reason.PENDING, f"{of}: waiting for its pod to start"), values, keep)
    return _Move(conditions.reconciling(Reason.RUNNING, f"{of}: stage {values['stage']}"), values, keep)


def _unreported(snapshot: TrainingJobSnapshot, broken: training.Broken) -> bool:
    """Tell whether the pod's end may still be on its way: pods and Jobs are watched apart."""
    ended = any(stage.state == "Failed" for stage in broken.stages)
    lacking = not ended and broken.reason in {Reason.RESULT_MISSING, Reason.POD_LOST}
    return (
        lacking and broken.failed_at is not None and (snapshot.now - broken.failed_at).total_seconds() < _REPORT_SECONDS
    )


def _judge(snapshot: TrainingJobSnapshot, attempt: int, current: Job) -> _Move:
    seen = training.outcome(current, snapshot.pods)
    values = {**_recorded(snapshot, attempt, current), **_stages(seen.stages)}
    match seen:
        case training.Trained():
            return _complete(snapshot, seen, values)
        case training.Broken() if not _unreported(snapshot, seen):
            return _broken(snapshot, attempt, _with_cause(snapshot, seen), values)
        case training.Broken() | training.InProgress():
            marks = conditions.reconciling(Reason.RUNNING, "the attempt ended; waiting for what its pod reports")
            return _Move(marks, values, Plan(requeue_after=_REPORT_SECONDS))
        case _:
            assert_never(seen)


def _with_cause(snapshot: TrainingJobSnapshot, broken: training.Broken) -> training.Broken:
    """Return the failure with what kept the pod from running until the deadline, which only the status still knows."""
    ready = conditions.find(snapshot.job.status.conditions, conditions.READY)
    usual = {Reason.RUNNING, Reason.PENDING, Reason.RETRYING, Reason.SUCCEEDED}
    if broken.reason is not Reason.DEADLINE_EXCEEDED or ready is None or ready.reason in usual:
        return broken
    return replace(broken, message=f"{broken.message}. What held it up: {ready.reason}: {cut(ready.message, 500)}")


def _deleted(snapshot: TrainingJobSnapshot, attempt: int) -> _Move:
    broken = training.Broken(
        stages=(),
        reason=Reason.JOB_DELETED,
        message="the attempt's Job was deleted before it ended; suspend a TrainingJob to stop it",
        final=False,
        failed_at=None,
    )
    return _broken(snapshot, attempt, broken, _values(snapshot.job.status))


def _broken(snapshot: TrainingJobSnapshot, attempt: int, broken: training.Broken, values: Mapping[str, Any]) -> _Move:
    job = snapshot.job
    if broken.final or attempt > job.spec.retry_limit:
        advice = "" if broken.final else f" (all {attempt} attempts failed)"
        return _failed(
            {**values, "finishedAt": conditions.rfc3339(snapshot.now)}, broken.reason, broken.message + advice
        )
    if job.spec.suspend:
        return _suspend(snapshot, attempt, None, stopped(values))
    due = training.retry_delay_seconds(attempt)
    waited = (snapshot.now - broken.failed_at).total_seconds() if broken.failed_at else float(due)
    if waited >= due:
        return _start(snapshot, attempt + 1, values)
    of = f"attempt {attempt} of {job.spec.retry_limit + 1}"
    message = f"{of} failed and is tried again: {broken.reason}: {cut(broken.message)}"
    marks = conditions.reconciling(Reason.RETRYING, message)
    return _Move(marks, stopped(values), Plan(requeue_after=max(due - waited, 1.0)))


def _champion(version: api.ModelVersion) -> contract.Champion:
    artifact = version.spec.artifact
    return contract.Champion(version.metadata.name, artifact.uri, artifact.digest, render.access(artifact))


def _image(snapshot: TrainingJobSnapshot, attempt: int) -> str | None:
    """Return the image the attempt ran with, which an operator upgraded meanwhile would not know."""
    job = _job(snapshot, attempt)
    spec: Mapping[str, Any] = job.spec.get("template", {}).get("spec", {}) if job is not None else {}
    containers = spec.get("containers") or ()
    return str(containers[0]["image"]) if containers else None


def _complete(snapshot: TrainingJobSnapshot, trained: training.Trained, values: Mapping[str, Any]) -> _Move:
    job = snapshot.job
    image = _image(snapshot, int(values["attempt"]))
    ended = {**values, "finishedAt": conditions.rfc3339(snapshot.now)}
    judged = gates.judged(job.spec.gates or (), trained.gates, trained.evaluate.champion_problem or "")
    if judged is None:
        return _failed(ended, Reason.RESULT_MISSING, "the pod's result has not one verdict for each of spec.gates")
    try:
        manifest = model_version_of(job, trained, image, snapshot.settings)
    except ValidationError as error:
        return _failed(ended, Reason.RESULT_MISSING, f"the pod's result cannot be a ModelVersion: {error}")
    results = {
        **ended,
        "task": trained.evaluate.task.value,
        "metrics": [metric.model_dump(mode="json", by_alias=True) for metric in metrics_of(trained)],
        "gates": [_gate(item) for item in judged],
        "resolved": resolved(job, trained, image).model_dump(mode="json", by_alias=True, exclude_none=True),
        **({"warnings": list(trained.warnings)} if trained.warnings else {}),
        "artifact": api.PublishedArtifact(
            uri=trained.publish.uri, digest=trained.publish.digest, size_bytes=trained.publish.size_bytes
        ).model_dump(mode="json", by_alias=True),
    }
    if (refusal := gates.refusal(judged)) is not None:
        kept = f"{refusal}. No ModelVersion was made; the model is kept for inspection at {trained.publish.uri}"
        return _failed(results, Reason.GATES_NOT_PASSED, kept)
    return _registered(snapshot, trained.publish.digest, manifest, values, results)


def _registered(
    snapshot: TrainingJobSnapshot,
    digest: str,
    manifest: Manifest,
    values: Mapping[str, Any],
    results: Mapping[str, Any],
) -> _Move:
    """Make the version or link the one that exists; where its name is taken, the run has not ended."""
    job = snapshot.job
    name = str(manifest["metadata"]["name"])
    version = next((item for item in snapshot.versions if item.metadata.name == name), None)
    if version is None:
        made = _made(snapshot, manifest, None, results)
        return replace(made, plan=Plan(apply=(Apply(manifest),)))
    if version.spec.artifact.digest != digest or version.spec.model != job.spec.model:
        message = (
            f"ModelVersion {name} exists with another digest: delete or rename it; then this job goes on by itself"
        )
        return _Move(conditions.stalled(Reason.NAME_CONFLICT, message), values, Plan(requeue_after=_PROGRESS_SECONDS))
    maker = version.spec.provenance.training_job if version.spec.provenance else None
    if maker is not None and maker.uid == job.metadata.uid:
        return _made(snapshot, manifest, version.metadata.creation_timestamp, results)
    message = f"the model equals ModelVersion {name}, which existed before: same data, parameters and seed"
    return _succeeded({**results, "reproduced": True}, name, Reason.REPRODUCED, message)


def _made(
    snapshot: TrainingJobSnapshot, manifest: Manifest, created: datetime | None, results: Mapping[str, Any]
) -> _Move:
    """Say that a version was made, and what makes it another than one before of the same parameters."""
    name, spec = str(manifest["metadata"]["name"]), api.ModelVersionSpec.model_validate(manifest["spec"])
    made_of = spec.provenance or api.Provenance()
    found = reproduction.difference(spec.artifact.digest, made_of, created, snapshot.versions, spec.model)
    if found is None:
        return _succeeded(results, name, Reason.SUCCEEDED, f"made ModelVersion {name}")
    differs = {"version": found.version, "what": list(found.what)}
    return _succeeded(
        {**results, "differs": differs}, name, Reason.SUCCEEDED, f"made ModelVersion {name}; {found.message}"
    )


def _gate(judged: gates.Judged) -> dict[str, Any]:
    limits = judged.gate.model_dump(mode="json", by_alias=True, exclude_none=True)
    found = {"observed": judged.observed, "group": judged.group, "limit": judged.limit, "requiredRows": judged.rows}
    return {**limits, **found, "verdict": judged.verdict.value}


def _failed(values: Mapping[str, Any], reason: Reason, message: str) -> _Move:
    """End the run; how far it came stays, without what it would still have needed."""
    marks = (*conditions.stalled(reason, message), conditions.true(conditions.FAILED, reason, message))
    return _Move(marks, stopped(values), Plan())


def _succeeded(values: Mapping[str, Any], name: str, reason: Reason, message: str) -> _Move:
    marks = (*conditions.ready(reason, message), conditions.true(conditions.COMPLETE, reason, message))
    return _Move(marks, {**values, "progress": {"percent": 100}, "modelVersion": name}, Plan())
