"""Many records read as one: the same values, whatever sizes and types lie beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from modelwright_server.ring.record import DTYPES
from modelwright_server.schema import Datatype, Schema, Task, TensorSpec
from tests.ring import rings

if TYPE_CHECKING:
    from pathlib import Path

    from modelwright_server.ring import RingWriter

MIXED = Schema(
    (
        TensorSpec("small", Datatype.INT8, (-1, 3), ("a", "b", "c")),
        TensorSpec("flag", Datatype.BOOL, (-1,)),
        TensorSpec("large", Datatype.FP64, (-1, 2), ("d", "e")),
        TensorSpec("half", Datatype.FP16, (-1, 1)),
    ),
    (TensorSpec("label", Datatype.INT64, (-1,)), TensorSpec("probabilities", Datatype.FP32, (-1, 2))),
    Task.CLASSIFICATION,
)
RNG = np.random.default_rng(4)


def append(writer: RingWriter, schema: Schema, rows: int) -> None:
    shapes = [(spec, (rows, spec.width)) for spec in (*schema.inputs, *schema.outputs)]
    writer.append(rows, [RNG.integers(0, 2, shape).astype(DTYPES[spec.datatype]).tobytes() for spec, shape in shapes])


@pytest.mark.parametrize("schema", [MIXED, rings.NUMBERS])
def test_all_rows_at_once_are_those_of_each_record(tmp_path: Path, schema: Schema) -> None:
    ring = rings.create(tmp_path, schema)
    reader = rings.open_ring(tmp_path)
    for number in range(120):  # over the ends of segments, and with gaps before them
        append(ring, schema, (1, 1, 2, 7, 0, 30)[number % 6])
        if number % 50 == 49:
            batch = reader.poll()
            found = batch.tensors()
            assert batch.rows == sum(record.rows for record in batch) > 0
            for name, values in found.items():
                each = [{**record.features, **record.outputs}[name] for record in batch if record.rows]
                each = [part.reshape(len(part), -1) for part in each]
                assert values.dtype == each[0].dtype
                assert values.tolist() == np.concatenate(each).tolist()


def test_a_batch_is_a_sequence_of_records(tmp_path: Path) -> None:
    ring = rings.create(tmp_path)
    reader = rings.open_ring(tmp_path)
    assert not reader.poll()
    assert reader.poll().tensors()["input"].shape == (0, 2)
    for rows in (1, 2, 3):
        rings.append(ring, rows)
    batch = reader.poll()
    assert [record.sequence for record in batch] == [1, 2, 3]
    assert (len(batch), batch[-1].rows, batch.rows) == (3, 3, 6)
    assert [record.rows for record in batch[1:]] == [2, 3]
    assert [record.sequence for record in batch.after(2)] == [3]
    assert batch.after(3).rows == 0
