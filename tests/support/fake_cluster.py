"""An API server in memory, behind the same port as `modelwright_operator.cluster.kube.Kube`.

What the operator relies on is done as the real one does it: server-side apply with field ownership, uid
preconditions, resourceVersion conflicts on status, generations, schema defaults and validation of our kinds, defaults
of built-in kinds, immutable fields, garbage collection by owner. Any call can be made to fail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from modelwright_cli import structural
from modelwright_operator import naming
from modelwright_operator.errors import Conflict, NotFound, Refused
from modelwright_server.contract import monitoring
from tests.support import defaults, merging
from tests.support.clock import Clock
from tests.support.copying import copied
from tests.support.fake_objects import applied, check_json, managed, managers, owners, resource_of, selected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

Raw = dict[str, Any]
_EDITED: Raw = {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {}}}
_APPLIED_BY_US: Raw = {"manager": naming.FIELD_MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": {}}}
_READS = {"get", "list", "get_lease", "log", "events"}


class Key(NamedTuple):
    """Where an object lies."""

    resource: str
    namespace: str
    name: str


class Call(NamedTuple):
    """One request."""

    verb: str
    resource: str
    name: str

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return self.verb not in _READS


class Happened(NamedTuple):
    """What a watch would tell."""

    resource: str
    kind: str
    raw: Raw


@dataclass
class Fault:
    """An error that calls run into: those that match, `times` times."""

    error: Exception
    matches: Callable[[Call], bool]
    times: int = 1


class Crash(BaseException):
    """The operator's process ended here."""


class FakeCluster:
    """The API server."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.objects: dict[Key, Raw] = {}
        self.calls: list[Call] = []
        self.events: list[Raw] = []
        self.happened: list[Happened] = []
        self.faults: list[Fault] = []
        self.crash_before: int | None = None
        self.crash_after: int | None = None
        self.logs: dict[tuple[str, str], str] = {}
        self.refused_pods: dict[str, str] = {}
        self.leases: dict[tuple[str, str], Raw] = {}
        self.requests = 0
        self._owned: dict[Key, dict[str, Raw]] = {}
        self._version = 100
        self._uids = 0

    # the port of the operator

    async def close(self) -> None:
        """Nothing is open."""

    async def get(self, resource: str, namespace: str, name: str) -> Raw:
        with self._request("get", resource, name):
            return copied(self._found(Key(resource, namespace, name)))

    async def list(self, resource: str, namespace: str | None, selector: str | None = None) -> AsyncIterator[Raw]:
        with self._request("list", resource, ""):
            listed = [copied(raw) for raw in self.all(resource, namespace) if selected(raw, selector)]
        for raw in listed:
            yield raw

    async def apply(self, resource: str, manifest: Raw, *, force: bool) -> Raw:
        check_json(manifest)
        metadata = manifest["metadata"]
        key = Key(resource, metadata["namespace"], metadata["name"])
        with self._request("apply", resource, key.name):
            current = self.objects.get(key)
            self._check_uid(key, current, metadata.get("uid"))
            if current is not None and metadata.get("resourceVersion", "") not in {
                "",
                current["metadata"]["resourceVersion"],
            }:
                message = f"{key.name}: the object has been modified"
                raise Conflict(message)
            self._check_known(manifest, key)
            body = applied(manifest)
            last = self._owned.get(key, {}).get(naming.FIELD_MANAGER, {})
            if current is not None and not force and (field := merging.clash(current, body)):
                message = f"conflict with another manager: {field}"
                raise Conflict(message)
            merged = merging.merge(current or self._blank(key), last, body)
            self._store(key, managed(merged, _APPLIED_BY_US, *managers(current or {})))
            self._owned.setdefault(key, {})[naming.FIELD_MANAGER] = body
            return copied(self.objects[key])

    async def replace(self, resource: str, manifest: Raw) -> Raw:
        check_json(manifest)
        metadata = manifest["metadata"]
        key = Key(resource, metadata["namespace"], metadata["name"])
        with self._request("replace", resource, key.name):
            current = self._found(key)
            if metadata["resourceVersion"] != current["metadata"]["resourceVersion"]:
                message = f"{key.name}: the object has been modified"
                raise Conflict(message)
            given = {name: metadata[name] for name in ("labels", "annotations")}
            whole = copied({**current, "metadata": {**current["metadata"], **given}, "spec": manifest["spec"]})
            kept = [entry for entry in managers(current) if entry == _APPLIED_BY_US]
            self._store(key, managed(whole, {**_APPLIED_BY_US, "operation": "Update"}, *kept))
            return copied(self.objects[key])

    async def apply_status(
        self, resource: str, metadata: Mapping[str, str], status: Mapping[str, Any], manager: str = naming.FIELD_MANAGER
    ) -> Raw:
        check_json(status)
        key = Key(resource, metadata["namespace"], metadata["name"])
        with self._request("apply_status", resource, key.name):
            current = self._found(key)
            if metadata["resourceVersion"] != current["metadata"]["resourceVersion"]:
                message = f"{key.name}: the object has been modified"
                raise Conflict(message)
            self._check_known({"kind": current["kind"], "status": dict(status)}, key)
            self._merge_status(key, copied(dict(status)), manager)
            return copied(self.objects[key])

    async def delete(self, resource: str, namespace: str, name: str, uid: str) -> None:
        key = Key(resource, namespace, name)
        with self._request("delete", resource, name):
            current = self._found(key)
            if current["metadata"]["uid"] != uid:
                message = f"{name}: precondition failed: uid"
                raise Conflict(message)
            self.remove(resource, name, namespace)

    async def log_tail(self, namespace: str, pod: str, container: str) -> str:
        with self._request("log", naming.PODS, pod):
            self._found(Key(naming.PODS, namespace, pod))
            return self.logs.get((pod, container), "")

    async def last_event(self, namespace: str, uid: str, reason: str) -> str | None:
        with self._request("events", "events", uid):
            assert (namespace, reason) == ("team", "FailedCreate")
            return self.refused_pods.get(uid)

    async def create_event(self, namespace: str, event: Raw) -> None:
        with self._request("create_event", "events", event["regarding"]["name"]):
            self.events.append(copied({**event, "namespace": namespace}))

    async def get_lease(self, namespace: str, name: str) -> Raw:
        with self._request("get_lease", "leases", name):
            if (namespace, name) not in self.leases:
                raise NotFound(name)
            return copied(self.leases[namespace, name])

    async def put_lease(self, lease: Raw) -> Raw:
        metadata = lease["metadata"]
        with self._request("put_lease", "leases", metadata["name"]):
            current = self.leases[metadata["namespace"], metadata["name"]]
            if current["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
                message = "the lease has been modified"
                raise Conflict(message)
            self._version += 1
            stored = copied({**lease, "metadata": {**metadata, "resourceVersion": str(self._version)}})
            self.leases[metadata["namespace"], metadata["name"]] = stored
            return copied(stored)

    # everybody else: users, Kubernetes' controllers, the tests

    def fail(self, error: Exception, *, verb: str = "", resource: str = "", name: str = "", times: int = 1) -> None:
        """Let the next matching calls fail; empty matches all."""

        def matches(call: Call) -> bool:
            return verb in {"", call.verb} and resource in {"", call.resource} and name in {"", call.name}

        self.faults.append(Fault(error, matches, times))

    def fail_call(self, number: int, error: Exception) -> None:
        """Let the call with that number, from 0, fail."""
        self.faults.append(Fault(error, lambda _: len(self.calls) == number + 1))

    def create(self, raw: Raw, namespace: str = "team") -> Raw:
        """Create an object as a user does; its uid and versions are given here.

        Raises:
            Refused: the API server would not take it.
        """
        resource = resource_of(raw)
        key = Key(resource, raw["metadata"].get("namespace", namespace), raw["metadata"]["name"])
        if key in self.objects:
            message = f"{key.name} exists"
            raise Conflict(message)
        self._check_known(raw, key)
        body = {name: value for name, value in copied(raw).items() if name != "status"}
        metadata = {**self._blank(key)["metadata"], **body["metadata"], "namespace": key.namespace}
        self._store(key, {**body, "metadata": metadata})
        return self.objects[key]

    def edit(
        self, resource: str, name: str, change: Callable[[Raw], object], namespace: str = "team", editor: Raw = _EDITED
    ) -> Raw:
        """Change an object's spec or metadata as a user does, or whoever the entry of the managed fields names."""
        key = Key(resource, namespace, name)
        changed = copied(self._found(key))
        change(changed)
        if not merging.equal(changed.get("spec"), self._found(key).get("spec")):
            changed = managed(changed, editor, *managers(changed))
        self._store(key, changed)
        return self.objects[key]

    def set_status(self, resource: str, name: str, status: Raw, namespace: str = "team") -> Raw:
        """Replace an object's status as its controller does: for our kinds, the operator."""
        key = Key(resource, namespace, name)
        self._store(key, {**copied(self._found(key)), "status": copied(status)})
        if resource in naming.PLURALS.values():
            self._owned.setdefault(key, {})["status"] = copied(status)
        return self.objects[key]

    def report(self, name: str, part: Raw, namespace: str = "team") -> Raw:
        """Apply the sidecars' part of a Deployment's status, as one of them does."""
        key = Key(naming.DEPLOYMENTS, namespace, name)
        self._merge_status(key, copied(part), monitoring.FIELD_MANAGER)
        return self.objects[key]

    def remove(self, resource: str, name: str, namespace: str = "team") -> None:
        """Delete an object and, as the garbage collector does, what it owns."""
        key = Key(resource, namespace, name)
        raw = self.objects.pop(key)
        self._owned.pop(key, None)
        self._version += 1
        gone = {**raw, "metadata": {**raw["metadata"], "resourceVersion": str(self._version)}}
        self._tell(resource, "DELETED", gone)
        uid = raw["metadata"]["uid"]
        for other in [other for other, child in self.objects.items() if uid in owners(child)]:
            if other in self.objects:
                self.remove(other.resource, other.name, other.namespace)

    def read(self, resource: str, name: str, namespace: str = "team") -> Raw:
        """Return an object as it is, without a request."""
        return self._found(Key(resource, namespace, name))

    def all(self, resource: str, namespace: str | None = None) -> Iterator[Raw]:
        """Yield all objects of a resource, by name, without a request."""
        for key in sorted(self.objects):
            if key.resource == resource and namespace in {None, key.namespace}:
                yield self.objects[key]

    def names(self, resource: str) -> Sequence[str]:
        """Return the names of all objects of a resource."""
        return [raw["metadata"]["name"] for raw in self.all(resource)]

    def writes(self) -> Sequence[Call]:
        """Return the writing calls made so far."""
        return [call for call in self.calls if call.writes]

    # the inside

    def _request(self, verb: str, resource: str, name: str) -> _Request:
        return _Request(self, Call(verb, resource, name))

    def _found(self, key: Key) -> Raw:
        if key not in self.objects:
            message = f'{key.resource} "{key.name}" not found'
            raise NotFound(message)
        return self.objects[key]

    def _merge_status(self, key: Key, status: Raw, manager: str) -> None:
        current, part = self._found(key), "status" if manager == naming.FIELD_MANAGER else f"status of {manager}"
        last = self._owned.get(key, {}).get(part, {})
        self._store(key, {**current, "status": merging.merge(current.get("status", {}), last, status)})
        self._owned.setdefault(key, {})[part] = status

    def _blank(self, key: Key) -> Raw:
        api_version, kind = naming.KNOWN[key.resource]
        self._uids += 1
        return {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {
                "name": key.name,
                "namespace": key.namespace,
                "uid": f"uid-{self._uids}",
                "creationTimestamp": self.clock.text(),
            },
        }

    def _check_uid(self, key: Key, current: Raw | None, uid: str | None) -> None:
        if uid is None:
            return
        if current is None:
            message = (
                f"{key.name}: uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            )
            raise Conflict(message)
        if current["metadata"]["uid"] != uid:  # the port makes a conflict of the 422, too
            message = f"{key.name}: metadata.uid: field is immutable"
            raise Conflict(message)

    def _check_known(self, raw: Raw, key: Key) -> None:
        kind = naming.KNOWN[key.resource][1]
        if key.resource not in naming.PLURALS.values():
            return
        fields = list(structural.unknown(structural.schema_of(kind), raw))
        if fields:
            message = f"failed to create typed patch object: {fields}: field not declared in schema"
            raise Refused(kind, key.name, 500, message)

    def _store(self, key: Key, raw: Raw) -> None:
        """Store what changed: defaults, validation, generation, resourceVersion, watch."""
        current = self.objects.get(key)
        kind = naming.KNOWN[key.resource][1]
        if key.resource in naming.PLURALS.values():
            schema = structural.schema_of(kind)
            filled: Raw = structural.defaulted(schema, raw)
            broken = list(structural.problems(schema, filled, current))
            if broken:
                raise Refused(kind, key.name, 422, f'{kind} "{key.name}" is invalid: {"; ".join(broken)}')
        else:
            filled = defaults.fill(key.resource, raw)
            if current is not None and (field := defaults.changed_immutable(key.resource, current, filled)):
                raise Refused(kind, key.name, 422, f'{kind} "{key.name}" is invalid: {field}: field is immutable')
        metadata = {
            name: value for name, value in filled["metadata"].items() if name not in {"generation", "resourceVersion"}
        }
        before = current["metadata"] if current is not None else {}
        same_spec = current is not None and merging.equal(filled.get("spec"), current.get("spec"))
        generation = before.get("generation", 0) + (0 if same_spec else 1)
        stored = copied({**filled, "metadata": {**metadata, "generation": generation}})
        if current is not None:
            unversioned = {**current, "metadata": {k: v for k, v in before.items() if k != "resourceVersion"}}
            if merging.equal(unversioned, stored):
                return
        self._version += 1
        stored["metadata"]["resourceVersion"] = str(self._version)
        self.objects[key] = stored
        self._tell(key.resource, "MODIFIED" if current is not None else "ADDED", copied(stored))

    def _tell(self, resource: str, kind: str, raw: Raw) -> None:
        """Tell the operator's watches, which are of some resources only."""
        if resource in naming.RESOURCES:
            self.happened.append(Happened(resource, kind, raw))


class _Request:
    """One request: counted, and made to fail or to be the process's last where the test says so."""

    def __init__(self, cluster: FakeCluster, call: Call) -> None:
        self._cluster = cluster
        self._call = call

    def __enter__(self) -> None:
        cluster, call = self._cluster, self._call
        number = len(cluster.writes())
        cluster.calls.append(call)
        cluster.requests += 1
        if call.writes and cluster.crash_before == number:
            raise Crash(call)
        for fault in cluster.faults:
            if fault.times > 0 and fault.matches(call):
                fault.times -= 1
                raise fault.error

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._call.writes and self._cluster.crash_after == len(self._cluster.writes()) - 1:
            raise Crash(self._call)
