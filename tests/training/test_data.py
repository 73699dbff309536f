"""From tables to rows: types, names, splits, and everything about data that is refused."""

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from modelwright_training import dataset
from modelwright_training.contract import Columns, DataSource, Evaluation, JobConfig, Preprocessing, Reason, Task
from modelwright_training.errors import StageError
from modelwright_training.features import Kind
from tests.training.builders import LOGISTIC, job, make

ROWS = 60
RIDGE = "sklearn.linear_model.Ridge"


def table(**columns: Any) -> Any:
    base = {"x": np.linspace(0, 1, ROWS), "target": [0, 1] * (ROWS // 2)}
    return pa.table({name: values for name, values in {**base, **columns}.items() if values is not None})


def prepared(config: JobConfig, rows: Any, task: Task = Task.CLASSIFICATION) -> dataset.Dataset:
    return dataset.prepare(config, task, {"train": rows})


def test_numbers_are_one_matrix() -> None:
    rows = table(
        b=[True, False] * 30,
        i=pa.array([None, *range(1, ROWS)]),
        m=pa.array([True, None] * 30),
        d=pa.array(range(ROWS)).cast(pa.decimal128(21, 2)),
    )
    data = prepared(job(), rows)
    assert data.features.is_matrix
    assert [feature.column for feature in data.features.all] == ["x", "b", "i", "m", "d"]
    feed = data.train.values.feed()
    assert list(feed) == ["input"]
    assert feed["input"].dtype == np.float32
    assert np.isnan(feed["input"]).any(axis=0).tolist() == [False, False, True, True, False]


def test_mixed_columns_are_typed_inputs_with_fit_names() -> None:
    rows = table(
        **{"plan name": pa.array(["a", None] * 30), "plan/name": ["c"] * ROWS, "age": range(ROWS)},
        code=[1, 2] * 30,
        yes=[True, False] * 30,
        part=pa.array([1, None] * 30),
        word=pa.array(["p", "q"] * 30).dictionary_encode(),
    )
    data = prepared(job(columns=Columns((), ("code",))), rows)
    kinds = {feature.input: (feature.column, feature.kind, feature.categorical) for feature in data.features.all}
    assert kinds == {
        "x": ("x", Kind.FLOAT, False),
        "plan_name": ("plan name", Kind.TEXT, True),
        "plan_name_2": ("plan/name", Kind.TEXT, True),
        "age": ("age", Kind.INTEGER, False),
        "code": ("code", Kind.INTEGER, True),
        "yes": ("yes", Kind.BOOLEAN, False),
        "part": ("part", Kind.FLOAT, False),
        "word": ("word", Kind.TEXT, True),
    }
    feed = data.holdout.values.feed()
    assert {name: tensor.dtype for name, tensor in feed.items()} == {
        "x": np.float32, "plan_name": object, "plan_name_2": object, "age": np.int64, "code": np.int64,
        "yes": np.bool_, "part": np.float32, "word": object,
    }  # fmt: skip
    assert all(tensor.shape == (len(data.holdout), 1) for tensor in feed.values())
    assert "" in feed["plan_name"][:, 0]


@pytest.mark.parametrize(
    "names", [["a b", "a_b", "a_b_2"], ["a_b", "a b", "a/b"], ["label", "input", "label_2"], ["ü", "_"]]
)
def test_input_names_never_collide(names: list[str]) -> None:
    data = prepared(job(), table(**dict.fromkeys(names, ["u", "v"] * 30)))
    inputs = [feature.input for feature in data.features.all]
    assert len(set(inputs)) == len(inputs)
    assert not set(inputs) & {"label", "input", "probabilities", "prediction"}


@pytest.mark.parametrize(
    ("columns", "settings", "reason", "named"),
    [
        ({"target": None}, {}, Reason.TARGET_INVALID, "'target' is not a column"),
        ({"target": None, "Target": [1] * ROWS}, {}, Reason.TARGET_INVALID, "did you mean Target"),
        ({"target": pa.nulls(ROWS)}, {}, Reason.TARGET_INVALID, "is empty"),
        ({"target": pa.nulls(ROWS, pa.float64())}, {}, Reason.TARGET_INVALID, "is empty"),
        ({"target": pa.array([None, *[0, 1] * 29, 0])}, {}, Reason.TARGET_INVALID, "missing in 1 of 60 rows"),
        ({"target": [np.nan, *[0.0, 1.0] * 29, 0.0]}, {}, Reason.TARGET_INVALID, "missing in 1 of 60 rows"),
        ({"target": ["", *["a", "b"] * 29, "a"]}, {}, Reason.TARGET_INVALID, "missing in 1 of 60 rows"),
        ({"target": [1] * ROWS}, {}, Reason.TARGET_INVALID, "nothing to learn"),
        ({"target": ["rare", *["a", "b"] * 29, "a"]}, {}, Reason.TARGET_INVALID, "single row (rare)"),
        ({"target": np.linspace(0, 1, ROWS)}, {}, Reason.TARGET_INVALID, "has fractions"),
        ({"target": [dt.date(2026, 1, 1)] * ROWS}, {}, Reason.TARGET_INVALID, "date32"),
        ({"target": ["a", "b"] * 30}, {"task": Task.REGRESSION}, Reason.TARGET_INVALID, "not numeric"),
        ({"target": [np.inf, *range(59)]}, {"task": Task.REGRESSION}, Reason.TARGET_INVALID, "infinite"),
        ({"x": None}, {}, Reason.DATA_INVALID, "no feature is left"),
        ({"x": [np.inf, *range(59)]}, {}, Reason.DATA_INVALID, "column 'x' has inf in row 0"),
        ({"x": [1e39, *range(59)]}, {}, Reason.DATA_INVALID, "float32 cannot hold"),
        ({"x": 1.7e9 + np.arange(ROWS)}, {}, Reason.DATA_INVALID, "subtract an offset"),
        ({"x": [np.nan] * ROWS}, {}, Reason.DATA_INVALID, "'x' has no value"),
        ({"x": pa.nulls(ROWS)}, {}, Reason.DATA_INVALID, "'x' has no values"),
        ({"when": [dt.datetime(2026, 1, 1)] * ROWS}, {}, Reason.DATA_INVALID, "'when' has the type timestamp"),  # noqa: DTZ001
        ({"list": [[1]] * ROWS}, {}, Reason.DATA_INVALID, "'list' has the type list"),
        ({"raw": [b"\xff"] * ROWS}, {}, Reason.DATA_INVALID, "'raw' has the type binary"),
        ({"": range(ROWS)}, {}, Reason.DATA_INVALID, "has no name in the file"),
        ({"Unnamed: 0": range(ROWS)}, {}, Reason.DATA_INVALID, "has no name in the file"),
        ({"a\nb": range(ROWS)}, {}, Reason.DATA_INVALID, "control characters"),
        ({"n" * 121: range(ROWS)}, {}, Reason.DATA_INVALID, "over 120 letters"),
        ({"target": ["a", "b" * 129] * 30}, {}, Reason.TARGET_INVALID, "over 128 letters"),
        (
            {"word": ["a", "b"] * 30, **{f"x{i}": [0.0] * ROWS for i in range(1000)}},
            {},
            Reason.DATA_INVALID,
            "'word' is a category",
        ),
        ({}, {"columns": Columns(("idd",), ())}, Reason.DATA_INVALID, "columns.drop names 'idd'"),
        ({}, {"columns": Columns((), ("target",))}, Reason.DATA_INVALID, "only features belong there"),
        ({}, {"columns": Columns((), ("x",))}, Reason.DATA_INVALID, "'x' is in columns.categorical"),
        ({"target": ["rare", "rare", *["a", "b"] * 29]}, {"seed": 1}, None, ""),
    ],
)
def test_bad_data(columns: dict[str, Any], settings: dict[str, Any], reason: Reason | None, named: str) -> None:
    task = settings.pop("task", Task.CLASSIFICATION)
    if reason is None:
        assert len(prepared(job(**settings), table(**columns), task).holdout) > 0
        return
    with pytest.raises(StageError) as error:
        prepared(job(**settings), table(**columns), task)
    assert error.value.reason is reason
    assert named in str(error.value)


def test_too_many_categories_name_the_one_that_is_no_number() -> None:
    rows = pa.table({"charges": [*map(str, range(1500)), " "] * 2, "target": [0, 1] * 1501})
    with pytest.raises(StageError, match=r"column 'charges' has 1\d* distinct texts.*' ' is not"):
        prepared(job(), rows)


def test_missing_numbers_without_preprocessing_are_refused() -> None:
    rows = table(x=[np.nan, *range(59)])
    with pytest.raises(StageError, match=r"set trainer.sklearn.preprocessing to Auto") as error:
        make(job(LOGISTIC, preprocessing=Preprocessing.NONE), {"train": rows})
    assert error.value.reason is Reason.DATA_INVALID


def test_texts_without_preprocessing_are_refused() -> None:
    with pytest.raises(StageError, match="column 'word' holds categories") as error:
        make(job(LOGISTIC, preprocessing=Preprocessing.NONE), {"train": table(word=["a", "b"] * 30)})
    assert error.value.reason is Reason.DATA_INVALID


def two_sets(**changes: Any) -> JobConfig:
    sources = (DataSource("test", "pvc://lake/t.csv", None), DataSource("train", "pvc://lake/a.csv", None))
    return job(data=sources, evaluation=Evaluation("test", 25), **changes)


def test_named_holdout_is_held_out_whole() -> None:
    rows = {"train": table(), "test": table(x=range(ROWS))}
    data = dataset.prepare(two_sets(), Task.CLASSIFICATION, rows)
    assert (len(data.train), len(data.holdout)) == (ROWS, ROWS)
    assert data.holdout.values.numbers[:, 0].tolist() == list(range(ROWS))


@pytest.mark.parametrize(
    ("holdout", "named"),
    [
        (table(target=["c", "a"] * 30), "class 'c' in the holdout"),
        (table(target=["b", "a"] * 30, y=range(ROWS)), "data set 'test' has the column 'y', data set 'train' has not"),
        (table(target=["b", "a"] * 30, x=["b", "a"] * 30), "'x' is a number .double. in data set 'train' but a text"),
    ],
)
def test_named_holdout_must_match(holdout: Any, named: str) -> None:
    with pytest.raises(StageError, match=named):
        dataset.prepare(two_sets(), Task.CLASSIFICATION, {"train": table(target=["a", "b"] * 30), "test": holdout})


def test_holdout_can_be_rebuilt() -> None:
    config = job(RIDGE, uri="sklearn://diabetes")
    part = dataset.load_holdout(config, Task.REGRESSION)
    data = dataset.load(config, Task.REGRESSION)
    assert np.array_equal(part.values.numbers, data.holdout.values.numbers)
    assert np.array_equal(part.target, data.holdout.target)
    rows = {tuple(row) for row in data.train.values.numbers}
    assert not any(tuple(row) in rows for row in part.values.numbers)
