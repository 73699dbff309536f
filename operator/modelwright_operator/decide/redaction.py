"""Whether what is to be left out of captured rows is there to be left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modelwright_operator.decide.versions import NoVersion
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelwright_operator import api

_SHOWN: Final = 10


def redacting(deployment: api.Deployment, choice: api.ModelVersion | NoVersion) -> api.ModelVersion | NoVersion:
    """Return the version that was chosen, if all features to be redacted are its own.

    A name that is none may be a misspelt one, whose values would be stored.
    """
    monitoring = deployment.spec.monitoring
    redact = (monitoring.capture.redact or ()) if monitoring is not None and monitoring.capture is not None else ()
    if not redact or isinstance(choice, NoVersion):
        return choice
    known = _features(choice)
    unknown = sorted(set(redact) - set(known)) if known is not None else []
    if not unknown:
        return choice
    some = ", ".join(known or ()) if len(known or ()) <= _SHOWN else ", ".join((known or ())[:_SHOWN]) + ", …"
    message = (
        f"spec.monitoring.capture.redact names {unknown[0]!r}, which is no feature of {choice.metadata.name} ({some}): "
        "nothing is rolled out that could store what should be left out"
    )
    return NoVersion(Reason.REDACT_UNKNOWN, message, waiting=False)


def _features(version: api.ModelVersion) -> Sequence[str] | None:
    found = version.spec.schema_ or version.status.schema_
    if found is None:
        return None
    return [name for item in found.inputs for name in (item.columns or [item.name])]
