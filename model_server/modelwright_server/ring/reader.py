"""The reading end of a ring.

What is new is copied in one piece, and its records are checked all at once: an object or a call for each of them would
cost far more than what is done with their values.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from modelwright_server.ring import layout
from modelwright_server.ring.batch import Batch, Headers, Whole, stretch
from modelwright_server.ring.file import RingFile, Words
from modelwright_server.ring.layout import RingError
from modelwright_server.ring.record import Origin

_ATTEMPTS = 3


class RingReader:
    """Follows a ring, also into the file of the next process that writes under the same name.

    Rows returned plus `lost_rows` are the rows appended up to the last record returned, whatever was
    overwritten, dropped or damaged in between.  Unknown is only what a writer wrote that came and was
    followed by another between two calls of `poll`.

    Attributes:
        restarts: how many further writers were followed.
        damaged: how often records that contradict themselves were skipped.
        filled: share of the ring that was new at the last call of `poll`; above 1: some was overwritten.
    """

    def __init__(self, path: Path, file: RingFile) -> None:
        self._path = path
        self._begin(file, file.words())
        self._missed_records = self._missed_rows = 0  # overwritten or damaged in any file, dropped in earlier ones
        self.restarts = self.damaged = 0
        self.filled = 0.0

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

    def poll(self) -> Batch:
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
            records = self._nothing()
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

    def _unread(self) -> Batch:
        for _ in range(_ATTEMPTS):
            self._words = self._file.words()
            head = self._words.head
            if head < self._position:
                raise RingError(self._path, f"has its head at {head}, after {self._position}")
            self.filled = (head - self._position) / self._file.capacity
            start = max(self._position, self._file.oldest(head))
            data = self._file.read(start, head)
            intact = max(start, self._file.oldest(self._file.words().head))
            if intact <= head:
                self._position = head
                return self._batch(data[intact - start :], intact, head)
        return self._nothing()  # lapped again and again while reading: the next call finds out by how much

    def _nothing(self) -> Batch:
        return Batch(self._file.origin, Headers.joined(()), b"")

    def _batch(self, data: bytes, start: int, head: int) -> Batch:
        """Return the records in what lies between two positions."""
        found: list[Headers] = []
        words = np.frombuffer(data, dtype="<i8")
        sizes = memoryview(data).cast("I")
        position, segment = start, self._file.segment
        while position < head:
            boundary = (position // segment + 1) * segment
            end = min(boundary, head)
            if boundary - position >= layout.OVERHEAD:
                stated = Headers.read(words, stretch(sizes, position - start, end - start))
                sound = self._sound(words, stated, start, end)
                found.append(stated[:sound])
                rest = self._understood - start if sound else position - start
                unused = end - start == rest or start + rest + layout.OVERHEAD > boundary or words[rest >> 3] == 0
                self.damaged += not unused
            position = end
        return Batch(self._file.origin, Headers.joined(found), data)

    def _sound(self, words: Whole, stated: Headers, start: int, end: int) -> int:
        """Return how many records of a stretch are sound, and take in what they say.

        Each must number on from the one before it; a gap before the first, in records or rows, cannot be larger than
        the bytes between it and the last sound one.
        """
        if not len(stated.at):
            return 0
        whole = (stated.size >= layout.OVERHEAD) & (stated.size % layout.ALIGNMENT == 0)
        whole &= stated.at + stated.size <= end - start
        last = np.where(whole, stated.at + stated.size - layout.TRAILER.size, stated.at)
        whole &= words[last // layout.ALIGNMENT] == stated.sequence
        whole &= self._file.fits(stated.rows, stated.size - layout.OVERHEAD)
        whole[1:] &= stated.sequence[1:] == stated.sequence[:-1] + 1
        whole[1:] &= stated.before[1:] == stated.before[:-1] + stated.rows[:-1]
        missed_records, missed_rows = int(stated.sequence[0]) - 1 - self._sequence, int(stated.before[0]) - self._rows
        gap = start + int(stated.at[0]) - self._understood
        whole[0] &= 0 <= missed_records <= gap // layout.OVERHEAD and 0 <= missed_rows <= gap
        sound = len(whole) if whole.all() else int(whole.argmin())
        if sound:
            self._missed_records += missed_records
            self._missed_rows += missed_rows
            at = sound - 1
            self._sequence, self._rows = int(stated.sequence[at]), int(stated.before[at] + stated.rows[at])
            self._understood = start + int(stated.at[at] + stated.size[at])
        return sound
