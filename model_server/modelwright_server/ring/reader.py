"""The reading end of a ring."""

from pathlib import Path
from types import TracebackType
from typing import Self

from modelwright_server.ring import layout
from modelwright_server.ring.file import RingFile, Words
from modelwright_server.ring.layout import RingError
from modelwright_server.ring.record import Origin, Record

_ATTEMPTS = 3
_NONE = layout.TRAILER.pack(0)  # where a sequence should be: no further record in this segment


class RingReader:
    """Follows a ring, also into the file of the next process that writes under the same name.

    Rows returned plus `lost_rows` are the rows appended up to the last record returned, whatever was
    overwritten, dropped or damaged in between.  Unknown is only what a writer wrote that came and was
    followed by another between two calls of `poll`.

    Attributes:
        restarts: how many further writers were followed.
        damaged: how often records that contradict themselves were skipped.
    """

    def __init__(self, path: Path, file: RingFile) -> None:
        self._path = path
        self._begin(file, file.words())
        self._missed_records = self._missed_rows = 0  # overwritten or damaged in any file, dropped in earlier ones
        self.restarts = self.damaged = 0

    def _begin(self, file: RingFile, words: Words) -> None:
        self._file, self._words = file, words
        self._position = self._understood = 0  # up to where it was looked at, and the last sound record ends
        self._sequence = self._rows = 0  # of the records up to there

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a ring, to be read from its oldest intact record on.

        Raises:
            RingError: there is none, or it is no ring.
        """
        file = RingFile.open(path)
        try:
            return cls(path, file)
        except BaseException:
            file.close()
            raise

    @property
    def origin(self) -> Origin:
        """Whose predictions the current file holds."""
        return self._file.origin

    @property
    def lost_records(self) -> int:
        """Records that were appended and never returned."""
        return self._missed_records + self._words.dropped_records

    @property
    def lost_rows(self) -> int:
        """Rows in them."""
        return self._missed_rows + self._words.dropped_rows

    def poll(self) -> list[Record]:
        """Return the records that were published since the last call, oldest first; never waits.

        All are of one `origin`.  When another process has followed the one that wrote, this call returns the
        rest of the old file and the next one begins with the new.

        Raises:
            RingError: the file, or the one that took its place, is no ring (any more).  No record is lost
                by that: the next call tries again.
        """
        if not self._file.is_replaced():
            return self._unread()
        follower = RingFile.open(self._path)
        try:
            words = follower.words()
        except BaseException:
            follower.close()
            raise
        try:
            records = self._unread()
        except RingError:  # its writer is gone: it will not get better
            records = []
            self.damaged += 1
        self._missed_records += self._words.dropped_records
        self._missed_rows += self._words.dropped_rows
        self._file.close()
        self._begin(follower, words)
        self.restarts += 1
        return records

    def close(self) -> None:
        """Give the file back; once only."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _unread(self) -> list[Record]:
        for _ in range(_ATTEMPTS):
            self._words = self._file.words()
            head = self._words.head
            if head < self._position:
                raise RingError(self._path, f"has its head at {head}, after {self._position}")
            start = max(self._position, self._file.oldest(head))
            data = self._file.read(start, head)
            intact = max(start, self._file.oldest(self._file.words().head))
            if intact <= head:
                self._position = head
                return self._records(data[intact - start :], intact, head)
        return []  # lapped again and again while reading: the next call finds out by how much

    def _records(self, data: bytes, start: int, head: int) -> list[Record]:
        """Return the records in what lies between two positions."""
        found: list[Record] = []
        position, segment = start, self._file.segment
        while position < head:
            boundary = (position // segment + 1) * segment
            end, at = min(boundary, head), position - start
            if boundary - position < layout.OVERHEAD or data[at : at + len(_NONE)] == _NONE:
                position = end
            elif (record := self._record(data, at, end - start, position)) is None:
                self.damaged += 1
                position = end
            else:
                found.append(record)
                position = self._understood
        return found

    def _record(self, data: bytes, at: int, end: int, position: int) -> Record | None:
        """Return the record at ``data[at:end]``, which begins at a position of the ring, or None if it is not sound.

        A gap before it, in records or rows, cannot be larger than the bytes between it and the last sound one.
        """
        if end - at < layout.OVERHEAD:
            return None
        sequence, before, time, size, rows, mark = layout.RECORD.unpack_from(data, at)
        if not layout.OVERHEAD <= size <= end - at or size % layout.ALIGNMENT:
            return None
        values_end = at + size - layout.TRAILER.size
        missed_records, missed_rows = sequence - 1 - self._sequence, before - self._rows
        gap = position - self._understood
        if (
            layout.TRAILER.unpack_from(data, values_end)[0] != sequence
            or not 0 <= missed_records <= gap // layout.OVERHEAD
            or not 0 <= missed_rows <= gap
            or not self._file.fits(rows, size - layout.OVERHEAD)
        ):
            return None
        self._missed_records += missed_records
        self._missed_rows += missed_rows
        self._sequence, self._rows, self._understood = sequence, before + rows, position + size
        return Record(self._file.origin, sequence, time, rows, data[at + layout.RECORD.size : values_end], mark)
