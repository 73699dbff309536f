# pyright: basic
# (pyarrow comes without types.)
"""One file of a data set, already here, as an Arrow table: CSV, Parquet and Arrow IPC, by the end of its name.

A small file may stand for very many rows. Parquet and Arrow are therefore read piece by piece, and never beyond the
memory the container has.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from modelwright_training import csv_text
from modelwright_training.contract import DataSource, Reason
from modelwright_training.errors import StageError
from modelwright_training.tables import Family, family

SUFFIXES = (".csv", ".parquet", ".arrow")
MAX_COLUMNS = 10_000
MAX_SOURCE_BYTES = 16 << 30  # of one data set; the pod's memory is the limit that is met first
MAX_CSV_BYTES = (2 << 30) - 1  # Arrow infers types over one block, whose size is an int32
_IPC_FILE = b"ARROW1"
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def known(path: str) -> bool:
    """Tell whether the name ends as one of a format that is read."""
    return path.endswith(SUFFIXES)


def read(source: DataSource, path: str, stream: IO[bytes], size: int) -> Any:  # noqa: ANN401 - Arrow has no types
    """Return the table in an open file of `size` bytes.

    Raises:
        StageError: DataInvalid, naming the data set, the file and what is wrong with it.

    """
    if path.endswith(".csv"):
        table = _csv(source, path, stream, size)
    elif path.endswith(".parquet"):
        table = _parquet(source, path, stream)
    else:
        table = _arrow(source, path, stream)
    return _checked(source, path, table)


def refuse(source: DataSource, problem: str) -> NoReturn:
    """Raise DataInvalid with the data set's name."""
    raise StageError(Reason.DATA_INVALID, f"data set {source.name!r} {problem}")


def memory_limit() -> int:
    """Return the container's memory limit in bytes; 16 GiB where there is none, or a larger one."""
    for path in _LIMITS:
        try:
            text = path.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            return min(int(text), MAX_SOURCE_BYTES)
    return MAX_SOURCE_BYTES


def _csv(source: DataSource, path: str, stream: IO[bytes], size: int) -> Any:  # noqa: ANN401 - Arrow has no types
    """Parse comma-separated UTF-8 with a header; one block, so that types are inferred from all rows."""
    if size > MAX_CSV_BYTES:
        refuse(source, f"has the file {path!r} of {size >> 20} MiB; use Parquet, or several files and a glob")
    if (problem := csv_text.problem(stream)) is not None:
        refuse(source, f"has the file {path!r}, which {problem}")
    stream.seek(0)
    try:
        return pyarrow.csv.read_csv(
            stream,
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=max(size, 1)),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        )
    except pa.ArrowInvalid as error:
        refuse(source, f"has the file {path!r}, which is not CSV with one header line: {error}")


def _parquet(source: DataSource, path: str, stream: IO[bytes]) -> Any:  # noqa: ANN401 - Arrow has no types
    """Read row group by row group, after the sizes that the file itself states; texts are unpacked once they fit."""
    try:
        said = pyarrow.parquet.ParquetFile(stream)
        schema, metadata = said.schema_arrow, said.metadata
        _check_count(source, path, metadata.num_columns)
        _fits(source, path, max(metadata.num_rows * sum(_width(field.type) for field in schema), _unpacked(metadata)))
        packed = [field.name for field in schema if family(field.type) is Family.TEXT]
        file = pyarrow.parquet.ParquetFile(stream, metadata=metadata, read_dictionary=packed)
        groups = (file.read_row_group(index, use_threads=False) for index in range(metadata.num_row_groups))
        return _whole(source, path, schema, groups)
    except (pa.ArrowException, OSError) as error:  # a damaged page is an OSError
        refuse(source, f"has the file {path!r}, which is not Parquet: {error}")


def _unpacked(metadata: Any) -> int:  # noqa: ANN401 - Arrow has no types
    """Return the bytes of all pages once unpacked, as the file states them; values of dictionaries may be more."""
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    return sum(group.column(index).total_uncompressed_size for group in groups for index in range(group.num_columns))


def _arrow(source: DataSource, path: str, stream: IO[bytes]) -> Any:  # noqa: ANN401 - Arrow has no types
    """Read the file format, which begins with a mark, or else the stream format."""
    try:
        is_file = stream.read(len(_IPC_FILE)) == _IPC_FILE
        stream.seek(0)
        if not is_file:
            with pa.ipc.open_stream(stream) as reader:
                return _whole(source, path, reader.schema, (pa.Table.from_batches([batch]) for batch in reader))
        with pa.ipc.open_file(stream) as reader:
            batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
            return _whole(source, path, reader.schema, (pa.Table.from_batches([batch]) for batch in batches))
    except (pa.ArrowException, OSError) as error:
        refuse(source, f"has the file {path!r}, which is not Arrow IPC: {error}")


def _whole(source: DataSource, path: str, schema: Any, pieces: Iterator[Any]) -> Any:  # noqa: ANN401 - Arrow
    """Put the pieces under each other while they fit into memory, their dictionaries unpacked."""
    plain = pa.schema([field.with_type(_value_type(field.type)) for field in schema])
    tables: list[Any] = []
    size = 0
    for piece in pieces:
        piece.validate(full=True)  # offsets and indices that lead out of their buffers
        _fits(source, path, size + sum(map(_unpacked_size, piece.columns)))
        tables.append(piece.cast(plain))
        size += tables[-1].nbytes
        _fits(source, path, size)
    return pa.concat_tables(tables) if tables else plain.empty_table()


def _value_type(kind: Any) -> Any:  # noqa: ANN401 - Arrow has no types
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _unpacked_size(column: Any) -> int:  # noqa: ANN401 - Arrow has no types
    """Return the bytes of a dictionary's texts written out: few bytes may say that a long one stands in many rows."""
    if not pa.types.is_dictionary(column.type) or family(column.type) is not Family.TEXT:
        return 0
    lengths = (pc.call_function("binary_length", [chunk.dictionary]).take(chunk.indices) for chunk in column.chunks)
    return sum(int(pc.call_function("sum", [found]).as_py() or 0) for found in lengths)


def _fits(source: DataSource, path: str, size: int) -> None:
    limit = memory_limit()
    if size > limit:
        problem = (
            f"has the file {path!r}, which is at least {size >> 20} MiB once it is read, but the container's memory"
            f" limit is {limit >> 20} MiB; sample the data, or raise spec.resources.limits.memory"
        )
        refuse(source, problem)


def _width(kind: Any) -> int:  # noqa: ANN401 - Arrow has no types
    """Return the bytes that a value takes at least."""
    try:
        return max(int(kind.bit_width) // 8, 1)
    except ValueError:
        return 4  # an offset


def _checked(source: DataSource, path: str, table: Any) -> Any:  # noqa: ANN401 - Arrow has no types
    """Refuse tables whose columns cannot be told apart by name; drop what Parquet files say about themselves."""
    names = Counter(table.column_names)
    if twice := [name for name, count in names.items() if count > 1]:
        refuse(source, f"has the column {twice[0]!r} twice in {path!r}; give each column its own name")
    if len(names) == 1 and (found := [mark for mark in ";\t|" if mark in table.column_names[0]]):
        refuse(source, f"has the file {path!r}, whose columns are separated by {found[0]!r}; use commas")
    _check_count(source, path, len(names))
    return table.replace_schema_metadata(None)


def _check_count(source: DataSource, path: str, columns: int) -> None:
    if columns > MAX_COLUMNS:
        refuse(source, f"has {columns} columns in {path!r}, more than {MAX_COLUMNS}")
