"""Handing values from the event loop to a thread, in batches, bounded, and never waiting.

The loop only appends to a list.  What has come is handed over some time after the first of it came,
so that a busy server wakes the thread a few times a second and an idle one never.  If the thread
cannot keep up, what comes is dropped and counted.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_VALUES = 16_384
HAND_OVER_SECONDS = 0.2
LAST_SECONDS = 2.0  # with the drain and the last answers, within the time a pod has to end
_LOG = logging.getLogger("modelwright.backlog")


class Backlog(Generic[T]):
    """Values on their way to a thread; used from one event loop only, and made while it runs."""

    def __init__(
        self,
        name: str,
        consume: Callable[[Sequence[T]], int],
        dropped: Callable[[int], None],
        limit: int = MAX_VALUES,
    ) -> None:
        """Start the thread.

        Args:
            name: of the thread.
            consume: what the thread does with each batch; returns how many values of it were lost.
            dropped: told on the loop how many values were dropped or lost.
            limit: most values that wait, those the thread is at included.
        """
        self._loop = asyncio.get_running_loop()
        self._consume = consume
        self._dropped = dropped
        self._limit = limit
        self._values: list[T] = []
        self._handed_over = 0  # values the thread has not done yet
        self._batches: SimpleQueue[list[T] | None] = SimpleQueue()
        # Dies with the process: nothing it waits for may keep a server from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, value: T) -> None:
        """Take a value, or drop it."""
        values = self._values
        if len(values) + self._handed_over >= self._limit:
            self._dropped(1)
            return
        if not values:
            self._loop.call_later(HAND_OVER_SECONDS, self._hand_over)
        values.append(value)

    async def close(self, seconds: float = LAST_SECONDS) -> bool:
        """Hand over what is left; return whether the thread has done it all within ``seconds``."""
        self._hand_over()
        self._batches.put(None)
        await asyncio.to_thread(self._thread.join, seconds)
        return not self._thread.is_alive()

    def _hand_over(self) -> None:
        if self._values:
            self._handed_over += len(self._values)
            self._batches.put(self._values)
            self._values = []

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                lost = self._consume(batch)
            except Exception:  # noqa: BLE001 - logged; a batch that fails must not end all logging
                _LOG.exception("%s lost %d values", self._thread.name, len(batch))
                lost = len(batch)
            try:
                self._loop.call_soon_threadsafe(self._done, len(batch), lost)
            except RuntimeError:  # the loop has ended
                return

    def _done(self, count: int, lost: int) -> None:
        self._handed_over -= count
        if lost:
            self._dropped(lost)
