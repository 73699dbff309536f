"""What the reader does with all records at once, done with one after the other: slow, plain, and the oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelwright_server.ring import layout
from modelwright_server.ring.record import least_bytes
from modelwright_server.schema import Datatype

if TYPE_CHECKING:
    from modelwright_server.schema import Schema


class OneByOne:
    """The records in a ring's bytes, from the begin on; numbered as a reader numbers them."""

    def __init__(self, schema: Schema, capacity: int) -> None:
        specs = (*schema.inputs, *schema.outputs)
        self._least = sum(map(least_bytes, specs))
        self._has_texts = any(spec.datatype is Datatype.BYTES for spec in specs)
        self._segment = capacity // layout.SEGMENTS
        self._sequence = self._rows = self._understood = 0
        self.damaged = self.missed_records = self.missed_rows = 0

    def read(self, data: bytes, start: int) -> list[tuple[int, int, bytes]]:
        """Return number, rows and values of each record in what begins at a position."""
        found: list[tuple[int, int, bytes]] = []
        position, head = start, start + len(data)
        while position < head:
            boundary = (position // self._segment + 1) * self._segment
            end, at = min(boundary, head), position - start
            if boundary - position < layout.OVERHEAD or data[at : at + 8] == bytes(8):
                position = end
            elif (record := self._record(data, at, end - start, position)) is None:
                self.damaged += 1
                position = end
            else:
                found.append(record)
                position = self._understood
        return found

    def _record(self, data: bytes, at: int, end: int, position: int) -> tuple[int, int, bytes] | None:
        if end - at < layout.OVERHEAD:
            return None
        sequence, before, _, size, rows = layout.RECORD.unpack_from(data, at)[:5]
        if not layout.OVERHEAD <= size <= end - at or size % layout.ALIGNMENT:
            return None
        values_end = at + size - layout.TRAILER.size
        missed_records, missed_rows = sequence - 1 - self._sequence, before - self._rows
        gap = position - self._understood
        least, room = self._least * rows, size - layout.OVERHEAD
        if (
            layout.TRAILER.unpack_from(data, values_end)[0] != sequence
            or not 0 <= missed_records <= gap // layout.OVERHEAD
            or not 0 <= missed_rows <= gap
            or least > room
            or not (self._has_texts or room - least < layout.ALIGNMENT)
        ):
            return None
        self.missed_records += missed_records
        self.missed_rows += missed_rows
        self._sequence, self._rows, self._understood = sequence, before + rows, position + size
        return sequence, rows, data[at + layout.RECORD.size : values_end]
