"""A replica's part of its track's windows: which rows are in which window, each in exactly one.

    counting ──► open ──cut: somebody closes window s──► frozen for s ──the status says that s is closed──► gone
                  ▲                                                  └──closed without this replica's part──┘
                  └──────────────────────────── put back ───────────────────────────────────────────────────┘

Several replicas may try to close the same window: each gets the same frozen part, and whoever writes first has closed
it.  The status names that one and the addresses that did not answer it, so that each replica knows whether its part is
in.  Where that cannot be known the part is taken to be in: a row may go uncounted, but none is counted twice.  A cut is
kept in the file before it is given away; else a worker that ended then would count its rows once more.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, cast

from modelwright_drift.baseline import Baseline
from modelwright_monitor.clock import now_seconds
from modelwright_monitor.tail import Position
from modelwright_monitor.tally import Tally

FORMAT = 1
_MAX_BYTES = 16 << 20
_MOST_CLOSERS = 64
# Whoever closes a window writes within the first, or not at all; after the second its parts are put back.
CLOSE_SECONDS = 20.0
THAW_SECONDS = 60.0


class NotNowError(Exception):
    """This window cannot be cut here: it is over, too far ahead, or could not be kept."""


@dataclass(frozen=True, slots=True)
class Closed:
    """What a Deployment's status says of the window that was closed last.

    Attributes:
        sequence: its number; 0: none was.
        by: name of the pod that closed it.
        missing: addresses that did not answer then.
    """

    sequence: int = 0
    by: str = ""
    missing: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Frozen:
    """The part of a window that is being closed.

    Attributes:
        sequence: of the window.
        opened_at: when counting for it began.
        tally: what was counted.
        frozen_at: when it was cut.
        given: to whom it was given, by pod, and at which address of this one.
    """

    sequence: int
    opened_at: float
    tally: Tally
    frozen_at: float
    given: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class State:
    """All that survives a worker.

    Attributes:
        track: which the pod is on; empty: none.
        digest: of the version whose rows these are.
        closed: sequence of the track's last closed window, as far as known.
        opened_at: when counting for the open window began.
        open: what was counted for it.
        frozen: the part of the window that is being closed.
        positions: up to where each ring was counted.
        rows: rows counted by this pod, of all windows.
        lost: rows lost by it.
    """

    track: str
    digest: str
    closed: int
    opened_at: float
    open: Tally
    frozen: Frozen | None = None
    positions: Mapping[str, Position] = field(default_factory=dict[str, Position])
    rows: int = 0
    lost: int = 0

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        frozen = None
        if self.frozen is not None:
            frozen = {
                "sequence": self.frozen.sequence,
                "openedAt": self.frozen.opened_at,
                "frozenAt": self.frozen.frozen_at,
                "tally": self.frozen.tally.to_document(),
                "given": dict(self.frozen.given),
            }
        return {
            "format": FORMAT,
            "track": self.track,
            "digest": self.digest,
            "closed": self.closed,
            "openedAt": self.opened_at,
            "open": self.open.to_document(),
            "frozen": frozen,
            "positions": {name: position.to_document() for name, position in self.positions.items()},
            "rows": self.rows,
            "lost": self.lost,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any], baseline: Baseline) -> Self:
        """Read what an earlier worker left.

        Raises:
            ValueError: it is no state on this baseline.
            KeyError: something is missing.
            TypeError: something is of another type.
        """
        if document["format"] != FORMAT:
            message = f"format {document['format']!r} is not known"
            raise ValueError(message)
        frozen = None
        if (kept := document["frozen"]) is not None:
            tally = Tally.from_document(kept["tally"], baseline)
            times = float(kept["openedAt"]), float(kept["frozenAt"])
            frozen = Frozen(int(kept["sequence"]), times[0], tally, times[1], dict(kept["given"]))
        return cls(
            track=str(document["track"]),
            digest=str(document["digest"]),
            closed=int(document["closed"]),
            opened_at=float(document["openedAt"]),
            open=Tally.from_document(document["open"], baseline),
            frozen=frozen,
            positions={name: Position.from_document(item) for name, item in document["positions"].items()},
            rows=int(document["rows"]),
            lost=int(document["lost"]),
        )


class Windows:
    """The parts of one replica; called by one thread at a time."""

    def __init__(self, file: Path, baseline: Baseline, digest: str, now: Callable[[], float] = now_seconds) -> None:
        """Take up what an earlier worker of this pod left, if it is of this model."""
        self._file = file
        self._new = file.with_name(f".{file.name}.new")
        self._baseline = baseline
        self._now = now
        self.problem = ""
        fresh = State("", digest, 0, now(), Tally.empty(baseline))
        known = self._read()
        self.state = known if known is not None and known.digest == digest else fresh
        self._kept: State | None = known

    def count(self, count: Callable[[Tally], Tally], positions: Callable[[], Mapping[str, Position]]) -> None:
        """Add what has come, and note up to where."""
        before = self.state.open
        after = count(before)
        where = positions()
        if after is before and where == self.state.positions:
            return
        rows, lost = after.rows - before.rows, after.lost - before.lost
        self.state = replace(
            self.state, open=after, positions=where, rows=self.state.rows + rows, lost=self.state.lost + lost
        )

    def follow(self, track: str, closed: Closed) -> None:
        """Take in what the status says: on which track the pod is, and which window was closed last.

        A pod's rows are all of one version: what is in no window yet goes with it onto the next track, also what it
        answered before the status that sends it requests was known here.
        """
        if track != self.state.track:
            self.state = replace(self.state, track=track, closed=closed.sequence, opened_at=self._now(), frozen=None)
            self.keep()
        elif closed.sequence != self.state.closed:
            self._settle(closed)
            self.keep()

    def _settle(self, closed: Closed) -> None:
        """Take in that a window was closed; or that none is any more, since monitoring was switched off and on."""
        frozen, opened_at, open_ = self.state.frozen, self.state.opened_at, self.state.open
        if frozen is not None and not _is_in(frozen, closed):
            open_, opened_at = frozen.tally + open_, min(frozen.opened_at, opened_at)
        self.state = replace(self.state, closed=closed.sequence, opened_at=opened_at, open=open_, frozen=None)

    def thaw(self) -> None:
        """Put a part back that nobody closed: whoever asked for it has given up since."""
        frozen = self.state.frozen
        if frozen is not None and not 0 <= self._now() - frozen.frozen_at < THAW_SECONDS:
            self.state = replace(
                self.state, opened_at=frozen.opened_at, open=frozen.tally + self.state.open, frozen=None
            )
            self.keep()

    def cut(self, sequence: int, by: str, address: str) -> Frozen:
        """Return this replica's part of a window that a pod closes; the same to all who ask.

        Raises:
            NotNowError: it cannot be had.
        """
        state = self.state
        frozen = state.frozen
        if not state.track or sequence != state.closed + 1:
            message = f"window {sequence} cannot be closed here, {state.closed} was the last"
            raise NotNowError(message)
        if frozen is None:
            opened_at, open_ = self._now(), Tally.empty(self._baseline)
            frozen = Frozen(sequence, state.opened_at, state.open, opened_at)
        else:
            opened_at, open_ = state.opened_at, state.open
        if by not in frozen.given and len(frozen.given) >= _MOST_CLOSERS:
            message = "too many close this window"
            raise NotNowError(message)
        frozen = replace(frozen, given={**frozen.given, by: address})
        before, self.state = state, replace(state, opened_at=opened_at, open=open_, frozen=frozen)
        if not self.keep():
            self.state = before
            raise NotNowError(self.problem)
        return frozen

    def take(self, tally: Tally) -> bool:
        """Add what another replica counted and leaves behind; tell whether it is kept."""
        before, self.state = self.state, replace(self.state, open=self.state.open + tally)
        if not self.keep():
            self.state = before
            return False
        return True

    def give(self) -> Tally:
        """Return what was counted for the open window, which is empty from now on."""
        tally = self.state.open
        self.state = replace(self.state, open=Tally.empty(self._baseline))
        self.keep()
        return tally

    def age_seconds(self) -> float:
        """Return how long the open window has been so; clocks that were set back do not make it last."""
        age = self._now() - self.state.opened_at
        if age < 0:
            self.state = replace(self.state, opened_at=self._now())
        return max(0.0, age)

    def keep(self) -> bool:
        """Write the state where it survives; tell whether it does."""
        if self._kept is self.state:
            return True
        data = json.dumps(self.state.to_document(), separators=(",", ":")).encode()
        try:
            self._new.write_bytes(data)
            self._new.replace(self._file)
        except OSError as error:
            self.problem = f"counts cannot be kept: {error.strerror}"
            return False
        self.problem, self._kept = "", self.state
        return True

    def _read(self) -> State | None:
        try:
            with self._file.open("rb") as file:
                data = file.read(_MAX_BYTES + 1)
            if len(data) > _MAX_BYTES:
                return None
            return State.from_document(cast("dict[str, Any]", json.loads(data)), self._baseline)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None


def _is_in(frozen: Frozen, closed: Closed) -> bool:
    """Tell whether a frozen part is in the window that was closed, or may be in one that was closed unseen."""
    if closed.sequence != frozen.sequence:
        return bool(frozen.given)
    return closed.by in frozen.given and frozen.given[closed.by] not in closed.missing
