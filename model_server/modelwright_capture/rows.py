"""Rows that were chosen, cut out of the records of a ring, as they wait in the spool.

A chunk is the rows of one record: time, number of rows, bytes of values; the mark of each row; the raw tensors.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from modelwright_capture.sampling import Numbers, chosen
from modelwright_server.prediction import NONCE_DIGITS
from modelwright_server.ring import Record, RingError, cut_texts

_HEAD = struct.Struct("<QII")
_MARK_BYTES = 8

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of one call of the model.

    Attributes:
        time: nanoseconds since 1970.
        marks: of the rows.
        values: the raw tensors, as in the ring.
    """

    time: int
    marks: Numbers
    values: bytes


def cut(records: Sequence[Record], percent: int) -> tuple[list[Chunk], int]:
    """Return the chosen rows of records that have one origin, and how many chosen rows could not be read."""
    if not records:
        return [], 0
    counts = np.array([record.rows for record in records], np.int64)
    firsts = np.array([record.mark for record in records], np.uint64)
    ends = np.cumsum(counts)
    within = np.arange(int(ends[-1]), dtype=np.int64) - np.repeat(ends - counts, counts)
    marks = np.repeat(firsts, counts) + within.astype(np.uint64)
    kept = chosen(records[0].origin.nonce[:NONCE_DIGITS], marks, percent)
    totals = np.concatenate(([0], np.cumsum(kept)))
    per_record = totals[ends] - totals[ends - counts]
    found: list[Chunk] = []
    unreadable = 0
    for at in np.flatnonzero(per_record).tolist():
        record, rows = records[at], slice(int(ends[at] - counts[at]), int(ends[at]))
        if per_record[at] == record.rows:
            found.append(Chunk(record.time, marks[rows], record.values))
            continue
        try:
            values = _some(record, kept[rows])
        except (RingError, ValueError):
            unreadable += int(per_record[at])
        else:
            found.append(Chunk(record.time, marks[rows][kept[rows]], values))
    return found, unreadable


def pack(chunks: Sequence[Chunk]) -> bytes:
    """Return chunks as bytes."""
    return b"".join(
        part
        for chunk in chunks
        for part in (_HEAD.pack(chunk.time, len(chunk.marks), len(chunk.values)), chunk.marks.tobytes(), chunk.values)
    )


def unpack(data: bytes) -> Iterator[Chunk]:
    """Return the chunks in bytes that `pack` made.

    Raises:
        ValueError: it did not.
    """
    at = 0
    while at < len(data):
        if len(data) - at < _HEAD.size:
            raise ValueError(_CUT_OFF)
        time, rows, size = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        end = at + rows * _MARK_BYTES + size
        if end > len(data):
            raise ValueError(_CUT_OFF)
        yield Chunk(time, np.frombuffer(data, "<u8", rows, at), data[at + rows * _MARK_BYTES : end])
        at = end


_CUT_OFF = "a chunk is cut off"


def _some(record: Record, kept: npt.NDArray[np.bool_]) -> bytes:
    """Return the raw tensors of some rows."""
    arrays = [*record.features.values(), *record.outputs.values()]
    parts: list[bytes] = []
    for array in arrays:
        some = array[kept]
        parts.append(cut_texts(some.ravel().tolist()) if some.dtype == object else some.tobytes())
    return b"".join(parts)
