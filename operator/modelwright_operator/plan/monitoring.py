"""What a Deployment's plan holds of monitoring: the Service of the sidecars, their part of the status, what is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modelwright_operator.decide import monitoring as decided
from modelwright_operator.plan.outcome import Event
from modelwright_operator.render import monitoring as render
from modelwright_server.contract import monitoring

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelwright_operator import api
    from modelwright_operator.decide.snapshot import DeploymentSnapshot
    from modelwright_operator.render.common import Manifest

_MOST_HISTORY: Final = 50


def manifests(deployment: api.Deployment) -> list[Manifest]:
    """Return what the sidecars need beside their pods."""
    return [render.service(deployment)] if deployment.spec.monitoring is not None else []


def unwanted(deployment: api.Deployment) -> set[tuple[str, str]]:
    """Return kind and name of what monitoring does not need."""
    if deployment.spec.monitoring is not None:
        return set()
    return {("Service", monitoring.service_name(deployment.metadata.name))}


def announced(snapshot: DeploymentSnapshot, values: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Event, ...]]:
    """Return the status with a line of history for each condition of the sidecars that turned, and the events.

    What was told is in the status, so that each turn is told once, also over restarts. The first word on a condition is
    none of a turn, unless it is bad.
    """
    status = snapshot.deployment.status
    found = decided.turns(snapshot.deployment)
    present = [item for item in status.conditions if item.type in monitoring.CONDITIONS]
    told = [turn for turn in found if turn.known or turn.bad]
    version = status.stable.version if status.stable is not None else ""
    lines: list[dict[str, Any]] = [
        {
            "at": turn.condition.last_transition_time.isoformat().replace("+00:00", "Z"),
            "event": turn.condition.reason,
            "version": version,
            "message": _sentence(turn.condition)[:1024],
        }
        for turn in told
    ]
    history: list[Any] = [*(values.get("history") or ()), *lines]
    events = tuple(
        Event("Warning" if turn.bad else "Normal", turn.condition.reason, _sentence(turn.condition)[:1000])
        for turn in told
    )
    known = [{"type": item.type, "status": item.status} for item in sorted(present, key=lambda item: item.type)]
    return {**values, "history": history[-_MOST_HISTORY:] or None, "announced": known or None}, events


def _sentence(condition: api.Condition) -> str:
    return f"{condition.type} is {condition.status}: {condition.message}"
