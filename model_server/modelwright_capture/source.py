"""Following the rings of a pod's server, from where the spool says that the last worker had come to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from modelwright_server.ring import Origin, Record, RingError, RingReader, check_size, ring_names
from modelwright_server.schema import Schema


@dataclass(frozen=True, slots=True)
class Position:
    """Up to where a ring was read.

    Attributes:
        nonce: of the process that writes it.
        sequence: of the last record.
    """

    nonce: str
    sequence: int


@dataclass(frozen=True, slots=True)
class News:
    """What has come in one ring.

    Attributes:
        ring: its name.
        origin: whose predictions these are.
        records: the records, none of them returned before.
        position: behind them.
        lost: rows that were overwritten, or dropped, before they could be read.
    """

    ring: str
    origin: Origin
    records: list[Record]
    position: Position
    lost: int


class _Ring:
    def __init__(self, path: Path, start: Position | None) -> None:
        check_size(path)
        self._path = path
        self._reader = RingReader.open(path)
        self._lost = self._after = 0
        self._gap = False  # whether what is missing before the first record is nobody's loss
        if start is not None and start.nonce == self._reader.origin.nonce:
            self._after, self._gap = start.sequence, True

    def news(self, schema: Schema, digest: str) -> News:
        """Return what has come since the last call.

        Raises:
            RingError: it is no ring, or another model's.
        """
        check_size(self._path)
        origin = self._reader.origin
        if origin.digest != digest or origin.schema != schema:
            raise RingError(self._path, "is not of this pod's model")
        records = [record for record in self._reader.poll() if record.sequence > self._after]
        if records:
            self._after = records[-1].sequence
        position = Position(origin.nonce, self._after)
        lost, self._lost = self._reader.lost_rows - self._lost, self._reader.lost_rows
        if self._gap:  # an earlier worker read, and counted, what came before
            lost, self._gap = 0, False
        if self._reader.origin.nonce != origin.nonce:  # another process writes from now on, and numbers anew
            self._after = 0
        return News(self._path.name, origin, records, position, max(0, lost))

    def close(self) -> None:
        self._reader.close()


class Source:
    """All rings of a pod.

    Attributes:
        problem: what is wrong with one of them, empty if nothing is.
    """

    def __init__(self, folder: Path, schema: Schema, digest: str, positions: Mapping[str, Position]) -> None:
        self._folder, self._schema, self._digest = folder, schema, digest
        self._positions = dict(positions)
        self._rings: dict[str, _Ring] = {}
        self.problem = ""

    def poll(self) -> Iterator[News]:
        """Return what has come, ring by ring."""
        problems: list[str] = []
        for name in ring_names(self._folder, self._rings, problems):
            try:
                ring = self._rings.get(name)
                if ring is None:
                    ring = self._rings[name] = _Ring(self._folder / name, self._positions.get(name))
                news = ring.news(self._schema, self._digest)
            except RingError as error:
                problems.append(str(error))
                self._forget(name)
                continue
            self._positions[name] = news.position
            yield news
        self.problem = "; ".join(problems)[:500]

    def close(self) -> None:
        """Give the rings back."""
        for name in list(self._rings):
            self._forget(name)

    def _forget(self, name: str) -> None:
        ring = self._rings.pop(name, None)
        if ring is not None:
            ring.close()
