"""A Plan carried out, in one fixed order: confirm, identity, children, deletions, status, events.

A crash in between repeats a step under the same name and cannot skip one. Answers to writes go into the store at once.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any

import structlog

from modelwright_operator import api, naming
from modelwright_operator.cluster.accounts import MonitorAccounts
from modelwright_operator.cluster.gather import now
from modelwright_operator.decide.conditions import rfc3339
from modelwright_operator.decide.observed import Child
from modelwright_operator.errors import Conflict, NotFound, NotOurs, OperatorError
from modelwright_operator.plan import audit
from modelwright_server.contract import monitoring

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelwright_operator.cluster.kube import Kube
    from modelwright_operator.cluster.notify import Notifier
    from modelwright_operator.cluster.store import Store
    from modelwright_operator.plan.outcome import Apply, Confirm, Delete, Event, Plan
    from modelwright_operator.settings import Settings

log = structlog.get_logger(__name__)
# Whatever the level of other lines: this one is asked for by auditors.
trail = structlog.wrap_logger(
    logging.getLogger("modelwright.audit"), wrapper_class=structlog.make_filtering_bound_logger(logging.INFO)
)

_PLURALS = {identity: plural for plural, identity in naming.CHILDREN.items()}


def plural_of(raw: Mapping[str, Any]) -> str:
    """Return the plural of an object's resource."""
    return _PLURALS[raw["apiVersion"], raw["kind"]]


class Executor:
    """Carries plans out."""

    def __init__(self, kube: Kube, store: Store, settings: Settings, notifier: Notifier) -> None:
        self._kube = kube
        self._store = store
        self._identity = settings.identity
        self._accounts = MonitorAccounts(kube, settings)
        self._notifier = notifier

    async def execute(self, resource: api.Resource, kind: str, plan: Plan) -> None:
        """Write everything a plan holds.

        Raises:
            Conflict: the world moved; nothing irreversible was done on a wrong belief. Gather and decide again.
            Refused: the API server will not take a child.
            ClusterUnavailable: try again later.
        """
        for confirm in plan.confirm:
            await self._confirm(resource.metadata.namespace, confirm)
        if isinstance(resource, api.Deployment) and resource.metadata.deletion_timestamp is None:
            await self._ensure_identity(resource, plan)
        for apply in plan.apply:
            await self._apply(resource, apply)
        for delete in plan.delete:
            await self._delete(delete)
        if await self._apply_status(resource, kind, plan) and plan.status is not None:
            for line in audit.added(resource, plan.status):
                trail.info(**{**audit.identity(resource, kind), **line})
            for event in plan.events:
                await self._event(resource, kind, event)
                self._notifier.tell(resource, kind, event)

    async def _apply_status(self, resource: api.Resource, kind: str, plan: Plan) -> bool:
        """Write both parts of the status, each as its manager; tell whether the object is still there."""
        plural, version = naming.PLURALS[kind], resource.metadata.resource_version
        parts = ((plan.status, naming.FIELD_MANAGER), (plan.monitor, monitoring.FIELD_MANAGER))
        for status, manager in parts:
            if status is None:
                continue
            metadata = {
                "name": resource.metadata.name,
                "namespace": resource.metadata.namespace,
                "resourceVersion": version,
            }
            try:
                written = await self._kube.apply_status(plural, metadata, status, manager)
            except NotFound:
                self._store.remove(plural, resource.metadata.namespace, resource.metadata.name, resource.metadata.uid)
                return False
            self._store.put(plural, written)
            version = str(written["metadata"]["resourceVersion"])
        return True

    async def _ensure_identity(self, deployment: api.Deployment, plan: Plan) -> None:
        """See to what pods need beside themselves, where there are pods or about to be."""
        starting = any(apply.kind == "Deployment" and apply.observed is None for apply in plan.apply)
        if starting or deployment.status.stable is not None or deployment.status.canary is not None:
            await self._accounts.ensure(deployment.metadata.namespace, starting=starting)

    async def refresh(self, plural: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Read one object live into the store; None: it is gone."""
        try:
            live = await self._kube.get(plural, namespace, name)
        except NotFound:
            self._store.remove(plural, namespace, name)
            return None
        self._store.put(plural, live)
        return live

    async def _confirm(self, namespace: str, confirm: Confirm) -> None:
        live = await self.refresh(confirm.resource, namespace, confirm.name)
        version = live["metadata"]["resourceVersion"] if live is not None else None
        if version != confirm.resource_version:
            message = f"{confirm.resource}/{confirm.name} moved from {confirm.resource_version} to {version}"
            raise Conflict(message)

    async def _apply(self, resource: api.Resource, apply: Apply) -> None:
        plural = plural_of(apply.manifest)
        namespace = apply.manifest["metadata"]["namespace"]
        if apply.observed is not None:
            try:
                self._store.put(plural, await self._change(plural, apply, apply.observed))
            except (Conflict, NotFound) as error:
                await self.refresh(plural, namespace, apply.name)
                raise Conflict(str(error)) from error
            return
        live = await self.refresh(plural, namespace, apply.name)
        if live is not None:
            owned = apply.manifest["metadata"].get("ownerReferences")
            if owned and Child(live).controller_uid != resource.metadata.uid:
                self._store.remove(plural, namespace, apply.name)
                message = (
                    f"{apply.kind} {apply.name} exists in namespace {namespace} and is not controlled by this object: "
                    "delete or rename it, or choose another name"
                )
                raise NotOurs(apply.kind, apply.name, 409, message)
            message = f"{apply.kind} {apply.name} was there already"
            raise Conflict(message)
        try:
            self._store.put(plural, await self._kube.apply(plural, apply.manifest, force=False))
        except NotFound as error:
            if plural not in naming.OPTIONAL:
                raise
            self._store.put_served(plural, served=False)  # seen again by who lists them
            raise Conflict(str(error)) from error

    async def _change(self, plural: str, apply: Apply, observed: Child) -> dict[str, Any]:
        metadata: dict[str, Any] = {**apply.manifest["metadata"], "uid": observed.uid}
        if not apply.replace:
            return await self._kube.apply(plural, {**apply.manifest, "metadata": metadata}, force=True)
        metadata |= {
            "resourceVersion": observed.resource_version,
            "labels": {**observed.labels, **metadata["labels"]},
            "annotations": {**observed.annotations, **metadata["annotations"]},
        }
        return await self._kube.replace(plural, {**apply.manifest, "metadata": metadata})

    async def _delete(self, delete: Delete) -> None:
        child = delete.child
        plural = plural_of(child.raw)
        namespace = str(child.metadata["namespace"])
        try:
            await self._kube.delete(plural, namespace, child.name, child.uid)
        except NotFound:
            self._store.remove(plural, namespace, child.name, child.uid)
            return
        await self.refresh(plural, namespace, child.name)

    async def _event(self, resource: api.Resource, kind: str, event: Event) -> None:
        time = now()
        digest = hashlib.sha256(f"{resource.metadata.uid}{event.reason}{event.message}{time}".encode()).hexdigest()[:16]
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{resource.metadata.name}.{digest}", "namespace": resource.metadata.namespace},
            "type": event.type,
            "reason": event.reason,
            "note": event.message,
            "action": "Reconcile",
            "eventTime": rfc3339(time).replace("Z", ".000000Z"),
            "reportingController": f"{naming.GROUP}/operator",
            "reportingInstance": self._identity[:128],
            "regarding": {
                "apiVersion": naming.API_VERSION,
                "kind": kind,
                "name": resource.metadata.name,
                "namespace": resource.metadata.namespace,
                "uid": resource.metadata.uid,
            },
        }
        try:
            await self._kube.create_event(resource.metadata.namespace, body)
        except OperatorError as error:  # an event is a courtesy: losing one must not repeat the work it tells of
            log.debug("event not sent", error=str(error))
