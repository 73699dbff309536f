"""What a Deployment says of approvals: that one is waited for, or that what serves has lost its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from modelwright_operator.decide import approval, conditions, versions
from modelwright_operator.decide.course import Happened
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelwright_operator import api
    from modelwright_operator.decide.conditions import Mark
    from modelwright_operator.decide.snapshot import DeploymentSnapshot

WITHHELD: Final = frozenset({Reason.APPROVAL_REQUIRED, Reason.APPROVAL_REJECTED, Reason.ARCHIVED})


@dataclass(frozen=True)
class Approvals:
    """What to say.

    Attributes:
        marks: the condition ApprovalRequired, where it holds.
        happened: what began with this pass, for history and events.
    """

    marks: tuple[Mark, ...] = ()
    happened: tuple[Happened, ...] = ()


def withheld(choice: api.ModelVersion | versions.NoVersion) -> bool:
    """Tell whether the version that is asked for exists, and may not serve."""
    return isinstance(choice, versions.NoVersion) and choice.reason in WITHHELD


def plan(
    snapshot: DeploymentSnapshot,
    choice: api.ModelVersion | versions.NoVersion,
    stable: api.Revision | None,
    marks: Sequence[Mark],
) -> Approvals:
    """Return what to say of approvals.

    Args:
        snapshot: what the decision is made on.
        choice: the version that is wanted.
        stable: what answers.
        marks: what the conditions say otherwise; a step that waits for its own approval has said so.
    """
    if any(mark.type == conditions.APPROVAL_REQUIRED for mark in marks):
        return Approvals()
    found = _found(snapshot, choice, stable)
    if found is None:
        return Approvals()
    version, held = found
    mark = conditions.true(conditions.APPROVAL_REQUIRED, held.reason, held.message)
    before = conditions.find(snapshot.deployment.status.conditions, conditions.APPROVAL_REQUIRED)
    if before is not None and (before.reason, before.message) == (held.reason, held.message):
        return Approvals((mark,))
    return Approvals((mark,), (Happened(held.reason, version, held.message),))


def _found(
    snapshot: DeploymentSnapshot, choice: api.ModelVersion | versions.NoVersion, stable: api.Revision | None
) -> tuple[str, approval.Held] | None:
    reference, rules = snapshot.deployment.spec.model, approval.Rules.of(snapshot.settings)
    serving = versions.named(snapshot.versions, stable) if stable is not None else None
    only = versions.approved_only(reference)
    if serving is not None and (lost := approval.revoked(serving, rules, approved_only=only)) is not None:
        return serving.metadata.name, lost
    if isinstance(choice, versions.NoVersion):
        if choice.reason is not Reason.APPROVAL_REQUIRED:
            return None
        return reference.version or "", approval.Held(choice.reason, choice.message)
    waiting = versions.awaiting_approval(reference, snapshot.versions, choice, rules) if reference.name else None
    return (reference.name or "", waiting) if waiting is not None else None
