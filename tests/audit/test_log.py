"""The audit log: nothing is lost unsaid, nothing twice, and no tampering goes unseen."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from modelwright_audit.__main__ import export
from modelwright_audit.chain import BrokenError, Head, canonical, digest, follow, link
from modelwright_audit.histories import GONE, LOST
from modelwright_audit.segments import CURSOR, Kept, lines_of, name_of, segments

if TYPE_CHECKING:
    from collections.abc import Callable

Object = dict[str, Any]
NOW = "2026-11-22T12:00:00Z"
DIGEST = "sha256:" + "9f" * 32


@dataclass
class Memory:
    """A store, and what is remembered of it elsewhere."""

    objects: dict[str, bytes] = field(default_factory=dict)
    kept: Kept = field(default_factory=Kept)
    before_create: Callable[[], None] | None = None
    reads: list[str] = field(default_factory=list)
    writes: int = 0

    def names(self, limit: int) -> list[str]:
        return sorted(self.objects)[:limit]

    def read(self, name: str, limit: int) -> bytes | None:
        self.reads.append(name)
        data = self.objects.get(name)
        assert data is None or len(data) <= limit
        return data

    def create(self, name: str, data: bytes) -> bool:
        if self.before_create is not None:
            act, self.before_create = self.before_create, None
            act()
        if name in self.objects:
            return False
        self.objects[name] = data
        self.writes += 1
        return True

    def replace(self, name: str, data: bytes) -> None:
        self.objects[name] = data
        self.writes += 1

    def export(self, *objects: Object) -> int:
        keeper = _Keeper(self)
        return export(objects, self, keeper, NOW)[0]

    def records(self) -> list[Object]:
        lines = (line for name in segments(self) for line in lines_of(name, self.objects[name]))
        return list(follow(lines, Head()))


@dataclass
class _Keeper:
    memory: Memory

    def read(self) -> Kept:
        return self.memory.kept

    def write(self, kept: Kept) -> None:
        self.memory.kept = kept


def line(minute: int, event: str = "InUse", **more: str) -> Object:
    return {"at": f"2026-11-22T10:{minute:02d}:00Z", "event": event, "message": f"turn {minute}", **more}


def version(*history: Object, name: str = "churn-1", uid: str = "v-1") -> Object:
    metadata = {"namespace": "team", "name": name, "uid": uid}
    return {
        "kind": "ModelVersion",
        "metadata": metadata,
        "spec": {"artifact": {"digest": DIGEST}},
        "status": {"history": list(history)},
    }


def serving(*history: Object) -> Object:
    metadata = {"namespace": "team", "name": "churn", "uid": "d-1"}
    return {"kind": "Deployment", "metadata": metadata, "status": {"history": list(history)}}


def test_each_line_is_recorded_once_with_who_what_when_why_and_digest() -> None:
    memory = Memory()
    approved = line(1, "Approved", by="ana", message="approved by ana: fine")
    promoted = line(2, "Promoted", version="churn-1")
    assert memory.export(serving(promoted), version(approved)) == 2
    assert memory.export(serving(promoted), version(approved)) == 0
    first, second = memory.records()
    assert first == {
        "kind": "ModelVersion",
        "namespace": "team",
        "name": "churn-1",
        "uid": "v-1",
        "at": "2026-11-22T10:01:00Z",
        "event": "Approved",
        "by": "ana",
        "message": "approved by ana: fine",
        "digest": DIGEST,
        "recordedAt": NOW,
        "sequence": 1,
        "previous": "sha256:" + "0" * 64,
        "hash": digest(first),
    }
    assert (second["version"], second["digest"], second["previous"]) == ("churn-1", DIGEST, first["hash"])
    assert memory.kept.head == Head(2, second["hash"])


def test_nothing_new_writes_nothing_and_reads_next_to_nothing() -> None:
    memory = Memory()
    for minute in range(1, 30):
        memory.export(version(*(line(at) for at in range(1, minute + 1))))
    memory.reads.clear()
    memory.writes = 0
    assert memory.export(version(*(line(at) for at in range(1, 30)))) == 0
    assert memory.writes == 0
    assert memory.reads == [name_of(29), CURSOR, name_of(30)]
    assert len(memory.records()) == 29


def test_lines_that_fell_out_of_a_history_are_said_to_be_missing() -> None:
    memory = Memory()
    memory.export(version(line(1), line(2)))
    memory.export(version(*(line(at) for at in range(5, 55))))
    told = memory.records()
    assert [item["event"] for item in told[:4]] == ["InUse", "InUse", LOST, "InUse"]
    assert "operator's log" in told[2]["message"]
    assert len(told) == 53
    assert memory.export(version(*(line(at) for at in range(5, 55)))) == 0


def test_an_object_that_is_gone_is_recorded_once_and_may_come_again() -> None:
    memory = Memory()
    memory.export(version(line(1)))
    assert memory.export() == 1
    assert memory.export() == 0
    assert (memory.records()[-1]["event"], memory.records()[-1]["uid"]) == (GONE, "v-1")
    assert memory.export(version(line(3), uid="v-2")) == 1


def test_many_lines_go_into_several_objects() -> None:
    memory = Memory()
    made = [version(*(line(at) for at in range(50)), name=f"churn-{n}", uid=f"v-{n}") for n in range(25)]
    assert memory.export(*made) == 1250
    assert segments(memory) == [name_of(1), name_of(501), name_of(1001)]
    assert len(memory.records()) == 1250


@pytest.mark.parametrize("damage", ["lost", "forged", "stale"])
def test_without_a_cursor_to_believe_the_records_themselves_are_read(damage: str) -> None:
    memory = Memory()
    memory.export(version(line(1)))
    before = memory.objects[CURSOR]
    memory.export(version(line(1), line(2)))
    if damage == "lost":
        del memory.objects[CURSOR]
    elif damage == "stale":
        memory.objects[CURSOR] = before
    else:  # by somebody who would keep a line out of the log
        document = json.loads(memory.objects[CURSOR])
        document["objects"]["v-1"]["line"] = "0" * 32
        memory.objects[CURSOR] = canonical(document).encode()
    assert memory.export(version(line(1), line(2), line(3))) == 1
    assert [item["event"] for item in memory.records()] == ["InUse"] * 3


def test_an_export_that_ended_half_way_is_gone_on_with() -> None:
    memory = Memory()
    memory.export(version(line(1)))
    kept, cursor = memory.kept, memory.objects[CURSOR]
    memory.export(version(line(1), line(2)))
    memory.kept, memory.objects[CURSOR] = kept, cursor  # the records were put, and then it was killed
    assert memory.export(version(line(1), line(2), line(3))) == 1
    assert len(memory.records()) == 3


def test_two_exports_at_once_record_nothing_twice() -> None:
    memory = Memory()
    memory.export(version(line(1)))

    def other() -> None:
        memory.export(version(line(1), line(2)))

    memory.before_create = other
    assert memory.export(version(line(1), line(2), line(3))) == 1
    assert [item["message"] for item in memory.records()] == ["turn 1", "turn 2", "turn 3"]


def test_an_export_refuses_a_store_whose_end_is_missing() -> None:
    memory = Memory()
    memory.export(version(line(1)))
    memory.export(version(line(1), line(2)))
    del memory.objects[name_of(2)]
    with pytest.raises(BrokenError, match=r"000000000002.jsonl: record 2 .* is not in the store"):
        memory.export(version(line(1), line(2), line(3)))
    assert name_of(3) not in memory.objects


def chain(count: int = 6) -> list[bytes]:
    lines, _ = link(({"event": f"number {at}"} for at in range(count)), Head())
    return [item.encode() for item in lines]


def problem(lines: list[bytes]) -> str:
    with pytest.raises(BrokenError) as caught:
        list(follow(lines_of("log", b"".join(item + b"\n" for item in lines)), Head()))
    return str(caught.value)


def test_every_changed_byte_is_found_where_it_is() -> None:
    lines = chain(3)
    for number, text in enumerate(lines):
        for at in range(len(text)):
            changed = [*lines]
            changed[number] = text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]
            assert problem(changed).startswith((f"log line {number + 1}: ", f"log line {number + 2}: "))
            assert b"\n" in changed[number] or problem(changed).startswith(f"log line {number + 1}: ")


def rehashed(text: bytes, **values: Any) -> bytes:
    record = {**json.loads(text), **values}
    return canonical({**record, "hash": digest(record)}).encode()


def test_what_is_left_out_put_in_moved_or_rewritten_is_found() -> None:
    lines = chain()
    assert problem([*lines[:2], *lines[3:]]).startswith("log line 3: record 4 stands where record 3 belongs")
    assert problem(lines[1:]).startswith("log line 1: record 2 stands where record 1 belongs")
    assert problem([lines[0], lines[0], *lines[1:]]).startswith("log line 2: record 1 stands where record 2 belongs")
    assert problem([lines[0], lines[2], lines[1], *lines[3:]]).startswith("log line 2: record 3 stands")
    forged = [*lines[:2], rehashed(lines[2], event="nothing"), *lines[3:]]
    assert problem(forged).startswith("log line 4: record 4 follows another record")
    renumbered = [lines[0], rehashed(lines[2], sequence=2), *lines[3:]]
    assert problem(renumbered).startswith("log line 2: record 2 follows another record")


def test_a_last_line_without_its_end_is_found() -> None:
    with pytest.raises(BrokenError, match="line 2: it does not end"):
        list(follow(lines_of("log", chain(1)[0] + b"\n" + b'{"sequence":'), Head()))


def test_hostile_lines_are_no_records() -> None:
    for text in (b"", b"[]", b"null", b"{}", b"[" * 9000, b'{"a":NaN}', b'{"sequence":true}', b"\xff", b"0" * 20000):
        assert problem([text]).startswith("log line 1: ")
