"""The identity of serving pods' sidecars: a ServiceAccount and a RoleBinding in each namespace with a Deployment.

They belong to the namespace, not to any Deployment, so that no one's end takes them from another. Both are read first
and written only where they are missing or wrong: in a namespace that somebody else equipped (the chart, where the
operator looks after chosen namespaces only) no right to write them is needed.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog

from modelwright_operator import naming
from modelwright_operator.errors import NotFound, NotOurs, Refused
from modelwright_operator.raw import Raw, part
from modelwright_operator.render import sidecar

if TYPE_CHECKING:
    from modelwright_operator.cluster.kube import Kube
    from modelwright_operator.settings import Settings

log = structlog.get_logger(__name__)

_LOOK_AGAIN_SECONDS: Final = 300.0
# Where pods are about to start: a namespace of that name may have gone and come again, without the account.
_STARTING_SECONDS: Final = 5.0


class MonitorAccounts:
    """Gives namespaces what their sidecars need; each is looked at every few minutes, or when pods are to start."""

    def __init__(self, kube: Kube, settings: Settings) -> None:
        self._kube = kube
        self._role = settings.monitor_role
        self._looked_at: dict[str, tuple[float, bool]] = {}  # when, and whether all was well then
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def ensure(self, namespace: str, *, starting: bool) -> None:
        """See to a namespace's account and binding.

        Args:
            namespace: the namespace.
            starting: whether a workload is about to be made, whose pods could not start, or never be told anything.

        Raises:
            Refused: the API server will not take one of the two, and a workload is starting; otherwise that is logged,
                since what runs goes on answering without.
            ClusterUnavailable: try again later.
        """
        async with self._locks[namespace]:
            looked_at, well = self._looked_at.get(namespace, (-inf, False))
            patience = _STARTING_SECONDS if starting else _LOOK_AGAIN_SECONDS
            if (well or not starting) and monotonic() - looked_at < patience:
                return
            well = False
            try:
                await self._account(namespace)
                await self._binding(namespace)
                well = True
            except Refused as error:
                if starting:
                    raise
                log.warning("sidecars lack their rights", namespace=namespace, name=error.name, error=str(error))
            self._looked_at[namespace] = monotonic(), well

    async def _account(self, namespace: str) -> None:
        """See to the account; one that is there may be somebody's own, with annotations for a cloud's identity."""
        if await self._live(naming.SERVICE_ACCOUNTS, namespace, naming.MONITOR_ACCOUNT) is None:
            await self._kube.apply(naming.SERVICE_ACCOUNTS, sidecar.account(namespace), force=False)
            log.info("made the sidecars' account", namespace=namespace)

    async def _binding(self, namespace: str) -> None:
        wanted = sidecar.binding(namespace, self._role)
        live = await self._live(naming.ROLE_BINDINGS, namespace, self._role)
        if live is not None and _binds(live, wanted):
            return
        ours = live is None or part(live, "metadata", "labels").get(naming.LABEL_MANAGED_BY) == naming.MANAGED_BY
        if not ours:
            message = (
                f"RoleBinding {self._role} exists in namespace {namespace} and does not bind ServiceAccount "
                f"{naming.MONITOR_ACCOUNT}: delete it, or add the account to its subjects"
            )
            raise NotOurs(str(wanted["kind"]), self._role, 409, message)
        await self._kube.apply(naming.ROLE_BINDINGS, wanted, force=live is not None)
        log.info("bound the sidecars' account", namespace=namespace, role=self._role)

    async def _live(self, resource: str, namespace: str, name: str) -> Raw | None:
        try:
            return await self._kube.get(resource, namespace, name)
        except NotFound:
            return None


def _binds(live: Raw, wanted: Raw) -> bool:
    """Tell whether a RoleBinding gives the account its role; whether by Role or ClusterRole is its maker's choice."""
    given = [(item.get("kind"), item.get("name"), item.get("namespace")) for item in live.get("subjects") or ()]
    needed = [(item["kind"], item["name"], item["namespace"]) for item in wanted["subjects"]]
    return part(live, "roleRef").get("name") == wanted["roleRef"]["name"] and set(needed) <= set(given)
