"""Why a run made another model than one before with the same parameters and seed: what it was made of, compared.

Equal parameters, data and image should give equal bytes. Where they did not, the status says which of these differed
from the newest version before, or that none did.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelwright_operator import api

_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Difference:
    """What differs from a version that was made with the same parameters and seed.

    Attributes:
        version: name of that version.
        what: `data/<name>`, `features`, `image`, `source`; empty where nothing that is recorded differs.
    """

    version: str
    what: tuple[str, ...]

    @property
    def message(self) -> str:
        """Words for people."""
        if self.what:
            return f"it differs from {self.version}, of the same parameters and seed, in: {', '.join(self.what)}"
        return (
            f"it is not {self.version} again, although parameters, seed, data and image are the same: the estimator "
            "depends on threads or processor"
        )


def _data(made_of: api.Provenance) -> Mapping[str, str]:
    return {data.name: data.digest for data in made_of.data or ()}


def _differences(now: api.Provenance, before: api.Provenance) -> tuple[str, ...]:
    mine, theirs = _data(now), _data(before)
    found = [f"data/{name}" for name in sorted(mine.keys() | theirs.keys()) if mine.get(name) != theirs.get(name)]
    if now.features != before.features:
        found.append("features")
    if now.image_digest and before.image_digest:
        other_image = now.image_digest != before.image_digest
    else:
        other_image = now.image != before.image
    if other_image:
        found.append("image")
    if now.source != before.source:
        found.append("source")
    return tuple(found)


def difference(
    digest: str, made_of: api.Provenance, created: datetime | None, versions: Sequence[api.ModelVersion], model: str
) -> Difference | None:
    """Compare a run with the newest version of the model that has its parameters and seed, but another digest.

    Args:
        digest: digest of the artifact the run made.
        made_of: what the run was made of.
        created: when the run's own version was created, where it is there already; later ones are not looked at.
        versions: the model's versions.
        model: its name.
    """
    others = [
        (item.metadata.creation_timestamp or _NEVER, item.metadata.name, item.spec.provenance)
        for item in versions
        if item.spec.model == model
        and item.spec.artifact.digest != digest
        and item.spec.provenance is not None
        and item.spec.provenance.parameters_digest == made_of.parameters_digest
        and (created is None or (item.metadata.creation_timestamp or _NEVER) <= created)
    ]
    if made_of.parameters_digest is None or not others:
        return None
    _, name, before = max(others, key=lambda item: item[:2])
    return Difference(name, _differences(made_of, before))
