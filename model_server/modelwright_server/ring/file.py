"""A ring's file as a reader sees it.

It is read with ``pread`` and never mapped: a file that shrinks ends in an error and not in a signal.
Nothing in it is trusted: memory is taken for at most one ring and one document of bounded size.
"""

import json
import os
import stat
import zlib
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import numpy as np
import numpy.typing as npt

from modelwright_server import schema
from modelwright_server.artifact import ArtifactInvalidError
from modelwright_server.ring import layout
from modelwright_server.ring.layout import RingError
from modelwright_server.ring.record import Origin, least_bytes
from modelwright_server.schema import Datatype

_ATTEMPTS = 10


class Words(NamedTuple):
    """What the writer keeps current in the header."""

    head: int
    dropped_records: int
    dropped_rows: int


class RingFile:
    """An open ring whose header has been checked.

    Attributes:
        origin: whose predictions it holds.
        capacity: bytes for records.
        segment: bytes of a segment.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """Check the header; takes over the descriptor only if that succeeds.

        Raises:
            RingError: it is no ring.
        """
        self._path = path
        self._descriptor = descriptor
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise RingError(path, "is not a regular file")
        self._identity = (status.st_dev, status.st_ino)
        magic, version, records_at, capacity, length, checksum, nonce = cast(
            "tuple[bytes, int, int, int, int, int, bytes]",
            layout.PREAMBLE.unpack(self._bytes(0, layout.PREAMBLE.size)),
        )
        if magic != layout.MAGIC:
            raise RingError(path, "is not a ring")
        if version != layout.VERSION:
            raise RingError(path, f"has layout {version}, this reader knows {layout.VERSION}")
        sound = layout.is_capacity(capacity) and length <= layout.MAX_DOCUMENT
        if not sound or records_at != layout.records_at(length) or status.st_size != records_at + capacity:
            raise RingError(path, "states sizes that are not its own")
        document = self._bytes(layout.DOCUMENT_AT, length)
        if zlib.crc32(document) != checksum:
            raise RingError(path, "has a damaged document")
        self.origin = _origin(path, document, nonce)
        self._records_at, self.capacity = records_at, capacity
        self.segment = capacity // layout.SEGMENTS
        specs = (*self.origin.schema.inputs, *self.origin.schema.outputs)
        self._least = min(sum(map(least_bytes, specs)), 2 * layout.MAX_CAPACITY)  # times 2^32 rows: no overflow
        self._has_texts = any(spec.datatype is Datatype.BYTES for spec in specs)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a ring.

        Raises:
            RingError: there is none, or it is no ring.
        """
        try:
            # Opening a pipe would wait for its other end.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise RingError(path, f"cannot be opened: {error.strerror}") from error
        try:
            return cls(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def close(self) -> None:
        """Give it back; once only."""
        os.close(self._descriptor)

    def is_replaced(self) -> bool:
        """Tell whether another file has taken its path: a new writer has come."""
        try:
            status = self._path.lstat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) != self._identity

    def words(self) -> Words:
        """Read the header's current numbers.

        Raises:
            RingError: they cannot be, or cannot be read.
        """
        before = b""
        for _ in range(_ATTEMPTS):  # twice the same: not read while one of them was being stored
            now = self._bytes(layout.WORDS_AT, layout.WORDS.size)
            if now == before:
                break
            before = now
        words = Words(*layout.WORDS.unpack(before))
        if words.head % layout.ALIGNMENT:
            raise RingError(self._path, f"has its head at {words.head}, which no record ends at")
        return words

    def oldest(self, head: int) -> int:
        """Return from where on all is intact while the head is there."""
        return max(0, head // self.segment + 1 - layout.SEGMENTS) * self.segment

    def fits(self, rows: npt.NDArray[np.int64], size: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Tell whether so many rows can take so many bytes, with the zeros behind them; record by record."""
        least = self._least * rows
        fits = least <= size
        return fits if self._has_texts else fits & (size - least < layout.ALIGNMENT)

    def read(self, start: int, end: int) -> bytes:
        """Return what lies between two positions, at most the capacity apart.

        Raises:
            RingError: it cannot be read.
        """
        at = start % self.capacity
        first = min(end - start, self.capacity - at)
        data = self._bytes(self._records_at + at, first)
        return data + self._bytes(self._records_at, end - start - first) if end - start > first else data

    def _bytes(self, offset: int, length: int) -> bytes:
        try:
            data = os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise RingError(self._path, f"cannot be read: {error.strerror}") from error
        if len(data) != length:
            raise RingError(self._path, f"ends at byte {offset + len(data)}, too early for a ring")
        return data


def _origin(path: Path, document: bytes, nonce: bytes) -> Origin:
    try:
        stated = cast("dict[str, Any]", json.loads(document))
        signature = schema.parse(json.dumps(stated["schema"]).encode())
        texts = [stated[name] for name in ("model", "version", "digest", "track")]
    except (ValueError, RecursionError, KeyError, TypeError, ArtifactInvalidError) as error:
        raise RingError(path, f"has a document that cannot be read ({type(error).__name__}: {error})") from error
    if any(type(text) is not str for text in texts):
        raise RingError(path, "has a document whose model, version, digest or track is no text")
    model, version, digest, track = texts
    return Origin(signature, model, version, digest, track, nonce.hex())
