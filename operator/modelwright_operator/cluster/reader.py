"""Reading what no watch tells, every so often and aside from the passes: a slow answer must not keep a worker.

What could not be read is no news, and what was known before stands.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelwright_operator.cluster.kube import Kube
    from modelwright_operator.cluster.store import Owner, Store
    from modelwright_operator.cluster.workqueue import WorkQueue
    from modelwright_operator.settings import Settings

_AT_ONCE = 8

Place = TypeVar("Place")


class Reader(ABC, Generic[Place]):
    """Reads all places worth it, a few at once, and wakes the objects for which that is news."""

    def __init__(self, settings: Settings, kube: Kube, store: Store, queue: WorkQueue[Owner]) -> None:
        self._seconds = settings.progress_seconds
        self._kube = kube
        self._store = store
        self._queue = queue

    async def run(self) -> None:
        """Read for ever."""
        while True:
            await asyncio.sleep(self._seconds * random.uniform(0.9, 1.1))  # noqa: S311  # jitter
            await self.read()

    async def read(self) -> None:
        """Read each place once."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(place: Place) -> None:
            async with slots:
                await self._read(place)

        await asyncio.gather(*(one(place) for place in tuple(self._places())))

    @abstractmethod
    def _places(self) -> Iterator[Place]:
        """Yield what is worth reading now."""

    @abstractmethod
    async def _read(self, place: Place) -> None:
        """Read one place, and wake its owner if there is news; raise nothing."""
