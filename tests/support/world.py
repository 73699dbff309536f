"""The operator in a simulated world: a cluster in memory, a clock that is told to move, and crashes.

`World.settle()` delivers what the watch would tell, runs passes until nothing is due, and lets time go on where the
operator asked to look again.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import patch

from modelwright_operator import naming
from modelwright_operator.cluster import execute, gather, reconcile
from modelwright_operator.cluster.execute import Executor
from modelwright_operator.cluster.inbox import Inbox
from modelwright_operator.cluster.notify import Notifier
from modelwright_operator.cluster.progress import ProgressReader
from modelwright_operator.cluster.reconcile import Reconciler
from modelwright_operator.cluster.rejections import RejectionReader
from modelwright_operator.cluster.routes import RouteReader
from modelwright_operator.cluster.store import Owner, Store
from modelwright_operator.cluster.telemetry import Telemetry
from modelwright_operator.errors import OperatorError
from tests.support.builders import NAMESPACE, SETTINGS
from tests.support.fake_cluster import Crash, FakeCluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelwright_operator.settings import Settings
    from tests.support.clock import Clock

Raw = dict[str, Any]
_PASSES = 400


class Agenda:
    """The work queue in simulated time: same wishes, no waiting."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.due: dict[Owner, float] = {}
        self.failed: list[Owner] = []

    def add(self, key: Owner, *, background: bool = False) -> None:  # noqa: ARG002  # the queue's own signature
        self.add_after(key, 0.0)

    def add_after(self, key: Owner, seconds: float) -> None:
        due = self._clock.seconds() + seconds
        self.due[key] = min(due, self.due.get(key, due))

    def add_failed(self, key: Owner, at_least: float = 0.0) -> float:
        self.failed.append(key)
        pause = max(1.0, at_least)
        self.add_after(key, pause)
        return pause

    def forget(self, key: Owner) -> None:
        """Pauses do not grow here."""

    def pop(self) -> Owner | None:
        """Return the key that is due first, if one is due now."""
        key = min(self.due, key=lambda key: (self.due[key], key), default=None)
        if key is None or self.due[key] > self._clock.seconds():
            return None
        del self.due[key]
        return key


class _RoutesInTurn(RouteReader):
    """Lists one namespace after the other: without tasks, a world can be driven where no event loop runs."""

    async def read(self) -> None:
        for place in tuple(self._places()):
            await self._read(place)


class World:
    """A cluster and one operator process, which may crash and come back."""

    def __init__(self, cluster: FakeCluster | None = None, settings: Settings = SETTINGS) -> None:
        self.cluster = cluster or FakeCluster()
        self.clock = self.cluster.clock
        self.settings = settings
        self.crashes = 0
        self.after_pass: Callable[[], None] | None = None
        self._seen = 0
        self._stack = ExitStack()
        self._boot()

    def __enter__(self) -> Self:
        for module in (gather, execute, reconcile):
            self._stack.enter_context(patch.object(module, "now", self.clock.now))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _boot(self) -> None:
        self.store = Store()
        self.agenda = Agenda(self.clock)
        queue: Any = self.agenda
        port: Any = self.cluster
        self.inbox = Inbox(self.settings, port, self.store, queue)
        executor = Executor(port, self.store, self.settings, Notifier(self.settings, Telemetry()))
        self.reconciler = Reconciler(self.settings, self.store, queue, executor, Telemetry())
        self.progress = ProgressReader(self.settings, port, self.store, queue)
        self.rejections = RejectionReader(self.settings, port, self.store, queue)
        self.routes = _RoutesInTurn(self.settings, port, self.store, queue)
        self._listed_at = -1.0
        self._synced = False

    async def restart(self) -> None:
        """End the process as `kill -9` does, and start another one."""
        self._boot()
        await self._sync()

    async def _sync(self) -> None:
        while True:
            try:
                await self.inbox.resync()
                break
            except OperatorError:
                self.clock.advance(2)
        self._seen = len(self.cluster.happened)
        self._synced = True

    def deliver(self) -> None:
        """Tell the operator what a watch would tell."""
        happened = self.cluster.happened[self._seen :]
        self._seen = len(self.cluster.happened)
        for event in happened:
            labels = event.raw["metadata"].get("labels", {})
            watched = (
                event.resource in naming.PLURALS.values() or labels.get(naming.LABEL_MANAGED_BY) == naming.MANAGED_BY
            )
            self.inbox.event(event.resource, event.kind if watched else "DELETED", event.raw)

    async def step(self) -> Owner | None:
        """Run one pass over what is due; return what it was over."""
        if not self._synced:
            await self._sync()
        self.deliver()
        owner = self.agenda.pop()
        if owner is not None:
            try:
                await self.reconciler._attempt(owner)
            except Crash:
                self.crashes += 1
                await self.restart()
            if self.after_pass is not None:
                self.after_pass()
        return owner

    async def settle(self, seconds: float = 0.0) -> int:
        """Run passes until nothing is due within so many seconds; return how many there were.

        Raises:
            AssertionError: the operator never comes to rest.
        """
        end = self.clock.seconds() + seconds
        for count in range(_PASSES):
            if await self.step() is not None:
                continue
            soonest = await self._soonest()
            if soonest is not None and soonest <= self.clock.seconds():
                continue
            if soonest is None or soonest > end:
                self.clock.advance(max(end - self.clock.seconds(), 0.0))
                return count
            self.clock.advance(soonest - self.clock.seconds())
        message = f"no rest after {_PASSES} passes; last calls: {self.cluster.calls[-12:]}"
        raise AssertionError(message)

    async def _soonest(self) -> float | None:
        """Return when something is due next; what no watch tells is read at most once at a time."""
        if self._listed_at != self.clock.seconds():
            self._listed_at = self.clock.seconds()
            await self.routes.read()
        return min(self.agenda.due.values(), default=None)

    # reading

    def get(self, resource: str, name: str) -> Raw:
        """Return an object as the API server holds it."""
        return self.cluster.read(resource, name, NAMESPACE)

    def conditions(self, resource: str, name: str) -> dict[str, Raw]:
        """Return an object's conditions by type."""
        status = self.get(resource, name).get("status", {})
        return {condition["type"]: condition for condition in status.get("conditions", [])}

    def summary(self, resource: str, name: str) -> dict[str, str]:
        """Return an object's conditions as `type: status/reason`."""
        return {kind: f"{item['status']}/{item['reason']}" for kind, item in self.conditions(resource, name).items()}

    def jobs(self) -> list[Raw]:
        """Return all batch Jobs, those of the earliest attempts first."""
        jobs = list(self.cluster.all(naming.JOBS))
        return sorted(jobs, key=lambda job: job["metadata"]["labels"].get(naming.LABEL_ATTEMPT, ""))
