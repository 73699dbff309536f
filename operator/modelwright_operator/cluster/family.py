"""The versions of a model, and who uses or makes them, as far as it matters for what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelwright_operator import naming
from modelwright_operator.decide.retention import Sibling, in_bucket, sibling
from modelwright_operator.raw import Raw, part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelwright_operator.cluster.store import Store
    from modelwright_operator.settings import Settings

_TRACKS = ("stable", "canary", "previous")
_ENDED = {"Complete", "Failed"}


def _used(store: Store, namespace: str) -> frozenset[str]:
    """Return the names of all versions that Deployments name, serve, bring up or served before."""
    used: set[str] = set()
    for raw in store.all(naming.DEPLOYMENTS, namespace):
        named = (
            part(raw, "spec", "model").get("version"),
            *(part(raw, "status", track).get("version") for track in _TRACKS),
        )
        used |= {str(name) for name in named if name}
    return frozenset(used)


def _ended(job: Raw) -> bool:
    conditions = part(job, "status").get("conditions") or ()
    return any(item.get("type") in _ENDED and item.get("status") == "True" for item in conditions)


def _uri(version: Raw) -> str:
    return str(part(version, "spec", "artifact").get("uri", "")).rstrip("/")


def siblings(store: Store, namespace: str, version: Raw, settings: Settings) -> tuple[Sibling, ...]:
    """Return all versions of the namespace that are of a version's model or name its artifact, itself among them.

    None where the model has no more than are kept (0: all are): then nobody need look at the whole namespace. What is
    in an object store may be named from other namespaces, too; such versions are `NAMESPACE/NAME`, and never ours.
    """
    model, keep = str(part(version, "spec").get("model")), settings.retention_versions_per_model
    if not keep or len(store.versions_of(namespace, model)) <= keep:
        return ()
    uri, buckets = _uri(version), settings.retention_object_stores
    used, remade = _used(store, namespace), dict[str, str]()
    for job in store.all(naming.TRAINING_JOBS, namespace):
        status = part(job, "status")
        if (name := status.get("modelVersion")) is not None:
            remade[name] = max(remade.get(name, ""), str(status.get("finishedAt", "")))
    found: list[Sibling] = []
    for raw in store.all(naming.MODEL_VERSIONS, namespace):
        spec, metadata = part(raw, "spec"), raw["metadata"]
        same = spec.get("model") == model or _uri(raw) == uri
        if same and not metadata.get("deletionTimestamp"):
            found.append(sibling(raw, used, remade.get(str(metadata["name"]), ""), buckets=buckets))
    if buckets and in_bucket(uri):
        found += _elsewhere(store, namespace, uri)
    return tuple(found)


def _elsewhere(store: Store, namespace: str, uri: str) -> Iterator[Sibling]:
    """Yield the versions of other namespaces that name an artifact."""
    for name in store.names(naming.MODEL_VERSIONS):
        raw = store.get(naming.MODEL_VERSIONS, *name) if name.namespace != namespace else None
        if raw is not None and _uri(raw) == uri:
            yield Sibling(f"{name.namespace}/{name.name}", "", uri, "", protected=True, ours=False)


def training(store: Store, namespace: str, version: Raw) -> bool:
    """Tell whether a TrainingJob of the model is under way: one that waits and never began is not.

    For an artifact in an object store, jobs of other namespaces count, too: they may publish the very same there.
    """
    model, anywhere = part(version, "spec").get("model"), in_bucket(_uri(version))
    for name in store.names(naming.TRAINING_JOBS):
        job = store.get(naming.TRAINING_JOBS, *name) if anywhere or name.namespace == namespace else None
        if job is None:
            continue
        spec, status = part(job, "spec"), part(job, "status")
        waits = spec.get("suspend") and not status.get("attempt")
        if spec.get("model") == model and not waits and not _ended(job):
            return True
    return False
