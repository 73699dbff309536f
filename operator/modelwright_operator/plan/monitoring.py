"""What a Deployment's plan holds of monitoring: the Service of the sidecars, their part of the status, what is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modelwright_operator.decide import monitoring as decided
from modelwright_operator.plan.outcome import Event
from modelwright_operator.render import monitoring as render
from modelwright_server.contract import monitoring

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelwright_operator import api
    from modelwright_operator.decide.snapshot import DeploymentSnapshot
    from modelwright_operator.render.common import Manifest

_MOST_HISTORY: Final = 50
_MOST_MESSAGE: Final = 1024
_WEIGHTS: Final = (
    *(kind for kind in monitoring.CONDITIONS if kind != monitoring.MONITORING_HEALTHY),
    monitoring.MONITORING_HEALTHY,
)


def manifests(deployment: api.Deployment) -> list[Manifest]:
    """Return what the sidecars need beside their pods."""
    return [render.service(deployment)] if deployment.spec.monitoring is not None else []


def unwanted(deployment: api.Deployment) -> set[tuple[str, str]]:
    """Return kind and name of what monitoring does not need."""
    if deployment.spec.monitoring is not None:
        return set()
    return {("Service", monitoring.service_name(deployment.metadata.name))}


def announced(snapshot: DeploymentSnapshot, values: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Event, ...]]:
    """Return the status with each condition of the sidecars that turned in its history, and the events.

    What was told is in the status, so that each turn is told once, also over restarts. The first word on a condition is
    none of a turn, unless it is bad. Turns for the worse have a line each; the others of one pass share one, since a
    promotion alone turns all of them twice.
    """
    status = snapshot.deployment.status
    found = decided.turns(snapshot.deployment)
    present = [item for item in status.conditions if item.type in monitoring.CONDITIONS]
    told = [turn for turn in found if turn.known or turn.bad]
    version = status.stable.version if status.stable is not None else ""
    lines = [_line(turn.condition, version, [turn.condition]) for turn in told if turn.bad]
    if calm := sorted((turn.condition for turn in told if not turn.bad), key=_by_weight):
        lines.append(_line(calm[0], version, calm))
    history: list[Any] = [*(values.get("history") or ()), *lines]
    events = tuple(
        Event("Warning" if turn.bad else "Normal", turn.condition.reason, _sentence(turn.condition)[:1000])
        for turn in told
    )
    known = [{"type": item.type, "status": item.status} for item in sorted(present, key=lambda item: item.type)]
    return {**values, "history": history[-_MOST_HISTORY:] or None, "announced": known or None}, events


def _line(first: api.Condition, version: str, conditions: Sequence[api.Condition]) -> dict[str, Any]:
    """Return a line of history for conditions that turned at once; the first one's reason stands for all."""
    said: dict[str, list[str]] = {}
    for condition in conditions:
        said.setdefault(f"{condition.status}: {condition.message}", []).append(condition.type)
    sentences = [f"{', '.join(types)} {'are' if len(types) > 1 else 'is'} {what}" for what, types in said.items()]
    most = _MOST_MESSAGE // len(sentences) - 2
    return {
        "at": first.last_transition_time.isoformat().replace("+00:00", "Z"),
        "event": first.reason,
        "version": version,
        "message": "; ".join(sentence[:most] for sentence in sentences),
    }


def _by_weight(condition: api.Condition) -> int:
    return _WEIGHTS.index(condition.type)


def _sentence(condition: api.Condition) -> str:
    return f"{condition.type} is {condition.status}: {condition.message}"
