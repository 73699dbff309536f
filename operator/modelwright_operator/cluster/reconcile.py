"""The workers: one pass over one object at a time, gather → plan → execute."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

import structlog
from pydantic import ValidationError

from modelwright_operator import api, naming
from modelwright_operator.cluster.gather import gather, now
from modelwright_operator.decide.losses import over_quota
from modelwright_operator.decide.snapshot import Refusal
from modelwright_operator.errors import ClusterUnavailable, Conflict, NamespaceTerminating, NotOurs, Refused
from modelwright_operator.plan import kinds
from modelwright_operator.raw import part
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from modelwright_operator.cluster.execute import Executor
    from modelwright_operator.cluster.store import Owner, Store
    from modelwright_operator.cluster.telemetry import Telemetry
    from modelwright_operator.cluster.workqueue import WorkQueue
    from modelwright_operator.plan.outcome import Plan
    from modelwright_operator.settings import Settings

log = structlog.get_logger(__name__)

_PASS_SECONDS = 120.0
_FORBIDDEN = 403


def _refusal(error: Refused) -> Refusal:
    if isinstance(error, NotOurs):
        return Refusal(error.kind, error.name, Reason.NAME_CONFLICT, str(error))
    if error.code == _FORBIDDEN:
        reason = Reason.QUOTA_EXCEEDED if over_quota(str(error)) else Reason.FORBIDDEN
    else:
        reason = Reason.CHILD_REJECTED
    return Refusal(error.kind, error.name, reason, f"the API server refused {error.kind} {error.name}: {error}")


class Reconciler:
    """Works keys off the queue."""

    def __init__(
        self, settings: Settings, store: Store, queue: WorkQueue[Owner], executor: Executor, telemetry: Telemetry
    ) -> None:
        self._settings = settings
        self._store = store
        self._queue = queue
        self._executor = executor
        self._telemetry = telemetry

    async def work(self) -> None:
        """Reconcile one key after the other, for ever."""
        while True:
            owner = await self._queue.get()
            started = perf_counter()
            outcome = "error"
            try:
                async with asyncio.timeout(_PASS_SECONDS):
                    outcome = await self._attempt(owner)
            except TimeoutError:
                outcome = "timeout"
                self._queue.add_failed(owner)
                log.warning("pass took too long", kind=owner.kind, namespace=owner.namespace, name=owner.name)
            except Exception:
                self._queue.add_failed(owner)
                log.exception("pass failed", kind=owner.kind, namespace=owner.namespace, name=owner.name)
            finally:
                self._queue.done(owner)
                self._telemetry.reconcile_seconds.labels(owner.kind, outcome).observe(perf_counter() - started)

    async def _attempt(self, owner: Owner) -> str:
        """Return the outcome of one pass, for the metrics."""
        try:
            plan = await self.reconcile(owner)
        except Conflict as error:
            pause = self._queue.add_failed(owner)
            log.debug("world moved", kind=owner.kind, name=owner.name, error=str(error), again_in=round(pause, 2))
            return "conflict"
        except NamespaceTerminating:
            return "terminating"  # deleted one by one, its objects look as if children were missing
        except ClusterUnavailable as error:
            pause = self._queue.add_failed(owner, error.retry_after or 0.0)
            log.warning(
                "api server unavailable", kind=owner.kind, name=owner.name, error=str(error), again_in=round(pause, 1)
            )
            return "unavailable"
        except Refused as error:
            self._queue.add_failed(owner)
            log.error("status refused", kind=owner.kind, namespace=owner.namespace, name=owner.name, error=str(error))  # noqa: TRY400  # the message says it
            return "refused"
        self._queue.forget(owner)
        if plan is not None and plan.requeue_after is not None:
            self._queue.add_after(owner, plan.requeue_after)
        return "written" if plan is not None and plan.writes else "unchanged"

    async def reconcile(self, owner: Owner) -> Plan | None:
        """Bring one object's world to where it should be; return what was done, or None if the object is gone."""
        try:
            snapshot = gather(self._store, self._settings, owner)
        except ValidationError as error:
            return await self._unreadable(owner, error)
        if snapshot is None:
            return None
        while True:
            plan = kinds.plan(snapshot)
            resource = kinds.resource_of(snapshot)
            try:
                await self._carry_out(owner, resource, plan)
            except Conflict:
                await self._executor.refresh(naming.PLURALS[owner.kind], owner.namespace, owner.name)
                raise
            except Refused as error:
                refusal = _refusal(error)
                if any((known.kind, known.name) == (refusal.kind, refusal.name) for known in snapshot.refusals):
                    raise
                snapshot = replace(snapshot, refusals=(*snapshot.refusals, refusal))
                continue
            return plan

    async def _carry_out(self, owner: Owner, resource: api.Resource, plan: Plan) -> None:
        await self._executor.execute(resource, owner.kind, plan)
        for write, count in (
            ("apply", len(plan.apply)),
            ("delete", len(plan.delete)),
            ("status", plan.status is not None),
        ):
            if count:
                self._telemetry.writes.labels(owner.kind, write).inc(count)
        if plan.writes:
            log.info(
                "reconciled",
                kind=owner.kind,
                namespace=owner.namespace,
                name=owner.name,
                applied=[f"{apply.kind}/{apply.name}" for apply in plan.apply],
                deleted=[f"{delete.child.kind}/{delete.child.name}" for delete in plan.delete],
                status=plan.status is not None,
            )

    async def _unreadable(self, owner: Owner, error: ValidationError) -> Plan | None:
        raw = self._store.get(naming.PLURALS[owner.kind], owner.namespace, owner.name)
        if raw is None:
            return None
        first = error.errors()[0]
        message = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        status = {key: value for key, value in part(raw, "status").items() if key not in {"conditions", "monitoring"}}
        plan = kinds.unreadable(api.Unreadable.model_validate(raw), status, message, now())
        await self._carry_out(owner, api.Unreadable.model_validate(raw), plan)
        return plan
