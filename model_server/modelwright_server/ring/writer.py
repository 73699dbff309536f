"""The writing end of a ring."""

import errno
import json
import mmap
import os
import platform
import secrets
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

from modelwright_server.ring import layout
from modelwright_server.schema import Schema

# These CPUs show other cores the stores of one core in their order; all others need to be told.
_ORDERED = platform.machine() in {"x86_64", "AMD64", "i686"}
_MOST_PACKERS = 1024
NONCE_BYTES = 16
_LENGTHS = [length.to_bytes(4, "little") for length in range(layout.MAX_TEXT + 1)]

_Packer = tuple[Callable[..., None], int]


class RingWriter:
    """Appends records to a ring; one thread at a time.

    Attributes:
        written_rows: rows in the records written.
        dropped_rows: rows that were not written, because they are too many or too large.
        record_values: bytes of values that a record should have at most, so that little of a segment stays empty.
    """

    __slots__ = (
        "_base",
        "_dropped",
        "_end",
        "_fence",
        "_limit",
        "_map",
        "_now",
        "_packers",
        "_records_at",
        "_segment",
        "_sequence",
        "_words",
        "dropped_rows",
        "record_values",
        "written_rows",
    )

    def __init__(self, memory: mmap.mmap, records_at: int, capacity: int, now: Callable[[], int]) -> None:
        self._map = memory
        self._words = memoryview(memory)[layout.WORDS_AT : layout.WORDS_AT + layout.WORDS.size].cast("Q")
        self._records_at = self._base = records_at  # base + position is the offset in the file, in this lap
        self._segment = self._limit = capacity // layout.SEGMENTS
        self.record_values = self._segment // 4
        self._now = now
        self._packers: dict[int, _Packer] = {}
        self._fence = None if _ORDERED else _Fence()
        self._end = self._sequence = self._dropped = 0
        self.written_rows = self.dropped_rows = 0

    @classmethod
    def create(  # noqa: PLR0913 - what the header says
        cls,
        folder: Path,
        name: str,
        schema: Schema,
        *,
        model: str,
        version: str,
        digest: str,
        track: str = "stable",
        capacity: int = layout.DEFAULT_CAPACITY,
        nonce: bytes | None = None,
        now: Callable[[], int] = time.time_ns,
    ) -> Self:
        """Make the file ``name`` in ``folder``, in place of one that an earlier process left there.

        All of its memory is taken now: a write to a page that the folder has no room for would end
        the process.

        The nonce is 16 random bytes, and those of the process's prediction ids begin with it.

        Raises:
            OSError: it cannot be made; there is no room, or the schema is too large for a header.
            ValueError: ``capacity`` is not a multiple of 16 KiB up to 64 MiB.
        """
        if not layout.is_capacity(capacity):
            message = f"capacity is {capacity}, it must be a multiple of 16 KiB up to 64 MiB"
            raise ValueError(message)
        origin = {"model": model, "version": version, "digest": digest, "track": track}
        document = json.dumps({**origin, "schema": schema.to_document()}, separators=(",", ":")).encode()
        if len(document) > layout.MAX_DOCUMENT:
            raise OSError(errno.EFBIG, f"the schema takes {len(document)} bytes, a ring takes {layout.MAX_DOCUMENT}")
        records_at = layout.records_at(len(document))
        header = _header(document, records_at, capacity, nonce or secrets.token_bytes(NONCE_BYTES))
        memory = _file(folder / name, header, records_at + capacity)
        return cls(memory, records_at, capacity, now)

    def append(self, rows: int, parts: Sequence[bytes | memoryview], mark: int = 0, time: int | None = None) -> None:
        """Write one record: the raw values of each input, then of each output, in the schema's order.

        The mark is of the first row's prediction id; the time is that of the ids, now if none were made.

        Never waits and never raises: a record that cannot be written is counted in `dropped_rows`.
        """
        try:
            values = b"".join(parts)
            pack, size = self._packers.get(len(values)) or self._packer(len(values))
            start = self._end
            end = start + size
            if end > self._limit:
                if size > self._segment:
                    self.drop(rows)
                    return
                start = self._next_segment()
                end = start + size
            sequence = self._sequence + 1
            when = self._now() if time is None else time
            at = start + self._base
            pack(self._map, at, sequence, self.written_rows, when, size, rows, mark, values, sequence)
            if self._fence is not None:
                self._fence()
            self._words[0] = self._end = end
            self._sequence = sequence
            self.written_rows += rows
        except Exception:  # noqa: BLE001 - whatever is wrong with a record, its request has been answered
            self.drop(rows)

    def drop(self, rows: int) -> None:
        """Count rows as lost that are not written."""
        self._dropped += 1
        self.dropped_rows += rows
        self._words[1] = self._dropped
        self._words[2] = self.dropped_rows

    def _packer(self, length: int) -> _Packer:
        """Return what writes a record with that many bytes of values, and the record's size."""
        padded = length + -length % layout.ALIGNMENT
        packer = struct.Struct(f"{layout.RECORD.format}{padded}sQ")
        if len(self._packers) >= _MOST_PACKERS:  # texts have many lengths
            self._packers.clear()
        made = self._packers[length] = (packer.pack_into, packer.size)
        return made

    def _next_segment(self) -> int:
        """Leave the current segment; return where the next one starts, published as head."""
        position = self._base + self._end
        if self._limit - self._end >= layout.OVERHEAD:
            layout.TRAILER.pack_into(self._map, position, 0)
        start = self._limit
        self._limit += self._segment
        capacity = self._segment * layout.SEGMENTS
        self._base = self._records_at - start // capacity * capacity
        if self._fence is not None:
            self._fence()
        self._words[0] = self._end = start
        if self._fence is not None:
            self._fence()
        return start


class _Fence:
    """Makes other cores see the stores before it before those after it.

    Releasing a lock publishes what was stored before, and no store moves before the acquisition that
    sees the release.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def __call__(self) -> None:
        self._lock.release()
        self._lock.acquire()


def cut_texts(values: Iterable[str]) -> bytes:
    """Return texts as a raw tensor: length in 4 bytes, UTF-8 cut to 64 bytes where a character ends."""
    parts: list[bytes] = []
    for value in values:
        data = value.encode("utf-8", "replace")
        if len(data) > layout.MAX_TEXT:
            data = cut(data)
        parts += (_LENGTHS[len(data)], data)
    return b"".join(parts)


def cut(data: bytes) -> bytes:
    """Return the first 64 bytes of UTF-8 without the character they would cut in two."""
    return data[: layout.MAX_TEXT].decode("utf-8", "ignore").encode()


def _header(document: bytes, records_at: int, capacity: int, nonce: bytes) -> bytes:
    preamble = layout.PREAMBLE.pack(
        layout.MAGIC, layout.VERSION, records_at, capacity, len(document), zlib.crc32(document), nonce
    )
    return preamble.ljust(layout.DOCUMENT_AT, b"\0") + document


def _file(path: Path, header: bytes, size: int) -> mmap.mmap:
    """Make a file of that size, fully allocated and mapped, with a header; it appears complete or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)  # never written over: whoever made it may still have it mapped
    file = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        os.posix_fallocate(file, 0, size)
        memory = mmap.mmap(file, size, flags=mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0))
        memory[: len(header)] = header
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)
    return memory
