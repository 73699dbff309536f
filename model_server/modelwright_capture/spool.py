"""Chosen rows on disk, until the store has them: a killed worker loses none, and none is sent twice under two names.

    rows-00000007.spool     closed: becomes one Parquet file, and is removed once the store has it
    rows-00000008.spool     open: rows are added, and after each addition it says up to where rings were read

A file is frames, each with its length and checksum; one that was cut off by the writer's end is ignored, and its rows
are read from the ring again.  The next number opens a new file, which begins with the positions of all rings.  A folder
that is full, or a store that is away for so long that there is too much to keep, costs rows, which the caller counts.
"""

import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from modelwright_capture import rows as chunks
from modelwright_capture.rows import Chunk
from modelwright_capture.source import News, Position

MOST_BYTES = 32 << 20  # of all files
MOST_FILES = 256
FILE_ROWS = 10_000
FILE_BYTES = 2 << 20  # as texts and columns they take up to forty times as much
_HEAD = struct.Struct("<III")  # of a frame: bytes of its JSON, of its chunks, crc32 of both
_MOST_FRAME = 8 << 20
_NAME = re.compile(r"rows-([0-9]{8})\.spool")
_TRYING = "trying"
_MOST_TIMES = 3
_DAY_NS = 86_400 * 10**9


class FullError(Exception):
    """There is no room for these rows."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows that were read from one ring at a time, all answered on one day.

    Attributes:
        nonce: of the process that answered them; empty where there are none.
        version: name of the version.
        chunks: the rows.
    """

    nonce: str
    version: str
    chunks: tuple[Chunk, ...]


@dataclass(slots=True)
class _Open:
    path: Path
    file: IO[bytes]
    rows: int = 0
    size: int = 0
    day: int | None = None
    began: float = 0.0


class Spool:
    """The files of one pod."""

    def __init__(self, folder: Path, now: float) -> None:
        """Go on with what is there.

        Raises:
            OSError: the folder cannot be written.
        """
        self._folder = folder
        found = self._paths()
        self.positions: dict[str, Position] = {}
        self._number = int(_NAME.fullmatch(found[-1].name)[1]) if found else 0  # type: ignore[index]
        self._waiting = sum(path.stat().st_size for path in found[:-1])
        self._files = len(found[:-1])
        path = found[-1] if found else self._path(self._number)
        good, count, day = 0, 0, None
        if found:
            for header, frame, end in _frames(path):
                self.positions |= _positions(header)
                count += sum(len(chunk.marks) for chunk in frame.chunks)
                day = header.get("day", day)
                good = end
        file = path.open("ab")
        file.truncate(good)
        self._open = _Open(path, file, count, good, day, now)
        if not found:
            self._write({}, b"")

    @property
    def waiting_bytes(self) -> int:
        """Bytes of all files."""
        return self._waiting + self._open.size

    def add(self, news: News, found: list[Chunk], now: float) -> None:
        """Keep rows, and how far their ring was read.

        Raises:
            FullError: there is too much already; the position is kept all the same.
            OSError: the disk is full, or broken.
        """
        self.positions[news.ring] = news.position
        for day, some in _by_day(found):
            data = chunks.pack(some)
            if self._waiting + self._open.size + len(data) > MOST_BYTES or self._files >= MOST_FILES:
                raise FullError
            if self._open.rows and (self._open.day not in {None, day}):
                self.turn(now)
            self._write({"nonce": news.origin.nonce, "version": news.origin.version, "day": day}, data)
            if not self._open.rows:
                self._open.began = now
            self._open.day = day
            self._open.rows += sum(len(chunk.marks) for chunk in some)
            if self._open.rows >= FILE_ROWS or self._open.size >= FILE_BYTES:
                self.turn(now)

    def turn(self, now: float) -> None:
        """Close the open file if it has rows, and open the next.

        Raises:
            OSError: the next one cannot be made; this one stays open.
        """
        if not self._open.rows:
            return
        before, number = self._open, self._number + 1
        path = self._path(number)
        self._open = _Open(path, path.open("ab"), began=now)
        try:
            self._write({}, b"")
        except OSError:
            self._open.file.close()
            path.unlink(missing_ok=True)
            self._open = before
            raise
        before.file.close()
        self._number = number
        self._waiting += before.size
        self._files += 1

    def age(self, now: float) -> float:
        """Return how old the oldest row of the open file is, in seconds; 0 if it has none."""
        return now - self._open.began if self._open.rows else 0.0

    def closed(self) -> list[Path]:
        """Return the files that can be sent, oldest first."""
        return [path for path in self._paths() if path != self._open.path]

    def sent(self, path: Path) -> None:
        """Remove a file."""
        size = path.stat().st_size
        path.unlink()
        self._waiting = max(0, self._waiting - size)
        self._files = max(0, self._files - 1)

    def trying(self, path: Path) -> bool:
        """Tell whether a file may be sent, and note that it is tried until `tried`.

        One at which a worker ended a few times would end the next one as well.
        """
        mark = self._folder / _TRYING
        before = mark.read_text(encoding="ascii").split() if mark.exists() else []
        times = int(before[1]) if before[:1] == [path.name] else 0
        mark.write_text(f"{path.name} {times + 1}", encoding="ascii")
        return times < _MOST_TIMES

    def tried(self) -> None:
        """Note that the worker survived it."""
        (self._folder / _TRYING).unlink(missing_ok=True)

    def close(self) -> None:
        """Give the open file back."""
        self._open.file.close()

    def _write(self, header: Mapping[str, Any], data: bytes) -> None:
        positions = {name: asdict(position) for name, position in self.positions.items()}
        head = json.dumps({**header, "positions": positions}).encode()
        frame = _HEAD.pack(len(head), len(data), zlib.crc32(data, zlib.crc32(head))) + head + data
        file = self._open.file
        try:
            file.write(frame)
            file.flush()
        except OSError:
            file.truncate(self._open.size)
            raise
        self._open.size += len(frame)

    def _path(self, number: int) -> Path:
        return self._folder / f"rows-{number:08}.spool"

    def _paths(self) -> list[Path]:
        return sorted(path for path in self._folder.iterdir() if _NAME.fullmatch(path.name))


def number_of(path: Path) -> int:
    """Return the number of a spool's file."""
    found = _NAME.fullmatch(path.name)
    return int(found[1]) if found else 0


def read(path: Path) -> list[Frame]:
    """Return what a file holds.

    Raises:
        OSError: it cannot be read.
    """
    return [frame for _, frame, _ in _frames(path) if frame.chunks]


def _frames(path: Path) -> Iterator[tuple[dict[str, Any], Frame, int]]:
    """Return each sound frame and where it ends."""
    data, at = path.read_bytes(), 0
    while len(data) - at >= _HEAD.size:
        head, size, checksum = _HEAD.unpack_from(data, at)
        start, end = at + _HEAD.size, at + _HEAD.size + head + size
        if head + size > _MOST_FRAME or end > len(data) or zlib.crc32(data[start:end]) != checksum:
            return
        try:
            header: dict[str, Any] = json.loads(data[start : start + head])
            found = tuple(chunks.unpack(data[start + head : end]))
        except ValueError:
            return
        at = end
        yield header, Frame(header.get("nonce", ""), header.get("version", ""), found), end


def _positions(header: Mapping[str, Any]) -> dict[str, Position]:
    return {name: Position(item["nonce"], item["sequence"]) for name, item in header.get("positions", {}).items()}


def _by_day(found: list[Chunk]) -> Iterator[tuple[int, list[Chunk]]]:
    """Split chunks where a day (UTC) ends."""
    some: list[Chunk] = []
    for chunk in found:
        if some and chunk.time // _DAY_NS != some[0].time // _DAY_NS:
            yield some[0].time // _DAY_NS, some
            some = []
        some.append(chunk)
    if some:
        yield some[0].time // _DAY_NS, some
