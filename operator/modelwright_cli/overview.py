"""`get`: what serves, what is tried, and what was found of it, of one or all Deployments of a namespace; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelwright_cli.objects import Json, condition, name_of, number, part, parts, text, whole
from modelwright_cli.printing import table

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD = ("name", "ready", "version", "replicas", "rollout", "drift", "data", "quality", "retraining")
ENDED = frozenset({"Complete", "RolledBack", "Superseded", "Withdrawn"})


def overview(deployments: Sequence[Json]) -> str:
    """Return a line for each Deployment."""
    return table(HEAD, map(_row, deployments))


def detail(deployment: Json) -> str:
    """Return all that matters of one Deployment."""
    conditions = [
        (text(item, "type"), text(item, "status"), text(item, "reason"), text(item, "message"))
        for item in parts(deployment, "status", "conditions")
    ]
    return "\n\n".join(
        [overview([deployment]), table(("condition", "status", "reason", "message"), conditions)]
        if conditions
        else [overview([deployment]), "no condition yet: the operator has not looked at it"]
    )


def _row(deployment: Json) -> tuple[str, ...]:
    status = part(deployment, "status")
    return (
        name_of(deployment),
        text(condition(deployment, "Ready"), "status") or "Unknown",
        text(status, "stable", "version") or "-",
        f"{whole(status, 'readyReplicas')}/{whole(status, 'replicas')}",
        progress(part(status, "rollout")),
        drift(deployment),
        turn(deployment, "DataQualityDegraded", "broken", "ok"),
        quality(deployment),
        text(condition(deployment, "Retraining"), "reason") or "-",
    )


def progress(rollout: Json) -> str:
    """Return where a rollout is, in a few words."""
    phase = text(rollout, "phase")
    if not phase:
        return "-"
    if phase in ENDED:
        return phase
    step = f" {whole(rollout, 'step')}/{whole(rollout, 'steps')}" if whole(rollout, "steps") else ""
    waits = f" ({text(rollout, 'awaiting')})" if text(rollout, "awaiting") else ""
    return f"{phase}{step} {whole(rollout, 'weight')}%{waits}"


def drift(deployment: Json) -> str:
    """Return which kinds of drift there are."""
    kinds = (("DataDriftDetected", "data"), ("PredictionDriftDetected", "predictions"))
    told = {word: text(condition(deployment, kind), "status") for kind, word in kinds}
    found = [word for word, status in told.items() if status == "True"]
    if found:
        return " and ".join(found)
    return "none" if set(told.values()) == {"False"} else ("unknown" if any(told.values()) else "-")


def turn(deployment: Json, kind: str, bad: str, good: str) -> str:
    """Return a condition in a word; where it is not, a dash."""
    status = text(condition(deployment, kind), "status")
    return {"True": bad, "False": good, "Unknown": "unknown"}.get(status, "-")


def quality(deployment: Json) -> str:
    """Return the figure by labels; without one whether it is as asked for."""
    found = part(deployment, "status", "monitoring", "quality")
    value = number(found, "value")
    if value is None:
        return turn(deployment, "ModelQualityDegraded", "degraded", "ok")
    low = "!" if text(condition(deployment, "ModelQualityDegraded"), "status") == "True" else ""
    return f"{text(found, 'metric')} {value:.3g}{low}"
