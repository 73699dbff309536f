"""What a writer leaves in the file, and what it does when it cannot."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from modelwright_server.ring import cut_texts, writer
from modelwright_server.schema import Datatype, Schema, Task, TensorSpec
from tests.ring import rings

if TYPE_CHECKING:
    from pathlib import Path


def test_the_file_is_as_its_layout_says(tmp_path: Path) -> None:
    ring = rings.create(tmp_path, now=lambda: 1_700_000_000_123_456_789, track="canary")
    ring.append(1, rings.numbers(7, 1), 21)
    ring.append(2, rings.numbers(8, 2))
    ring.append(500, rings.numbers(0, 500))

    data = (tmp_path / "ring-0").read_bytes()
    magic, version, start, capacity, length, checksum, nonce = struct.unpack_from("<8sIIQII16s", data)
    assert (magic, version, capacity) == (b"\x89MWRING\n", 2, rings.SMALL)
    assert start % 4096 == 0
    assert len(data) == start + capacity
    assert nonce != bytes(16)
    document = data[128 : 128 + length]
    assert zlib.crc32(document) == checksum
    assert json.loads(document) == {
        "model": "churn",
        "version": "churn-1",
        "digest": "sha256:ab",
        "track": "canary",
        "schema": rings.NUMBERS.to_document(),
    }
    assert struct.unpack_from("<3Q", data, 64) == (64 + 80, 1, 500)
    first = struct.pack("<QQQIIQ2fqQ", 1, 0, 1_700_000_000_123_456_789, 64, 1, 21, 7, -7, 7, 1)
    second = struct.pack("<QQQIIQ4f2qQ", 2, 1, 1_700_000_000_123_456_789, 80, 2, 0, 8, -8, 9, -9, 8, 9, 2)
    assert data[start:] == (first + second).ljust(capacity, b"\0")
    assert (ring.written_rows, ring.dropped_rows) == (3, 500)


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    rings.create(tmp_path)
    assert (tmp_path / "ring-0").stat().st_mode & 0o007 == 0


def test_all_of_its_memory_is_taken_at_once(tmp_path: Path) -> None:
    rings.create(tmp_path, capacity=1 << 20)
    status = (tmp_path / "ring-0").stat()
    assert status.st_blocks * 512 >= status.st_size > 1 << 20


def test_without_room_there_is_an_error_and_no_file(tmp_path: Path) -> None:
    """A size limit stands for a full disk: both make the allocation fail."""
    code = """if True:
        import resource, sys
        from pathlib import Path
        from tests.ring import rings
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        try:
            rings.create(Path(sys.argv[1]))
        except OSError as error:
            print(type(error).__name__)
    """
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "OSError\n"
    assert list(tmp_path.iterdir()) == []


def test_without_the_folder_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        rings.create(tmp_path / "missing")


def test_a_schema_beyond_the_header_is_an_error(tmp_path: Path) -> None:
    columns = tuple(f"{at:064}" for at in range(1 << 16))
    wide = Schema((TensorSpec("input", Datatype.FP32, (-1, 1 << 16), columns),), rings.NUMBERS.outputs, Task.REGRESSION)
    with pytest.raises(OSError, match="the schema takes"):
        rings.create(tmp_path, wide)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("capacity", [0, 4096, 16 << 10 | 8, (64 << 20) + (16 << 10)])
def test_a_wrong_capacity_is_refused(tmp_path: Path, capacity: int) -> None:
    with pytest.raises(ValueError, match=f"capacity is {capacity}, it must be"):
        rings.create(tmp_path, capacity=capacity)


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".ring-0.partial").write_bytes(b"half")
    rings.create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["ring-0"]


@pytest.mark.parametrize("parts", [[None], "text", 5, [b"", 5]])
def test_no_record_can_hurt_who_answers(tmp_path: Path, parts: Any) -> None:
    ring = rings.create(tmp_path)
    ring.append(3, parts)
    ring.append(1 << 33, [b""])  # more rows than a record can say
    assert (ring.written_rows, ring.dropped_rows) == (0, 3 + (1 << 33))
    rings.append(ring, 1)
    assert ring.written_rows == 1


def test_views_are_as_good_as_bytes(tmp_path: Path) -> None:
    ring = rings.create(tmp_path)
    ring.append(1, [memoryview(part) for part in rings.numbers(0, 1)])
    assert rings.row_numbers(rings.open_ring(tmp_path).poll()) == [0]


def test_texts_of_many_lengths_do_not_fill_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_MOST_PACKERS", 8)
    ring = rings.create(tmp_path)
    for length in range(100):
        ring.append(1, [bytes(length)])
    assert len(ring._packers) <= 8
    assert ring.written_rows == 100


def test_a_cpu_that_reorders_gets_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_ORDERED", False)
    ring = rings.create(tmp_path)
    for _ in range(1000):
        rings.append(ring, 1)
    found = rings.row_numbers(rings.open_ring(tmp_path).poll())
    assert found == list(range(1000 - len(found), 1000))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", b""),
        ("premium", b"premium"),
        ("a" * 64, b"a" * 64),
        ("a" * 65, b"a" * 64),
        ("a" * 63 + "é", b"a" * 63),
        ("a" * 62 + "é", b"a" * 62 + "é".encode()),
        ("a" * 61 + "😀", b"a" * 61),
        ("a" * 60 + "😀" * 9, b"a" * 60 + "😀".encode()),
        ("\ud800", b"?"),
    ],
)
def test_a_text_is_cut_where_a_character_ends(text: str, kept: bytes) -> None:
    assert cut_texts([text, "x"]) == struct.pack("<I", len(kept)) + kept + b"\1\0\0\0x"
