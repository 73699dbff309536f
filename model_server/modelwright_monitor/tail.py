"""Following the rings of a pod's server: each answered row is counted once, or known to be lost.

A ring says how many rows were appended before each record, so that whatever was not counted between two looks was lost:
overwritten, dropped or damaged.  `Position` says up to where a ring was counted; kept together with the counts, it lets
the next worker go on where the last one stopped, as long as the ring still holds what came in between.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from modelwright_monitor.columns import Columns
from modelwright_monitor.tally import MAX_ROWS, Tally
from modelwright_server.ring import Origin, RingError, RingReader, check_size, ring_names
from modelwright_server.schema import Schema

_NONCE = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Position:
    """Up to where a ring was counted.

    Attributes:
        nonce: of the process that writes it.
        sequence: of the last record.
        appended: rows that had been appended then.
    """

    nonce: str
    sequence: int
    appended: int

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read one.

        Raises:
            ValueError: it is none.
        """
        nonce, sequence, appended = (document.get(name) for name in ("nonce", "sequence", "appended"))
        if type(nonce) is not str or not _NONCE.fullmatch(nonce):
            message = "nonce must be 32 hex digits"
            raise ValueError(message)
        if type(sequence) is not int or type(appended) is not int or not 0 <= min(sequence, appended) <= MAX_ROWS:
            message = "sequence and appended must be whole numbers"
            raise ValueError(message)
        return cls(nonce, sequence, appended)

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


class _Ring:
    """One ring, from a position on.

    Appended rows are those that the reader returned and those it knows it missed, since it began.  Of them
    `_accounted` were counted, here or by an earlier worker, or reported as lost.
    """

    def __init__(self, path: Path, schema: Schema, digest: str, start: Position | None, *, whole: bool) -> None:
        self._path = path
        self._schema = schema
        self._digest = digest
        check_size(self._path)
        self._reader = RingReader.open(path)
        self._returned = self._file_began = self._after = 0
        self._accounted: int | None = 0 if whole else None
        if start is not None and start.nonce == self._reader.origin.nonce:
            self._accounted, self._after = start.appended, start.sequence

    def count(self, columns: Columns) -> Tally:
        """Count what has come since the last call.

        Raises:
            RingError: it is no ring, or another model's.
        """
        check_size(self._path)
        origin = self._reader.origin
        self._check_origin(origin)
        records = self._reader.poll()
        self._returned += records.rows
        fresh = records.after(self._after)
        tally = columns.count(fresh)
        appended = self._returned + self._reader.lost_rows
        seen = tally.rows + tally.lost
        before = appended - seen if self._accounted is None else self._accounted
        self._accounted = appended
        if fresh:
            self._after = fresh[-1].sequence
        if self._reader.origin.nonce != origin.nonce:  # another process writes from now on, and numbers anew
            self._file_began, self._after = appended, 0
        return tally.losing(max(0, appended - before - seen))

    @property
    def filled(self) -> float:
        """Share of it that was new when it was counted last."""
        return self._reader.filled

    @property
    def position(self) -> Position:
        """Up to where it was counted."""
        return Position(self._reader.origin.nonce, self._after, (self._accounted or 0) - self._file_began)

    def close(self) -> None:
        """Give it back."""
        self._reader.close()

    def _check_origin(self, origin: Origin) -> None:
        if origin.digest != self._digest:
            raise RingError(self._path, f"is of the model {origin.digest[:80]!r}, this pod's is {self._digest!r}")
        if origin.schema != self._schema:
            raise RingError(self._path, "states another schema than the model's")


class Tail:
    """All rings of a pod.

    Attributes:
        problem: what is wrong with one of them, empty if nothing is.
        filled: share that was new in the one that is being filled fastest.
    """

    def __init__(
        self, folder: Path, schema: Schema, digest: str, columns: Columns, positions: Mapping[str, Position]
    ) -> None:
        """Go on from where counting had come to, ring by ring."""
        self._folder = folder
        self._schema = schema
        self._digest = digest
        self._columns = columns
        self._positions = dict(positions)
        self._rings: dict[str, _Ring] = {}
        self._looked = bool(positions)  # what was overwritten before anybody looked is nobody's loss
        self.problem = ""
        self.filled = 0.0

    @property
    def positions(self) -> dict[str, Position]:
        """Where counting has come to, by the rings' names."""
        return dict(self._positions)

    def count(self, tally: Tally) -> Tally:
        """Return the tally with what has come since the last call."""
        problems: list[str] = []
        for name in ring_names(self._folder, self._rings, problems):
            try:
                ring = self._rings.get(name)
                if ring is None:
                    start, path = self._positions.get(name), self._folder / name
                    ring = _Ring(path, self._schema, self._digest, start, whole=self._looked)
                    self._rings[name] = ring
                news = ring.count(self._columns)
            except RingError as error:
                problems.append(str(error))
                self._forget(name)
                continue
            if news.rows or news.lost:
                tally += news
            self._positions[name] = ring.position
        self._looked = True
        self.filled = max((ring.filled for ring in self._rings.values()), default=0.0)
        self.problem = "; ".join(problems)[:500]
        return tally

    def close(self) -> None:
        """Give the rings back."""
        for name in list(self._rings):
            self._forget(name)

    def _forget(self, name: str) -> None:
        ring = self._rings.pop(name, None)
        if ring is not None:
            ring.close()
