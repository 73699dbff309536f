"""Conditions as Kubernetes has them: `lastTransitionTime` moves with the status alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_MOST_MESSAGE = 2048


@dataclass(frozen=True, slots=True)
class Mark:
    """A condition as it should be."""

    kind: str
    status: str
    reason: str
    message: str


def rfc3339(seconds: float) -> str:
    """Return a time as Kubernetes writes it, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def merged(
    observed: Iterable[Mapping[str, Any]], marks: Sequence[Mark], *, generation: int, now: str
) -> list[dict[str, Any]]:
    """Return the marks as conditions, each with the time its status last changed."""
    before = {condition.get("type"): condition for condition in observed}
    found: list[dict[str, Any]] = []
    for mark in marks:
        known = before.get(mark.kind) or {}
        since = known.get("lastTransitionTime") if known.get("status") == mark.status else None
        found.append(
            {
                "type": mark.kind,
                "status": mark.status,
                "reason": str(mark.reason),
                "message": mark.message[:_MOST_MESSAGE],
                "lastTransitionTime": since or now,
                "observedGeneration": generation,
            }
        )
    return found


def holds(observed: Iterable[Mapping[str, Any]], mark: Mark) -> bool:
    """Tell whether a condition already says that: the status and its reason."""
    return any(
        (item.get("type"), item.get("status"), item.get("reason")) == (mark.kind, mark.status, str(mark.reason))
        for item in observed
    )
