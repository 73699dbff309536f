"""From what is seen of a Deployment to the course of its traffic, and what its status says of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from modelwright_operator import api, naming
from modelwright_operator.decide import actions, checks, conditions, judgement, pages, rollout, scaling, tracks
from modelwright_operator.decide.course import Course, Judgement, Pods, Seen
from modelwright_operator.plan import gateway
from modelwright_operator.plan.outcome import Event
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelwright_operator.decide.conditions import Mark
    from modelwright_operator.decide.course import Happened
    from modelwright_operator.decide.snapshot import DeploymentSnapshot

_SOON: Final = 5.0
_LATER: Final = 30.0
_REFRESH: Final = timedelta(seconds=10)
"""Figures are written so often at most, but for those that something follows from."""
_MOST_HISTORY: Final = 50
_STABLE_DOWN: Final = timedelta(seconds=60)
_WARNINGS: Final = frozenset(
    {
        Reason.ROLLED_BACK,
        Reason.APPROVAL_REVOKED,
        Reason.STABLE_UNAVAILABLE,
        Reason.RETRAINING_REJECTED,
        Reason.RETRAINING_FAILED,
        Reason.RETRAINING_BLOCKED,
        Reason.DRIFT_PERSISTS,
        Reason.MODEL_STALE,
    }
)


def careful(deployment: api.Deployment) -> bool:
    """Tell whether a new version is tried beside the present one. Without pods neither is: a rollout waits for them."""
    return deployment.spec.rollout is not None and deployment.status.stable is not None


def reference_of(deployment: api.Deployment) -> str:
    """Return the hash of spec.model: a change of it lets what was rejected be tried again."""
    return naming.short_hash(deployment.spec.model.model_dump(mode="json", by_alias=True, exclude_none=True))


def course_of(deployment: api.Deployment, stable: api.Revision) -> Course:
    """Return where the status says that the traffic stands."""
    status = deployment.status
    return Course(
        stable=stable,
        canary=status.canary,
        previous=status.previous,
        rollout=status.rollout,
        rejected=tuple(status.rejected),
        sequence=status.traffic.sequence if status.traffic is not None else 0,
    )


def _stable_down(snapshot: DeploymentSnapshot, stable: Pods) -> bool:
    """Tell whether the stable revision answers nothing and will not by itself: waiting for it would block its cure."""
    if stable.ready > 0 or stable.wanted < 1:
        return False
    available = conditions.find(snapshot.deployment.status.conditions, conditions.AVAILABLE)
    gone = available is not None and available.status == "False"
    long = gone and available is not None and snapshot.now - available.last_transition_time >= _STABLE_DOWN
    return gone and (long or (stable.problem is not None and stable.problem.lasting))


def _counted(snapshot: DeploymentSnapshot, current: api.RolloutStatus) -> tuple[api.StepEvidence, ...]:
    return pages.brought_up_to_date(current.evidence.steps, snapshot.counted)


def _judged(
    snapshot: DeploymentSnapshot, course: Course, rules: api.Rollout, steps: Sequence[api.StepEvidence]
) -> judgement.Judged | None:
    if course.rollout is None or course.phase is None:
        return None
    sticky = snapshot.deployment.spec.traffic.sticky_header is not None
    mirrored = gateway.asked(snapshot.deployment) and course.rollout.shadow_percent > 0
    known = checks.brought_up_to_date(rules.analysis.checks, course.rollout.checks, snapshot.readings)
    return judgement.judged(
        course.rollout,
        steps,
        course.sequence,
        rules,
        snapshot.now,
        known_checks=known,
        sticky=sticky,
        mirrored=mirrored,
    )


def seen(
    snapshot: DeploymentSnapshot,
    course: Course,
    rules: api.Rollout,
    target: api.Revision | None,
    verdict: judgement.Judged | None,
) -> Seen:
    """Return what one look tells the machine; the verdict is that of the rollout under way, if there is one."""
    deployment, current = snapshot.deployment, course.rollout
    table = deployment.status.traffic
    since = current.started_at if current is not None else None
    known = [item for item in (course.stable, course.canary, course.previous) if item is not None]
    found = {item.revision: tracks.seen(snapshot, item, since) for item in known}
    return Seen(
        now=snapshot.now,
        name=deployment.metadata.name,
        rollout=rules,
        replicas=scaling.full_size(snapshot),
        deadline=deployment.spec.progress_deadline_seconds,
        target=target,
        reference=reference_of(deployment),
        pods=found,
        actions=actions.asked(deployment.metadata.annotations),
        judgement=verdict.judgement if verdict is not None else Judgement("Inconclusive", "nothing was counted yet"),
        requests=verdict.requests if verdict is not None else 0,
        stable_down=_stable_down(snapshot, found[course.stable.revision]),
        spreads=tracks.spreads(snapshot, course.stable),
        gateway=gateway.awaited(snapshot),
        switched=table is not None and table.mode != deployment.spec.traffic.mode,
    )


def rejected(
    snapshot: DeploymentSnapshot, known: Sequence[api.Rejection], revision: api.Revision | None
) -> api.Rejection | None:
    """Return why a revision is not tried, if it is not."""
    deployment = snapshot.deployment
    asked = actions.asked(deployment.metadata.annotations)
    return rollout.rejection(known, revision, reference_of(deployment), asked)


def advanced(
    snapshot: DeploymentSnapshot, rules: api.Rollout, stable: api.Revision, target: api.Revision | None
) -> Course:
    """Return the course after one look, with the figures that go into the status."""
    before = course_of(snapshot.deployment, stable)
    if snapshot.refusals:
        return before
    known = _counted(snapshot, before.rollout) if before.rollout is not None else ()
    verdict = _judged(snapshot, before, rules, known)
    after = rollout.advance(before, seen(snapshot, before, rules, target, verdict))
    return _with_evidence(snapshot, before, after, rules, verdict) if verdict is not None else after


def _with_evidence(
    snapshot: DeploymentSnapshot, before: Course, after: Course, rules: api.Rollout, verdict: judgement.Judged
) -> Course:
    """Return the course with its figures brought up to date, where that is worth writing."""
    current = after.rollout
    if current is None or before.rollout is None or before.rollout.started_at != current.started_at:
        return after
    if after.sequence != before.sequence and after.phase is not None:
        verdict = _judged(snapshot, after, rules, _opened(snapshot, after, current)) or verdict
    old, shown = current.evidence, verdict.shown
    fresh = old.observed_at is not None and snapshot.now - old.observed_at < _REFRESH
    same_checks = list(verdict.checks) == current.checks
    same = shown.verdict == old.verdict and _answered(shown) == _answered(old)
    if not after.happened and same_checks and same and (fresh or shown.steps == old.steps):
        return after
    return after.turned(evidence=shown, checks=list(verdict.checks))


def _answered(evidence: api.Evidence) -> set[int]:
    """Return the sequences of the steps in which something was answered: the first of it is worth writing at once."""
    return {item.sequence for item in evidence.strata}


def _opened(snapshot: DeploymentSnapshot, course: Course, current: api.RolloutStatus) -> tuple[api.StepEvidence, ...]:
    """Return the figures, with room for those of the step or the watch that begins now."""
    known = _counted(snapshot, current)
    if course.phase not in {"Stepping", "Watching"}:
        return known
    number = 0 if course.phase == "Watching" else current.step
    opened = api.StepEvidence(sequence=course.sequence, step=number, weight=current.weight)
    return (*known, opened)[-pages.MOST_STEPS :]


def look_seconds(course: Course, *, settled: bool) -> float | None:
    """Return when a rollout is to be looked at where nothing else calls for it; None: there is none to look at.

    Pods and figures call for it when there is news of them; what remains is time that passes.
    """
    if course.phase is None:
        return None if settled else _SOON
    current = course.rollout
    return _SOON if not settled or current is None or current.awaiting in {"Pods", "Gateway", "Time"} else _LATER


def values(snapshot: DeploymentSnapshot, course: Course | None, made: api.TrafficStatus | None) -> dict[str, Any]:
    """Return what the status says of the traffic."""
    known = {"history": [_dumped(item) for item in snapshot.deployment.status.history] or None}
    current = course.rollout if course is not None else None
    rejected = course.rejected if course is not None else ()
    return {
        "traffic": _dumped(made),
        "rollout": _dumped(current),
        "rejected": [_dumped(item) for item in rejected] or None,
        **remembered(snapshot, known, course.happened if course is not None else ()),
    }


def remembered(snapshot: DeploymentSnapshot, values: Mapping[str, Any], happened: Sequence[Happened]) -> dict[str, Any]:
    """Return the status with a line of history for each thing that happened."""
    lines = [
        api.HistoryEntry(at=snapshot.now, event=str(item.reason), version=item.version, message=item.message[:1024])
        for item in happened
    ]
    history = [*(values["history"] or ()), *(_dumped(item) for item in lines)]
    return {**values, "history": history[-_MOST_HISTORY:] or None}


def events(happened: Sequence[Happened]) -> tuple[Event, ...]:
    """Return an event for each thing that happened."""
    return tuple(
        Event("Warning" if item.reason in _WARNINGS else "Normal", str(item.reason), item.message[:1000])
        for item in happened
    )


def _dumped(model: Any) -> Any:  # noqa: ANN401  # any of the status's models
    return model.model_dump(mode="json", by_alias=True, exclude_none=True) if model is not None else None


def marks(snapshot: DeploymentSnapshot, course: Course, refused: api.Rejection | None) -> tuple[Mark, ...] | None:
    """Return what the conditions say of a rollout; None: there is nothing to say of one."""
    current, phase = course.rollout, course.phase
    if refused is not None and phase is None:
        again = f"{refused.revision}/{refused.attempts}"
        message = (
            f"{refused.version} was rolled back ({refused.reason}): {refused.message}; {course.stable.version} answers "
            f"requests. Change spec.model, or try it again: kubectl annotate modeldeployment "
            f"{snapshot.deployment.metadata.name} --overwrite {naming.ANNOTATION_RETRY}={again}"
        )
        return (
            *conditions.stalled(Reason.ROLLED_BACK, message),
            conditions.true(conditions.ROLLED_BACK, refused.reason, message),
            conditions.false(conditions.ROLLOUT_HEALTHY, refused.reason, message),
        )
    if phase is None or current is None:
        return None
    if phase == "Watching":
        return (*conditions.ready(Reason.AVAILABLE, current.message), _healthy(current))
    return (*_progress(snapshot, course, current), _healthy(current))


def _progress(snapshot: DeploymentSnapshot, course: Course, current: api.RolloutStatus) -> tuple[Mark, ...]:
    message = f"{current.message}; {course.stable.version} goes on answering"
    if current.awaiting == "Approval":
        required = conditions.true(conditions.APPROVAL_REQUIRED, Reason.APPROVAL_REQUIRED, current.message)
        return (*conditions.ready(Reason.APPROVAL_REQUIRED, message), required)
    if current.awaiting == "Resume":
        return conditions.ready(Reason.PAUSED, message)
    if current.awaiting == "Gateway":
        return conditions.reconciling(Reason.ROUTE_PENDING, message)
    if current.awaiting == "Pods":
        return conditions.reconciling(Reason.PROMOTING if course.phase == "Promoting" else Reason.ROLLING_OUT, message)
    deadline = snapshot.deployment.spec.progress_deadline_seconds
    started = current.step_started_at
    if started is not None and (snapshot.now - started).total_seconds() > deadline:
        return conditions.ready(Reason.STEP_HOLDING, message)
    return conditions.reconciling(Reason.STEP_HOLDING, message)


def _healthy(current: api.RolloutStatus) -> Mark:
    found = current.evidence
    if found.verdict == "Inconclusive" or found.verdict is None:
        return conditions.unknown(
            conditions.ROLLOUT_HEALTHY, Reason.INCONCLUSIVE, f"{current.version} is not judged yet"
        )
    return conditions.true(
        conditions.ROLLOUT_HEALTHY, Reason.CANARY_HEALTHY, f"{current.version} gave no reason to stop"
    )
