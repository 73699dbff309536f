"""A keyed work queue: each key is worked on by one worker at a time, bursts collapse, failures back off.

A change goes before the periodic look at everything, so that one edit behind ten thousand resynced objects is acted
on at once.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

_FIRST_BACKOFF = 0.5
_LONGEST_BACKOFF = 300.0


class WorkQueue(Generic[Key]):
    """The queue; used from one event loop only."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or asyncio.get_running_loop().time
        self._urgent: deque[Key] = deque()
        self._background: deque[Key] = deque()
        self._waiting: dict[Key, tuple[float, bool]] = {}  # since when, urgent
        self._working: dict[Key, float] = {}
        self._dirty: dict[Key, bool] = {}
        self._timers: dict[Key, tuple[float, asyncio.TimerHandle]] = {}
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Event()

    def add(self, key: Key, *, background: bool = False) -> None:
        """Ask for a key to be worked on; a key in work is worked on once more when that is done."""
        if key in self._working:
            self._dirty[key] = self._dirty.get(key, False) or not background
            return
        if key in self._waiting:
            since, urgent = self._waiting[key]
            if not urgent and not background:
                self._waiting[key] = (since, True)
                self._urgent.append(key)  # its entry in the other lane is skipped when it comes up
            return
        self._waiting[key] = (self._clock(), not background)
        (self._background if background else self._urgent).append(key)
        self._wake.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Ask for a key to be worked on later; of several such wishes the soonest counts."""
        due = self._clock() + seconds
        pending = self._timers.get(key)
        if pending is not None:
            if pending[0] <= due:
                return
            pending[1].cancel()
        self._timers[key] = (due, asyncio.get_running_loop().call_later(max(seconds, 0.0), self._due, key))

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def add_failed(self, key: Key, at_least: float = 0.0) -> float:
        """Ask for a key to be tried again after a growing pause; return the pause in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        pause: float = min(_FIRST_BACKOFF * 2 ** min(failures, 16), _LONGEST_BACKOFF)
        pause = max(pause * random.uniform(0.8, 1.2), at_least)  # noqa: S311  # jitter, not a secret
        self.add_after(key, pause)
        return pause

    def forget(self, key: Key) -> None:
        """Start the pauses of a key anew: it was worked on well."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """Return the next key; `done` must be called with it afterwards."""
        while True:
            for lane in (self._urgent, self._background):
                while lane:
                    key = lane.popleft()
                    entry = self._waiting.get(key)
                    if entry is None or (lane is self._background and entry[1]):
                        continue
                    del self._waiting[key]
                    self._working[key] = self._clock()
                    return key
            self._wake.clear()
            await self._wake.wait()

    def done(self, key: Key) -> None:
        """Tell that the work on a key has ended."""
        del self._working[key]
        if key in self._dirty:
            self.add(key, background=not self._dirty.pop(key))

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def oldest_seconds(self) -> float:
        """How long the oldest key has been waiting or worked on, in seconds."""
        since = [entry[0] for entry in self._waiting.values()] + list(self._working.values())
        return self._clock() - min(since) if since else 0.0

    def close(self) -> None:
        """Drop all delayed keys."""
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
