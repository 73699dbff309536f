"""Deployment: its model is trained anew when something calls for it, by one TrainingJob for each episode."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from modelwright_operator import api, naming
from modelwright_operator.decide import conditions, model_age, retraining, run_outcome
from modelwright_operator.decide.observed import Child, parse_time
from modelwright_operator.decide.retraining import Block, Seen, Turn
from modelwright_operator.plan.outcome import Apply, Confirm, Delete
from modelwright_operator.raw import is_list, is_map
from modelwright_operator.reasons import Reason
from modelwright_operator.render import retraining as render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from modelwright_operator.decide.conditions import Mark
    from modelwright_operator.decide.course import Happened
    from modelwright_operator.decide.snapshot import DeploymentSnapshot
    from modelwright_operator.render.common import Manifest

_REFUSED_SECONDS: Final = 60.0
_LONGEST_SECONDS: Final = 3600.0
_LONGEST_WORD: Final = 63


@dataclass(frozen=True)
class Renewal:
    """What the retraining of a model adds to the plan of its Deployment."""

    marks: tuple[Mark, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    apply: tuple[Apply, ...] = ()
    delete: tuple[Delete, ...] = ()
    confirm: tuple[Confirm, ...] = ()
    happened: tuple[Happened, ...] = ()
    requeue_after: float | None = None


def serving_only(snapshot: DeploymentSnapshot) -> DeploymentSnapshot:
    """Return the snapshot without what only concerns retraining: a run that is refused does not stall what serves."""
    others = tuple(item for item in snapshot.refusals if item.kind != naming.TRAINING_JOB)
    return replace(snapshot, refusals=others) if len(others) < len(snapshot.refusals) else snapshot


def plan(snapshot: DeploymentSnapshot, under_way: str) -> Renewal:
    """Return what to write, so that the model is trained anew where that is called for.

    Args:
        snapshot: what the decision is made on.
        under_way: what a rollout is doing; empty: there is none.
    """
    deployment, now = snapshot.deployment, snapshot.now
    rules, known = deployment.spec.retraining, deployment.status.retraining
    age = model_age.mark(deployment, now)
    marks = (age,) if age is not None else ()
    turned = model_age.turned(deployment, age)
    if rules is None:  # what was remains known: names and budgets must not begin anew
        left = _left(model_age.stale_at(deployment), now=now)
        return Renewal(marks, {"retraining": _dumped(known)}, happened=turned, requeue_after=left)
    turn = _adopted(Turn(known or api.RetrainingStatus()), snapshot.runs, now)
    turn = run_outcome.judged(turn, deployment, snapshot.runs, snapshot.versions, now)
    turn = retraining.served(turn, deployment.status.stable, now)
    turn = retraining.scheduled(turn, rules, now)
    seen = _seen(snapshot, rules, turn.state, under_way)
    turn = retraining.recovered(turn, seen)
    turn = retraining.decided(turn, seen, stale=age is not None and age.status == "True")
    apply: tuple[Apply, ...] = ()
    confirm: tuple[Confirm, ...] = ()
    if turn.start and snapshot.template is not None and deployment.status.stable is not None:
        manifest = _manifest(snapshot, snapshot.template, deployment.status.stable, turn, seen)
        turn = retraining.decided(_adopted(turn, (Child(manifest),), now), seen, stale=False)
        apply = (Apply(manifest),)
        confirm = (
            Confirm(naming.DEPLOYMENTS, deployment.metadata.name, deployment.metadata.resource_version),
            Confirm(naming.TRAINING_JOBS, snapshot.template.name, snapshot.template.resource_version),
        )
    return Renewal(
        (*marks, retraining.mark(turn), *_update(turn.state, seen)),
        {"retraining": _dumped(turn.state)},
        apply,
        _outlived(turn.state, snapshot.runs, rules),
        confirm,
        (*turned, *turn.happened),
        _look(turn.state, seen),
    )


def _dumped(state: api.RetrainingStatus | None) -> dict[str, Any] | None:
    return state.model_dump(mode="json", by_alias=True, exclude_none=True) if state is not None else None


def _seen(snapshot: DeploymentSnapshot, rules: api.Retraining, state: api.RetrainingStatus, under_way: str) -> Seen:
    deployment, template = snapshot.deployment, snapshot.template
    reference = naming.short_hash(
        deployment.spec.model.model_dump(mode="json", by_alias=True, exclude_none=True),
        rules.model_dump(mode="json", by_alias=True, exclude_none=True),
        {key: value for key, value in template.spec.items() if key != "suspend"} if template is not None else None,
    )
    refusal = next((item for item in snapshot.refusals if item.kind == naming.TRAINING_JOB), None)
    word = deployment.metadata.annotations.get(naming.ANNOTATION_RETRAIN, "").strip()[:_LONGEST_WORD]
    return Seen(
        now=snapshot.now,
        deployment=deployment,
        rules=rules,
        reference=reference,
        unfit=_unfit(deployment, rules, template, state),
        under_way=under_way,
        refused=Block(refusal.reason, refusal.message) if refusal is not None else None,
        request=word or None,
        update=_waits(snapshot, state),
    )


def _unfit(
    deployment: api.Deployment, rules: api.Retraining, template: Child | None, state: api.RetrainingStatus
) -> Block | None:
    """Return what is wrong with the template or the schedule, whether or not a run is called for."""
    name = rules.training_job
    if rules.schedule is not None and state.next_scheduled_at is None:
        message = f"spec.retraining.schedule {rules.schedule!r} is no cron expression, or names no time: mend it"
        return Block(Reason.SCHEDULE_INVALID, message)
    if template is None or template.deleting:
        message = f"spec.retraining.trainingJob: there is no TrainingJob {name} in this namespace: create it"
        return Block(Reason.TEMPLATE_NOT_FOUND, f"{message} with spec.suspend true")
    if not template.spec.get("suspend") and not template.has(conditions.COMPLETE):
        return _unsuspended(name, template)
    pinned = [str(item.get("name")) for item in template.spec.get("data") or () if item.get("digest")]
    if pinned:
        message = f"TrainingJob {name} pins the digest of {', '.join(pinned)} in spec.data, so it can learn nothing new"
        return Block(Reason.TEMPLATE_PINNED, f"{message}: make it anew without digests")
    stable, model = deployment.status.stable, template.spec.get("model")
    served = deployment.spec.model.name or (stable.model if stable is not None else model)
    if model != served:
        message = f"TrainingJob {name} makes versions of model {model}, but {served} is served: name another one"
        return Block(Reason.TEMPLATE_MISMATCH, message)
    return None


def _unsuspended(name: str, template: Child) -> Block:
    if template.has(conditions.FAILED):
        message = f"TrainingJob {name} failed and does not wait, either: make it anew with spec.suspend true"
        return Block(Reason.TEMPLATE_NOT_SUSPENDED, message)
    message = f"TrainingJob {name} trains itself: it is a template once it has completed"
    return Block(Reason.TEMPLATE_RUNNING, message)


def _waits(snapshot: DeploymentSnapshot, state: api.RetrainingStatus) -> bool:
    """Tell whether the version that the last run made waits to be named in spec.model."""
    run = state.last_run
    if run is None or run.outcome != "UpdateAvailable":
        return False
    return any(item.metadata.name == run.version for item in snapshot.versions)


def _update(state: api.RetrainingStatus, seen: Seen) -> tuple[Mark, ...]:
    run = state.last_run
    if run is None or not seen.update:
        return ()
    return (conditions.true(conditions.UPDATE_AVAILABLE, Reason.UPDATE_AVAILABLE, run.message),)


def _manifest(snapshot: DeploymentSnapshot, template: Child, stable: api.Revision, turn: Turn, seen: Seen) -> Manifest:
    told = {
        "champion": stable.version,
        "reference": seen.reference,
        "request": seen.request if retraining.BY_HAND in turn.start else None,
        "triggers": list(turn.start),
    }
    return render.training_job(snapshot.deployment, template, turn.state.episode + 1, naming.canonical_json(told))


def _adopted(turn: Turn, runs: tuple[Child, ...], now: datetime) -> Turn:
    """Take down the newest run that the status does not know of yet: it is there, so it was started."""
    newest = max(runs, key=_episode, default=None)
    if newest is None or _episode(newest) <= turn.state.episode:
        return turn
    try:
        said: Any = json.loads(newest.annotations.get(naming.ANNOTATION_EPISODE, "{}"))
    except ValueError:
        said = {}
    told: dict[str, Any] = said if is_map(said) else {}
    triggers = told.get("triggers")
    names = [str(item)[:63] for item in triggers[:8]] if is_list(triggers) else []
    created = newest.metadata.get("creationTimestamp")
    run = api.RetrainingRun(
        name=newest.name,
        episode=_episode(newest),
        triggers=names,
        champion=str(told.get("champion", ""))[:253],
        reference=str(told.get("reference", ""))[:63],
        started_at=parse_time(created) or now,
        outcome="Running",
        message=retraining.under_way(newest.name, names),
    )
    request = told.get("request")
    return retraining.started(turn, run, str(request)[:_LONGEST_WORD] if request else None, now)


def _episode(run: Child) -> int:
    """Return the number of a run's episode; 0 where its label says none, as somebody may have edited it."""
    text = run.labels.get(naming.LABEL_EPISODE, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0  # noqa: PLR2004  # an int32


def _outlived(state: api.RetrainingStatus, runs: tuple[Child, ...], rules: api.Retraining) -> tuple[Delete, ...]:
    """Return the finished runs that are no longer kept."""
    last = state.last_run
    busy = last.name if last is not None and retraining.running(state) else None
    ended = [
        item for item in runs if item.name != busy and (item.has(conditions.COMPLETE) or item.has(conditions.FAILED))
    ]
    newest = sorted(ended, key=lambda item: (_episode(item), item.name), reverse=True)
    return tuple(Delete(item) for item in newest[rules.history_limit :] if not item.deleting)


def _left(*times: datetime | None, now: datetime) -> float | None:
    """Return the seconds to the first time that is yet to come; None: there is none."""
    ahead = [(time - now).total_seconds() for time in times if time is not None and time > now]
    return min((*ahead, _LONGEST_SECONDS)) if ahead else None


def _look(state: api.RetrainingStatus, seen: Seen) -> float | None:
    """Return when to look again where no event tells of it: what remains is time that passes."""
    if seen.refused is not None:
        return _REFUSED_SECONDS
    waiting = state.next_allowed_at if state.pending and state.blocked is not None else None
    return _left(
        waiting,
        state.next_scheduled_at,
        model_age.stale_at(seen.deployment),
        retraining.recovery_due(state, seen),
        now=seen.now,
    )
