"""Which versions of a model are kept: those in use, approved or not ours to remove, and of the others the newest.

Only what a TrainingJob made is ever removed: an imported version belongs to whoever applied it. And only artifacts
whose folder bears the digest as its name: nothing else can lie there. A claim is seen by its namespace alone; an object
store by others, too, so its artifacts count only where the settings say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from modelwright_operator import naming
from modelwright_operator.raw import Raw, part

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLAIM: Final = "pvc://"
_BUCKETS: Final = ("s3://", "gs://", "az://")
_DIGEST: Final = "sha256:"


@dataclass(frozen=True)
class Sibling:
    """A version of a model, as far as it matters for what is kept.

    Attributes:
        since: when it was made, or made again, as RFC 3339 in UTC: texts that sort.
        protected: in use or approved.
        ours: a TrainingJob made it, where files are removed, under its digest.
    """

    name: str
    model: str
    uri: str
    since: str
    protected: bool
    ours: bool


def in_bucket(uri: str) -> bool:
    """Tell whether an artifact is in an object store, which other namespaces see, too."""
    return uri.startswith(_BUCKETS)


def sibling(raw: Raw, used: frozenset[str], remade: str = "", *, buckets: bool = False) -> Sibling:
    """Return what matters of a ModelVersion.

    Args:
        raw: the ModelVersion.
        used: names of the versions that Deployments name, serve, bring up or served before.
        remade: when a TrainingJob last made the very same once more; empty: never.
        buckets: whether files in object stores are removed.
    """
    metadata, spec = raw["metadata"], part(raw, "spec")
    name, artifact = str(metadata["name"]), part(spec, "artifact")
    uri, digest = str(artifact.get("uri", "")).rstrip("/"), str(artifact.get("digest", ""))
    made = part(metadata, "labels").get(naming.LABEL_MANAGED_BY) == naming.MANAGED_BY
    by_job = bool(part(spec, "provenance", "trainingJob").get("uid"))
    removable = uri.startswith(_CLAIM) or (buckets and in_bucket(uri))
    placed = removable and uri.rpartition("/")[2] == digest.removeprefix(_DIGEST)
    approved = part(spec, "approval").get("state") == "Approved"
    since = max(str(metadata.get("creationTimestamp", "")), remade)
    model = str(spec.get("model", ""))
    return Sibling(name, model, uri, since, protected=name in used or approved, ours=made and by_job and placed)


def superfluous(name: str, siblings: Sequence[Sibling], keep: int) -> bool:
    """Tell whether a version is beyond the newest `keep` of its model that nothing protects; 0 keeps all."""
    own = next((item for item in siblings if item.name == name), None)
    if own is None or not keep:
        return False
    free = [item for item in siblings if item.model == own.model and item.ours and not item.protected]
    newest = sorted(free, key=lambda item: (item.since, item.name), reverse=True)[:keep]
    return own in free and own not in newest


def shared(name: str, siblings: Sequence[Sibling]) -> bool:
    """Tell whether another ModelVersion names the same artifact."""
    own = next((item.uri for item in siblings if item.name == name), None)
    return any(item.uri == own and item.name != name for item in siblings)
