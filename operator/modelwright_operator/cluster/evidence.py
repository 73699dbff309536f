"""What serving pods counted of a canary: their pages of evidence, read every few seconds while there is one.

The page is plain HTTP on the metrics port of a pod, as Prometheus reads it. What a pod answers is read up to a limit,
in a short time, and no redirect is followed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import aiohttp
import structlog

from modelwright_operator import naming
from modelwright_operator.cluster.reader import Reader
from modelwright_operator.cluster.store import Owner, owner_of
from modelwright_operator.decide.observed import Pod
from modelwright_operator.decide.pages import Page, PageError, page
from modelwright_operator.raw import part
from modelwright_server import contract
from modelwright_server.contract.traffic import GATEWAY_API

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelwright_operator.cluster.kube import Kube
    from modelwright_operator.cluster.store import Store
    from modelwright_operator.cluster.workqueue import WorkQueue
    from modelwright_operator.settings import Settings

log = structlog.get_logger(__name__)

_MOST_BYTES: Final = 256 << 10
_COUNTED: Final = frozenset({"Stepping", "Promoting", "Watching"})
_TIMEOUT: Final = aiohttp.ClientTimeout(total=3)


class _Counting(NamedTuple):
    """A pod that spreads requests, or answers those that a gateway spreads."""

    owner: Owner
    pod: Pod


class EvidenceReader(Reader[_Counting]):
    """Reads the pages of the stable pods of each Deployment that tries, or watches, a revision.

    Where a gateway spreads the requests, the other track's pods count what they answer themselves: theirs, too.
    """

    def __init__(self, settings: Settings, kube: Kube, store: Store, queue: WorkQueue[Owner]) -> None:
        super().__init__(settings, kube, store, queue)
        self._seconds = settings.evidence_seconds

    def _places(self) -> Iterator[_Counting]:
        for name in self._store.names(naming.DEPLOYMENTS):
            raw = self._store.get(naming.DEPLOYMENTS, *name)
            traffic = part(raw, "status", "traffic") if raw is not None else {}
            rollout = part(raw, "status", "rollout") if raw is not None else {}
            owner = Owner(naming.DEPLOYMENT, *name)
            # A canary that is not ready any more is in no table, and how it failed is still to be read.
            if not traffic.get("canary") and rollout.get("phase") not in _COUNTED:
                self._store.forget_pages(owner)
                continue
            counting = {part(traffic, "stable").get("revision")}
            if traffic.get("mode") == GATEWAY_API:
                counting.add(part(traffic, "canary").get("revision"))
            for item in self._store.owned(naming.PODS, owner):
                pod = Pod(item)
                if pod.labels.get(naming.LABEL_REVISION) in counting and pod.ip and owner_of(item) == owner:
                    yield _Counting(owner, pod)

    async def _read(self, place: _Counting) -> None:
        owner, pod = place
        host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
        try:
            found = await self._page(f"http://{host}:{contract.METRICS_PORT}{contract.EVIDENCE_PATH}")
        except (aiohttp.ClientError, OSError, TimeoutError, PageError) as error:
            log.debug("evidence not read", namespace=owner.namespace, pod=pod.name, error=str(error))
            return
        if self._store.put_page(owner, pod.uid, found):
            self._queue.add(owner, background=True)

    @staticmethod
    async def _page(url: str) -> Page:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            if answer.status != 200:  # noqa: PLR2004
                raise PageError(f"HTTP status {answer.status}")  # noqa: TRY003, EM102
            text = await answer.content.read(_MOST_BYTES + 1)
            while len(text) <= _MOST_BYTES and not answer.content.at_eof():
                text += await answer.content.read(_MOST_BYTES + 1)
            if len(text) > _MOST_BYTES:
                raise PageError(f"more than {_MOST_BYTES} bytes")  # noqa: TRY003, EM102
            return page(text)
