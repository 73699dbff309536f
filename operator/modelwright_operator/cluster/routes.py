"""HTTPRoutes: children of a kind that an API server may know or not, and may come to know at any time.

They are few and only where a Deployment asks for them, so they are listed every few seconds instead of watched: a watch
of a kind that is not there would have to be begun anew by guess, and a list tells both what there is and whether the
kind is known. Where no Deployment asks for one and none is left, nothing is listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from modelwright_operator import naming
from modelwright_operator.cluster.reader import Reader
from modelwright_operator.cluster.store import Name, Owner, owner_of
from modelwright_operator.errors import NotFound, OperatorError
from modelwright_operator.raw import part
from modelwright_server.contract.traffic import GATEWAY_API

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelwright_operator.cluster.kube import Kube
    from modelwright_operator.cluster.store import Store
    from modelwright_operator.cluster.workqueue import WorkQueue
    from modelwright_operator.settings import Settings

log = structlog.get_logger(__name__)


class RouteReader(Reader[str | None]):
    """Lists the routes of each namespace that is looked after, or of all at once."""

    def __init__(self, settings: Settings, kube: Kube, store: Store, queue: WorkQueue[Owner]) -> None:
        super().__init__(settings, kube, store, queue)
        self._seconds = settings.evidence_seconds
        self._namespaces: tuple[str | None, ...] = settings.watch_namespaces or (None,)
        self._left = set(self._namespaces)  # which an operator before this one may have made routes in

    def _asking(self) -> list[Owner]:
        """Return the Deployments whose requests a gateway is to spread."""
        return [
            Owner(naming.DEPLOYMENT, *name)
            for name in self._store.names(naming.DEPLOYMENTS)
            if part(self._store.get(naming.DEPLOYMENTS, *name) or {}, "spec", "traffic").get("mode") == GATEWAY_API
        ]

    def _places(self) -> Iterator[str | None]:
        concerned = {owner.namespace for owner in self._asking()}
        concerned |= {name.namespace for name in self._store.names(naming.HTTP_ROUTES)}
        for namespace in self._namespaces:
            if namespace in self._left or (concerned if namespace is None else namespace in concerned):
                yield namespace

    async def _read(self, place: str | None) -> None:
        before = self._known(place)
        served = True
        try:
            listed = [raw async for raw in self._kube.list(naming.HTTP_ROUTES, place, naming.MANAGED_SELECTOR)]
        except NotFound:
            listed, served = [], False
        except OperatorError as error:
            log.warning("HTTPRoutes not listed", namespace=place, error=str(error))
            return
        self._left.discard(place)
        changed = self._store.replace(naming.HTTP_ROUTES, listed, place, set(before))
        after = self._known(place)
        owners = {owner for name in changed for owner in (before.get(name), after.get(name)) if owner is not None}
        if self._store.put_served(naming.HTTP_ROUTES, served=served):
            owners.update(self._asking())
        for owner in owners:
            if owner.kind == naming.DEPLOYMENT:
                self._queue.add(owner, background=True)

    def _known(self, place: str | None) -> dict[Name, Owner | None]:
        """Return the known routes of a namespace, or of all, with whom they belong to."""
        names = (name for name in self._store.names(naming.HTTP_ROUTES) if place in {None, name.namespace})
        found = ((name, self._store.get(naming.HTTP_ROUTES, *name)) for name in names)
        return {name: owner_of(raw) for name, raw in found if raw is not None}
