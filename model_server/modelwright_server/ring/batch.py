"""Many records at once: what a reader found sound, described by arrays instead of an object for each record."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, overload

import numpy as np
import numpy.typing as npt

from modelwright_server.ring import layout
from modelwright_server.ring.record import DTYPES, Array, Origin, Record, least_bytes

Whole = npt.NDArray[np.int64]

_NONE = np.zeros(0, dtype=np.int64)
_BLOCK = 1 << 17  # places at once: each takes eight bytes, for as little as one


@dataclass(frozen=True, slots=True, eq=False)
class Headers:
    """What is before the values of some records, one number for each record.

    Attributes:
        at: where the record begins, from the begin of the bytes that were read.
        sequence: its number.
        before: rows in all records before it.
        size: its bytes.
        rows: its rows.
    """

    at: Whole
    sequence: Whole
    before: Whole
    size: Whole
    rows: Whole

    @classmethod
    def read(cls, words: Whole, at: Whole) -> Self:
        """Read them where records are said to begin; `words` are all bytes, eight by eight."""
        first = at // layout.ALIGNMENT
        last = words[first + 3]
        return cls(at, words[first], words[first + 1], last & 0xFFFFFFFF, (last >> 32) & 0xFFFFFFFF)

    @classmethod
    def joined(cls, parts: Sequence["Headers"]) -> Self:
        """Return those of several stretches as one."""
        columns = zip(*((p.at, p.sequence, p.before, p.size, p.rows) for p in parts), strict=True)
        return cls(*map(np.concatenate, columns)) if parts else cls(*[_NONE] * 5)

    def __getitem__(self, which: "slice | npt.NDArray[np.bool_]") -> "Headers":
        """Return some of them."""
        columns = (self.at, self.sequence, self.before, self.size, self.rows)
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

    def tensors(self) -> dict[str, Array]:
        """Return the inputs and outputs of all rows, by name, [rows, width], in the order of the records.

        Only where the schema has no texts, so that each row takes equally many bytes.
        """
        rows = self.headers.rows
        many = np.repeat(rows, rows)  # in the record of each row
        first = np.repeat(self.headers.at + layout.RECORD.size, rows)
        nth = np.arange(len(many)) - np.repeat(np.cumsum(rows) - rows, rows)  # each row in its record
        found: dict[str, Array] = {}
        before = 0  # bytes of a row in the tensors before
        for spec in (*self.origin.schema.inputs, *self.origin.schema.outputs):
            size = least_bytes(spec)
            values = self._gathered(first + many * before + nth * size, size, math.gcd(layout.ALIGNMENT, before, size))
            found[spec.name] = values.view(DTYPES[spec.datatype])
            before += size
        return found

    def _gathered(self, at: Whole, size: int, unit: int) -> Array:
        """Return so many bytes from each place on, [places, bytes]; all of it is a multiple of a unit."""
        units = np.frombuffer(self._data, dtype=f"<u{unit}")
        found = np.empty((len(at), size // unit), dtype=units.dtype)
        offsets = np.arange(size // unit)
        step = max(1, _BLOCK // len(offsets))
        for start in range(0, len(at), step):
            places = (at[start : start + step] // unit)[:, None] + offsets
            np.take(units, places, out=found[start : start + step], mode="clip")  # of these none is clipped: faster
        return found

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
        at = int(self.headers.at[index])
        sequence, _, time, size, rows, *more = layout.RECORD.unpack_from(self._data, at)
        values = self._data[at + layout.RECORD.size : at + size - layout.TRAILER.size]
        return Record(self.origin, sequence, time, rows, values, *more)


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
