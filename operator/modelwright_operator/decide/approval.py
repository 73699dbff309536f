"""Whether a version may serve: approved where that is asked for, not rejected, not archived.

An approval is a field of the version's spec; who may set it, the chart's policy decides (approval-policy.yaml), so what
stands there is taken for granted here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from modelwright_operator.decide import conditions
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from modelwright_operator import api
    from modelwright_operator.decide.conditions import Mark
    from modelwright_operator.settings import Settings

_TIERS: Final = ("Low", "Medium", "High")


@dataclass(frozen=True)
class Rules:
    """What the operator's settings ask.

    Attributes:
        required_from: the least risk tier whose versions have to be approved; empty: none has to.
        roll_back: what serves and loses its approval is replaced by the newest version that may serve.
    """

    required_from: str = ""
    roll_back: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        """Return the rules that the settings state."""
        return cls(settings.approval_required_from, settings.approval_on_revocation == "RollBack")


@dataclass(frozen=True)
class Held:
    """Why a version may not serve."""

    reason: Reason
    message: str


def tier(version: api.ModelVersion) -> str:
    """Return the risk tier; what states none is of the highest, so that silence gains nothing."""
    card = version.spec.card
    return card.risk_tier if card is not None and card.risk_tier is not None else _TIERS[-1]


def needed(version: api.ModelVersion, rules: Rules) -> bool:
    """Tell whether the version has to be approved to serve anywhere."""
    return bool(rules.required_from) and _TIERS.index(tier(version)) >= _TIERS.index(rules.required_from)


def held(version: api.ModelVersion, rules: Rules, *, approved_only: bool = False) -> Held | None:
    """Return why the version may not serve; None: it may.

    Args:
        version: the version.
        rules: what the operator's settings ask.
        approved_only: whether the Deployment in question takes approved versions only.
    """
    name, approval = version.metadata.name, version.spec.approval
    if approval is not None and approval.state == "Rejected":
        return Held(Reason.APPROVAL_REJECTED, f"ModelVersion {name} was {_words(approval)}")
    if version.spec.archived:
        message = f"ModelVersion {name} is archived: set its spec.archived to false, or name another version"
        return Held(Reason.ARCHIVED, message)
    if approval is None and (approved_only or needed(version, rules)):
        return Held(Reason.APPROVAL_REQUIRED, f"ModelVersion {name} waits for an approval: {how(name)}")
    return None


def how(name: str) -> str:
    """Return how a version is approved."""
    patch = '{"spec":{"approval":{"state":"Approved","by":"YOUR USER NAME","reason":"WHY"}}}'
    return f"kubectl patch mv {name} --type merge -p '{patch}'"


def _words(approval: api.Approval) -> str:
    because = f": {approval.reason}" if approval.reason else ""
    return f"{approval.state.lower()} by {approval.by}{because}"


def mark(version: api.ModelVersion, rules: Rules) -> Mark | None:
    """Return the condition Approved of a version; None: nobody decided, and nobody has to."""
    approval = version.spec.approval
    if approval is None:
        if not needed(version, rules):
            return None
        message = (
            f"versions of risk tier {tier(version)} serve only once they are approved: {how(version.metadata.name)}"
        )
        return conditions.false(conditions.APPROVED, Reason.APPROVAL_REQUIRED, message)
    if approval.state == "Approved":
        return conditions.true(conditions.APPROVED, Reason.APPROVED, _words(approval))
    return conditions.false(conditions.APPROVED, Reason.APPROVAL_REJECTED, _words(approval))


def revoked(version: api.ModelVersion, rules: Rules, *, approved_only: bool = False) -> Held | None:
    """Return what is to be said of a version that serves although it may not (any more); None: it may."""
    found = held(version, rules, approved_only=approved_only)
    if found is None or found.reason is Reason.ARCHIVED:
        return None
    if found.reason is Reason.APPROVAL_REQUIRED and not any(
        item.event == Reason.APPROVED for item in version.status.history
    ):
        return found
    lost = "was withdrawn" if found.reason is Reason.APPROVAL_REQUIRED else f"is lost: it was {_given(version)}"
    message = f"the approval of ModelVersion {version.metadata.name} {lost}; approve it again, or serve another version"
    return Held(Reason.APPROVAL_REVOKED, message)


def _given(version: api.ModelVersion) -> str:
    return _words(version.spec.approval) if version.spec.approval is not None else ""
