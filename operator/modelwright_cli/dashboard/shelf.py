"""What the API server said, kept for a moment: however many pages are open, it is asked as if there were one."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from modelwright_cli.access import Refused
from modelwright_cli.errors import Fault
from modelwright_cli.report.gather import Gathered, gather

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelwright_cli.access import Cluster
    from modelwright_cli.objects import Json

Value = TypeVar("Value")
_LEAST_SECONDS = 1.0
_SIDECARS_SECONDS = 5.0
_TIMES = 5.0  # at most a sixth of the time is spent on asking
_AGAIN_SECONDS = 3.0  # after a failure
_MOST_KEPT = 500
_FINAL = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})


@dataclass(frozen=True, slots=True)
class Kept(Generic[Value]):
    """An answer.

    Attributes:
        value: the last that there was; None: none yet.
        problem: why there is no newer one; empty: there is.
        read_at: when that was, on the clock that only grows.
        until: it need not be asked for again before.
    """

    value: Value | None
    problem: str
    read_at: float
    until: float


class Shelf:
    """Answers of one namespace."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._clock = clock
        self._kept: dict[str, Kept[object]] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def items(self, kind: str, labels: str = "") -> tuple[list[Json], str]:
        """Return all objects of a kind, and what is wrong with that."""
        kept = self._get(f"{kind}?{labels}", _LEAST_SECONDS, lambda: self._cluster.list(kind, labels=labels))
        return list(kept.value or []), self._said(kept)

    def sidecars(self, name: str) -> tuple[Gathered | None, str]:
        """Return what the sidecars of a Deployment counted, and what is wrong with that."""
        kept = self._get(f"sidecars/{name}", _SIDECARS_SECONDS, lambda: gather(self._cluster, name))
        return kept.value, self._said(kept)

    def _said(self, kept: Kept[Value]) -> str:
        if not kept.problem or kept.value is None:
            return kept.problem
        return f"{kept.problem} (what is shown is {max(1, round(self._clock() - kept.read_at))} s old)"

    def _get(self, key: str, seconds: float, ask: Callable[[], Value]) -> Kept[Value]:
        with self._lock:
            if len(self._kept) > _MOST_KEPT:  # names are made up faster than they are asked for
                self._kept.clear()
                self._locks.clear()
            lock = self._locks[key]
        with lock:
            before = cast("Kept[Value] | None", self._kept.get(key))
            begun = self._clock()
            if before is not None and begun < before.until:
                return before
            try:
                value = ask()
            except Fault as fault:
                final = isinstance(fault, Refused) and fault.status in _FINAL
                old = before.value if before and not final else None
                now = Kept(old, str(fault), before.read_at if before else begun, self._clock() + _AGAIN_SECONDS)
            else:
                ended = self._clock()
                now = Kept(value, "", begun, ended + max(seconds, _TIMES * (ended - begun)))
            self._kept[key] = cast("Kept[object]", now)
            return now
