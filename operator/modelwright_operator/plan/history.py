"""What happened to a ModelVersion: a line in its status, and an event, for each turn that an auditor asks about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from modelwright_operator import api
from modelwright_operator.decide import conditions
from modelwright_operator.plan.outcome import Event
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from modelwright_operator.decide.conditions import Mark

_MOST: Final = 50
_KINDS: Final = (conditions.VERIFIED, conditions.APPROVED, conditions.IN_USE)
_SAID_ELSEWHERE: Final = frozenset({conditions.VERIFIED})  # by the condition Ready, whose turns are events


@dataclass(frozen=True)
class Turn:
    """Something that happened."""

    kind: str
    reason: str
    message: str
    by: str | None = None


def happened(version: api.ModelVersion, marks: Sequence[Mark]) -> tuple[Turn, ...]:
    """Return what the new conditions say that the observed ones did not; not that something is still unknown."""
    observed = version.status.conditions
    turns: list[Turn] = []
    for kind in _KINDS:
        now = next((mark for mark in marks if mark.type == kind and mark.status != "Unknown"), None)
        given = version.spec.approval if kind == conditions.APPROVED else None
        turns.extend(_turned(kind, conditions.find(observed, kind), now, given.by if given is not None else None))
    return (*turns, *_archived(version))


def _turned(kind: str, before: api.Condition | None, now: Mark | None, by: str | None) -> tuple[Turn, ...]:
    held = before is not None and before.status == "True"
    if kind == conditions.APPROVED and held and (now is None or now.reason == Reason.APPROVAL_REQUIRED):
        message = f"the approval was withdrawn; it was {before.message if before is not None else ''}"
        return (Turn(kind, Reason.APPROVAL_REVOKED, message),)
    if now is None or (before is None and now.reason == Reason.NOT_IN_USE):
        return ()
    said = (before.status, before.reason, before.message) if before is not None else None
    turn = Turn(kind, str(now.reason), now.message, by)
    return (turn,) if said != (now.status, str(now.reason), now.message) else ()


def _archived(version: api.ModelVersion) -> tuple[Turn, ...]:
    told = [item.event for item in version.status.history if item.event in {Reason.ARCHIVED, Reason.RESTORED}]
    known = bool(told) and told[-1] == Reason.ARCHIVED
    if bool(version.spec.archived) == known:
        return ()
    if known:
        return (Turn("", Reason.RESTORED, "spec.archived was taken back: Deployments may turn to this version again"),)
    return (Turn("", Reason.ARCHIVED, "archived: no Deployment turns to this version any more"),)


def remembered(version: api.ModelVersion, turns: Sequence[Turn], now: datetime) -> list[Any] | None:
    """Return the history with a line for each turn, the oldest lines left out where there are too many."""
    lines = [
        *version.status.history,
        *(api.VersionEvent(at=now, event=turn.reason, by=turn.by, message=turn.message[:1024]) for turn in turns),
    ]
    return [line.model_dump(mode="json", by_alias=True, exclude_none=True) for line in lines[-_MOST:]] or None


def events(turns: Sequence[Turn]) -> tuple[Event, ...]:
    """Return the events of the turns."""
    bad = {Reason.APPROVAL_REJECTED, Reason.APPROVAL_REVOKED}
    return tuple(
        Event("Warning" if turn.reason in bad else "Normal", turn.reason, turn.message[:1000])
        for turn in turns
        if turn.kind not in _SAID_ELSEWHERE and turn.kind != conditions.IN_USE
    )
