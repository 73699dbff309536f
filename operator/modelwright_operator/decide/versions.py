"""Which version a Deployment should serve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from modelwright_operator.decide import approval, conditions
from modelwright_operator.reasons import Reason, reported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelwright_operator import api
    from modelwright_operator.decide.approval import Rules


@dataclass(frozen=True)
class NoVersion:
    """There is nothing to serve (yet).

    Attributes:
        waiting: it may come by itself; otherwise only a human can mend it.
    """

    reason: Reason
    message: str
    waiting: bool


_NO_RULES: Final = approval.Rules()


def verified(version: api.ModelVersion) -> bool:
    """Tell whether the artifact was found to be what the version says."""
    return conditions.holds(version.status.conditions, conditions.VERIFIED)


def _refusal(version: api.ModelVersion) -> api.Condition | None:
    """Return the verdict on an artifact that was found not to be what the version says."""
    verdict = conditions.find(version.status.conditions, conditions.VERIFIED)
    return verdict if verdict is not None and verdict.status == "False" else None


def _not_accepted(version: api.ModelVersion, verdict: api.Condition) -> str:
    return f"ModelVersion {version.metadata.name} was not accepted: {verdict.message}"


def passed_over(
    reference: api.ModelReference, versions: Sequence[api.ModelVersion], since: api.ModelVersion | None
) -> str | None:
    """Return why the followed model's newest version is not the one to serve, where it was refused.

    Args:
        reference: what the Deployment serves.
        versions: all that it may serve.
        since: what it serves instead; only newer versions count. None: all do.
    """
    if reference.name is None:
        return None
    newer = [item for item in versions if item.spec.model == reference.name and (not since or _age(item) > _age(since))]
    newest = max(newer, key=_age, default=None)
    verdict = _refusal(newest) if newest is not None else None
    return _not_accepted(newest, verdict) if newest is not None and verdict is not None else None


def _age(version: api.ModelVersion) -> tuple[str, str]:
    created = version.metadata.creation_timestamp
    return (conditions.rfc3339(created) if created else "", version.metadata.name)


def awaiting_approval(
    reference: api.ModelReference, versions: Sequence[api.ModelVersion], since: api.ModelVersion | None, rules: Rules
) -> approval.Held | None:
    """Return what is said of the followed model's newest version where it only lacks an approval.

    Args:
        reference: what the Deployment serves.
        versions: all that it may serve.
        since: what it serves instead; only newer versions count. None: all do.
        rules: what the operator's settings ask.
    """
    newer = [item for item in versions if item.spec.model == reference.name and (not since or _age(item) > _age(since))]
    newest = max((item for item in newer if verified(item)), key=_age, default=None)
    held = approval.held(newest, rules, approved_only=approved_only(reference)) if newest is not None else None
    return held if held is not None and held.reason is Reason.APPROVAL_REQUIRED else None


def approved_only(reference: api.ModelReference) -> bool:
    """Tell whether a Deployment follows approved versions only."""
    return reference.follow == "LatestApproved"


def _pinned(
    name: str, versions: Sequence[api.ModelVersion], stable: api.Revision | None, rules: Rules
) -> api.ModelVersion | NoVersion:
    version = next((version for version in versions if version.metadata.name == name), None)
    if version is None:
        return NoVersion(
            Reason.VERSION_NOT_FOUND,
            f"spec.model.version: there is no ModelVersion {name} in this namespace; `kubectl get mv` lists them",
            waiting=False,
        )
    if verified(version):
        held = approval.held(version, rules)
        if held is None or (stable is not None and stable.version == name):
            return version  # what serves goes on: people are told, and decide
        return NoVersion(held.reason, held.message, waiting=False)
    if (verdict := _refusal(version)) is not None:
        reason = reported(verdict.reason, Reason.VERSION_NOT_VERIFIED)
        return NoVersion(reason, _not_accepted(version, verdict), waiting=False)
    why = conditions.find(version.status.conditions, conditions.STALLED)
    if why is not None and why.status == "True":
        message = f"ModelVersion {name} cannot be verified ({why.reason}): {why.message}"
        return NoVersion(Reason.VERSION_NOT_VERIFIED, message, waiting=False)
    return NoVersion(Reason.VERSION_NOT_VERIFIED, f"waiting for ModelVersion {name} to be verified", waiting=True)


def chosen(
    reference: api.ModelReference,
    versions: Sequence[api.ModelVersion],
    stable: api.Revision | None,
    rules: Rules = _NO_RULES,
) -> api.ModelVersion | NoVersion:
    """Return the version the reference stands for: the one named, or the newest that may serve, none older than stable.

    Older than stable only where stable may not serve any more, and the rules say to roll back then.
    """
    if (back := _back(reference, versions, stable, rules)) is not None:
        return back
    if reference.version is not None:
        return _pinned(reference.version, versions, stable, rules)
    return _followed(reference, versions, stable, rules)


def _able(
    model: str | None, versions: Sequence[api.ModelVersion], rules: Rules, *, only: bool
) -> list[api.ModelVersion]:
    """Return the versions of a model that may serve."""
    return [
        item
        for item in versions
        if item.spec.model == model and verified(item) and approval.held(item, rules, approved_only=only) is None
    ]


def _followed(
    reference: api.ModelReference, versions: Sequence[api.ModelVersion], stable: api.Revision | None, rules: Rules
) -> api.ModelVersion | NoVersion:
    able = _able(reference.name, versions, rules, only=approved_only(reference))
    newest = max(able, key=_age, default=None)
    same = stable if stable is not None and stable.model == reference.name else None
    serving = named(versions, same) if same is not None else None
    if serving is not None and (newest is None or _age(newest) < _age(serving)):
        return _still(serving)
    if newest is None:
        return _nothing(reference, versions, rules)
    if serving is not None:
        return newest
    since = same.version_created_at if same is not None else None
    if same is None or since is None or _age(newest) >= (conditions.rfc3339(since), same.version):
        return newest
    message = f"ModelVersion {same.version} was deleted, and there is no newer one: "
    return NoVersion(Reason.VERSION_NOT_FOUND, f"{message}apply it again, or pin another version", waiting=False)


def _still(serving: api.ModelVersion) -> api.ModelVersion | NoVersion:
    """Return the version that serves, unless it was refused meanwhile: it goes on, and people are told."""
    verdict = _refusal(serving)
    if verdict is None:
        return serving
    reason = reported(verdict.reason, Reason.VERSION_NOT_VERIFIED)
    return NoVersion(reason, _not_accepted(serving, verdict), waiting=False)


def _nothing(reference: api.ModelReference, versions: Sequence[api.ModelVersion], rules: Rules) -> NoVersion:
    if (held := awaiting_approval(reference, versions, None, rules)) is not None:
        return NoVersion(held.reason, held.message, waiting=False)
    why = passed_over(reference, versions, None) or "none exists yet"
    return NoVersion(
        Reason.NO_VERSION, f"waiting for a verified ModelVersion of model {reference.name}; {why}", waiting=True
    )


def named(versions: Sequence[api.ModelVersion], revision: api.Revision) -> api.ModelVersion | None:
    """Return the version that a revision runs, if it is there."""
    return next((version for version in versions if version.metadata.name == revision.version), None)


def _back(
    reference: api.ModelReference, versions: Sequence[api.ModelVersion], stable: api.Revision | None, rules: Rules
) -> api.ModelVersion | None:
    """Return what is to take over from a stable version that lost its approval; None: it did not, or nothing can."""
    if not rules.roll_back or stable is None or reference.version not in {None, stable.version}:
        return None
    serving, only = named(versions, stable), approved_only(reference)
    if serving is None or approval.revoked(serving, rules, approved_only=only) is None:
        return None
    return max(_able(serving.spec.model, versions, rules, only=only), key=_age, default=None)
