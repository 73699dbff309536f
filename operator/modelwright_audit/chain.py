"""Records in a chain: each names the SHA-256 of the one before it and has its own; pure.

A record is one line of canonical JSON.  ``hash`` is the SHA-256 of the record without that field, ``previous`` the
hash of the record before, ``sequence`` counts from 1.  A changed byte breaks its own record; one that is changed with
its hash, left out or moved breaks the next one.  That the end is missing shows by the last hash alone: the head, which
is kept elsewhere.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

BEGINNING: Final = "sha256:" + "0" * 64
"""What the first record names as the one before it."""

MOST_LINE_BYTES: Final = 16 << 10
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Head:
    """The last record: its number and its hash."""

    sequence: int = 0
    hash: str = BEGINNING


class BrokenError(Exception):
    """The chain is broken; the text says where and how."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")


def canonical(record: Mapping[str, Any]) -> str:
    """Return the one spelling that a record has."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(record: Mapping[str, Any]) -> str:
    """Return the hash of a record."""
    content = {key: value for key, value in record.items() if key != "hash"}
    return "sha256:" + hashlib.sha256(canonical(content).encode()).hexdigest()


def link(entries: Iterable[Mapping[str, Any]], head: Head) -> tuple[list[str], Head]:
    """Return lines that go on after the head, and the new head."""
    lines: list[str] = []
    for entry in entries:
        sequence = head.sequence + 1
        record = {**entry, "sequence": sequence, "previous": head.hash}
        head = Head(sequence, digest(record))
        lines.append(canonical({**record, "hash": head.hash}))
    return lines, head


def follow(lines: Iterable[tuple[str, bytes]], head: Head | None = None) -> Iterator[Record]:
    """Yield the records of lines, as far as the chain holds.

    Args:
        lines: where each stands, and its bytes without the end of line.
        head: what must come before the first; None: whatever it says.

    Raises:
        BrokenError: a record was changed, left out, put in or moved.
    """
    for where, line in lines:
        record = _record(where, line)
        if head is not None:
            _check_place(where, record, head)
        head = Head(record["sequence"], record["hash"])
        yield record


def _record(where: str, line: bytes) -> Record:
    if len(line) > MOST_LINE_BYTES:
        problem = f"it has more than {MOST_LINE_BYTES} bytes: no record has"
        raise BrokenError(where, problem)
    try:
        found: object = json.loads(line)
        written = canonical(cast("Record", found)) if isinstance(found, dict) else ""
    except (ValueError, RecursionError):
        found, written = None, ""
    if not written or written.encode() != line:
        problem = "it is no record as they are written: it was changed"
        raise BrokenError(where, problem)
    record = cast("Record", found)
    if record.get("hash") != digest(record) or type(record.get("sequence")) is not int:
        problem = f"record {record.get('sequence')} was changed: its hash is not that of its content"
        raise BrokenError(where, problem)
    return record


def _check_place(where: str, record: Record, head: Head) -> None:
    number = record["sequence"]
    if number != head.sequence + 1:
        wanted = head.sequence + 1
        problem = f"record {number} stands where record {wanted} belongs: some were left out, put in or moved"
        raise BrokenError(where, problem)
    if record.get("previous") != head.hash:
        problem = f"record {number} follows another record than the one before it: that one was replaced"
        raise BrokenError(where, problem)
