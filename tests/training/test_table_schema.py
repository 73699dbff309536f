"""The schema of the data: enforced where given, and recorded as found."""

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from modelwright_training import dataset
from modelwright_training.contract import Columns, ColumnSchema, ColumnType, DataSource, Evaluation, Reason, Task
from modelwright_training.errors import StageError
from tests.training.builders import job

ROWS = 60
DAY = dt.date(2026, 1, 1)
TABLE = pa.table(
    {
        "n": np.linspace(0, 1, ROWS),
        "i": range(ROWS),
        "b": [True, False] * 30,
        "t": ["x", "y", ""] * 20,
        "code": [1, 2, 3] * 20,
        "d": [DAY] * ROWS,
        "ts": pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * ROWS, pa.timestamp("us", tz="UTC")),
        "gaps": pa.array([None, 1.0, np.nan] * 20, from_pandas=False),
        "whole": pa.array([1.0, None, 3.0] * 20),
        "empty": pa.nulls(ROWS),
        "target": ["no", "yes"] * 30,
    }
)
COLUMNS = Columns(("empty", "d"), ("code",), time="ts")
SOURCES = (DataSource("a", "pvc://lake/a.csv", None), DataSource("b", "pvc://lake/b.csv", None))


def column(name: str, kind: str, *, nullable: bool = False, **more: Any) -> ColumnSchema:
    return ColumnSchema(name, ColumnType(kind), nullable, **more)


def prepared(*schema: ColumnSchema, b: Any = TABLE) -> dataset.Dataset:
    config = job(data=SOURCES, evaluation=Evaluation("b", 25), columns=COLUMNS, schema=schema or None)
    return dataset.prepare(config, Task.CLASSIFICATION, {"a": TABLE, "b": b})


GOOD = (
    column("n", "Number", min=0, max=1),
    column("i", "Integer", min=0, max=59),
    column("i", "Number"),
    column("b", "Boolean"),
    column("t", "Text", nullable=True, categories=("x", "y", "z")),
    column("code", "Integer", categories=("1", "2", "3")),
    column("d", "Date"),
    column("ts", "Timestamp"),
    column("gaps", "Number", nullable=True, min=1),
    column("whole", "Integer", nullable=True, categories=("1", "3")),
    column("empty", "Text", nullable=True, categories=("x",)),
    column("target", "Text", categories=("no", "yes")),
)


@pytest.mark.parametrize("wanted", GOOD, ids=lambda wanted: f"{wanted.name} {wanted.type}")
def test_data_as_the_schema_says_are_taken(wanted: ColumnSchema) -> None:
    assert len(prepared(wanted).train) == ROWS


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        (column("m", "Number"), "data set 'a' lacks the column 'm' that spec.schema names; it has n, i, b"),
        (column("n", "Integer"), "column 'n' should be Integer by spec.schema, but is Number (double, such as '0.0')"),
        (column("n", "Text"), "should be Text by spec.schema, but is Number"),
        (column("t", "Number", nullable=True), "should be Number by spec.schema, but is Text (string, such as 'x')"),
        (column("i", "Boolean"), "should be Boolean by spec.schema, but is Integer"),
        (column("b", "Integer"), "should be Integer by spec.schema, but is Boolean"),
        (column("d", "Timestamp"), "should be Timestamp by spec.schema, but is Date"),
        (column("ts", "Date"), "should be Date by spec.schema, but is Timestamp"),
        (column("t", "Text"), "column 't' is missing in 20 of 60 rows"),
        (column("gaps", "Number"), "column 'gaps' is missing in 40 of 60 rows"),
        (column("empty", "Text"), "column 'empty' is missing in 60 of 60 rows"),
        (column("t", "Text", nullable=True, categories=("x",)), "has 'y', which is none of the categories"),
        (column("code", "Integer", categories=("1", "2")), "has '3', which is none of the categories"),
        (column("n", "Number", max=0.5), "goes up to 1, above the max 0.5"),
        (column("i", "Integer", min=1), "goes down to 0, below the min 1"),
    ],
    ids=lambda value: f"{value.name} {value.type}" if isinstance(value, ColumnSchema) else "",
)
def test_data_unlike_the_schema_are_refused(wanted: ColumnSchema, named: str) -> None:
    with pytest.raises(StageError) as error:
        prepared(wanted)
    assert error.value.reason is Reason.DATA_INVALID
    assert named in str(error.value)
    assert "data set 'a'" in str(error.value)


def test_every_data_set_is_compared() -> None:
    with pytest.raises(StageError, match=r"data set 'b': column 'i' goes up to 118, above the max 100"):
        prepared(column("i", "Integer", max=100), b=TABLE.set_column(1, "i", [pa.array(range(0, 120, 2))]))


def test_the_schema_found_is_recorded() -> None:
    found = {said["name"]: said for said in prepared().columns}
    assert list(found) == TABLE.column_names
    plain = {name: (said["type"], said["nullable"], said["role"]) for name, said in found.items()}
    assert plain == {
        "n": ("Number", False, "Feature"),
        "i": ("Integer", False, "Feature"),
        "b": ("Boolean", False, "Feature"),
        "t": ("Text", True, "Feature"),
        "code": ("Integer", False, "Feature"),
        "d": ("Date", False, "Dropped"),
        "ts": ("Timestamp", False, "Time"),
        "gaps": ("Number", True, "Feature"),
        "whole": ("Number", True, "Feature"),
        "empty": ("null", True, "Dropped"),
        "target": ("Text", False, "Target"),
    }
    assert found["t"]["categories"] == ["x", "y"]
    assert found["code"]["categories"] == ["1", "2", "3"]
    assert "categories" not in found["target"]
