"""Reading the checks of rollouts, each at its own interval, while there is a canary in the traffic table."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
from pydantic import TypeAdapter, ValidationError

from modelwright_operator import api, naming
from modelwright_operator.cluster import gather
from modelwright_operator.cluster.checks import CheckClient
from modelwright_operator.cluster.reader import Reader
from modelwright_operator.cluster.store import Owner
from modelwright_operator.raw import Raw, part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from modelwright_operator.cluster.kube import Kube
    from modelwright_operator.cluster.store import Store
    from modelwright_operator.cluster.workqueue import WorkQueue
    from modelwright_operator.settings import Settings

log = structlog.get_logger(__name__)

_CHECKS: Final = TypeAdapter(list[api.Check])


class _Asked(NamedTuple):
    """A check that is due."""

    owner: Owner
    revision: str  # that is tried, or watched
    check: api.Check
    names: Mapping[str, str]


class CheckReader(Reader[_Asked]):
    """Reads the checks of each Deployment that tries, or watches, a revision."""

    def __init__(self, settings: Settings, kube: Kube, store: Store, queue: WorkQueue[Owner]) -> None:
        super().__init__(settings, kube, store, queue)
        self._seconds = settings.evidence_seconds
        self.client = CheckClient(settings.prometheus_url)
        self._begun: dict[tuple[Owner, str, api.Check], datetime] = {}

    async def run(self) -> None:
        """Read for ever."""
        async with self.client:
            await super().run()

    def _places(self) -> Iterator[_Asked]:
        time, begun = gather.now(), {}
        for name in self._store.names(naming.DEPLOYMENTS):
            raw = self._store.get(naming.DEPLOYMENTS, *name)
            owner = Owner(naming.DEPLOYMENT, *name)
            if raw is None or not part(raw, "status", "traffic").get("canary"):
                self._store.forget_readings(owner)
                continue
            revision = str(part(raw, "status", "rollout").get("revision"))
            for check in _checks(raw):
                key = (owner, revision, check)
                last = self._begun.get(key)
                due = last is None or time - last >= timedelta(seconds=check.interval_seconds)
                begun[key] = time if due or last is None else last
                if due:
                    yield _Asked(owner, revision, check, _names(raw))
        self._begun = begun

    async def _read(self, place: _Asked) -> None:
        reading = await self.client.read(place.check, place.names)
        if reading.reason is not None:
            log.info("check not read", namespace=place.owner.namespace, name=place.owner.name, why=reading.message)
        self._store.put_reading(place.owner, place.revision, place.check, gather.now(), reading)
        self._queue.add(place.owner, background=True)


def _checks(raw: Raw) -> list[api.Check]:
    try:
        return _CHECKS.validate_python(part(raw, "spec", "rollout", "analysis").get("checks") or [])
    except ValidationError:
        return []  # a newer version's: its own pass says so


def _names(raw: Raw) -> dict[str, str]:
    """Return what may stand in queries and paths; while a promoted version is watched, it is `canary` still."""
    status = part(raw, "status")
    tried = part(status, "rollout")
    other = "previous" if tried.get("phase") == "Watching" else "stable"
    return {
        "namespace": str(raw["metadata"]["namespace"]),
        "deployment": str(raw["metadata"]["name"]),
        "canary": str(tried.get("version")),
        "stable": str(part(status, other).get("version")),
    }
