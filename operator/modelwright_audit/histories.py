"""What is to be recorded of objects: the lines of their histories that were not recorded yet; pure.

A history has 50 lines at most.  Where the line that was recorded last is no longer among them, more were written since,
and where the object is gone, some may have been: both is recorded as well, since silence would look like nothing.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from modelwright_audit.chain import Record, canonical

Object = Mapping[str, Any]
LOST: Final = "HistoryLost"
GONE: Final = "ObjectGone"
_KINDS: Final = {"ModelVersion": "modelversions", "Deployment": "modeldeployments"}
PLURALS: Final = tuple(_KINDS.values())
_OF_LINE: Final = ("at", "event", "version", "by", "message")
_IDENTITY: Final = ("kind", "namespace", "name", "uid")


@dataclass(slots=True)
class Recorded:
    """What the log has already: by an object's uid who it is, and the mark of its last line."""

    objects: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    def add(self, record: Object) -> None:
        """Take note of a record."""
        uid = str(record["uid"])
        if record["event"] == GONE:
            self.objects.pop(uid, None)
        elif record["event"] != LOST:
            self.objects[uid] = {**{key: str(record[key]) for key in _IDENTITY}, "line": mark(record)}


def mark(line: Object) -> str:
    """Return what tells a line of an object from its others."""
    content = {key: line[key] for key in _OF_LINE if line.get(key)}
    return hashlib.sha256(canonical(content).encode()).hexdigest()[:32]


def news(objects: Sequence[Object], recorded: Recorded, now: str) -> list[Record]:
    """Return what is to be recorded, in the order in which it happened.

    Args:
        objects: all there are.
        recorded: what is recorded already.
        now: when this is, as RFC 3339 has it.
    """
    digests = {
        (_text(item, "metadata", "namespace"), _text(item, "metadata", "name")): _text(
            item, "spec", "artifact", "digest"
        )
        for item in objects
        if item.get("kind") == "ModelVersion"
    }
    found: list[Record] = []
    for item in objects:
        found += _of_object(item, recorded, digests, now)
    there = {_text(item, "metadata", "uid") for item in objects}
    for uid, known in recorded.objects.items():
        if uid not in there:
            message = "it is no longer there; what it had said since the last export is in the operator's log alone"
            found.append({**{key: known[key] for key in _IDENTITY}, "at": now, "event": GONE, "message": message})
    return sorted(({**record, "recordedAt": now} for record in found), key=lambda record: str(record["at"]))


def _of_object(item: Object, recorded: Recorded, digests: Mapping[tuple[str, str], str], now: str) -> Iterable[Record]:
    identity = {
        "kind": str(item.get("kind", "")),
        **{key: _text(item, "metadata", key) for key in ("namespace", "name", "uid")},
    }
    lines = _lines(item)
    known = recorded.objects.get(identity["uid"])
    start = 0
    if known is not None:
        start = next((at + 1 for at in range(len(lines) - 1, -1, -1) if mark(lines[at]) == known["line"]), 0)
        if start == 0:
            message = (
                "the line recorded last is no longer in its history: what came between is in the operator's log alone"
            )
            yield {**identity, "at": str(lines[0]["at"]) if lines else now, "event": LOST, "message": message}
    for line in lines[start:]:
        version = str(line.get("version") or (identity["name"] if identity["kind"] == "ModelVersion" else ""))
        digest = digests.get((identity["namespace"], version), "") if version else ""
        told = {key: str(line[key]) for key in _OF_LINE if line.get(key)}
        yield {**identity, **told, **({"digest": digest} if digest else {})}


def _lines(item: Object) -> list[Object]:
    status = item.get("status")
    found = cast("Object", status).get("history") if isinstance(status, dict) else None
    lines = cast("list[object]", found) if isinstance(found, list) else []
    return [cast("Object", line) for line in lines if isinstance(line, dict) and "at" in line and "event" in line]


def _text(item: object, *path: str) -> str:
    for key in path:
        item = cast("Object", item).get(key) if isinstance(item, dict) else None
    return item if isinstance(item, str) else ""
