"""Requests that take long to read: one after the other, with rests in which the others are answered.

Reading JSON holds the event loop: 16 MiB of it for some quarter of a second.  Without rests, one client that sends such
bodies back to back would leave next to nothing of the loop to all others.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from time import perf_counter

from modelwright_server.errors import OverloadedError

LARGE = 128 << 10  # bytes of a body: JSON of that size takes some 2 ms
_SHARE = 3  # the longest rest, in times of what the reading before took: a quarter of the loop is left to large bodies
_LOOKS = 16  # during a time as long as the reading took
_SHORTEST_LOOK = 0.002

Job = Callable[[], Awaitable[None]]


class Turns:
    """Runs jobs one by one; after each it rests as long as others are being answered, up to three times what it took.

    Attributes:
        waiting: bytes of the bodies whose turn has not come.
    """

    def __init__(self, answered: Callable[[], int], room: int) -> None:
        """Prepare; ``answered`` counts the requests answered so far, ``room`` is how many bytes may wait."""
        self.waiting = 0
        self._answered = answered
        self._room = room
        self._jobs: deque[tuple[int, Job]] = deque()
        self._running: asyncio.Task[None] | None = None

    def add(self, size: int, job: Job) -> None:
        """Have a job run, which holds so many bytes and raises nothing.

        Raises:
            OverloadedError: too many bytes wait.
        """
        if self.waiting + size > self._room:
            raise OverloadedError(problem="too many large requests at once: try again later")
        self.waiting += size
        self._jobs.append((size, job))
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._jobs:
            size, job = self._jobs.popleft()
            started = perf_counter()
            await job()
            del job  # and with it the body
            self.waiting -= size
            await self._rest(perf_counter() - started)
        self._running = None

    async def _rest(self, spent: float) -> None:
        look = max(spent / _LOOKS, _SHORTEST_LOOK)
        end = perf_counter() + _SHARE * spent
        while perf_counter() < end:
            before = self._answered()
            await asyncio.sleep(look)
            if self._answered() - before <= 1:  # the one just read, or somebody whom its reading hardly delays
                return
