"""Features that give the target away."""

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from modelwright_training import dataset, leakage
from modelwright_training.__main__ import main
from modelwright_training.contract import (
    Columns,
    DataSource,
    Evaluation,
    Failure,
    JobConfig,
    Reason,
    Stage,
    Task,
    TrainResult,
)  # fmt: skip
from modelwright_training.errors import StageError
from tests.training.builders import LOGISTIC, Pod, job, read_json

ROWS = 800
RANDOM = np.random.default_rng(11)
X = RANDOM.normal(size=ROWS)
LABEL = (X + RANDOM.normal(size=ROWS) > 0).astype(int)
PRICE = 100 * X + RANDOM.normal(size=ROWS)


def prepared(task: Task, **columns: Any) -> dataset.Dataset:
    target = LABEL if task is Task.CLASSIFICATION else PRICE
    return dataset.prepare(job(), task, {"train": pa.table({"x": X, "target": target, **columns})})


COPIES = {
    "equal": (Task.CLASSIFICATION, LABEL),
    "negated": (Task.CLASSIFICATION, 1 - LABEL),
    "numbers": (Task.CLASSIFICATION, np.where(LABEL, 12.5, -3.0)),
    "texts": (Task.CLASSIFICATION, np.where(LABEL, "yes", "no")),
    "truth": (Task.CLASSIFICATION, LABEL == 1),
    "equal number": (Task.REGRESSION, PRICE),
    "float32": (Task.REGRESSION, PRICE.astype(np.float32)),
    "another unit": (Task.REGRESSION, PRICE * 1.8 + 32),
    "negative": (Task.REGRESSION, -PRICE / 1e6),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_of_the_target_are_refused(name: str) -> None:
    task, copy = COPIES[name]
    with pytest.raises(StageError, match=r"column 'copy' is the target in other words.*columns.drop") as error:
        leakage.check(prepared(task, copy=copy))
    assert error.value.reason is Reason.DATA_INVALID


def test_copies_of_three_classes_in_text_are_refused() -> None:
    target = RANDOM.choice(["a", "b", "c"], ROWS)
    table = pa.table({"code": [{"a": 3, "b": 1, "c": 2}[label] for label in target], "target": target})
    for columns in (Columns((), ()), Columns((), ("code",))):
        with pytest.raises(StageError, match="'code' is the target"):
            leakage.check(dataset.prepare(job(columns=columns), Task.CLASSIFICATION, {"train": table}))


FLIPPED = np.where(np.arange(ROWS) % 200 == 7, 1 - LABEL, LABEL)
SUSPECTS = {
    "nearly equal": (Task.CLASSIFICATION, FLIPPED),
    "beyond a threshold": (Task.CLASSIFICATION, LABEL * 10 + RANDOM.random(ROWS)),
    "set only after": (Task.CLASSIFICATION, np.where(LABEL, RANDOM.random(ROWS), np.nan)),
    "texts": (Task.CLASSIFICATION, np.where(LABEL, RANDOM.choice(["closed", "gone"], ROWS), "open")),
    "nearly linear": (Task.REGRESSION, PRICE + RANDOM.normal(0, 0.1, ROWS)),
    "monotone": (Task.REGRESSION, np.exp(PRICE / 100)),
}


@pytest.mark.parametrize("name", SUSPECTS)
def test_what_predicts_the_target_alone_is_said(name: str) -> None:
    task, suspect = SUSPECTS[name]
    other = RANDOM.normal(size=ROWS)
    data = prepared(task, x=other, suspect=suspect)
    [said] = leakage.check(data)
    assert "the column 'suspect' predicts the target alone" in said
    assert "columns.drop" in said


@pytest.mark.parametrize("uri", ["breast_cancer", "iris", "wine", "digits", "diabetes"])
def test_honest_data_are_left_alone(uri: str) -> None:
    task = Task.REGRESSION if uri == "diabetes" else Task.CLASSIFICATION
    assert leakage.check(dataset.load(job(uri=f"sklearn://{uri}"), task)) == ()


def test_alternating_rows_and_unique_keys_prove_nothing() -> None:
    table = pa.table({"key": range(ROWS), "code": [1, 2] * (ROWS // 2), "target": [0, 0, 1, 1] * (ROWS // 4)})
    assert leakage.check(dataset.prepare(job(), Task.CLASSIFICATION, {"train": table})) == ()


def test_sentences_fit_a_termination_message() -> None:
    names = [letter * 120 for letter in "äöüßéè"]
    data = prepared(Task.CLASSIFICATION, **dict.fromkeys(names, FLIPPED))
    [said] = leakage.check(data)
    assert len(said.encode()) < 500
    assert "…" in said


def test_groups_and_times_on_both_sides_are_said() -> None:
    sources = (DataSource("a", "pvc://lake/a.csv", None), DataSource("b", "pvc://lake/b.csv", None))
    config = job(data=sources, evaluation=Evaluation("b", 25), columns=Columns((), (), "day", "g"))
    days = [dt.date(2026, 1, 1) + dt.timedelta(days=row // 20) for row in range(ROWS)]
    rows = pa.table({"x": X, "target": LABEL, "g": range(ROWS), "day": days})
    data = dataset.prepare(config, Task.CLASSIFICATION, {"a": rows.slice(0, 700), "b": rows.slice(650, 150)})
    assert leakage.between_parts(data) == (
        "50 of 150 holdout rows are of groups that are trained on as well",
        "50 of 150 holdout rows are no newer than all training rows",
    )


def test_rows_left_out_are_said() -> None:
    days = [dt.date(2026, 1, 1) + dt.timedelta(days=row) for row in range(ROWS)]
    group = [0 if row in {3, ROWS - 1} else row for row in range(ROWS)]
    table = pa.table({"x": X, "target": LABEL, "day": days, "g": group})
    data = dataset.prepare(job(columns=Columns((), (), "day", "g")), Task.CLASSIFICATION, {"train": table})
    [said] = leakage.between_parts(data)
    assert said == "training rows left out, since their groups are among the newest held out: 2"


def run(pod: Pod, config: JobConfig, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> object:
    for name, value in pod.environment(config).items():
        monkeypatch.setenv(name, value)
    main([stage])
    return pod.message(stage)


def test_the_train_stage_reports_and_refuses(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"x": RANDOM.normal(size=ROWS), "suspect": FLIPPED, "copy": 1 - LABEL, "target": LABEL})
    table.to_pandas().to_csv(pod.root / "stores" / "lake" / "leak.csv", index=False)
    config = job(LOGISTIC, uri="pvc://lake/leak.csv")
    run(pod, config, Stage.FETCH, monkeypatch)
    refused = run(pod, config, Stage.TRAIN, monkeypatch)
    assert isinstance(refused, Failure)
    assert "column 'copy' is the target" in refused.message
    config = job(LOGISTIC, uri="pvc://lake/leak.csv", columns=Columns(("copy",), ()))
    trained = run(pod, config, Stage.TRAIN, monkeypatch)
    assert isinstance(trained, TrainResult)
    assert "'suspect' predicts the target alone" in trained.warnings[0]
    run(pod, config, Stage.EVALUATE, monkeypatch)
    assert read_json(pod.artifact / "report.json")["warnings"][0] == trained.warnings[0]
    roles = {column["name"]: column["role"] for column in read_json(pod.artifact / "columns.json")["columns"]}
    assert roles == {"x": "Feature", "suspect": "Feature", "copy": "Dropped", "target": "Target"}
