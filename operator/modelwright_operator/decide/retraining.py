"""The retraining of a model: what calls for it, what keeps it from starting, and what became of it. Pure.

                     something calls, nothing is in the way         gates passed              it answers
    (at rest) ──────────────────────────────────────────► Running ──────────────► RollingOut ───────────► Promoted
        ▲                                                    │                        │
        │                                                    ├── Rejected, NoNewData  ├── RolledBack
        └───────────── cooldown, weekly budget ──────────────┴── Failed               └── Superseded, UpdateAvailable

An episode is one such round. It has exactly one TrainingJob, whose name follows from the episode's number; the next
episode begins only after the cooldown. If what a run was to cure is there again before the version it led to has been
free of it for long, or if there was nothing new to learn from, drift persists: another run of the same kind would not
help, so only a human or a schedule starts one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from modelwright_operator import api
from modelwright_operator.decide import conditions, schedule
from modelwright_operator.decide.course import Happened
from modelwright_operator.reasons import Reason
from modelwright_server.contract import monitoring

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from modelwright_operator.decide.conditions import Mark

SCHEDULE: Final = "Schedule"
BY_HAND: Final = "ByHand"
AGE: Final = "Age"
EVIDENCE: Final = {
    "DataDrift": monitoring.DATA_DRIFT,
    "PredictionDrift": monitoring.PREDICTION_DRIFT,
    "Quality": monitoring.MODEL_QUALITY,
}
"""Triggers that rest on what was seen of the version that answers, and their conditions."""
_WEEK: Final = timedelta(days=7)
_UNFINISHED: Final = frozenset({"Running", "RollingOut"})
_NOT_GOOD_ENOUGH: Final = frozenset({"Rejected", "RolledBack"})
_REASONS: Final = {
    "Promoted": Reason.RETRAINED,
    "Rejected": Reason.RETRAINING_REJECTED,
    "RolledBack": Reason.RETRAINING_REJECTED,
    "NoNewData": Reason.NO_NEW_DATA,
    "UpdateAvailable": Reason.UPDATE_AVAILABLE,
    "Superseded": Reason.SUPERSEDED,
    "Failed": Reason.RETRAINING_FAILED,
}
_QUIET: Final = frozenset({Reason.COOLING_DOWN, Reason.TEMPLATE_RUNNING})
"""What a run waits for that is worth no event: it passes by itself, and the status says when."""


@dataclass(frozen=True)
class Block:
    """What keeps a run from starting, and what to do about it."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Seen:
    """What one look at the cluster tells.

    Attributes:
        deployment: with the conditions that sidecars wrote.
        rules: its spec.retraining.
        reference: hash of what a human may change to let a run be tried again.
        unfit: what is wrong with the template or the schedule.
        under_way: what a rollout is doing; empty: there is none.
        refused: why the API server would not take the TrainingJob.
        request: value of the annotation that asks for a run.
        update: whether the version that the last run made waits to be named in spec.model.
    """

    now: datetime
    deployment: api.Deployment
    rules: api.Retraining
    reference: str
    unfit: Block | None
    under_way: str
    refused: Block | None
    request: str | None
    update: bool


@dataclass(frozen=True)
class Turn:
    """Where the retraining stands.

    Attributes:
        start: what calls for the run that is to start now; empty: none is.
        happened: what came about in this pass.
    """

    state: api.RetrainingStatus
    start: tuple[str, ...] = ()
    happened: tuple[Happened, ...] = ()

    def turned(self, **values: object) -> Turn:
        """Return it with other values of its state."""
        return replace(self, state=self.state.model_copy(update=values))

    def told(self, reason: Reason, version: str, message: str) -> Turn:
        """Return it with one more thing that happened."""
        return replace(self, happened=(*self.happened, Happened(reason, version, message)))


def running(state: api.RetrainingStatus) -> bool:
    """Tell whether a run, or the rollout of what it made, has not ended."""
    return state.last_run is not None and state.last_run.outcome in _UNFINISHED


def under_way(name: str, triggers: Sequence[str]) -> str:
    """Return what is said of a run while it goes on."""
    return f"TrainingJob {name} trains: {', '.join(triggers) or 'nobody knows why'}"


def _since(condition: api.Condition, deployment: api.Deployment, state: api.RetrainingStatus) -> bool:
    """Tell whether a condition was found on the version that answers, and not on the one before."""
    report, stable = deployment.status.monitoring, deployment.status.stable
    if report is not None and stable is not None and report.digest not in {None, stable.digest}:
        return False
    since = state.serving.since if state.serving is not None else None
    return since is None or condition.last_transition_time >= since


def _evidence(seen: Seen, state: api.RetrainingStatus, names: Sequence[str], status: str) -> list[str]:
    found: list[str] = []
    for name, kind in EVIDENCE.items():
        condition = conditions.find(seen.deployment.status.conditions, kind)
        if (
            name in names
            and condition is not None
            and condition.status == status
            and _since(condition, seen.deployment, state)
        ):
            found.append(name)
    return found


def calls(seen: Seen, state: api.RetrainingStatus, *, stale: bool) -> tuple[str, ...]:
    """Return what calls for a run now."""
    found = _evidence(seen, state, seen.rules.triggers, "True")
    if stale and AGE in seen.rules.triggers:
        found.append(AGE)
    if state.next_scheduled_at is not None and seen.now >= state.next_scheduled_at:
        found.append(SCHEDULE)
    if seen.request is not None and seen.request != state.request:
        found.append(BY_HAND)
    return tuple(found)


def started(turn: Turn, run: api.RetrainingRun, request: str | None, now: datetime) -> Turn:
    """Take down a run whose TrainingJob is there."""
    state = turn.state
    counted = [time for time in state.runs if now - time < _WEEK]
    after = turn.turned(
        episode=run.episode,
        last_run=run,
        runs=[*counted, run.started_at][-api.MOST_PER_WEEK :],
        request=request if request is not None else state.request,
        next_scheduled_at=schedule.next_after(state.schedule, now) if state.schedule else None,
    )
    return after.told(Reason.RETRAINING_STARTED, run.champion, run.message)


def served(turn: Turn, stable: api.Revision | None, now: datetime) -> Turn:
    """Take down what answers, and since when: what was seen of the version before says nothing about it."""
    known = turn.state.serving
    if stable is None or (known is not None and known.version == stable.version):
        return turn
    since = now if known is not None else None
    return turn.turned(serving=api.ServedSince(version=stable.version, since=since))


def scheduled(turn: Turn, rules: api.Retraining, now: datetime) -> Turn:
    """Take down the schedule and when it calls next; what was due before there was one is not made up for."""
    state = turn.state
    if state.schedule == rules.schedule and (state.next_scheduled_at is not None or rules.schedule is None):
        return turn
    due = schedule.next_after(rules.schedule, now) if rules.schedule is not None else None
    return turn.turned(schedule=rules.schedule, next_scheduled_at=due)


def ended(turn: Turn, outcome: str, message: str, now: datetime, version: str | None = None) -> Turn:
    """Take down what became of the last run, or of the version it made."""
    run = turn.state.last_run
    if run is None:
        return turn
    words, final = message[:1024], outcome not in _UNFINISHED
    known = version or run.version
    values = {"outcome": outcome, "message": words, "finished_at": now if final else None, "version": known}
    after = turn.turned(last_run=run.model_copy(update=values))
    if outcome == "NoNewData":  # costs nothing of the budget
        after = after.turned(runs=[time for time in turn.state.runs if time != run.started_at])
    return after.told(_REASONS[outcome], known or run.champion, words) if final else after


def recovered(turn: Turn, seen: Seen) -> Turn:
    """Take down that the version which the last run led to is free of what called for it, once it has been for long."""
    run, due = turn.state.last_run, recovery_due(turn.state, seen)
    if run is None or due is None or seen.now < due:
        return turn
    return turn.turned(last_run=run.model_copy(update={"recovered_at": seen.now}))


def recovery_due(state: api.RetrainingStatus, seen: Seen) -> datetime | None:
    """Return when the cure is to be taken for one, if nothing comes in between; None: it cannot be told."""
    run = state.last_run
    if run is None or run.outcome != "Promoted" or run.finished_at is None or run.recovered_at is not None:
        return None
    illnesses = [name for name in run.triggers if name in EVIDENCE]
    free = _evidence(seen, state, illnesses, "False")
    if not illnesses or len(free) < len(illnesses) or _evidence(seen, state, seen.rules.triggers, "True"):
        return None
    found = [conditions.find(seen.deployment.status.conditions, EVIDENCE[name]) for name in free]
    last = max(item.last_transition_time for item in found if item is not None)
    return max(last, run.finished_at) + _convalescence(seen)


def _convalescence(seen: Seen) -> timedelta:
    """Return how long a version must be free of what called for it: as long as the windows looked at may take."""
    watched = seen.deployment.spec.monitoring or api.Monitoring()
    windows = watched.drift.of * watched.window.max_seconds
    return timedelta(seconds=max(windows, seen.rules.cooldown_seconds))


def _persists(state: api.RetrainingStatus, seen: Seen) -> Block | None:
    """Return why another run would not help against what was seen, if it would not."""
    run = state.last_run
    if run is None or run.reference != seen.reference or not any(name in EVIDENCE for name in run.triggers):
        return None
    stable = seen.deployment.status.stable
    answers = stable.version if stable is not None else None
    advice = (
        f"it is left to a human now: see to the data, then kubectl annotate modeldeployment "
        f"{seen.deployment.metadata.name} --overwrite modelwright.dev/retrain=WORD"
    )
    if run.outcome == "Promoted" and run.version == answers and run.recovered_at is None:
        return Block(Reason.DRIFT_PERSISTS, f"{run.version}, which {run.name} made against it, is no better; {advice}")
    if run.outcome == "NoNewData" and run.champion == answers:
        return Block(Reason.DRIFT_PERSISTS, f"{run.name} found no other data than {answers} knows; {advice}")
    if seen.update:
        message = f"{run.version}, which {run.name} made against it, waits to be named in spec.model.version"
        return Block(Reason.UPDATE_AVAILABLE, message)
    return None


def next_allowed(state: api.RetrainingStatus, rules: api.Retraining) -> tuple[datetime, Reason] | None:
    """Return when cooldown and weekly budget let the next run start, and which of them is longer; None: at any time."""
    run, found = state.last_run, list[tuple["datetime", Reason]]()
    if run is not None and run.finished_at is not None:
        times = 2 if run.outcome in _NOT_GOOD_ENOUGH else 1
        found.append((run.finished_at + timedelta(seconds=times * rules.cooldown_seconds), Reason.COOLING_DOWN))
    if len(state.runs) >= rules.max_per_week:
        found.append((state.runs[-rules.max_per_week] + _WEEK, Reason.BUDGET_SPENT))
    return max(found, default=None)


def _hindered(seen: Seen, state: api.RetrainingStatus, called: Sequence[str]) -> Block | None:  # noqa: PLR0911  # each thing
    """Return what keeps a run that is called for from starting."""
    stable = seen.deployment.status.stable
    if stable is None:
        return Block(Reason.NO_VERSION, "nothing is being served yet that could be trained anew")
    if seen.under_way:
        return Block(Reason.ROLLING_OUT, f"it goes on by itself once the rollout has ended: {seen.under_way}")
    if seen.refused is not None:
        return seen.refused
    if BY_HAND in called:
        return None
    quality = conditions.find(seen.deployment.status.conditions, monitoring.DATA_QUALITY)
    if quality is not None and quality.status == "True" and _since(quality, seen.deployment, state):
        message = "no model should learn from what is broken upstream: see to the condition DataQualityDegraded first"
        return Block(Reason.DATA_QUALITY_DEGRADED, message)
    persists = _persists(state, seen)
    if persists is not None and all(name in EVIDENCE for name in called):
        return persists
    allowed = next_allowed(state, seen.rules)
    if allowed is not None and seen.now < allowed[0]:
        at, reason = allowed
        spent = f"{seen.rules.max_per_week} runs were started within seven days (spec.retraining.maxPerWeek)"
        why = spent if reason is Reason.BUDGET_SPENT else f"{state.last_run.name if state.last_run else ''} has ended"
        return Block(reason, f"{why}; the next run may start at {conditions.rfc3339(at)}")
    return None


def decided(turn: Turn, seen: Seen, *, stale: bool) -> Turn:
    """Return whether a run is to start now, and if it is called for but not to start, what is in its way."""
    state = turn.state
    called = calls(seen, state, stale=stale)
    block = seen.unfit
    if running(state):
        block = None
    elif block is None and called:
        block = _hindered(seen, state, called)
    allowed = next_allowed(state, seen.rules)
    after = turn.turned(
        pending=list(called),
        blocked=api.RetrainingBlock(reason=block.reason, message=block.message[:1024]) if block is not None else None,
        next_allowed_at=allowed[0] if allowed is not None else None,
    )
    if block is not None and block.reason not in _QUIET and _news(state.blocked, block):
        stable = seen.deployment.status.stable
        version = stable.version if stable is not None else ""
        after = after.told(_condition_reason(block.reason), version, _blocked_words(block, called))
    if called and block is None and not running(state):
        after = replace(after, start=called)
    return after


def _news(before: api.RetrainingBlock | None, block: Block) -> bool:
    return before is None or before.reason != block.reason


def _condition_reason(reason: str) -> Reason:
    own = {Reason.COOLING_DOWN, Reason.BUDGET_SPENT, Reason.DRIFT_PERSISTS, Reason.UPDATE_AVAILABLE}
    return Reason(reason) if reason in own else Reason.RETRAINING_BLOCKED


def _blocked_words(block: Block | api.RetrainingBlock, called: Sequence[str]) -> str:
    by = f"{', '.join(called)} calls for a run, but " if called else ""
    name = f"{block.reason}: " if _condition_reason(block.reason) is Reason.RETRAINING_BLOCKED else ""
    return f"{by}{name}{block.message}"


def mark(turn: Turn) -> Mark:
    """Return what the condition says."""
    state = turn.state
    run = state.last_run
    if run is not None and running(state):
        return conditions.true(conditions.RETRAINING, Reason.RETRAINING_RUNNING, run.message)
    if state.blocked is not None:
        reason = _condition_reason(state.blocked.reason)
        return conditions.false(conditions.RETRAINING, reason, _blocked_words(state.blocked, state.pending))
    if run is not None:
        return conditions.false(conditions.RETRAINING, _REASONS[run.outcome], run.message)
    return conditions.false(conditions.RETRAINING, Reason.RETRAINING_IDLE, "nothing calls for a run")
