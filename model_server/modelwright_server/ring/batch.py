"""Many records at once: what a reader found sound, described by arrays instead of an object for each record."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, overload

import numpy as np
import numpy.typing as npt

from modelwright_server.ring import layout
from modelwright_server.ring.record import Origin, Record

Whole = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Headers:
    """What is before the values of some records, one number for each record.

    Attributes:
        at: where the record begins, from the begin of the bytes that were read.
        sequence: its number.
        before: rows in all records before it.
        time: nanoseconds since 1970.
        size: its bytes.
        rows: its rows.
    """

    at: Whole
    sequence: Whole
    before: Whole
    time: Whole
    size: Whole
    rows: Whole

    @classmethod
    def read(cls, words: Whole, at: Whole) -> Self:
        """Read them where records are said to begin; `words` are all bytes, eight by eight."""
        first = at // layout.ALIGNMENT
        last = words[first + 3]
        return cls(at, words[first], words[first + 1], words[first + 2], last & 0xFFFFFFFF, (last >> 32) & 0xFFFFFFFF)

    @classmethod
    def joined(cls, parts: Sequence["Headers"]) -> Self:
        """Return those of several stretches as one."""
        columns = zip(*((p.at, p.sequence, p.before, p.time, p.size, p.rows) for p in parts), strict=True)
        return cls(*map(np.concatenate, columns)) if parts else cls(*[_NONE] * 6)

    def __getitem__(self, which: "slice | npt.NDArray[np.bool_]") -> "Headers":
        """Return some of them."""
        columns = (self.at, self.sequence, self.before, self.time, self.size, self.rows)
        return Headers(*(column[which] for column in columns))


@dataclass(frozen=True, slots=True, eq=False)
class Batch(Sequence[Record]):
    """Records of one origin, oldest first; each is made when it is asked for.

    Attributes:
        origin: whose they are.
        headers: of all of them.
    """

    origin: Origin
    headers: Headers
    _data: bytes

    @property
    def rows(self) -> int:
        """Rows in all of them."""
        return int(self.headers.rows.sum())

    def after(self, sequence: int) -> Self:
        """Return those with a higher number."""
        return replace(self, headers=self.headers[self.headers.sequence > sequence])

    def alike(self) -> Iterator[tuple[int, Bytes]]:
        """Yield numbers of rows, and the bytes of all records that have so many, [records, bytes].

        Only where the schema has no texts, so that equally many rows take equally many bytes.
        """
        words = np.frombuffer(self._data, dtype="<i8")
        for rows in np.unique(self.headers.rows).tolist():
            same = self.headers[self.headers.rows == rows]
            count = (int(same.size[0]) - layout.OVERHEAD) // layout.ALIGNMENT
            first = (same.at + layout.RECORD.size) // layout.ALIGNMENT
            yield rows, words[first[:, None] + np.arange(count)].view(np.uint8)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.headers.at)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> "Batch": ...
    def __getitem__(self, index: int | slice) -> "Record | Batch":
        """Return a record, or some of them."""
        if isinstance(index, slice):
            return replace(self, headers=self.headers[index])
        found = self.headers
        at, size = int(found.at[index]), int(found.size[index])
        values = self._data[at + layout.RECORD.size : at + size - layout.TRAILER.size]
        return Record(self.origin, int(found.sequence[index]), int(found.time[index]), int(found.rows[index]), values)


def stretch(sizes: "memoryview[Any]", at: int, end: int) -> Whole:
    """Return where records begin between two places, as far as what stands for their sizes leads."""
    found: list[int] = []
    word, last = at >> 2, (end - layout.OVERHEAD) >> 2
    while word <= last:
        found.append(word)
        size = sizes[word + 6]
        if size < layout.OVERHEAD or size & 7:
            break
        word += size >> 2
    return np.array(found, dtype=np.int64) << 2
