"""What a reader gets, what it counts as lost, and what it does with a file that is no ring."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from modelwright_server.ring import RingError, RingReader, layout
from modelwright_server.ring.file import RingFile
from modelwright_server.schema import Datatype, Schema, Task, TensorSpec
from tests.ring import rings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from modelwright_server.ring import RingWriter

RECORD = 64  # bytes of a record with one row of NUMBERS
PER_SEGMENT = rings.SMALL // 4 // RECORD


@pytest.fixture
def writer(tmp_path: Path) -> RingWriter:
    return rings.create(tmp_path)


@pytest.fixture
def reader(writer: RingWriter, tmp_path: Path) -> Iterator[RingReader]:  # noqa: ARG001 - makes the file
    with rings.open_ring(tmp_path) as opened:
        yield opened


def test_it_needs_no_runtime() -> None:
    code = "import sys, modelwright_server.ring; print('onnxruntime' in sys.modules, 'orjson' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_nothing_written_is_nothing_read(reader: RingReader) -> None:
    assert not reader.poll()
    assert (reader.lost_records, reader.lost_rows) == (0, 0)


def test_the_header_says_whose_it_is(reader: RingReader) -> None:
    origin = reader.origin
    assert (origin.model, origin.version, origin.digest, origin.track) == ("churn", "churn-1", "sha256:ab", "stable")
    assert origin.schema == rings.NUMBERS
    assert len(bytes.fromhex(origin.nonce)) == 16


def test_records_come_once_and_in_order(writer: RingWriter, reader: RingReader) -> None:
    rings.append(writer, 1)
    rings.append(writer, 3)
    first = reader.poll()
    assert [(record.sequence, record.rows) for record in first] == [(1, 1), (2, 3)]
    assert rings.row_numbers(first) == [0, 1, 2, 3]
    assert not reader.poll()
    rings.append(writer, 2)
    assert rings.row_numbers(reader.poll()) == [4, 5]
    assert reader.lost_rows == 0


def test_a_record_knows_its_time(tmp_path: Path) -> None:
    ring = rings.create(tmp_path, now=lambda: 123)
    rings.append(ring, 1)
    assert [record.time for record in rings.open_ring(tmp_path).poll()] == [123]


@pytest.mark.parametrize("datatype", [datatype for datatype in Datatype if datatype is not Datatype.BYTES])
def test_every_datatype_comes_back(tmp_path: Path, datatype: Datatype) -> None:
    names = {"FP": "float", "IN": "int", "UI": "uint", "BO": "bool"}
    name = names[datatype.value[:2]] + datatype.value.lstrip("FPUINTBOL")
    values = np.array([[0, 1, 2], [3, 4, 100]], dtype=name)
    specs = (TensorSpec("a", datatype, (-1, 3)),), (TensorSpec("b", datatype, (-1,)),)
    ring = rings.create(tmp_path, Schema(*specs, Task.REGRESSION))
    ring.append(2, [values.tobytes(), values[:, 0].tobytes()])
    (record,) = rings.open_ring(tmp_path).poll()
    assert record.features["a"].dtype == values.dtype
    assert record.features["a"].tolist() == values.tolist()
    assert record.outputs["b"].tolist() == values[:, 0].tolist()


def test_texts_come_back(tmp_path: Path) -> None:
    ring = rings.create(tmp_path, rings.TEXTS)
    ring.append(2, rings.texts(["yes", "", "größer", "x" * 100], 2))
    (record,) = rings.open_ring(tmp_path).poll()
    assert record.features["plan"].tolist() == [["größer"], ["x" * 64]]
    assert record.features["age"].tolist() == [[0], [1]]
    assert record.outputs["label"].tolist() == ["yes", ""]
    assert record.outputs["probabilities"].tolist() == [[0, 1], [2, 3]]


def test_what_fits_is_not_lost(writer: RingWriter, reader: RingReader) -> None:
    for _ in range(4 * PER_SEGMENT - 1):
        rings.append(writer, 1)
    assert rings.row_numbers(reader.poll()) == list(range(4 * PER_SEGMENT - 1))
    assert reader.lost_rows == 0


def test_what_was_overwritten_is_counted(writer: RingWriter, reader: RingReader) -> None:
    rings.append(writer, 3)
    reader.poll()
    for _ in range(10 * PER_SEGMENT):
        rings.append(writer, 2)
    found = reader.poll()
    assert rings.row_numbers(found)[-1] == writer.written_rows - 1
    assert sum(record.rows for record in found) + reader.lost_rows == 20 * PER_SEGMENT
    assert len(found) + reader.lost_records == 10 * PER_SEGMENT
    assert len(found) * 88 > rings.SMALL // 2


def test_a_late_reader_counts_what_it_never_saw(writer: RingWriter, tmp_path: Path) -> None:
    for _ in range(5 * PER_SEGMENT):
        rings.append(writer, 1)
    reader = rings.open_ring(tmp_path)
    found = reader.poll()
    assert len(found) + reader.lost_rows == 5 * PER_SEGMENT
    assert reader.lost_rows == PER_SEGMENT * 2  # a full segment counts as the begin of the next


def test_what_is_overwritten_while_it_is_read_is_not_returned(
    writer: RingWriter, reader: RingReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer goes on between the copy and the look whether it is whole."""
    between = iter([40 * PER_SEGMENT, 2 * PER_SEGMENT, 0])
    copy = RingFile.read

    def read(file: RingFile, start: int, end: int) -> bytes:
        data = copy(file, start, end)
        for _ in range(next(between)):
            rings.append(writer, 1)
        return data

    monkeypatch.setattr(RingFile, "read", read)
    for _ in range(3 * PER_SEGMENT):
        rings.append(writer, 1)
    first = reader.poll()  # of the first copy nothing was left, of the second one the last two segments
    assert rings.row_numbers(first) == list(range(41 * PER_SEGMENT + PER_SEGMENT, 43 * PER_SEGMENT))
    assert reader.lost_rows == 42 * PER_SEGMENT
    assert rings.row_numbers(reader.poll()) == list(range(43 * PER_SEGMENT, 45 * PER_SEGMENT))
    assert reader.damaged == 0


def test_a_reader_that_is_always_lapped_gives_up_for_now(
    writer: RingWriter, reader: RingReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = RingFile.read

    def read(file: RingFile, start: int, end: int) -> bytes:
        data = copy(file, start, end)
        for _ in range(5 * PER_SEGMENT):
            rings.append(writer, 1)
        return data

    rings.append(writer, 1)
    with monkeypatch.context() as lapped:
        lapped.setattr(RingFile, "read", read)
        assert not reader.poll()
    found = reader.poll()
    assert found
    assert len(found) + reader.lost_rows == writer.written_rows


def test_a_segment_is_given_up_before_it_is_written(tmp_path: Path) -> None:
    heads: list[int] = []

    def now() -> int:  # is asked for the time of a record right before it is written
        heads.append(struct.unpack_from("<Q", (tmp_path / "ring-0").read_bytes(), layout.WORDS_AT)[0])
        return 0

    ring = rings.create(tmp_path, now=now)
    for rows in (150, 150, 150):  # 2448 bytes each, in segments of 4096
        rings.append(ring, rows)
    assert heads == [0, 4096, 8192]


def test_dropped_rows_count_as_lost(writer: RingWriter, reader: RingReader) -> None:
    rings.append(writer, 1000)
    assert not reader.poll()
    assert (reader.lost_records, reader.lost_rows) == (1, 1000)
    rings.append(writer, 1)
    assert rings.row_numbers(reader.poll()) == [1000]
    assert reader.lost_rows == 1000


def test_the_largest_record_fills_a_segment(writer: RingWriter, reader: RingReader) -> None:
    largest = (rings.SMALL // 4 - layout.OVERHEAD) // 16
    for rows in (largest, 1, largest, largest + 1):
        rings.append(writer, rows)
    assert [record.rows for record in reader.poll()] == [largest, 1, largest]
    assert reader.lost_rows == largest + 1


def test_a_restarted_writer_is_followed_and_nothing_is_lost(tmp_path: Path) -> None:
    first = rings.create(tmp_path)
    reader = rings.open_ring(tmp_path)
    rings.append(first, 2)
    rings.append(first, 1000)
    second = rings.create(tmp_path, version="churn-2")
    rings.append(second, 3)

    before = reader.poll()
    after = reader.poll()
    assert [record.origin.version for record in (*before, *after)] == ["churn-1", "churn-2"]
    assert rings.row_numbers(before) == [0, 1]
    assert rings.row_numbers(after) == [0, 1, 2]
    assert reader.origin.version == "churn-2"
    assert before[0].origin.nonce != reader.origin.nonce
    assert (reader.restarts, reader.lost_records, reader.lost_rows) == (1, 1, 1000)


def test_a_removed_file_is_read_to_its_end(writer: RingWriter, reader: RingReader, tmp_path: Path) -> None:
    rings.append(writer, 1)
    (tmp_path / "ring-0").unlink()
    assert rings.row_numbers(reader.poll()) == [0]


def test_a_follower_that_is_no_ring_costs_nothing(tmp_path: Path) -> None:
    first = rings.create(tmp_path)
    reader = rings.open_ring(tmp_path)
    rings.append(first, 2)
    (tmp_path / "other").write_bytes(b"no ring")
    (tmp_path / "other").rename(tmp_path / "ring-0")
    with pytest.raises(RingError, match="too early for a ring"):
        reader.poll()
    second = rings.create(tmp_path)
    rings.append(second, 1)
    assert rings.row_numbers(reader.poll()) == [0, 1]
    assert rings.row_numbers(reader.poll()) == [0]


def test_a_file_damaged_before_its_writer_went_is_left_behind(tmp_path: Path) -> None:
    rings.append(rings.create(tmp_path), 1)
    reader = rings.open_ring(tmp_path)
    os.truncate(tmp_path / "ring-0", 100)
    second = rings.create(tmp_path)
    rings.append(second, 1)
    assert not reader.poll()
    assert rings.row_numbers(reader.poll()) == [0]
    assert reader.damaged == 1


class TestDamage:
    """Bytes that a writer did not write."""

    @pytest.mark.parametrize(
        ("offset", "damage"),
        [
            (0, struct.pack("<Q", 99)),  # sequence
            (8, struct.pack("<Q", 1 << 60)),  # rows before
            (24, struct.pack("<I", 0)),  # size
            (24, struct.pack("<I", 65)),
            (24, struct.pack("<I", 1 << 31)),
            (28, struct.pack("<I", 2)),  # rows
            (28, struct.pack("<I", 0xFFFFFFFF)),
            (RECORD - 8, struct.pack("<Q", 1)),  # trailer
        ],
    )
    def test_a_damaged_record_costs_the_rest_of_its_segment(
        self, writer: RingWriter, reader: RingReader, tmp_path: Path, offset: int, damage: bytes
    ) -> None:
        for _ in range(2 * PER_SEGMENT):
            rings.append(writer, 1)
        self._put(tmp_path, offset + 5 * RECORD, damage)
        assert rings.row_numbers(reader.poll()) == [*range(5), *range(PER_SEGMENT, 2 * PER_SEGMENT)]
        assert (reader.damaged, reader.lost_rows, reader.lost_records) == (1, PER_SEGMENT - 5, PER_SEGMENT - 5)

    def test_texts_beyond_the_record_are_an_error(self, tmp_path: Path) -> None:
        ring = rings.create(tmp_path, rings.TEXTS)
        ring.append(1, rings.texts(["yes", "basic"], 1))
        self._put(tmp_path, layout.RECORD.size, struct.pack("<I", 0xFFFFFFFF))
        (record,) = rings.open_ring(tmp_path).poll()
        with pytest.raises(RingError, match="record 1 has texts of 'plan' that go beyond its end"):
            _ = record.outputs

    @pytest.mark.parametrize("head", [4, (1 << 64) - 1])
    def test_a_head_within_a_record_is_an_error(self, reader: RingReader, tmp_path: Path, head: int) -> None:
        self._header(tmp_path, layout.WORDS_AT, "<Q", head)
        with pytest.raises(RingError, match=f"has its head at {head}, which no record ends at"):
            reader.poll()

    def test_a_head_that_goes_back_is_an_error(self, writer: RingWriter, reader: RingReader, tmp_path: Path) -> None:
        rings.append(writer, 1)
        reader.poll()
        self._header(tmp_path, layout.WORDS_AT, "<Q", 0)
        with pytest.raises(RingError, match="has its head at 0, after 64"):
            reader.poll()

    @pytest.mark.parametrize("head", [8, rings.SMALL, 1 << 40, (1 << 64) - 8])
    def test_a_head_with_nothing_before_it_is_survived(self, reader: RingReader, tmp_path: Path, head: int) -> None:
        self._header(tmp_path, layout.WORDS_AT, "<Q", head)
        assert not reader.poll()

    def test_a_file_that_shrinks_is_an_error(self, writer: RingWriter, reader: RingReader, tmp_path: Path) -> None:
        rings.append(writer, 1)
        os.truncate(tmp_path / "ring-0", layout.PAGE)
        with pytest.raises(RingError, match="ends at byte 4096, too early for a ring"):
            reader.poll()

    @pytest.mark.parametrize(
        ("offset", "code", "value", "problem"),
        [
            (0, "<Q", 0, "is not a ring"),
            (8, "<I", 3, "has layout 3, this reader knows 2"),
            (12, "<I", 0, "sizes that are not its own"),
            (16, "<Q", 1 << 63, "sizes that are not its own"),
            (16, "<Q", 32 << 10, "sizes that are not its own"),
            (24, "<I", 0xFFFFFFFF, "sizes that are not its own"),
            (24, "<I", 10, "damaged document"),
            (28, "<I", 0, "damaged document"),
            (130, "<I", 0, "damaged document"),
        ],
    )
    @pytest.mark.usefixtures("writer")
    def test_a_wrong_header_is_an_error(self, tmp_path: Path, offset: int, code: str, value: int, problem: str) -> None:
        self._header(tmp_path, offset, code, value)
        with pytest.raises(RingError, match=problem):
            rings.open_ring(tmp_path)

    @pytest.mark.parametrize(
        "document",
        [b"", b"[", b"[" * 100_000, b"1", b"{}", b'{"schema":{}}', b"\xff", b'{"schema":{"inputs":[],"outputs":[]}}'],
    )
    def test_a_strange_document_is_an_error(self, tmp_path: Path, document: bytes) -> None:
        self._with_document(tmp_path, document)
        with pytest.raises(RingError, match="document that cannot be read"):
            rings.open_ring(tmp_path)

    def test_a_document_of_other_types_is_an_error(self, tmp_path: Path) -> None:
        rings.create(tmp_path)
        data = (tmp_path / "ring-0").read_bytes()
        (length,) = struct.unpack_from("<I", data, 24)
        self._with_document(tmp_path, data[128 : 128 + length].replace(b'"churn-1"', b"5"))
        with pytest.raises(RingError, match="version, digest or track is no text"):
            rings.open_ring(tmp_path)

    @pytest.mark.parametrize("size", [0, 10, 100, layout.PAGE])
    @pytest.mark.usefixtures("writer")
    def test_a_short_file_is_an_error(self, tmp_path: Path, size: int) -> None:
        os.truncate(tmp_path / "ring-0", size)
        with pytest.raises(RingError, match=r"too early for a ring|sizes that are not its own"):
            rings.open_ring(tmp_path)

    def test_what_is_no_file_is_an_error(self, tmp_path: Path) -> None:
        rings.create(tmp_path)
        (tmp_path / "link").symlink_to(tmp_path / "ring-0")
        os.mkfifo(tmp_path / "pipe")
        for name, problem in (
            ("missing", "cannot be opened: No such file"),
            ("link", "cannot be opened: Too many levels"),
            ("pipe", "is not a regular file"),
            (".", "is not a regular file"),
        ):
            with pytest.raises(RingError, match=problem):
                RingReader.open(tmp_path / name)

    def _header(self, folder: Path, offset: int, code: str, value: int) -> None:
        with (folder / "ring-0").open("r+b") as file:
            file.seek(offset)
            file.write(struct.pack(code, value))

    def _put(self, folder: Path, position: int, data: bytes) -> None:
        with (folder / "ring-0").open("r+b") as file:
            file.seek(layout.PAGE + position)
            file.write(data)

    def _with_document(self, folder: Path, document: bytes) -> None:
        start = layout.records_at(len(document))
        preamble = layout.PREAMBLE.pack(
            layout.MAGIC, layout.VERSION, start, rings.SMALL, len(document), zlib.crc32(document), bytes(16)
        )
        whole = (preamble.ljust(128, b"\0") + document).ljust(start + rings.SMALL, b"\0")
        (folder / "ring-0").write_bytes(whole)
