"""Small files that stand for very much, and files that are not what their names say."""

import gzip
import io
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelwright_training import formats
from modelwright_training.contract import DataSource, Reason
from modelwright_training.errors import StageError

SOURCE = DataSource("train", "pvc://lake/file", None)
MIB = 1 << 20


def parquet(table: pa.Table, **how: object) -> bytes:
    written = io.BytesIO()
    pq.write_table(table, written, **how)
    return written.getvalue()


def refusal(name: str, content: bytes) -> str:
    with pytest.raises(StageError) as error:
        formats.read(SOURCE, name, io.BytesIO(content), len(content))
    assert error.value.reason is Reason.DATA_INVALID
    assert "data set 'train' has " in str(error.value)
    assert f"'{name}'" in str(error.value)
    return str(error.value)


@pytest.fixture
def small_pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text(f"{64 * MIB}\n")
    monkeypatch.setattr(formats, "_LIMITS", (limit,))


@pytest.mark.usefixtures("small_pod")
def test_many_equal_numbers_in_few_bytes_are_refused_unread() -> None:
    content = parquet(pa.table({"x": np.zeros(20_000_000), "target": np.zeros(20_000_000, dtype=np.int8)}))
    assert len(content) < MIB
    before = pa.total_allocated_bytes()
    assert "memory limit is 64 MiB" in refusal("zeros.parquet", content)
    assert pa.total_allocated_bytes() - before < MIB


@pytest.mark.usefixtures("small_pod")
def test_a_long_text_said_to_stand_in_very_many_rows_is_refused_unpacked() -> None:
    # 100 000 rows of one text of 100 kB: 10 GB, if it were written out.
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, dtype=np.int32)), pa.array(["x" * 100_000]))
    content = parquet(pa.table({"text": column}), compression="zstd")
    assert len(content) < MIB
    pool = pa.default_memory_pool()
    before = pool.max_memory()
    assert "at least 9536 MiB once it is read, but the container's memory limit is 64 MiB" in refusal(
        "text.parquet", content
    )
    assert pool.max_memory() - before < 64 * MIB


@pytest.mark.usefixtures("small_pod")
def test_pages_that_unpack_to_very_much_are_refused_unread() -> None:
    table = pa.table({"text": [f"{'x' * 100_000}{number}" for number in range(1000)]})
    content = parquet(table, compression="zstd", use_dictionary=False)
    assert len(content) < MIB
    assert "is at least 95 MiB once it is read" in refusal("pages.parquet", content)


@pytest.mark.usefixtures("small_pod")
def test_row_groups_that_only_together_are_too_much_are_refused() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2_000, dtype=np.int32)), pa.array(["x" * 10_000]))
    table = pa.table({"text": column})
    groups = parquet(pa.concat_tables([table] * 5), row_group_size=2_000)
    assert "memory limit is 64 MiB" in refusal("groups.parquet", groups)
    content = parquet(table)
    assert formats.read(SOURCE, "one.parquet", io.BytesIO(content), len(content)).num_rows == 2_000


def test_texts_come_out_as_they_went_in() -> None:
    kinds = [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]
    texts = ["a", None, "", "ü" * 50, "a"] * 100
    table = pa.table({str(index): pa.array(texts).cast(kind) for index, kind in enumerate(kinds)} | {"n": range(500)})
    content = parquet(table, row_group_size=150)
    found = formats.read(SOURCE, "texts.parquet", io.BytesIO(content), len(content))
    assert found.schema.types == [pa.string(), pa.large_string(), pa.string(), pa.int64()]
    assert found.to_pylist() == table.to_pylist()


@pytest.mark.usefixtures("small_pod")
def test_arrow_dictionaries_are_unpacked_only_if_they_fit() -> None:
    def stream(rows: int) -> bytes:
        column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int32)), pa.array(["x" * 100_000]))
        written = io.BytesIO()
        with pa.ipc.new_stream(written, pa.schema({"text": column.type})) as writer:
            writer.write_batch(pa.record_batch({"text": column}))
        return written.getvalue()

    assert "at least 9536 MiB" in refusal("text.arrow", stream(100_000))
    content = stream(10)
    found = formats.read(SOURCE, "few.arrow", io.BytesIO(content), len(content))
    assert found["text"].to_pylist() == ["x" * 100_000] * 10


def test_too_many_columns_are_refused_before_they_are_read() -> None:
    content = parquet(pa.table({str(number): [1] for number in range(10_001)}))
    assert "10001 columns" in refusal("wide.parquet", content)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("utf16.csv", "a,b\n1,2\n".encode("utf-16"), "is encoded in UTF-16"),
        ("latin.csv", "name\nMüller\n".encode("latin-1"), "line 2 has the byte 0xfc"),
        ("packed.csv", gzip.compress(b"a,b\n1,2\n"), "compressed by gzip; unpack it"),
        ("sheet.csv", b"PK\x03\x04", "a spreadsheet"),
        ("really.csv", parquet(pa.table({"a": [1]})), "let its name end in .parquet"),
        ("line.csv", b"a,b\n" + b"1" * (17 * MIB), "a line longer than 16 MiB (line 2)"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.endswith(".csv") else "",
)
def test_what_is_not_csv_is_said(name: str, content: bytes, said: str) -> None:
    assert said in refusal(name, content)


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    content = b"\xef\xbb\xbfa,b\n1,2\n"
    found = formats.read(SOURCE, "bom.csv", io.BytesIO(content), len(content))
    assert found.column_names == ["a", "b"]


def test_a_csv_of_ten_gibibytes_is_refused_by_its_size() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(StageError, match="of 10240 MiB; use Parquet"):
            formats.read(SOURCE, "large.csv", io.BytesIO(b""), 10 << 30)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


def test_columns_of_mixed_values_are_texts_and_named() -> None:
    content = b"a\n1\nfoo\n2\n"
    found = formats.read(SOURCE, "mixed.csv", io.BytesIO(content), len(content))
    assert found.schema.field("a").type == pa.string()
