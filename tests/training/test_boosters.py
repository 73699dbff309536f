"""XGBoost's and LightGBM's estimators, as a user's own image leaves them: converted right, or refused."""
# ruff: noqa: PD011 - `values` is the training package's own attribute, not pandas'

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from xgboost import XGBClassifier, XGBRegressor, XGBRFClassifier

from modelwright_training import adopted, convert, dataset, parity
from modelwright_training.adopted import Adopted
from modelwright_training.contract import Columns, JobConfig, Reason, Task
from modelwright_training.dataset import Dataset
from modelwright_training.errors import StageError
from modelwright_training.runtime import Runtime
from tests.training.test_container import config

RANDOM = np.random.default_rng(12)
ROWS = 800
QUIET: dict[str, Any] = {"n_jobs": 1, "n_estimators": 25, "random_state": 3}
LIGHT: dict[str, Any] = {**QUIET, "verbose": -1, "deterministic": True, "force_col_wise": True}


def table(kind: str, *, gaps: bool = False, text: bool = False) -> Any:
    near = np.float32(1) + np.arange(4, dtype=np.float32) * np.finfo(np.float32).eps
    found: dict[str, Any] = {
        "two words": RANDOM.normal(size=ROWS),
        "b": RANDOM.gamma(2, 40, ROWS),
        "close": RANDOM.choice(near, ROWS).astype(np.float64),  # neighbours among float32
    }
    score = found["two words"] + found["b"] / 60 + 2 * (found["close"] > near[1]) + RANDOM.normal(0, 0.3, ROWS)
    if text:
        found["plan"] = RANDOM.choice(["basic", "plus", "pro"], ROWS)
        score += found["plan"] == "plus"
    if gaps:
        found["b"] = pa.array(np.where(RANDOM.random(ROWS) < 0.1, np.nan, found["b"]), from_pandas=True)
    edges = {"two": [2.0], "three": [1.5, 2.5]}.get(kind)
    if edges:
        found["y"] = np.array(["a", "b", "c"], dtype=object)[np.digitize(score, edges)]
    else:
        found["y"] = np.exp(score / 3) if kind == "positive" else score
    return pa.table(found)


def job(kind: str) -> JobConfig:
    task = Task.CLASSIFICATION if kind in {"two", "three"} else Task.REGRESSION
    return config(task, target="y", columns=Columns((), ()))


def fitted(data: Dataset, estimator: Any, *, encoded: bool = False) -> Any:
    target = data.train.target
    if encoded:
        target = np.searchsorted(data.classes, target)  # type: ignore[arg-type]  # there are classes
    return estimator.fit(rows(data), target)


def rows(data: Dataset, part: str = "train") -> Any:
    values = getattr(data, part).values
    columns = [feature.column for feature in values.features.all]
    return pd.DataFrame(values.native(), columns=columns)


def through(data: Dataset, estimator: Any, labels: Any = None) -> tuple[Runtime, parity.Report]:
    found = Adopted(estimator, data.features, labels)
    adopted._check_columns(estimator, data.features)
    converted = convert.to_onnx(found.convertible(), data.features, data.task, labels=labels, field="trainer.container")
    runtime = Runtime(converted)
    return runtime, parity.check(found, runtime, data, missing=None)


CASES = {
    "xgboost, two classes": ("two", XGBClassifier(**QUIET), {}),
    "xgboost, three classes": ("three", XGBClassifier(**QUIET), {}),
    "xgboost, forest": ("two", XGBRFClassifier(**QUIET), {}),
    "xgboost, gaps": ("two", XGBClassifier(**QUIET), {"gaps": True}),
    "xgboost, a base of its own": ("two", XGBClassifier(base_score=0.2, **QUIET), {}),
    "xgboost, regression": ("number", XGBRegressor(**QUIET), {}),
    "xgboost, regression with gaps": ("number", XGBRegressor(**QUIET), {"gaps": True}),
    "xgboost, absolute error": ("number", XGBRegressor(objective="reg:absoluteerror", **QUIET), {}),
    "lightgbm, two classes": ("two", LGBMClassifier(**LIGHT), {}),
    "lightgbm, three classes": ("three", LGBMClassifier(**LIGHT), {}),
    "lightgbm, gaps": ("two", LGBMClassifier(**LIGHT), {"gaps": True}),
    "lightgbm, regression": ("number", LGBMRegressor(**LIGHT), {}),
    "lightgbm, gamma": ("positive", LGBMRegressor(objective="gamma", **LIGHT), {}),
    "lightgbm, quantile": ("number", LGBMRegressor(objective="quantile", alpha=0.8, **LIGHT), {}),
    "lightgbm, bagged": ("two", LGBMClassifier(subsample=0.5, subsample_freq=1, **LIGHT), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_it_answers_as_the_library_does(name: str) -> None:
    kind, estimator, more = CASES[name]
    found = job(kind)
    data = dataset.prepare(found, found.task, {"train": table(kind, **more)})
    encoded = name.startswith("xgboost") and data.classes is not None
    model = fitted(data, estimator, encoded=encoded)
    runtime, report = through(data, model, data.classes if encoded else None)
    assert report.summary.max_difference < 1e-4
    assert any(finding.group == "missing value" for finding in report.findings)
    said = runtime.predict(data.holdout.values)[0].ravel()
    native = np.asarray(model.predict(rows(data, "holdout")))
    if data.classes is None:
        assert np.abs(said - native).max() < 1e-3
    else:
        assert said.tolist() == (data.classes[native] if encoded else native).tolist()


@pytest.mark.parametrize("estimator", [XGBClassifier(**QUIET), LGBMClassifier(**LIGHT)], ids=["xgboost", "lightgbm"])
def test_it_ends_a_pipeline_of_columns(estimator: Any) -> None:
    found = job("two")
    data = dataset.prepare(found, found.task, {"train": table("two", text=True, gaps=True)})
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    pipeline = make_pipeline(make_column_transformer((encode, ["plan"]), remainder="passthrough"), estimator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LightGBM about names that the encoder does not give
        _, report = through(data, fitted(data, pipeline, encoded=True), data.classes)
    assert report.summary.max_difference < 1e-4


def test_early_stopping_ends_the_model_where_it_was_best() -> None:
    found = job("two")
    data = dataset.prepare(found, found.task, {"train": table("two")})
    labels = np.searchsorted(data.classes, data.train.target)  # type: ignore[arg-type]  # there are classes
    model = XGBClassifier(**{**QUIET, "n_estimators": 300}, early_stopping_rounds=3, learning_rate=1.0)
    model.fit(rows(data)[:300], labels[:300], eval_set=[(rows(data)[300:], labels[300:])], verbose=False)
    assert model.best_iteration < 290
    _, report = through(data, model, data.classes)
    assert report.summary.max_difference < 1e-4


def test_what_would_be_converted_wrongly_is_refused() -> None:
    """A gap that is not NaN: XGBoost takes -1 for missing, the graph cannot."""
    found = job("two")
    data = dataset.prepare(found, found.task, {"train": table("two")})
    with pytest.raises(StageError, match=r"trainer\.container: XGBClassifier") as error:
        through(data, fitted(data, XGBClassifier(missing=-1.0, **QUIET), encoded=True), data.classes)
    assert error.value.reason is Reason.CONVERSION_FAILED
