"""Columns as Parquet and back; the only module that knows arro3."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from arro3.core import Array, DataType, Table
from arro3.io import read_parquet, write_parquet

Values = npt.NDArray[Any] | Sequence[str | None]
_COMPRESSION = "zstd(3)"


class ParquetError(ValueError):
    """These are no rows in Parquet."""


def write(columns: Mapping[str, Values]) -> bytes:
    """Return a file; the same columns make the same bytes."""
    arrays = [_array(values) for values in columns.values()]
    file = BytesIO()
    write_parquet(Table.from_arrays(arrays, names=list(columns)), file, compression=_COMPRESSION)
    return file.getvalue()


def read(data: bytes, most_rows: int) -> dict[str, list[Any]]:
    """Return the columns of a file.

    Raises:
        ParquetError: it is none, or has too many rows.
    """
    found: dict[str, list[Any]] = {}
    rows = 0
    try:
        for batch in read_parquet(BytesIO(data)):
            rows += batch.num_rows
            if rows > most_rows:
                break
            for name in batch.schema.names:
                found.setdefault(name, []).extend(cast("list[Any]", batch.column(name).to_pylist()))
    except Exception as error:
        message = f"the file is no Parquet: {error!s:.200}"
        raise ParquetError(message) from error
    if rows > most_rows:
        message = f"the file has more than {most_rows} rows"
        raise ParquetError(message)
    return found


def _array(values: Values) -> Any:  # noqa: ANN401 - of arro3
    if not isinstance(values, np.ndarray):
        return Array(list(values), type=DataType.utf8())
    array = Array.from_numpy(np.ascontiguousarray(values))
    return array.cast(DataType.timestamp("us", tz="UTC")) if values.dtype.kind == "M" else array
