"""What became of a retraining: of its TrainingJob first, then of the version that made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelwright_operator.decide import conditions, retraining
from modelwright_operator.decide.pods import cut
from modelwright_operator.raw import Raw, part
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from modelwright_operator import api
    from modelwright_operator.decide.observed import Child
    from modelwright_operator.decide.retraining import Turn

_ROLLING = frozenset({"RollingOut", "UpdateAvailable", "RolledBack", "Promoted"})


def _made_of(status: Raw) -> tuple[Mapping[str, str], str | None]:
    """Return the digests of a run's data by name, and that of the features joined to them."""
    resolved = part(status, "resolved")
    data = {str(item.get("name")): str(item.get("digest")) for item in resolved.get("data") or ()}
    return data, part(resolved, "features").get("sourcesDigest")


def _same_data(run: Child, champion: api.ModelVersion | None) -> bool:
    """Tell whether a run read the very data that the champion was made of, as far as that is recorded."""
    provenance = champion.spec.provenance if champion is not None else None
    data, features = _made_of(run.status)
    if provenance is None or not provenance.data or not data:
        return False
    known = {item.name: item.digest for item in provenance.data}
    joined = provenance.features.sources_digest if provenance.features is not None else None
    return data == known and features == joined


def _find(versions: Sequence[api.ModelVersion], name: str | None) -> api.ModelVersion | None:
    return next((item for item in versions if item.metadata.name == name), None)


def judged(
    turn: Turn,
    deployment: api.Deployment,
    runs: Sequence[Child],
    versions: Sequence[api.ModelVersion],
    now: datetime,
) -> Turn:
    """Take down what became of the last run, as far as that is known.

    Args:
        turn: where the retraining stands.
        deployment: what the run was made for.
        runs: its TrainingJobs.
        versions: those that it may serve, the run's and its champion among them.
        now: the time.
    """
    run = turn.state.last_run
    if run is not None and run.outcome == "Running":
        child = next((item for item in runs if item.name == run.name and not item.deleting), None)
        turn = _trained(turn, run, child, versions, now)
    run = turn.state.last_run
    if run is not None and run.version is not None and run.outcome in _ROLLING:
        turn = _rolled_out(turn, run, deployment, versions, now)
    return turn


def _trained(  # noqa: PLR0911  # one for each outcome
    turn: Turn, run: api.RetrainingRun, child: Child | None, versions: Sequence[api.ModelVersion], now: datetime
) -> Turn:
    if child is None:
        return retraining.ended(turn, "Failed", f"TrainingJob {run.name} was deleted before it ended", now)
    champion = _find(versions, run.champion)
    same = _same_data(child, champion)
    failure = child.condition(conditions.FAILED)
    if child.has(conditions.FAILED) and failure is not None:
        if failure.get("reason") != Reason.GATES_NOT_PASSED:
            message = f"TrainingJob {run.name} failed: {failure.get('reason')}: {cut(str(failure.get('message', '')))}"
            return retraining.ended(turn, "Failed", message, now)
        if same:
            return _nothing_new(turn, run, now)
        message = f"{run.champion} goes on answering: {run.name}: {cut(str(failure.get('message', '')))}"
        return retraining.ended(turn, "Rejected", message, now)
    if not child.has(conditions.COMPLETE):
        return _under_way(turn, run, child)
    name = str(child.status.get("modelVersion", ""))
    if name == run.champion:
        return _nothing_new(turn, run, now) if same else _again(turn, run, name, now)
    made, before = _find(versions, name), champion
    if made is not None and before is not None and _created(made) <= _created(before):
        return _again(turn, run, name, now)
    message = f"{name}, which {run.name} made, passed its gates and is about to be rolled out"
    return retraining.ended(turn, "RollingOut", message, now, name)


def _under_way(turn: Turn, run: api.RetrainingRun, child: Child) -> Turn:
    """Say how a run goes on, or why it does not."""
    stalled = child.condition(conditions.STALLED)
    message = retraining.under_way(run.name, run.triggers)
    if child.has(conditions.STALLED) and stalled is not None:
        message = f"TrainingJob {run.name} does not get on: {stalled.get('reason')}: {stalled.get('message')}"
    elif child.spec.get("suspend"):
        message = f"TrainingJob {run.name} was suspended: set its spec.suspend to false, or delete it"
    return turn.turned(last_run=run.model_copy(update={"message": message[:1024]}))


def _created(version: api.ModelVersion) -> str:
    created = version.metadata.creation_timestamp
    return conditions.rfc3339(created) if created is not None else ""


def _nothing_new(turn: Turn, run: api.RetrainingRun, now: datetime) -> Turn:
    message = f"{run.name} found the very data that {run.champion} was made of"
    return retraining.ended(turn, "NoNewData", message, now)


def _again(turn: Turn, run: api.RetrainingRun, name: str, now: datetime) -> Turn:
    message = f"{run.name} made {name} once more, which existed before"
    return retraining.ended(turn, "NoNewData", message, now)


def _rolled_out(  # noqa: PLR0911  # one for each outcome
    turn: Turn,
    run: api.RetrainingRun,
    deployment: api.Deployment,
    versions: Sequence[api.ModelVersion],
    now: datetime,
) -> Turn:
    name, stable = run.version or "", deployment.status.stable
    if stable is not None and stable.version == name:
        if run.outcome == "Promoted":
            return turn
        return retraining.ended(turn, "Promoted", f"{name}, which {run.name} made, answers requests", now)
    rejection = next((item for item in deployment.status.rejected if item.version == name), None)
    if rejection is not None and run.outcome != "RolledBack":
        message = f"{name}, which {run.name} made, was rolled back ({rejection.reason}): {cut(rejection.message)}"
        return retraining.ended(turn, "RolledBack", message, now)
    if run.outcome in {"Promoted", "RolledBack"}:
        return turn
    made = _find(versions, name)
    problem = _problem(made, name)
    if problem is not None or made is None:
        return retraining.ended(turn, "Failed", f"{run.name} made {name}, but {problem}", now)
    if stable is not None and stable.version_created_at is not None and stable.version != run.champion:
        newer = _created(made) < conditions.rfc3339(stable.version_created_at)
        if newer:
            message = f"{stable.version}, which is newer than {name} of {run.name}, answers requests"
            return retraining.ended(turn, "Superseded", message, now)
    return _waiting(turn, run, deployment, name, now)


def _waiting(turn: Turn, run: api.RetrainingRun, deployment: api.Deployment, name: str, now: datetime) -> Turn:
    pinned = deployment.spec.model.version
    if pinned is not None and pinned != name:
        if run.outcome == "UpdateAvailable":
            return turn
        message = f"{name}, which {run.name} made, passed its gates; to serve it, name it in spec.model.version"
        return retraining.ended(turn, "UpdateAvailable", message, now)
    if run.outcome == "UpdateAvailable":  # and now it is wanted
        return retraining.ended(turn, "RollingOut", f"{name}, which {run.name} made, is being rolled out", now)
    return turn


def _problem(made: api.ModelVersion | None, name: str) -> str | None:
    """Return why a version will never be served, if it will not."""
    if made is None:
        return f"ModelVersion {name} was deleted"
    verdict = conditions.find(made.status.conditions, conditions.VERIFIED)
    if verdict is not None and verdict.status == "False":
        return f"it was not accepted: {cut(verdict.message)}"
    return None
