"""Whether what is to be left out of captured rows is there to be left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modelwright_operator.decide.versions import NoVersion
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modelwright_operator import api

_SHOWN: Final = 10


def redacting(deployment: api.Deployment, choice: api.ModelVersion | NoVersion) -> api.ModelVersion | NoVersion:
    """Return the version that was chosen, if all features to be redacted are its own.

    A name that is none may be a misspelt one, whose values would be stored.
    """
    asked = dict(_asked(deployment))
    known = _features(choice) if asked and not isinstance(choice, NoVersion) else None
    unknown = [(field, name) for field, names in asked.items() for name in sorted(set(names) - set(known or names))]
    if isinstance(choice, NoVersion) or not unknown:
        return choice
    field, name = unknown[0]
    some = ", ".join(known or ()) if len(known or ()) <= _SHOWN else ", ".join((known or ())[:_SHOWN]) + ", …"
    message = (
        f"spec.monitoring.{field}.redact names {name!r}, which is no feature of {choice.metadata.name} ({some}): "
        "nothing is rolled out that could store what should be left out"
    )
    return NoVersion(Reason.REDACT_UNKNOWN, message, waiting=False)


def _asked(deployment: api.Deployment) -> Iterator[tuple[str, Sequence[str]]]:
    """Return what is to be left out, by the field that says so."""
    monitoring = deployment.spec.monitoring
    if monitoring is not None:
        parts = {"capture": monitoring.capture, "payloadLog": monitoring.payload_log}
        yield from ((field, part.redact) for field, part in parts.items() if part is not None and part.redact)


def _features(version: api.ModelVersion) -> Sequence[str] | None:
    found = version.spec.schema_ or version.status.schema_
    if found is None:
        return None
    return [name for item in found.inputs for name in (item.columns or [item.name])]
