"""What arrives from the API server: into the store, and the keys it concerns into the queue; nothing is decided."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import structlog

from modelwright_operator import naming
from modelwright_operator.cluster.store import Name, Owner, Store, owner_of
from modelwright_operator.raw import Raw, part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelwright_operator.cluster.kube import Kube
    from modelwright_operator.cluster.workqueue import WorkQueue
    from modelwright_operator.settings import Settings

log = structlog.get_logger(__name__)

_KINDS = {plural: kind for kind, plural in naming.PLURALS.items()}


def _around_a_job(store: Store, raw: Raw) -> Iterator[Owner]:
    """Yield the version that a TrainingJob made, and the Deployments it was made for or is a template of."""
    namespace, name = raw["metadata"]["namespace"], raw["metadata"]["name"]
    if version := part(raw, "status").get("modelVersion"):
        yield Owner(naming.MODEL_VERSION, namespace, version)
    if (owned_by := owner_of(raw)) is not None and owned_by.kind == naming.DEPLOYMENT:
        yield owned_by
    for other in store.all(naming.DEPLOYMENTS, namespace):
        if part(other, "spec", "retraining").get("trainingJob") == name:
            yield Owner(naming.DEPLOYMENT, namespace, other["metadata"]["name"])


def _neighbours(store: Store, resource: str, raw: Raw) -> Iterator[Owner]:
    """Yield the objects whose decisions read this one, beside its owner."""
    namespace, name = raw["metadata"]["namespace"], raw["metadata"]["name"]
    spec, status = part(raw, "spec"), part(raw, "status")
    if resource == naming.TRAINING_JOBS:
        yield from _around_a_job(store, raw)
    if resource == naming.MODEL_VERSIONS:
        maker = part(spec, "provenance", "trainingJob")
        if "name" in maker:
            yield Owner(naming.TRAINING_JOB, namespace, maker["name"])
        for other in store.all(naming.DEPLOYMENTS, namespace):
            model, made = part(other, "spec", "model"), part(other, "status", "retraining", "lastRun").get("version")
            if name in {model.get("version"), made} or model.get("name") == spec.get("model"):
                yield Owner(naming.DEPLOYMENT, namespace, other["metadata"]["name"])
    if resource == naming.DEPLOYMENTS:
        named = {part(spec, "model").get("version")}
        named |= {part(status, track).get("version") for track in ("stable", "canary")}
        for other in store.all(naming.MODEL_VERSIONS, namespace):
            version = str(other["metadata"]["name"])
            if version in named or name in (part(other, "status").get("usedBy") or ()):
                yield Owner(naming.MODEL_VERSION, namespace, version)


class Inbox:
    """Takes in events and lists."""

    def __init__(self, settings: Settings, kube: Kube, store: Store, queue: WorkQueue[Owner]) -> None:
        self._kube = kube
        self._store = store
        self._queue = queue
        self._namespaces: tuple[str | None, ...] = settings.watch_namespaces or (None,)
        self._synced_at: float | None = None
        self._listed: dict[str, str] = {}  # uid → resourceVersion of the first list

    @property
    def synced(self) -> bool:
        """Whether everything has been listed at least once."""
        return self._synced_at is not None

    @property
    def resync_age_seconds(self) -> float:
        """Time since everything was last listed, in seconds."""
        return monotonic() - self._synced_at if self._synced_at is not None else 0.0

    def event(self, resource: str, kind: str | None, raw: Raw) -> None:
        """Take in one event; added, modified and listed (None) are alike.

        The watch begins with a list of its own. What is in it as our first list had it is no news: at the start of an
        operator every object would be looked at once for each of its children.
        """
        before = self._listed.pop(str(raw["metadata"].get("uid")), None)
        if kind is None and before is not None and before == raw["metadata"].get("resourceVersion"):
            return
        if kind == "DELETED":
            self._wake(resource, raw)
            metadata = raw["metadata"]
            self._store.remove(resource, metadata["namespace"], metadata["name"], metadata.get("uid"))
        elif self._store.put(resource, raw):
            self._wake(resource, raw)

    def _wake(self, resource: str, raw: Raw, *, background: bool = False) -> None:
        if resource in _KINDS:
            owner = Owner(_KINDS[resource], raw["metadata"]["namespace"], raw["metadata"]["name"])
            self._queue.add(owner, background=background)
            for neighbour in _neighbours(self._store, resource, raw):
                self._queue.add(neighbour, background=True)
        elif (owned_by := owner_of(raw)) is not None and owned_by.kind in naming.PLURALS:
            self._queue.add(owned_by, background=background)

    async def resync(self) -> None:
        """List everything anew: repairs what a watch missed, objects deleted meanwhile included."""
        for resource in naming.RESOURCES:
            selector = None if resource in _KINDS else naming.MANAGED_SELECTOR
            for namespace in self._namespaces:
                known = {name for name in self._store.names(resource) if namespace in {None, name.namespace}}
                listed = [raw async for raw in self._kube.list(resource, namespace, selector)]
                self._store.replace(resource, listed, namespace, known)
                if not self.synced:
                    self._listed |= {str(raw["metadata"]["uid"]): raw["metadata"]["resourceVersion"] for raw in listed}
        for resource, kind in _KINDS.items():
            for name in self._store.names(resource):
                self._queue.add(Owner(kind, *Name(*name)), background=True)
        self._synced_at = monotonic()
        log.info("resynced", **{resource: self._store.size(resource) for resource in naming.RESOURCES})
