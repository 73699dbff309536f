"""Whether requests for one version fit another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelwright_operator.decide.versions import NoVersion
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from modelwright_operator import api


def fitting(
    version: api.ModelVersion, stable: api.Revision, serving: api.ModelVersion | None
) -> api.ModelVersion | NoVersion:
    """Return the version, if requests for the one that answers now fit it as well.

    Args:
        version: that is wanted.
        stable: what answers now.
        serving: its version; None: it was deleted, and nothing is known of its inputs.
    """
    if version.metadata.name == stable.version:
        return version
    if version.spec.model != stable.model:
        message = (
            f"{version.metadata.name} is a version of model {version.spec.model}, {stable.version} of {stable.model}: "
            "requests name the model, so one cannot be tried on requests for the other; make another Deployment"
        )
        return NoVersion(Reason.MODEL_MISMATCH, message, waiting=False)
    ours, theirs = _inputs(version), _inputs(serving)
    if ours is None or theirs is None or ours == theirs:
        return version
    message = (
        f"{version.metadata.name} takes other inputs than {stable.version} ({_difference(ours, theirs)}): requests for "
        "one do not fit the other; set spec.rollout.allowSchemaChange if clients are prepared for both"
    )
    return NoVersion(Reason.SCHEMA_MISMATCH, message, waiting=False)


_Inputs = dict[str, tuple[str, tuple[str, ...]]]


def _inputs(version: api.ModelVersion | None) -> _Inputs | None:
    found = (version.spec.schema_ or version.status.schema_) if version is not None else None
    if found is None:
        return None
    return {item.name: (item.datatype, tuple(item.columns or ())) for item in found.inputs}


def _difference(ours: _Inputs, theirs: _Inputs) -> str:
    """Return the first thing in which inputs differ."""
    for name in sorted(ours.keys() | theirs.keys()):
        new, old = ours.get(name), theirs.get(name)
        if new is None or old is None:
            return f"{'no' if new is None else 'another'} input {name}"
        if new[0] != old[0]:
            return f"{name} is {new[0]}, not {old[0]}"
        if new[1] != old[1]:
            changed = sorted(set(new[1]) ^ set(old[1]))
            return f"columns of {name}: {', '.join(changed[:5]) or 'another order'}"
    return "nothing"
