"""What the API server holds, as far as it was seen: trimmed objects, found by name, by owner and by model.

An object is only replaced by a later one of the same uid, so the answer to our own write, which comes before the
watch tells of it, is not undone by an older event.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from modelwright_operator import naming
from modelwright_operator.raw import Raw, part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from modelwright_operator import api
    from modelwright_operator.decide.checks import Reading
    from modelwright_operator.decide.observed import LogLine
    from modelwright_operator.decide.pages import Page

_POD_STATUS: Final = (
    "phase",
    "reason",
    "message",
    "podIP",
    "conditions",
    "initContainerStatuses",
    "containerStatuses",
)
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


class Name(NamedTuple):
    """Namespace and name."""

    namespace: str
    name: str


class Owner(NamedTuple):
    """One of our objects."""

    kind: str
    namespace: str
    name: str


def owner_of(raw: Raw) -> Owner | None:
    """Return the object of ours that controls a child, or that the labels of a child's pod name."""
    namespace: str = raw["metadata"]["namespace"]
    references: Iterable[Raw] = raw["metadata"].get("ownerReferences") or ()
    for reference in references:
        if reference.get("controller") and reference.get("apiVersion") == naming.API_VERSION:
            return Owner(reference["kind"], namespace, reference["name"])
    labels: Mapping[str, str] = raw["metadata"].get("labels") or {}
    kind, name = labels.get(naming.LABEL_OWNER_KIND), labels.get(naming.LABEL_OWNER_NAME)
    return Owner(kind, namespace, name) if kind and name else None


def spec_managers(raw: Raw) -> list[str]:
    """Return who owns parts of the spec, as `manager/operation`: anybody but us has edited a child by hand.

    The number of pods does not count: who scales may own it, and whether it is as wanted can be told by its value.
    """
    entries: Iterable[Raw] = raw["metadata"].get("managedFields") or ()
    return sorted(
        {
            f"{entry.get('manager', '')}/{entry.get('operation', '')}"
            for entry in entries
            if entry.get("subresource", "") in {"", "scale"}
            and "f:spec" in (fields := part(entry, "fieldsV1"))
            and set(part(fields, "f:spec")) != {"f:replicas"}
        }
    )


def trim(resource: str, raw: Raw) -> Raw:
    """Drop what is never read and is most of the size; of the managed fields only the spec's managers are kept."""
    api_version, kind = naming.CHILDREN[resource]
    metadata = {key: value for key, value in raw["metadata"].items() if key != "managedFields"}
    if annotations := metadata.get("annotations"):
        metadata["annotations"] = {key: value for key, value in annotations.items() if key != _LAST_APPLIED}
    trimmed = {**raw, "apiVersion": api_version, "kind": kind, "metadata": metadata, "managers": spec_managers(raw)}
    if resource == naming.PODS:
        status = part(raw, "status")
        trimmed.pop("spec", None)
        trimmed["status"] = {key: status[key] for key in _POD_STATUS if key in status}
    return trimmed


def _older(new: Raw, old: Raw) -> bool:
    """Tell whether `new` was read before `old`; resourceVersions of one object count up."""
    if new["metadata"].get("uid") != old["metadata"].get("uid"):
        return False
    mine, theirs = str(new["metadata"].get("resourceVersion", "")), str(old["metadata"].get("resourceVersion", ""))
    return mine.isdigit() and theirs.isdigit() and int(mine) < int(theirs)


def _models_of(key: Name, version: Raw) -> set[tuple[str, str]]:
    """Return the models a ModelVersion is looked for under: its own, and the one whose version its name says it is."""
    own, named = str(part(version, "spec").get("model")), key.name.rpartition("-")[0]
    return {(key.namespace, own), (key.namespace, named)}


class Store:
    """All that was seen; used from one event loop only."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[Name, Raw]] = {resource: {} for resource in naming.CHILDREN}
        self._owned: dict[str, dict[Owner, set[Name]]] = {resource: defaultdict(set) for resource in naming.CHILDREN}
        self._models: dict[tuple[str, str], set[Name]] = defaultdict(set)
        self._lines: dict[Name, tuple[str, LogLine]] = {}  # with the uid of the pod
        self._rejections: dict[Name, tuple[str, str]] = {}  # with the uid of the Job
        self._readings: dict[Owner, dict[tuple[str, api.Check], tuple[datetime, Reading]]] = {}  # by revision, check
        self._pages: dict[Owner, dict[tuple[str, str], Page]] = {}  # by uid of the pod and start of its server
        self._unserved: set[str] = set()

    def put(self, resource: str, raw: Raw) -> bool:
        """Take an object in; tell whether it was news."""
        key = Name(raw["metadata"]["namespace"], raw["metadata"]["name"])
        known = self._objects[resource].get(key)
        if known is not None:
            if _older(raw, known):
                return False
            self._unindex(resource, key, known)
        trimmed = trim(resource, raw)
        self._objects[resource][key] = trimmed
        if (owner := owner_of(trimmed)) is not None:
            self._owned[resource][owner].add(key)
        if resource == naming.MODEL_VERSIONS:
            for model in _models_of(key, trimmed):
                self._models[model].add(key)
        return True

    def remove(self, resource: str, namespace: str, name: str, uid: str | None = None) -> None:
        """Forget an object, unless another one has taken its name since."""
        key = Name(namespace, name)
        known = self._objects[resource].get(key)
        if known is None or (uid and known["metadata"].get("uid") != uid):
            return
        self._unindex(resource, key, known)
        del self._objects[resource][key]
        if resource == naming.PODS:
            self._lines.pop(key, None)
        if resource == naming.JOBS:
            self._rejections.pop(key, None)

    def _unindex(self, resource: str, key: Name, known: Raw) -> None:
        if (owner := owner_of(known)) is not None:
            owned = self._owned[resource]
            owned[owner].discard(key)
            if not owned[owner]:
                del owned[owner]
        if resource == naming.MODEL_VERSIONS:
            for model in _models_of(key, known):
                self._models[model].discard(key)
                if not self._models[model]:
                    del self._models[model]

    def get(self, resource: str, namespace: str, name: str) -> Raw | None:
        """Return an object."""
        return self._objects[resource].get(Name(namespace, name))

    def put_line(self, pod: Raw, line: LogLine) -> bool:
        """Keep the last progress line of a pod's log, as long as there is the pod; tell whether it was news."""
        key, uid = Name(pod["metadata"]["namespace"], pod["metadata"]["name"]), str(pod["metadata"].get("uid"))
        known = self.get(naming.PODS, *key)
        if known is None or known["metadata"].get("uid") != uid or self._lines.get(key) == (uid, line):
            return False
        self._lines[key] = (uid, line)
        return True

    def line(self, pod: Raw) -> LogLine | None:
        """Return the last progress line of a pod's log, if one was read."""
        uid, line = self._lines.get(Name(pod["metadata"]["namespace"], pod["metadata"]["name"]), ("", None))
        return line if uid == pod["metadata"].get("uid") else None

    def put_rejection(self, job: Raw, text: str) -> bool:
        """Keep why a Job's pods cannot be created, as long as there is the Job; tell whether it was news."""
        key, uid = Name(job["metadata"]["namespace"], job["metadata"]["name"]), str(job["metadata"].get("uid"))
        known = self.get(naming.JOBS, *key)
        if known is None or known["metadata"].get("uid") != uid or self._rejections.get(key) == (uid, text):
            return False
        self._rejections[key] = (uid, text)
        return True

    def rejection(self, job: Raw) -> str | None:
        """Return why a Job's pods cannot be created, if that was ever so."""
        uid, text = self._rejections.get(Name(job["metadata"]["namespace"], job["metadata"]["name"]), ("", None))
        return text if uid == job["metadata"].get("uid") else None

    def put_page(self, owner: Owner, pod_uid: str, page: Page) -> bool:
        """Keep what a pod has counted, even beyond the pod's end; tell whether it was news."""
        pages = self._pages.setdefault(owner, {})
        key = (pod_uid, page.boot)
        if pages.get(key) == page:
            return False
        pages[key] = page
        return True

    def pages(self, owner: Owner) -> tuple[Page, ...]:
        """Return what the pods of an object have counted, those that are gone included."""
        return tuple(self._pages.get(owner, {}).values())

    def forget_pages(self, owner: Owner) -> None:
        """Drop what was counted: the rollout is over."""
        self._pages.pop(owner, None)

    def put_reading(self, owner: Owner, revision: str, check: api.Check, at: datetime, reading: Reading) -> None:
        """Keep the last reading of a check on a revision."""
        self._readings.setdefault(owner, {})[revision, check] = (at, reading)

    def readings(self, owner: Owner, revision: str) -> dict[api.Check, tuple[datetime, Reading]]:
        """Return the last reading of each check on a revision, and its time."""
        found = self._readings.get(owner, {})
        return {check: reading for (of, check), reading in found.items() if of == revision}

    def forget_readings(self, owner: Owner) -> None:
        """Drop what was read: the rollout is over."""
        self._readings.pop(owner, None)

    def serves(self, resource: str) -> bool:
        """Tell whether the API server knows a resource, as far as it was asked."""
        return resource not in self._unserved

    def put_served(self, resource: str, *, served: bool) -> bool:
        """Keep whether the API server knows a resource; tell whether that was news."""
        if served is self.serves(resource):
            return False
        (self._unserved.discard if served else self._unserved.add)(resource)
        return True

    def names(self, resource: str) -> Iterator[Name]:
        """Yield the names of all objects of a resource."""
        return iter(tuple(self._objects[resource]))

    def size(self, resource: str) -> int:
        """Return the number of objects of a resource."""
        return len(self._objects[resource])

    def owned(self, resource: str, owner: Owner) -> tuple[Raw, ...]:
        """Return the children of an object, and the pods whose labels name it, by name."""
        names = self._owned[resource].get(owner, ())
        return tuple(self._objects[resource][name] for name in sorted(names))

    def versions_of(self, namespace: str, model: str) -> tuple[Raw, ...]:
        """Return the ModelVersions of a model, and those that only have a name its jobs may give; by name."""
        names = self._models.get((namespace, model), ())
        return tuple(self._objects[naming.MODEL_VERSIONS][name] for name in sorted(names))

    def all(self, resource: str, namespace: str) -> Iterator[Raw]:
        """Yield the objects of a resource in a namespace."""
        return (raw for name, raw in tuple(self._objects[resource].items()) if name.namespace == namespace)

    def replace(self, resource: str, listed: Iterable[Raw], namespace: str | None, known: set[Name]) -> set[Name]:
        """Take in a list, and forget what was known before it began and is not in it; return the names concerned.

        Args:
            resource: plural of the resource.
            listed: everything the API server holds of it.
            namespace: the namespace that was listed; None: all.
            known: names known when the list was begun; an object that came since is not a ghost.
        """
        changed: set[Name] = set()
        seen: set[Name] = set()
        for raw in listed:
            name = Name(raw["metadata"]["namespace"], raw["metadata"]["name"])
            seen.add(name)
            if self.put(resource, raw):
                changed.add(name)
        for name in known - seen:
            if namespace is None or name.namespace == namespace:
                self.remove(resource, *name)
                changed.add(name)
        return changed
