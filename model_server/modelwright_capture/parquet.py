"""Columns as Parquet and back; the only module that knows arro3."""

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from arro3.core import Array, DataType, Table
from arro3.io import read_parquet, write_parquet

Values = npt.NDArray[Any] | Sequence[str | None]
# Zstandard keeps some 100 KiB for each column, and a dictionary makes measured numbers larger.
_HOW: Any = {"compression": "snappy", "dictionary_enabled": False}
_PANIC = "PanicException"  # of pyo3, which has no class to import


class ParquetError(ValueError):
    """These are no rows in Parquet, or cannot be."""


def write(columns: Mapping[str, Values]) -> bytes:
    """Return a file; the same columns make the same bytes.

    Raises:
        ParquetError: the columns cannot be written.
    """
    file = BytesIO()
    with _told("these columns cannot be written"):
        arrays = [_array(values) for values in columns.values()]
        write_parquet(_table(arrays, list(columns)), file, **_HOW)
    return file.getvalue()


def read(data: bytes, most_rows: int) -> dict[str, list[Any]]:
    """Return the columns of a file.

    Raises:
        ParquetError: it is none, or has too many rows.
    """
    found: dict[str, list[Any]] = {}
    rows = 0
    with _told("the file is no Parquet"):
        for batch in cast("Iterable[Any]", read_parquet(BytesIO(data))):
            rows += batch.num_rows
            if rows > most_rows:
                break
            for name in batch.schema.names:
                found.setdefault(name, []).extend(batch.column(name).to_pylist())
    if rows > most_rows:
        message = f"the file has more than {most_rows} rows"
        raise ParquetError(message)
    return found


@contextmanager
def _told(what: str) -> Generator[None]:
    """Say what is wrong in an error of ours; arro3 panics where a file is damaged."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
            raise
        message = f"{what}: {error!s:.200}"
        raise ParquetError(message) from None


def _table(arrays: list[Any], names: list[str]) -> Any:  # noqa: ANN401 - of arro3
    make = cast("Any", Table)
    return make.from_arrays(arrays, names=names)


def _array(values: Values) -> Any:  # noqa: ANN401 - of arro3
    if not isinstance(values, np.ndarray):
        return Array(list(values), type=DataType.utf8())
    array = Array.from_numpy(np.ascontiguousarray(values))
    return array.cast(DataType.timestamp("us", tz="UTC")) if values.dtype.kind == "M" else array
