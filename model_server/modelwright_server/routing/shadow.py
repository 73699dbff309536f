"""Shadow: copies of answered requests, sent to the canary for what it would have said.

A copy is nobody's request: it waits in a bounded queue, few are under way at a time, and altogether they get a fifth of
the event loop's time.  What finds no room is dropped and counted; an answer to a client waits for none of this.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter, thread_time

from modelwright_server.routing.answers import BrokenAnswerError, Outcome, Output, finite
from modelwright_server.routing.breaker import Breaker
from modelwright_server.routing.comparison import Comparison
from modelwright_server.routing.evidence import ShadowCounts
from modelwright_server.tensors import Array

MOST_QUEUED = 256
MOST_QUEUED_BYTES = 16 << 20
MOST_BYTES = 128 << 10  # of one copy: reading a larger answer takes too long
MOST_UNDER_WAY = 16
SHARE = 0.2  # of the event loop's time
_BURST_SECONDS = 0.05
_LOG = logging.getLogger("modelwright.routing")

Reply = Callable[[Sequence[Output] | Outcome], None]


@dataclass(slots=True, kw_only=True)
class Copy:
    """A request to be copied, with stable's answer to it.

    Attributes:
        size: bytes of the request.
        send: sends it; its argument is told the outputs of the answer, or how it failed, once, in bounded time; False
            if there was no room to send it.
        arrays: the rows of stable's answer, all outputs in the schema's order.
        seconds: what stable took.
        counts: where it counts.
        breaker: of the way it takes.
    """

    size: int
    send: Callable[[Reply], bool]
    arrays: Sequence[Array]
    seconds: float
    counts: ShadowCounts
    breaker: Breaker


class Shadow:
    """The copies of one process."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Copy] = deque()
        self._queued_bytes = self._under_way = 0
        self._allowance, self._as_of = _BURST_SECONDS, perf_counter()

    def offer(self, copy: Copy) -> None:
        """Take a copy, to be sent after all that is to be done now; or drop it."""
        queue = self._queue
        full = len(queue) >= MOST_QUEUED or self._queued_bytes + copy.size > MOST_QUEUED_BYTES
        if full or copy.size > MOST_BYTES or not self._affordable() or not copy.breaker.allows():
            copy.counts.add("dropped")
            return
        queue.append(copy)
        self._queued_bytes += copy.size
        if self._under_way < MOST_UNDER_WAY:
            self._loop.call_soon(self._next)

    def forget(self) -> None:
        """Drop what waits: its canary is none any more."""
        for copy in self._queue:
            copy.counts.add("dropped")
        self._queue.clear()
        self._queued_bytes = 0

    def _affordable(self) -> bool:
        now = perf_counter()
        self._allowance = min(_BURST_SECONDS, self._allowance + SHARE * (now - self._as_of))
        self._as_of = now
        return self._allowance > 0

    def _next(self) -> None:
        """Send the copy that has waited longest."""
        if not self._queue or self._under_way >= MOST_UNDER_WAY:
            return
        begun = thread_time()
        copy = self._queue.popleft()
        self._queued_bytes -= copy.size
        started = perf_counter()
        self._under_way += 1
        if copy.send(lambda reply: self._replied(copy, reply, perf_counter() - started)):
            copy.counts.add("sent")
        else:
            copy.counts.add("dropped")
            self._under_way -= 1
        self._allowance -= thread_time() - begun

    def _replied(self, copy: Copy, reply: Sequence[Output] | Outcome, seconds: float) -> None:
        begun = thread_time()
        self._under_way -= 1
        try:
            self._compare(copy, reply, seconds)
        except BrokenAnswerError:
            copy.counts.add("failed")
        except Exception:  # noqa: BLE001 - logged; a copy must not end more than itself
            copy.counts.add("failed")
            _LOG.exception("comparing a copy's answer failed")
        self._allowance -= thread_time() - begun
        if self._queue:
            self._loop.call_soon(self._next)

    def _compare(self, copy: Copy, reply: Sequence[Output] | Outcome, seconds: float) -> None:
        counts = copy.counts
        if isinstance(reply, Outcome):
            counts.add("failed")
            copy.breaker.failed()
            return
        copy.breaker.succeeded()
        counts.later(seconds - copy.seconds)
        if not all(map(finite, reply)):
            counts.add("failed")
        elif (found := self._comparison.compare(copy.arrays, reply)) is not None:
            counts.rows(found.rows, found.agreed, found.scores)
