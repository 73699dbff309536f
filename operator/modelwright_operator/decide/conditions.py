"""Conditions after the kstatus contract.

`Ready` sums up. `Reconciling` and `Stalled` are abnormal-true: absent when false, never both. A terminal failure is
`Stalled`; `Reconciling` stands only while work advances by itself. `lastTransitionTime` moves with `status` alone, and
an unchanged condition stays the very same, so that an idle object is never written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from modelwright_operator import api

READY: Final = "Ready"
RECONCILING: Final = "Reconciling"
STALLED: Final = "Stalled"
COMPLETE: Final = "Complete"
FAILED: Final = "Failed"
SUSPENDED: Final = "Suspended"
VERIFIED: Final = "Verified"
APPROVED: Final = "Approved"
IN_USE: Final = "InUse"
AVAILABLE: Final = "Available"
ROLLOUT_HEALTHY: Final = "RolloutHealthy"
APPROVAL_REQUIRED: Final = "ApprovalRequired"
ROLLED_BACK: Final = "RolledBack"
SCALING_ACTIVE: Final = "ScalingActive"
MODEL_STALE: Final = "ModelStale"
RETRAINING: Final = "Retraining"
UPDATE_AVAILABLE: Final = "UpdateAvailable"

_MESSAGE_LIMIT: Final = 2048

ConditionStatus = Literal["True", "False", "Unknown"]


@dataclass(frozen=True)
class Mark:
    """A condition as it should be; a list of marks is all that a status should hold."""

    type: str
    status: ConditionStatus
    reason: str
    message: str


def true(kind: str, reason: str, message: str) -> Mark:
    """Return a condition that holds."""
    return Mark(kind, "True", reason, message)


def false(kind: str, reason: str, message: str) -> Mark:
    """Return a condition that does not hold."""
    return Mark(kind, "False", reason, message)


def unknown(kind: str, reason: str, message: str) -> Mark:
    """Return a condition that cannot be told."""
    return Mark(kind, "Unknown", reason, message)


def ready(reason: str, message: str) -> tuple[Mark, ...]:
    """All is as wanted."""
    return (true(READY, reason, message),)


def reconciling(reason: str, message: str) -> tuple[Mark, ...]:
    """Not as wanted yet; work advances by itself."""
    return (false(READY, reason, message), true(RECONCILING, reason, message))


def stalled(reason: str, message: str) -> tuple[Mark, ...]:
    """Not as wanted, and only a human can mend it."""
    return (false(READY, reason, message), true(STALLED, reason, message))


def suspended() -> tuple[Mark, ...]:
    """Held back; `Ready` and `Reconciling` are absent, so that nobody waits."""
    return (true(SUSPENDED, Reason.SUSPENDED, "spec.suspend is true: set it to false to run this job"),)


def find(conditions: Sequence[api.Condition], kind: str) -> api.Condition | None:
    """Return the condition of that type, if it is there."""
    return next((condition for condition in conditions if condition.type == kind), None)


def holds(conditions: Sequence[api.Condition], kind: str) -> bool:
    """Tell whether the condition of that type is True."""
    condition = find(conditions, kind)
    return condition is not None and condition.status == "True"


def rfc3339(time: datetime) -> str:
    """Return a UTC time as Kubernetes writes it, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def merge(
    observed: Sequence[api.Condition], marks: Sequence[Mark], *, generation: int, now: datetime
) -> list[Mapping[str, Any]]:
    """Return the conditions to write: the marks, each with the time its status last changed."""
    merged: list[Mapping[str, Any]] = []
    for mark in marks:
        before = find(observed, mark.type)
        since = before.last_transition_time if before is not None and before.status == mark.status else now
        merged.append(
            {
                "type": mark.type,
                "status": mark.status,
                "reason": str(mark.reason),
                "message": mark.message[:_MESSAGE_LIMIT],
                "lastTransitionTime": rfc3339(since),
                "observedGeneration": generation,
            }
        )
    return merged
