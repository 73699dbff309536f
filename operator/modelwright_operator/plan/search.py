"""The search of a TrainingJob: an Indexed Job of trials, then the model is trained with the best one's parameters.

Scores go into the status as they come, so that a Job or pod that is removed costs only the trials that had not ended:
the next Job, `<name>-<hash of uid and number>`, runs those. What the search decides follows from the trials' order, not
from that in which they end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from modelwright_operator import api, naming
from modelwright_operator.decide import conditions, progress
from modelwright_operator.decide import search as decide
from modelwright_operator.plan.outcome import Apply, Confirm, Move, Plan, stopped, values_of, wanted
from modelwright_operator.plan.searching import Search, status_of, with_progress, with_seen
from modelwright_operator.reasons import Reason
from modelwright_operator.render import search as render
from modelwright_operator.render.space import Round
from modelwright_operator.render.space import plans as trial_plans
from modelwright_training import contract

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelwright_operator.decide.observed import Job
    from modelwright_operator.decide.snapshot import TrainingJobSnapshot

_PROGRESS_SECONDS: Final = 15.0
_REPORT_SECONDS: Final = 10.0
_AT_ONCE: Final = 1.0


def pending(snapshot: TrainingJobSnapshot) -> bool:
    """Tell whether there is a search whose end the training has to wait for."""
    found = snapshot.job.status.tuning
    return snapshot.job.spec.tuning is not None and (found is None or found.state != "Finished")


def step(snapshot: TrainingJobSnapshot, tuning: api.Tuning) -> Move:
    """Return what the search does next."""
    job = snapshot.job
    known = job.status.tuning or api.TuningStatus()
    try:
        drawn = trial_plans(job, tuning)
    except ValueError as error:
        return _broken(snapshot, Reason.TUNING_INVALID, f"spec.{error}")
    search = Search(snapshot, tuning, drawn, len(drawn), known, {row.trial: row for row in known.trials}).with_vote()
    attempt = known.attempt + 1 if _job(snapshot, known.attempt + 1) is not None else known.attempt
    current = _job(snapshot, attempt)
    over = current is not None and render.round_of(current).rung < known.rung
    if current is not None and not over:
        return _watch(search, attempt, current)
    if job.spec.suspend:
        return _suspended(snapshot, Plan())
    if over:
        return _start(search, attempt + 1)
    if attempt:
        return _again(search, attempt, Reason.JOB_DELETED, "the search's Job was deleted before all its trials ended")
    return _start(search, 1)


def settled(snapshot: TrainingJobSnapshot) -> tuple[Apply, ...]:
    """Return what stops the Jobs of a search that is over, and lets Kubernetes remove them."""
    tuning, found = snapshot.job.spec.tuning, snapshot.job.status.tuning
    if tuning is None or found is None or snapshot.refusals:
        return ()
    jobs = {attempt: _job(snapshot, attempt) for attempt in range(1, found.attempt + 2)}
    manifests = [
        _manifest(snapshot, tuning, attempt, render.round_of(job), job, stop=not job.finished, expire=job.finished)
        for attempt, job in jobs.items()
        if job is not None
    ]
    return wanted(manifests, snapshot.jobs)


def _job(snapshot: TrainingJobSnapshot, attempt: int) -> Job | None:
    name = render.job_name(snapshot.job, attempt)
    return next((item for item in snapshot.jobs if item.name == name and not item.deleting), None)


def _manifest(  # noqa: PLR0913  # what a Job is made of, and what is to become of it
    snapshot: TrainingJobSnapshot,
    tuning: api.Tuning,
    attempt: int,
    what: Round,
    observed: Job | None,
    *,
    stop: bool = False,
    expire: bool = False,
) -> dict[str, Any]:
    """Return a Job of the search; one that is there keeps the limits it was made with."""
    known = snapshot.job.status.tuning
    seconds, failures = tuning.max_seconds, tuning.max_failed_trials
    if observed is not None:
        seconds = int(observed.spec.get("activeDeadlineSeconds", seconds))
        failures = observed.spec.get("maxFailedIndexes")
    elif known is not None and known.started_at is not None:
        seconds = max(seconds - int((snapshot.now - known.started_at).total_seconds()), 1)
        failures = max(failures - known.failed, 0) if failures is not None else None
    return render.batch_job(
        snapshot.job,
        tuning,
        attempt,
        what,
        snapshot.settings,
        observed,
        seconds=seconds,
        failures=failures,
        stop=stop,
        expire=expire,
    )


def _start(search: Search, attempt: int) -> Move:
    """Run the trials that have not ended on the present rung."""
    snapshot, job = search.snapshot, search.snapshot.job
    manifest = _manifest(
        snapshot,
        search.tuning,
        attempt,
        Round(search.missing, search.known.rung, tuple(search.known.leaders or ())),
        None,
    )
    name = str(manifest["metadata"]["name"])
    values = status_of(search, attempt)
    confirm = [Confirm(naming.TRAINING_JOBS, job.metadata.name, job.metadata.resource_version)]
    confirm.append(Confirm(naming.JOBS, name, None))
    if attempt > 1 and _job(snapshot, attempt - 1) is None:  # two Jobs never run the same trials at once
        confirm.append(Confirm(naming.JOBS, render.job_name(job, attempt - 1), None))
    marks = conditions.reconciling(Reason.PENDING, f"{_where(search)}: {len(search.missing)} trials to run")
    plan = Plan(apply=(Apply(manifest),), confirm=tuple(confirm), requeue_after=_PROGRESS_SECONDS)
    return Move(marks, values, plan)


def _again(search: Search, attempt: int, reason: Reason, why: str) -> Move:
    """Run the trials that were lost, if that has not been tried too often."""
    if (decided := _decided(search, attempt)) is not None:
        return decided
    limit = search.snapshot.job.spec.retry_limit + search.known.rung  # each rung has a Job of its own anyway
    if attempt > limit:
        return _broken(search.snapshot, reason, f"{why} (all {attempt} attempts failed)", status_of(search, attempt))
    return _start(search, attempt + 1)


def _watch(search: Search, attempt: int, current: Job) -> Move:  # noqa: PLR0911  # one for each end
    snapshot = search.snapshot
    what = render.round_of(current)
    seen = decide.seen(current, snapshot.pods, what.trials, what.rung)
    search = with_seen(search, seen)
    values = status_of(search, attempt)
    if seen.fatal is not None:
        return _broken(snapshot, *seen.fatal, values)
    digests = {item.result.data for item in seen.trials.values() if isinstance(item, decide.Scored)}
    if search.known.data_digest is not None:
        digests.add(search.known.data_digest)
    if len(digests) > 1:
        message = (
            "the data changed during the search, so that its trials cannot be compared; create the TrainingJob anew,"
            " with spec.data[].digest if the data must not change"
        )
        return _broken(snapshot, Reason.DATA_DIGEST_MISMATCH, message, values)
    if (decided := _decided(search, attempt)) is not None:
        return decided
    if seen.end is None:
        return _run(search, attempt, current, seen, values)
    if (
        seen.end not in {"Deadline", "TooManyFailed"}
        and seen.ended_at is not None
        and (snapshot.now - seen.ended_at).total_seconds() < _REPORT_SECONDS
    ):
        marks = conditions.reconciling(Reason.RUNNING, "the search ended; waiting for what its pods report")
        return Move(marks, values, Plan(requeue_after=_REPORT_SECONDS))
    match seen.end:
        case "Deadline" if search.best is None:
            message = "no trial ended within spec.tuning.maxSeconds; create a TrainingJob with more"
            return _broken(snapshot, Reason.DEADLINE_EXCEEDED, message, values)
        case "Deadline":
            return _finish(search, attempt, len(search.plans), contract.Stopped.BUDGET_REACHED)
        case "TooManyFailed":
            limit = search.tuning.max_failed_trials
            message = f"more than spec.tuning.maxFailedTrials {limit} trials failed: {_failure(search)}"
            return _broken(snapshot, Reason.TRIALS_FAILED, message, values)
        case _:
            why = "the search's Job ended, but some of its pods left no result that can be read"
            return _again(search, attempt, Reason.RESULT_MISSING, why)


def _decided(search: Search, attempt: int) -> Move | None:
    """End the search or its rung, if no trial is awaited any more."""
    patience = search.tuning.early_stop.patience if search.tuning.early_stop is not None else None
    last = search.known.rung + 1 >= len(search.rungs)
    if len(search.rungs) == 1:
        after = contract.decided_after(search.scores, len(search.plans), search.known.metric, patience)
        if after is None:
            return None
        early = after < len(search.plans)
        return _finish(
            search, attempt, after, contract.Stopped.EARLY_STOPPED if early else contract.Stopped.ALL_TRIALS_ENDED
        )
    if search.missing:
        return None
    if last or all(score is None for score in search.scores.values()):
        return _finish(search, attempt, len(search.plans), contract.Stopped.ALL_TRIALS_ENDED)
    return _promote(search, attempt)


def _promote(search: Search, attempt: int) -> Move:
    """Choose who takes part in the next round; in the last one of AutoML, leaders vote together."""
    rung, metric = search.known.rung + 1, search.known.metric
    automl = search.tuning.algorithm == "AutoML"
    kept = contract.untuned(search.plans) if automl else ()
    chosen = contract.promoted(search.scores, metric, search.rungs[rung].trials, kept)
    changes: dict[str, Any] = {"rung": rung, "candidates": list(chosen)}
    said = f"search: trials {', '.join(map(str, chosen))} go on to rung {rung + 1} of {len(search.rungs)}"
    if automl and rung + 1 == len(search.rungs):
        leaders = contract.leaders(search.scores, metric)
        known = search.known.model_copy(update={"leaders": list(leaders)})
        search = replace(search, known=known).with_vote()
        changes["candidates"] = [search.drawn]
        said = f"search: trials {', '.join(map(str, leaders))} vote together on the last rung"
    values = status_of(search, attempt, **changes)
    return Move(conditions.reconciling(Reason.RUNNING, said[:500]), values, Plan(requeue_after=_AT_ONCE))


def _where(search: Search) -> str:
    count = len(search.rungs)
    return "search" if count == 1 else f"search, rung {search.known.rung + 1} of {count}"


def _run(search: Search, attempt: int, current: Job, seen: decide.Seen, values: Mapping[str, Any]) -> Move:
    snapshot = search.snapshot
    manifest = _manifest(snapshot, search.tuning, attempt, render.round_of(current), current)
    keep = Plan(apply=wanted([manifest], snapshot.jobs), requeue_after=_PROGRESS_SECONDS)
    if snapshot.job.spec.suspend:
        return _suspended(snapshot, keep, values)
    if seen.problem is not None:
        shape = conditions.stalled if seen.problem.lasting else conditions.reconciling
        return Move(shape(seen.problem.reason, seen.problem.message), values, keep)
    said = f"{_where(search)}: {len(search.scores)} of {len(search.candidates)} trials ended"
    if (best := search.best) is not None:
        said += f", best {search.known.metric} {best.score:g}"
    return Move(conditions.reconciling(Reason.RUNNING, said), with_progress(search, values, said), keep)


def _suspended(snapshot: TrainingJobSnapshot, plan: Plan, values: Mapping[str, Any] | None = None) -> Move:
    return Move(conditions.suspended(), stopped(values if values is not None else values_of(snapshot.job.status)), plan)


def _finish(search: Search, attempt: int, after: int, why: contract.Stopped) -> Move:
    """Settle on the best of the first so many trials; what ran beyond them does not count."""
    rows = {number: row for number, row in search.rows.items() if number < after}
    search = replace(search, rows=rows)
    best = search.best
    values = status_of(
        search,
        attempt,
        state="Finished",
        stopped=why.value,
        reproducible=why is not contract.Stopped.BUDGET_REACHED,
        finishedAt=conditions.rfc3339(search.snapshot.now),
    )
    if best is None or best.score is None:
        return _broken(search.snapshot, Reason.TRIALS_FAILED, f"every trial failed: {_failure(search)}", values)
    metric = search.known.metric or ""
    estimator, parameters = contract.estimator_of(search.plans[best.trial])
    chosen = api.BestTrial(
        trial=best.trial, score=best.score, metric=metric, estimator=estimator, parameters=parameters
    )
    values["bestTrial"] = chosen.model_dump(mode="json", by_alias=True, exclude_none=True)
    values["progress"] = {"percent": progress.SEARCHED}
    said = f"search: trial {best.trial} is the best of {len(rows)}, {metric} {best.score:g}; training with it"
    return Move(conditions.reconciling(Reason.RUNNING, said), values, Plan(requeue_after=_AT_ONCE))


def _failure(search: Search) -> str:
    """Return why the first failed trial did."""
    failed = (row.message for _, row in sorted(search.rows.items()) if row.message)
    return next(failed, "see the logs of its pods")


def _broken(
    snapshot: TrainingJobSnapshot, reason: Reason, message: str, values: Mapping[str, Any] | None = None
) -> Move:
    """End the run: the trainer has no parameters."""
    known = values if values is not None else values_of(snapshot.job.status)
    marks = (*conditions.stalled(reason, message), conditions.true(conditions.FAILED, reason, message))
    return Move(marks, {**stopped(known), "finishedAt": conditions.rfc3339(snapshot.now)}, Plan())
