"""Schemas, and rows whose values tell which row they are of."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from modelwright_server.ring import Record, RingReader, RingWriter, cut_texts
from modelwright_server.schema import Datatype, Schema, Task, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SMALL = 16 << 10  # the smallest ring: segments of 4 KiB
NUMBERS = Schema(
    (TensorSpec("input", Datatype.FP32, (-1, 2), ("row", "negative")),),
    (TensorSpec("label", Datatype.INT64, (-1,)),),
    Task.CLASSIFICATION,
)
TEXTS = Schema(
    (TensorSpec("plan", Datatype.BYTES, (-1, 1)), TensorSpec("age", Datatype.FP32, (-1, 1), nullable=True)),
    (TensorSpec("label", Datatype.BYTES, (-1,)), TensorSpec("probabilities", Datatype.FP32, (-1, 2))),
    Task.CLASSIFICATION,
)


def create(folder: Path, schema: Schema = NUMBERS, **changed: Any) -> RingWriter:
    stated = {"model": "churn", "version": "churn-1", "digest": "sha256:ab", "capacity": SMALL, **changed}
    return RingWriter.create(folder, "ring-0", schema, **stated)


def open_ring(folder: Path) -> RingReader:
    return RingReader.open(folder / "ring-0")


def numbers(first: int, rows: int) -> list[bytes]:
    """Return a record of NUMBERS; each value follows from the number of its row."""
    values = [value for row in range(first, first + rows) for value in (row, -row)]
    return [struct.pack(f"<{2 * rows}f", *values), struct.pack(f"<{rows}q", *range(first, first + rows))]


def append(writer: RingWriter, rows: int) -> None:
    """Append the next rows of NUMBERS."""
    writer.append(rows, numbers(writer.written_rows + writer.dropped_rows, rows))


def texts(values: list[str], rows: int) -> list[bytes]:
    """Return a record of TEXTS."""
    label, plan = values[:rows], values[rows : 2 * rows]
    floats = struct.pack(f"<{rows}f", *range(rows)), struct.pack(f"<{2 * rows}f", *range(2 * rows))
    return [cut_texts(plan), floats[0], cut_texts(label), floats[1]]


def row_numbers(records: Iterable[Record]) -> list[int]:
    """Return the numbers of the rows in records of NUMBERS, after checking that every value is of its row."""
    found: list[int] = []
    for record in records:
        label = record.outputs["label"].tolist()
        assert len(label) == record.rows
        assert record.features["input"].tolist() == [[row, -row] for row in label]
        found += label
    return found
