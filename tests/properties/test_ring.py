"""Laws of the ring: every row arrives or is counted, whatever happens; no file can hurt a reader."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from modelwright_server.ring import RingError, RingReader, cut_texts, layout
from tests.ring import rings
from tests.ring.one_by_one import OneByOne

if TYPE_CHECKING:
    import random

    from modelwright_server.ring import Record
    from modelwright_server.schema import Schema

LARGEST = (rings.SMALL // 4 - 40) // 24  # rows in a record that fills a segment
steps = st.lists(
    st.tuples(st.just("append"), st.integers(0, 60), st.integers(1, 60))
    | st.tuples(st.just("append"), st.integers(LARGEST - 2, LARGEST + 2), st.integers(1, 3))
    | st.tuples(st.sampled_from(["poll", "restart"]), st.just(0), st.just(0)),
    max_size=40,
)


@given(steps)
def test_every_row_arrives_or_is_counted(plan: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writer = rings.create(folder)
        appended_rows = appended_records = 0
        records: list[Record] = []
        with rings.open_ring(folder) as reader:
            for kind, rows, times in plan:
                if kind == "append":
                    for _ in range(times):
                        rings.append(writer, rows)
                    appended_rows += rows * times
                    appended_records += times
                elif kind == "poll":
                    records += reader.poll()
                else:  # a writer that came and went between two polls would not be known
                    records += reader.poll()
                    writer = rings.create(folder)
            records += reader.poll()
            records += reader.poll()
            assert reader.damaged == 0
            assert sum(record.rows for record in records) + reader.lost_rows == appended_rows
            assert len(records) + reader.lost_records == appended_records
        for nonce in {record.origin.nonce for record in records}:
            found = rings.row_numbers(record for record in records if record.origin.nonce == nonce)
            assert found == sorted(set(found))


@given(
    st.integers(0, 400),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 4096 + rings.SMALL - 1), st.binary(min_size=1, max_size=16)), max_size=6),
    st.none() | st.integers(0, 4096 + rings.SMALL),
    st.randoms(use_true_random=False),
)
def test_no_damage_is_more_than_an_error(
    appended: int, early: bool, changes: list[tuple[int, bytes]], size: int | None, chance: random.Random
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "ring-0"
        writer = rings.create(folder, rings.TEXTS)
        for _ in range(appended):
            writer.append(1, rings.texts([chance.choice(["a", "x" * 70, ""]) for _ in range(2)], 1))
        try:
            reader = RingReader.open(path) if early else None
            with path.open("r+b") as file:
                for offset, data in changes:
                    file.seek(offset)
                    file.write(data)
                if size is not None:
                    file.truncate(size)
            reader = reader or RingReader.open(path)
        except RingError:
            return
        with reader:
            for _ in range(3):
                try:
                    for record in reader.poll():
                        assert len(record.features["plan"]) == record.rows == len(record.outputs["label"])
                except RingError:
                    pass
                if size is None:
                    writer.append(1, rings.texts(["yes", "basic"], 1))


words = st.sampled_from([0, 1, 2, 8, 40, 64, 65, 1 << 31, (1 << 32) - 1, 1 << 62, (1 << 64) - 1]) | st.integers(0, 300)


@given(
    st.sampled_from([rings.NUMBERS, rings.TEXTS]),
    st.lists(st.integers(1, 3), max_size=250),
    st.lists(st.tuples(st.integers(0, rings.SMALL // 8 - 1), words), max_size=8),
    st.integers(0, 200),
)
def test_all_at_once_finds_what_one_by_one_does(
    schema: Schema, rows: list[int], damage: list[tuple[int, int]], early: int
) -> None:
    """Whatever eight bytes anywhere among the records are replaced by."""
    with tempfile.TemporaryDirectory() as name:
        writer = rings.create(Path(name), schema)
        with rings.open_ring(Path(name)) as reader:
            oracle = OneByOne(schema, rings.SMALL)
            found: list[Record] = []
            expected: list[tuple[int, int, bytes]] = []
            read = 0
            for part in (rows[:early], rows[early:]):
                for count in part:
                    writer.append(count, numbers(count) if schema is rings.NUMBERS else labels(count))
                with (Path(name) / "ring-0").open("r+b") as file:
                    for word, value in damage:
                        file.seek(layout.PAGE + 8 * word)
                        file.write(value.to_bytes(8, "little"))
                found += reader.poll()
                data, start, head = contents(Path(name) / "ring-0", read)
                expected += oracle.read(data, start)
                read = head
            assert [(record.sequence, record.rows, record.values) for record in found] == expected
            assert reader.damaged == oracle.damaged
            assert (reader.lost_records, reader.lost_rows) == (oracle.missed_records, oracle.missed_rows)


def numbers(rows: int) -> list[bytes]:
    return rings.numbers(0, rows)


def labels(rows: int) -> list[bytes]:
    return rings.texts(["yes", "basic", "x" * 9, "", "no", "y"][: 2 * rows], rows)


def contents(path: Path, read: int) -> tuple[bytes, int, int]:
    """Return what is intact in a ring from a position on, where that begins, and its head."""
    data = path.read_bytes()
    head = int.from_bytes(data[layout.WORDS_AT : layout.WORDS_AT + 8], "little")
    segment = rings.SMALL // layout.SEGMENTS
    start = max(read, (head // segment + 1 - layout.SEGMENTS) * segment, 0)
    records = data[layout.PAGE :]
    return bytes(records[at % rings.SMALL] for at in range(start, head)), start, head


@given(st.lists(st.text()))
def test_a_text_is_cut_to_the_longest_start_that_fits(values: list[str]) -> None:
    data, at = cut_texts(values), 0
    for value in values:
        size = int.from_bytes(data[at : at + 4], "little")
        kept = data[at + 4 : at + 4 + size].decode()
        at += 4 + size
        whole = value.encode("utf-8", "replace").decode()
        assert whole.startswith(kept)
        assert size <= 64
        assert kept == whole or size + len(whole[len(kept)].encode()) > 64
    assert at == len(data)
