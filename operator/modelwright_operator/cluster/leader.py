"""Leadership by a Lease: one process reconciles, the others stand by.

Modelled on client-go's leader election (https://pkg.go.dev/k8s.io/client-go/tools/leaderelection): another holder's
lease is judged by when *we* saw it change, never by comparing clocks of two machines. A leader that cannot renew in
time ends the process, and from the moment on that another may have taken over it writes nothing any more: who was
frozen meanwhile finds its own deadline passed before it finds anything else to do. Correctness does not depend on
this: writes carry resourceVersions and uids.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

import structlog

from modelwright_operator.errors import Conflict, OperatorError
from modelwright_operator.raw import part

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelwright_operator.cluster.kube import Kube
    from modelwright_operator.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Timing:
    """Durations in seconds: how long a lease lasts, how long renewing may fail, how often it is tried.

    Standing by only reads, and every restart waits for its next look: it looks more often than a leader renews.
    Who leads stops at `renew_deadline` after it began to renew for the last time, which is before anybody takes over.
    """

    lease: float = 20.0
    renew_deadline: float = 14.0
    retry: float = 3.0
    standby: float = 0.5


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # noqa: TID251  # for people; never compared


class Leader:
    """Acquires and keeps a Lease that exists already."""

    def __init__(
        self, settings: Settings, kube: Kube, *, timing: Timing | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._settings = settings
        self._kube = kube
        self._timing = timing or Timing()
        self._clock = clock
        self._seen: tuple[Any, float] | None = None
        self._renewed = clock()  # when renewing began that succeeded last
        self.leading = not settings.lease_namespace

    @property
    def proven(self) -> bool:
        """Whether nobody else can lead at this moment, as far as clocks run at the same pace."""
        alone = not self._settings.lease_namespace
        return alone or (self.leading and self._clock() - self._renewed < self._timing.renew_deadline)

    async def acquire(self) -> None:
        """Return once this process leads."""
        while not self.leading:
            try:
                self.leading = await self._try()
            except OperatorError as error:
                log.warning("lease not reached", error=str(error))
            if not self.leading:
                await asyncio.sleep(self._timing.standby)
        log.info("leading", identity=self._settings.identity)

    async def keep(self) -> None:
        """Renew for ever; return when leadership can no longer be proven, upon which the process must end."""
        if not self._settings.lease_namespace:
            await asyncio.Event().wait()
        while self._clock() - self._renewed < self._timing.renew_deadline:
            await asyncio.sleep(self._timing.retry)
            try:
                async with asyncio.timeout(self._timing.renew_deadline / 2):
                    if not await self._try():
                        break
            except (OperatorError, TimeoutError) as error:
                log.warning("lease not renewed", error=str(error))
        self.leading = False
        log.error("leadership lost", identity=self._settings.identity)

    async def release(self) -> None:
        """Give the Lease up, so that another process need not wait for it to run out."""
        if not (self.leading and self._settings.lease_namespace):
            return
        self.leading = False
        try:
            lease = await self._kube.get_lease(self._settings.lease_namespace, self._settings.lease_name)
            if part(lease, "spec").get("holderIdentity") == self._settings.identity:
                await self._kube.put_lease({**lease, "spec": {**lease["spec"], "holderIdentity": ""}})
        except OperatorError as error:
            log.warning("lease not released", error=str(error))

    async def _try(self) -> bool:
        """Take or renew the Lease; tell whether it is ours."""
        began = self._clock()  # the write may arrive any time after: who stands by counts from when it sees it
        lease = await self._kube.get_lease(self._settings.lease_namespace, self._settings.lease_name)
        spec: dict[str, Any] = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        mark = (holder, spec.get("renewTime"), spec.get("leaseTransitions"))
        if self._seen is None or self._seen[0] != mark:
            self._seen = (mark, self._clock())
        ours = holder == self._settings.identity
        if holder and not ours and self._clock() - self._seen[1] < self._timing.lease:
            return False
        time = _micro_time()
        claimed = {
            **spec,
            "holderIdentity": self._settings.identity,
            "leaseDurationSeconds": int(self._timing.lease),
            "renewTime": time,
            "acquireTime": spec.get("acquireTime", time) if ours else time,
            "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (0 if ours else 1),
        }
        try:
            await self._kube.put_lease({**lease, "spec": claimed})
        except Conflict:
            return False
        self._renewed = began
        return True
