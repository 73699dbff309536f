"""Which predictions have their label already, so that a label sent twice counts once.

Two tables of 64-bit hashes, in place and of fixed size: when the newer one is half full, the older one is forgotten
and an empty one takes its place.  So at least the last `REMEMBERED` predictions are known, in 2 MiB.  Among a million,
two have the same hash with a probability of 3e-8.

The tables lie in a file in memory, so that the next worker knows as much; where there is none, in the worker's own.
"""

import hashlib
import mmap
import os
from pathlib import Path

REMEMBERED = 1 << 16
_SLOTS = 2 * REMEMBERED
_SLOT_BYTES = 8
_HEADER = 2  # numbers before the tables: which is the newer one, and how many slots of it are used


class Memory:
    """Remembers texts, the last ones at least."""

    def __init__(self, file: Path | None = None, slots: int = _SLOTS) -> None:
        """Take up what an earlier worker left.

        Args:
            file: where it lies; None: nowhere.
            slots: of a table, a power of two.

        Raises:
            OSError: there is no room for the file.
        """
        self._slots = slots
        size = (_HEADER + 2 * slots) * _SLOT_BYTES
        self._numbers = memoryview(_mapped(file, size)).cast("Q")
        if self._numbers[0] > 1 or 2 * self._numbers[1] >= slots:
            self._numbers[:] = memoryview(bytes(size)).cast("Q")

    def add(self, text: str) -> bool:
        """Remember a text; tell whether it is new."""
        digest = hashlib.blake2b(text.encode(), digest_size=_SLOT_BYTES).digest()
        number = int.from_bytes(digest, "big") or 1  # 0 is an empty slot
        newer = self._numbers[0] & 1
        at = self._find(newer, number)
        if self._numbers[at] == number or self._numbers[self._find(1 - newer, number)] == number:
            return False
        self._numbers[at] = number
        self._numbers[1] += 1
        if 2 * self._numbers[1] >= self._slots:
            start = _HEADER + (1 - newer) * self._slots
            self._numbers[start : start + self._slots] = memoryview(bytes(self._slots * _SLOT_BYTES)).cast("Q")
            self._numbers[0], self._numbers[1] = 1 - newer, 0
        return True

    def _find(self, table: int, number: int) -> int:
        """Return the place that holds a number, or the free one it would go to."""
        start, at = _HEADER + table * self._slots, number % self._slots
        while self._numbers[start + at] not in {0, number}:
            at = (at + 1) % self._slots
        return start + at


def _mapped(file: Path | None, size: int) -> mmap.mmap:
    """Return memory of that size; a file of another size is begun anew."""
    if file is None:
        return mmap.mmap(-1, size)
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(handle).st_size != size:
            os.ftruncate(handle, 0)
            os.posix_fallocate(handle, 0, size)  # else a page without room would end the worker when it is written
        return mmap.mmap(handle, size)
    finally:
        os.close(handle)
