"""Weights, and which of two classes is the positive one."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelwright_training import dataset, train
from modelwright_training.contract import Columns, JobConfig, Reason, Task
from modelwright_training.errors import StageError
from tests.training.builders import LOGISTIC, job, make

ROWS = 80
RANDOM = np.random.default_rng(4)
X = RANDOM.normal(size=ROWS)
TABLE: dict[str, Any] = {
    "x": X,
    "target": np.where(X + RANDOM.normal(size=ROWS) > 0, "yes", "no"),
    "w": RANDOM.integers(0, 5, ROWS),
}
WEIGHTED = Columns((), (), weight="w")


def table(**columns: Any) -> Any:
    return pa.table({**TABLE, **columns})


def refusal(rows: Any, task: Task = Task.CLASSIFICATION, **changes: Any) -> StageError:
    with pytest.raises(StageError) as error:
        fit(job(**{"estimator": LOGISTIC, **changes}), rows, task)
    return error.value


def fit(config: JobConfig, rows: Any, task: Task) -> None:
    train.fit(config, dataset.prepare(config, task, {"train": rows}))


def test_weights_reach_the_estimator_and_are_no_feature() -> None:
    made = make(job(LOGISTIC, columns=WEIGHTED), {"train": table()})
    assert [feature.column for feature in made.data.features.all] == ["x"]
    rows, target, weight = made.data.train.values.native(), made.data.train.target, made.data.train.roles.weight
    wanted = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())
    wanted.fit(rows, target, logisticregression__sample_weight=weight)
    assert np.array_equal(made.fitted.predict_proba(rows), wanted.predict_proba(rows))
    unweighted = make(job(LOGISTIC, columns=Columns(("w",), ())), {"train": table()})
    assert not np.allclose(made.fitted.predict_proba(rows), unweighted.fitted.predict_proba(rows), atol=1e-4)


def test_weights_of_a_regression() -> None:
    rows = table(target=X * 2 + RANDOM.normal(size=ROWS), w=np.linspace(0.0, 1.0, ROWS))
    made = make(job("sklearn.linear_model.Ridge", columns=WEIGHTED), {"train": rows})
    wanted = make_pipeline(StandardScaler(), Ridge(random_state=7))
    part = made.data.train
    wanted.fit(part.values.native(), part.target, ridge__sample_weight=part.roles.weight)
    assert np.allclose(made.fitted.predict(part.values.native()), wanted.predict(part.values.native()))


@pytest.mark.parametrize(
    ("weight", "named"),
    [
        ([-1, *[1] * 79], "has -1.0 in row 0"),
        ([np.inf, *[1.0] * 79], "has inf in row 0"),
        ([np.nan, *[1.0] * 79], "missing in 1 of 80 rows"),
        (["1"] * ROWS, "has the type string"),
        ([0] * ROWS, "0 in every training row"),
    ],
)
def test_bad_weights(weight: list[Any], named: str) -> None:
    error = refusal(table(w=weight), columns=WEIGHTED)
    assert error.reason is Reason.DATA_INVALID
    assert "'w' (columns.weight)" in str(error)
    assert named in str(error)


def test_an_estimator_without_weights_is_refused() -> None:
    error = refusal(table(), estimator="sklearn.neighbors.KNeighborsClassifier", columns=WEIGHTED)
    assert error.reason is Reason.ESTIMATOR_INVALID
    assert "takes no sample weights, but columns.weight is 'w'; move it to columns.drop" in str(error)


@pytest.mark.parametrize(
    ("target", "given", "positive"),
    [
        (["no", "yes"], None, "yes"),
        (["no", "yes"], "no", "no"),
        ([0, 1], None, 1),
        ([0, 1], "0", 0),
        ([0.0, 1.0], "1.0", 1),
        ([False, True], "true", 1),
        ([False, True], "False", 0),
        ([False, True], "1", 1),
        ([-1, 1], "-1", -1),
        (["0", "1"], "0", "0"),
        (["a", "b", "c"], None, None),
    ],
)
def test_the_positive_class(target: list[Any], given: str | None, positive: object) -> None:
    rows = pa.table({"x": range(60), "target": (target * 30)[:60]})
    data = dataset.prepare(job(positive_label=given), Task.CLASSIFICATION, {"train": rows})
    assert data.positive == positive
    assert type(data.positive) is type(positive)
    assert data.classes is not None
    assert data.classes.tolist() == sorted(
        {int(value) if isinstance(value, float | bool) else value for value in target}
    )


@pytest.mark.parametrize(
    ("target", "given", "task", "named"),
    [
        (["no", "yes"], "maybe", Task.CLASSIFICATION, "'maybe', but the classes of target 'target' are no, yes"),
        (["no", "yes"], "true", Task.CLASSIFICATION, "the classes of target 'target' are no, yes"),
        ([0, 1], "yes", Task.CLASSIFICATION, "are 0, 1"),
        ([0, 1], "2", Task.CLASSIFICATION, "are 0, 1"),
        ([0, 1], "0.5", Task.CLASSIFICATION, "are 0, 1"),
        (["0", "1"], "1.0", Task.CLASSIFICATION, "are 0, 1"),
        (["a", "b", "c"], "a", Task.CLASSIFICATION, "needs two classes, but target 'target' has 3 (a, b, c)"),
        ([0, 1], "1", Task.REGRESSION, "a regressor has no classes"),
    ],
)
def test_a_positive_label_that_is_no_class(target: list[Any], given: str, task: Task, named: str) -> None:
    rows = pa.table({"x": RANDOM.normal(size=60), "target": (target * 30)[:60]})
    estimator = LOGISTIC if task is Task.CLASSIFICATION else "sklearn.linear_model.Ridge"
    error = refusal(rows, task, positive_label=given, estimator=estimator)
    assert error.reason is Reason.TARGET_INVALID
    assert named in str(error)
