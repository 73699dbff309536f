"""Which version a Deployment should serve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelwright_operator.decide import conditions
from modelwright_operator.reasons import Reason, reported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelwright_operator import api


@dataclass(frozen=True)
class NoVersion:
    """There is nothing to serve (yet).

    Attributes:
        waiting: it may come by itself; otherwise only a human can mend it.
    """

    reason: Reason
    message: str
    waiting: bool


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


def _pinned(name: str, versions: Sequence[api.ModelVersion]) -> api.ModelVersion | NoVersion:
    version = next((version for version in versions if version.metadata.name == name), None)
    if version is None:
        return NoVersion(
            Reason.VERSION_NOT_FOUND,
            f"spec.model.version: there is no ModelVersion {name} in this namespace; `kubectl get mv` lists them",
            waiting=False,
        )
    if verified(version):
        return version
    if (verdict := _refusal(version)) is not None:
        reason = reported(verdict.reason, Reason.VERSION_NOT_VERIFIED)
        return NoVersion(reason, _not_accepted(version, verdict), waiting=False)
    why = conditions.find(version.status.conditions, conditions.STALLED)
    if why is not None and why.status == "True":
        message = f"ModelVersion {name} cannot be verified ({why.reason}): {why.message}"
        return NoVersion(Reason.VERSION_NOT_VERIFIED, message, waiting=False)
    return NoVersion(Reason.VERSION_NOT_VERIFIED, f"waiting for ModelVersion {name} to be verified", waiting=True)


def chosen(
    reference: api.ModelReference, versions: Sequence[api.ModelVersion], stable: api.Revision | None
) -> api.ModelVersion | NoVersion:
    """Return the version the reference stands for: the one named, or the newest verified and none older than stable."""
    if reference.version is not None:
        return _pinned(reference.version, versions)
    candidates = [version for version in versions if version.spec.model == reference.name and verified(version)]
    newest = max(candidates, key=_age, default=None)
    if newest is None:
        return NoVersion(
            Reason.NO_VERSION,
            f"waiting for a verified ModelVersion of model {reference.name}; "
            + (passed_over(reference, versions, None) or "none exists yet"),
            waiting=True,
        )
    if stable is None or stable.model != reference.name:
        return newest
    serving = next((version for version in versions if version.metadata.name == stable.version), None)
    if serving is not None:
        return serving if _age(newest) < _age(serving) else newest
    since = stable.version_created_at
    if since is None or _age(newest) >= (conditions.rfc3339(since), stable.version):
        return newest
    message = f"ModelVersion {stable.version} was deleted, and there is no newer one: "
    return NoVersion(Reason.VERSION_NOT_FOUND, f"{message}apply it again, or pin another version", waiting=False)
