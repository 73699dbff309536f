"""The rollout of one revision over another: what follows from what is seen. Pure; drawn here whole.

                  new target              pods ready            held, approved
    (at rest) ────────────────► Starting ────────────► Stepping ──────┐
        ▲                          │                    │ │  ▲        │ next step, once its pods are ready
        │                          │   stable is down,  │ │  └────────┘
        │                          │   promoted by hand │ │ last step held and verdict Promote
        │                          ├──────────────────► Promoting ──every pod ready──► Watching ──time──► Complete
        │                          │                      │                              │
        │     trouble, deadline, verdict Rollback, abort  │          the same: what answered before answers again
        │                          └──────────► RolledBack, and remembered as rejected ◄─┘
        └── Superseded: another target came;  Withdrawn: the target is the stable revision again

A revision gets traffic only while a pod of it is ready. The stable revision keeps its full size until its successor has
that size, is ready and has the Service; what answered before keeps it until the watch is over. So from each phase there
is a way back that needs no new pod.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from modelwright_operator.api.rollout_status import Rejection, RolloutStatus
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelwright_operator import api
    from modelwright_operator.decide.actions import Actions
    from modelwright_operator.decide.course import Course, Seen

_MOST_REJECTED: Final = 20
_ENDS_IT: Final = frozenset(
    {
        Reason.CRASH_LOOPING,
        Reason.OUT_OF_MEMORY,
        Reason.ARTIFACT_NOT_FOUND,
        Reason.ARTIFACT_INVALID,
        Reason.DIGEST_MISMATCH,
        Reason.SIGNATURE_INVALID,
        Reason.MODEL_REJECTED,
    }
)
"""Problems of the version itself. What somebody may mend from outside has until the progress deadline."""


def rejection(
    rejected: Sequence[api.Rejection], revision: api.Revision | None, reference: str, actions: Actions
) -> api.Rejection | None:
    """Return why a revision is not tried: it was rolled back under this spec.model, and nobody asked for a retry."""
    found = next((item for item in rejected if revision is not None and item.revision == revision.revision), None)
    if found is None or found.reference != reference or actions.retry == (found.revision, found.attempts):
        return None
    return found


def step_of(rollout: api.Rollout, number: int) -> api.Step:
    """Return a step by its number from 1; beyond the last, which somebody may have taken away, it is the last."""
    return rollout.steps[min(max(number, 1), len(rollout.steps)) - 1]


def size(course: Course, revision: api.Revision, replicas: int, rollout: api.Rollout) -> int:
    """Return how many pods a revision must have: a canary so many as its share of the traffic needs, rounded up."""
    current = course.rollout
    trying = course.canary is not None and revision.revision == course.canary.revision
    if not trying or current is None or course.phase not in {"Starting", "Stepping"}:
        return replicas
    step = step_of(rollout, current.step)
    share = max(step.weight or 0, step.shadow_percent or 0, current.weight, current.shadow_percent)
    return max(1, -(-replicas * share // 100))


def advance(course: Course, seen: Seen) -> Course:
    """Return where the traffic should stand now. Seeing the same again, it changes nothing more in the long run."""
    course = replace(course, rejected=tuple(item for item in course.rejected if item.reference == seen.reference))
    if seen.replicas == 0 and course.phase != "Watching":
        return _asleep(course, seen)
    course = _retarget(course, seen)
    if course.phase == "Watching":
        return _watch(course, seen)
    if course.phase is None or course.canary is None or course.rollout is None:
        return course
    canary, current = course.canary, course.rollout
    if (fault := _fault(canary, current, seen) or _overdue(canary, current, seen)) is not None:
        return _roll_back(course, canary, seen, *fault)
    if course.phase != "Promoting":
        course = _step(course, canary, current, seen)
    return _promote(course, seen) if course.phase == "Promoting" else course


def _asleep(course: Course, seen: Seen) -> Course:
    """Try nothing where nothing answers: what was under way begins anew once there are pods again."""
    if course.canary is None:
        return course
    message = f"spec.replicas is 0: {course.canary.version} is tried once there are pods again"
    return course.ended("Withdrawn", message, seen.now).told(Reason.WITHDRAWN, course.canary.version, message)


def _retarget(course: Course, seen: Seen) -> Course:
    """Turn to what is wanted now, if that is another revision than before."""
    target, canary, stable, previous = seen.target, course.canary, course.stable, course.previous
    if target is None or target.revision == (canary or stable).revision:
        return course
    if canary is not None and target.revision == stable.revision:
        message = f"{stable.version} is wanted again, and goes on answering"
        return course.ended("Withdrawn", message, seen.now).told(Reason.WITHDRAWN, canary.version, message)
    if course.phase == "Watching" and previous is not None and previous.revision == target.revision:
        if not seen.of(previous).full(seen.replicas):
            return course
        message = f"{previous.version} is wanted again, and answers again"
        return _back(course, previous, seen, "Withdrawn", message).told(
            Reason.WITHDRAWN, course.stable.version, message
        )
    refused = rejection(course.rejected, target, seen.reference, seen.actions) is not None
    if canary is not None:
        message = f"{canary.version} makes way for {target.version}"
        course = course.ended("Superseded", message, seen.now).told(Reason.SUPERSEDED, canary.version, message)
    return course if refused else _start(course, target, seen)


def _start(course: Course, target: api.Revision, seen: Seen) -> Course:
    rollout = RolloutStatus(
        phase="Starting",
        revision=target.revision,
        version=target.version,
        step=1,
        steps=len(seen.rollout.steps),
        awaiting="Pods",
        message=f"bringing up {target.version}",
        started_at=seen.now,
        waiting_since=seen.now,
    )
    started = replace(course, canary=target, rollout=rollout, sequence=course.sequence + 1)
    return started.told(
        Reason.ROLLOUT_STARTED, target.version, f"{target.version} is tried beside {course.stable.version}"
    )


def _fault(revision: api.Revision, current: api.RolloutStatus, seen: Seen) -> tuple[Reason, str] | None:
    """Return why what is tried, or was promoted and is watched, cannot go on, if it cannot."""
    pods = seen.of(revision)
    if seen.actions.abort == (revision.revision, current.step):
        return Reason.ABORTED, "aborted by hand"
    if pods.problem is not None and pods.problem.lasting and pods.problem.reason in _ENDS_IT:
        return pods.problem.reason, pods.problem.message
    if pods.crash is not None:
        return Reason.CANARY_CRASHED, pods.crash
    if seen.judgement.kind == "Rollback":
        return seen.judgement.reason, seen.judgement.message
    return None


def _overdue(canary: api.Revision, current: api.RolloutStatus, seen: Seen) -> tuple[Reason, str] | None:
    """Return what the canary has waited for too long, if it has."""
    pods = seen.of(canary)
    if seen.seconds_since(current.waiting_since) > seen.deadline:
        why = pods.problem.message if pods.problem is not None else f"{pods.ready} of {pods.wanted} pods are ready"
        return Reason.PROGRESS_DEADLINE_EXCEEDED, f"not ready within spec.progressDeadlineSeconds: {why}"
    longest = step_of(seen.rollout, current.step).hold.max_seconds
    undecided = seen.judgement.kind in {"Undecided", "Inconclusive"} and current.awaiting in {"Requests", "Evidence"}
    over = seen.seconds_since(current.step_started_at) > longest
    if over and undecided and seen.rollout.analysis.on_inconclusive == "Rollback":
        return Reason.INCONCLUSIVE, f"step {current.step} was not decided within {longest} s: {seen.judgement.message}"
    return None


def _reject(course: Course, revision: api.Revision, seen: Seen, reason: Reason, message: str) -> Course:
    before = next((item for item in course.rejected if item.revision == revision.revision), None)
    entry = Rejection(
        revision=revision.revision,
        version=revision.version,
        reason=str(reason),
        message=message[:1024],
        attempts=before.attempts + 1 if before is not None else 1,
        reference=seen.reference,
        at=seen.now,
    )
    others = tuple(item for item in course.rejected if item is not before)
    return replace(course, rejected=(*others, entry)[-_MOST_REJECTED:])


def _roll_back(course: Course, canary: api.Revision, seen: Seen, reason: Reason, message: str) -> Course:
    words = f"{canary.version} was rolled back: {message}"[:1024]
    rejected = _reject(course, canary, seen, reason, message)
    return rejected.ended("RolledBack", words, seen.now).told(Reason.ROLLED_BACK, canary.version, words)


def _back(course: Course, previous: api.Revision, seen: Seen, phase: str, message: str) -> Course:
    """Let what answered before answer again."""
    back = course.ended(phase, message, seen.now)
    return replace(back, stable=previous, previous=course.stable)


def _watch(course: Course, seen: Seen) -> Course:
    """Guard what was promoted, as long as there is something to fall back on."""
    current, previous, stable = course.rollout, course.previous, course.stable
    if current is None or current.watch_until is None or seen.now >= current.watch_until or previous is None:
        return course.ended("Complete", f"{stable.version} took over", seen.now)
    fault = _fault(stable, current, seen)
    if fault is None or not seen.of(previous).able(seen.replicas):
        return course
    reason, message = fault
    words = f"{stable.version} was rolled back after its promotion: {message}"[:1024]
    rejected = _reject(course, stable, seen, reason, message)
    return _back(rejected, previous, seen, "RolledBack", words).told(Reason.ROLLED_BACK, stable.version, words)


def _step(  # noqa: PLR0911  # one for each thing that keeps a step from ending
    course: Course, canary: api.Revision, current: api.RolloutStatus, seen: Seen
) -> Course:
    """Go through the steps: bring up a step's pods, give them its traffic, hold, and go on to the next."""
    if (hastened := _hastened(course, canary, current, seen)) is not None:
        return hastened
    if seen.switched and current.step_started_at is not None:  # what was counted so far, others have spread
        course = course.turned(step_started_at=None, awaiting="Pods", waiting_since=seen.now)
    if seen.gateway:
        return course.turned(awaiting="Gateway", message=seen.gateway[:1024], waiting_since=None)
    if course.rollout is not None and course.rollout.step_started_at is None:
        return _enter(course, canary, course.rollout, seen)
    if seen.of(canary).ready == 0:
        message = f"no pod of {canary.version} is ready: it gets no traffic"
        return course.turned(awaiting="Pods", message=message, waiting_since=current.waiting_since or seen.now)
    course = course.turned(waiting_since=None)
    awaiting, message = _awaited(course, canary, current, seen)
    if awaiting is not None:
        return course.turned(awaiting=awaiting, message=message)
    if current.step >= len(seen.rollout.steps):
        return _promoting(course, f"every step was passed: bringing {canary.version} to full size", seen)
    following = course.turned(
        phase="Stepping",
        step=current.step + 1,
        steps=len(seen.rollout.steps),
        step_started_at=None,
        waiting_since=seen.now,
        awaiting="Pods",
        message=f"bringing up pods for step {current.step + 1}",
    )
    assert following.rollout is not None  # noqa: S101  # it was there above
    return _enter(following, canary, following.rollout, seen)


def _hastened(course: Course, canary: api.Revision, current: api.RolloutStatus, seen: Seen) -> Course | None:
    """Return the course that passes over all steps, where there is reason to."""
    if seen.stable_down:
        message = f"{course.stable.version} answers nothing: {canary.version} is promoted without being judged"
        return _promoting(course, message, seen).told(Reason.STABLE_UNAVAILABLE, canary.version, message)
    if seen.actions.promote == (canary.revision, current.step):
        message = f"{canary.version} is promoted by hand"
        return _promoting(course, message, seen).told(Reason.PROMOTED_BY_HAND, canary.version, message)
    return None


def _enter(course: Course, canary: api.Revision, current: api.RolloutStatus, seen: Seen) -> Course:
    """Give the canary a step's traffic, once it has the pods for it."""
    if not seen.of(canary).full(size(course, canary, seen.replicas, seen.rollout)):
        if current.awaiting == "Gateway":  # for which no canary is to blame: pods have all their time from now on
            message = f"bringing up pods for step {current.step}"
            return course.turned(awaiting="Pods", message=message, waiting_since=seen.now)
        return course
    step = step_of(seen.rollout, current.step)
    weight, shadow = step.weight or 0, step.shadow_percent or 0
    share = f"answers {weight} %" if weight else f"gets a copy of {shadow} %"
    message = f"step {current.step} of {len(seen.rollout.steps)}: {canary.version} {share} of the requests"
    entered = course.turned(
        phase="Stepping",
        weight=weight,
        shadow_percent=shadow,
        step_started_at=seen.now,
        waiting_since=None,
        awaiting="Time",
        message=message,
    )
    return replace(entered, sequence=course.sequence + 1).told(Reason.STEP_STARTED, canary.version, message)


def _approved(canary: api.Revision, number: int, seen: Seen) -> bool:
    written = seen.rollout.approved
    by_commit = written is not None and written.version == canary.version and number <= written.step
    return by_commit or seen.actions.approve == (canary.revision, number)


def _awaited(  # noqa: PLR0911  # one for each thing that may be awaited
    course: Course, canary: api.Revision, current: api.RolloutStatus, seen: Seen
) -> tuple[api.Awaiting | None, str]:
    """Return what the present step waits for, in a word and in a sentence; None: it may end."""
    number, step = current.step, step_of(seen.rollout, current.step)
    name = f"{canary.revision}/{number}"
    if seen.rollout.paused or seen.actions.pause == (canary.revision, number):
        return "Resume", f"paused at step {number}; set spec.rollout.paused to false and remove the annotation pause"
    if seen.actions.skip == (canary.revision, number):
        return None, ""
    if seen.seconds_since(current.step_started_at) < step.hold.min_seconds:
        return "Time", f"step {number} lasts {step.hold.min_seconds} s at least"
    if seen.requests < step.hold.min_requests:
        return (
            "Requests",
            f"step {number} needs {step.hold.min_requests} requests to the canary{_none_yet(course, seen)}",
        )
    last = number >= len(seen.rollout.steps)
    if seen.judgement.kind == "Inconclusive" or (last and seen.judgement.kind != "Promote"):
        return "Evidence", f"step {number} cannot end yet: {seen.judgement.note}"
    if step.approval == "Required" and not _approved(canary, number, seen):
        return "Approval", (
            f"step {number} of {canary.version} waits for an approval: kubectl annotate modeldeployment "
            f"{seen.name} --overwrite modelwright.dev/approve={name}, or set spec.rollout.approved"
        )
    return None, ""


def _none_yet(course: Course, seen: Seen) -> str:
    if not seen.spreads:
        return (
            f"; none can come, since pods of {course.stable.version} were made by an earlier release, without the "
            "sidecar that lets them spread requests: promote by hand, or replace them first"
        )
    return "; none has come yet" if seen.requests == 0 else ""


def _promoting(course: Course, message: str, seen: Seen) -> Course:
    return course.turned(phase="Promoting", awaiting="Pods", message=message, waiting_since=seen.now)


def _promote(course: Course, seen: Seen) -> Course:
    """Let the canary take over, once every pod of it is ready."""
    canary, stable = course.canary, course.stable
    if canary is None or not seen.of(canary).full(seen.replicas):
        return course
    watch = seen.rollout.post_promotion_watch_seconds
    message = f"{canary.version} took over from {stable.version}"
    done = course.ended("Complete", message, seen.now)
    if watch:
        done = done.turned(
            phase="Watching",
            ended_at=None,
            watch_until=seen.now + timedelta(seconds=watch),
            message=f"{message}, which is kept for {watch} s to fall back on",
        )
    promoted = replace(done, stable=canary, previous=stable)
    return promoted.told(Reason.PROMOTED, canary.version, message)
