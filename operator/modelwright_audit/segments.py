"""The log in a store: objects that are put once and never changed, each named after its first record.

``<prefix>/000000000001.jsonl`` holds the first records, the next object those after them.  An object is put under the
condition that there is none, so that two exports at once cannot both go on from the same record.  Beside them
``cursor.json`` spares the next export the reading of all.  It proves nothing: it is believed only if it is what the
cluster remembers, else it is made anew from the records.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

from modelwright_audit.chain import BEGINNING, BrokenError, Head, Record, follow
from modelwright_audit.histories import Recorded

CURSOR: Final = "cursor.json"
MOST_RECORDS: Final = 500
"""In one object: the longest of them are no more than `MOST_BYTES`."""
MOST_BYTES: Final = 8 << 20
_MOST_SEGMENTS: Final = 1_000_000
_DIGITS: Final = 12
_SUFFIX: Final = ".jsonl"


class Readable(Protocol):
    """Where the objects are, or copies of them: `modelwright_audit.places` has those that there are."""

    def names(self, limit: int) -> list[str]:
        """Return the names of all objects, sorted."""
        ...

    def read(self, name: str, limit: int) -> bytes | None:
        """Return an object; None: there is none."""
        ...


class Place(Readable, Protocol):
    """Where they are put."""

    def create(self, name: str, data: bytes) -> bool:
        """Put an object where there is none; return whether there was none."""
        ...

    def replace(self, name: str, data: bytes) -> None:
        """Put an object, whatever was there."""
        ...


def name_of(sequence: int) -> str:
    """Return the name of the object whose first record has this number."""
    return f"{sequence:0{_DIGITS}d}{_SUFFIX}"


def lines_of(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the lines of an object, each with where it stands.

    Raises:
        BrokenError: its end is missing.
    """
    lines = data.split(b"\n")
    if lines.pop():
        where, problem = f"{name} line {len(lines) + 1}", "it does not end: its end is missing"
        raise BrokenError(where, problem)
    for at, line in enumerate(lines):
        yield f"{name} line {at + 1}", line


def segments(place: Readable) -> list[str]:
    """Return the names of the objects that hold records, in order."""
    return [name for name in place.names(_MOST_SEGMENTS) if is_segment(name)]


def is_segment(name: str) -> bool:
    """Tell whether an object of that name holds records."""
    stem = name.removesuffix(_SUFFIX)
    return name.endswith(_SUFFIX) and stem.isdecimal() and stem.isascii() and len(stem) == _DIGITS


@dataclass(frozen=True, slots=True)
class Kept:
    """What is remembered of the log away from the store.

    Attributes:
        head: the last record.
        last: name of the object that has it.
        cursor: SHA-256 of the cursor.
    """

    head: Head = field(default_factory=Head)
    last: str = ""
    cursor: str = ""


class Log:
    """The log as an export sees it: where it ends, and what it has of each object."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.head = Head()
        self.recorded = Recorded()
        self.last = ""
        """Name of the object that has the last record."""
        self._cursor = ""

    @property
    def kept(self) -> Kept:
        """What is to be remembered."""
        return Kept(self.head, self.last, self._cursor)

    def open(self, kept: Kept) -> None:
        """Find the end: by the cursor if there is the one that is remembered, and on from there.

        Raises:
            BrokenError: the chain is broken, or the record that is remembered is not in it.
            StoreError: the store cannot be read.
        """
        if not self._has(kept):
            problem = (
                f"record {kept.head.sequence} with hash {kept.head.hash}, which is remembered, is not in the store"
            )
            raise BrokenError(kept.last or "the log", problem)
        if not self._take_cursor(kept):
            self.head, self.recorded, self.last = Head(), Recorded(), ""
            names = segments(self._place)
            for name in names:
                self._take(name)
            return
        while self._take(name_of(self.head.sequence + 1), optional=True):
            pass

    def append(self, lines: Iterable[str], head: Head) -> bool:
        """Put an object of lines that follow the head; return whether nobody else did meanwhile.

        Raises:
            StoreError: the store cannot be written.
        """
        name = name_of(self.head.sequence + 1)
        data = "".join(f"{line}\n" for line in lines).encode()
        if not self._place.create(name, data):
            return False
        for record in follow(lines_of(name, data), self.head):
            self.recorded.add(record)
        self.head, self.last = head, name
        return True

    def save(self) -> None:
        """Put the cursor.

        Raises:
            StoreError: the store cannot be written.
        """
        document = {
            "head": {"sequence": self.head.sequence, "hash": self.head.hash, "last": self.last},
            "objects": self.recorded.objects,
        }
        data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        if len(data) <= MOST_BYTES:  # else the next export reads the records instead
            self._place.replace(CURSOR, data)
            self._cursor = _digest(data)
        else:
            self._cursor = ""

    def _has(self, kept: Kept) -> bool:
        head, name = kept.head, kept.last
        if head.sequence == 0:
            return head.hash == BEGINNING
        data = self._place.read(name, MOST_BYTES) if is_segment(name) else None
        found = follow(lines_of(name, data or b""))
        return any((record["sequence"], record["hash"]) == (head.sequence, head.hash) for record in found)

    def _take_cursor(self, kept: Kept) -> bool:
        data = self._place.read(CURSOR, MOST_BYTES) if kept.cursor else None
        if data is None or _digest(data) != kept.cursor:
            return False
        try:
            document: Any = json.loads(data)
            head = Head(int(document["head"]["sequence"]), str(document["head"]["hash"]))
            objects = {str(uid): _texts(known) for uid, known in document["objects"].items()}
            last = str(document["head"]["last"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
        if (head, last) != (kept.head, kept.last):
            return False
        self.head, self.recorded, self.last, self._cursor = head, Recorded(objects), last, kept.cursor
        return True

    def _take(self, name: str, *, optional: bool = False) -> bool:
        data = self._place.read(name, MOST_BYTES)
        if data is None:
            if optional:
                return False
            problem = "it is gone"
            raise BrokenError(name, problem)
        record: Record | None = None
        for record in follow(lines_of(name, data), self.head):
            self.recorded.add(record)
        if record is None:
            problem = "it is empty: its records were removed"
            raise BrokenError(name, problem)
        self.head, self.last = Head(record["sequence"], record["hash"]), name
        return True


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _texts(known: object) -> dict[str, str]:
    found = cast("dict[str, object]", known)
    return {key: str(found[key]) for key in ("kind", "namespace", "name", "uid", "line")}
