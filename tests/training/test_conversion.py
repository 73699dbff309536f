"""Which estimators become ONNX models that agree with scikit-learn, and that the others are found out."""

import warnings
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.naive_bayes import GaussianNB

from modelwright_training.contract import Columns, Preprocessing, Reason
from modelwright_training.errors import StageError
from modelwright_training.features import Values
from tests.training.builders import HIST_CLASSIFIER, HIST_REGRESSOR, LOGISTIC, Model, job, make

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # unscaled regressions
RNG = np.random.default_rng(0)
ROWS = 400


def holey() -> Any:
    x = RNG.normal(size=(ROWS, 4))
    target = (x[:, 0] + RNG.normal(size=ROWS) > 0).astype(int)
    x[RNG.random(x.shape) < 0.2] = np.nan
    return pa.table({**{f"x{i}": x[:, i] for i in range(4)}, "target": target})


def mixed() -> Any:
    plan = RNG.choice(["a", "b", "c d", "ü"], ROWS)
    code = RNG.integers(0, 5, ROWS)
    member = RNG.random(ROWS) < 0.5
    income = RNG.normal(5e4, 1e4, ROWS)
    income[RNG.random(ROWS) < 0.2] = np.nan
    return pa.table(
        {
            "plan name": pa.array([None if RNG.random() < 0.1 else str(value) for value in plan]),
            "age": RNG.integers(18, 90, ROWS),
            "income": income,
            "member": member,
            "code": code,
            "target": np.where((plan == "a") | (code == 2) | member, "yes", "no"),
        }
    )


HOLEY, MIXED = holey(), mixed()


def agrees(model: Model) -> bool:
    """Compare on all rows, independently of the parity gate: nothing is taken from its report."""
    values = model.data.train.values
    outputs = model.runtime.predict(values)
    native = model.fitted.predict(values.native())
    if len(outputs) == 2:
        return bool(np.abs(outputs[1] - model.fitted.predict_proba(values.native())).max() < 1e-4)
    if outputs[0].ndim == 1:
        return bool(np.mean(outputs[0] == native) > 0.999)
    return bool(np.abs(outputs[0][:, 0] - native.reshape(-1)).max() < 1e-3 * native.std())


CLASSIFIERS = [
    "calibration.CalibratedClassifierCV",
    "discriminant_analysis.QuadraticDiscriminantAnalysis",
    "ensemble.AdaBoostClassifier",
    "ensemble.BaggingClassifier",
    "ensemble.ExtraTreesClassifier",
    "ensemble.GradientBoostingClassifier",
    "ensemble.HistGradientBoostingClassifier",
    "ensemble.RandomForestClassifier",
    "linear_model.LogisticRegression",
    "linear_model.Perceptron",
    "linear_model.RidgeClassifier",
    "linear_model.SGDClassifier",
    "naive_bayes.BernoulliNB",
    "naive_bayes.GaussianNB",
    "neighbors.KNeighborsClassifier",
    "neural_network.MLPClassifier",
    "svm.LinearSVC",
    "svm.NuSVC",
    "svm.SVC",
    "tree.DecisionTreeClassifier",
]
REGRESSORS = [
    "cross_decomposition.PLSRegression",
    "ensemble.AdaBoostRegressor",
    "ensemble.BaggingRegressor",
    "ensemble.ExtraTreesRegressor",
    "ensemble.GradientBoostingRegressor",
    "ensemble.HistGradientBoostingRegressor",
    "ensemble.RandomForestRegressor",
    "gaussian_process.GaussianProcessRegressor",
    "linear_model.BayesianRidge",
    "linear_model.ElasticNet",
    "linear_model.GammaRegressor",
    "linear_model.HuberRegressor",
    "linear_model.Lars",
    "linear_model.Lasso",
    "linear_model.LinearRegression",
    "linear_model.PoissonRegressor",
    "linear_model.Ridge",
    "linear_model.SGDRegressor",
    "linear_model.TweedieRegressor",
    "neighbors.KNeighborsRegressor",
    "neural_network.MLPRegressor",
    "svm.LinearSVR",
    "svm.SVR",
    "tree.DecisionTreeRegressor",
]


@pytest.mark.parametrize("path", CLASSIFIERS)
def test_classifiers(path: str) -> None:
    model = make(job(f"sklearn.{path}", uri="sklearn://wine"))
    assert agrees(model)
    outputs = model.converted.schema.outputs
    assert [output.name for output in outputs] == ["label", "probabilities"][: len(outputs)]
    assert (len(outputs) == 2) == hasattr(model.fitted, "predict_proba")


@pytest.mark.parametrize("path", REGRESSORS)
def test_regressors(path: str) -> None:
    model = make(job(f"sklearn.{path}", uri="sklearn://diabetes"))
    assert agrees(model)
    (output,) = model.converted.schema.outputs
    assert (output.name, output.datatype, output.shape) == ("prediction", "FP32", (-1, 1))


@pytest.mark.parametrize(
    "path",
    [
        "ensemble.HistGradientBoostingClassifier", "ensemble.RandomForestClassifier", "linear_model.LogisticRegression",
        "naive_bayes.GaussianNB", "neural_network.MLPClassifier", "svm.LinearSVC",
        "svm.SVC",
    ],
)  # fmt: skip
def test_mixed_columns_with_missing_values_and_text_labels(path: str) -> None:
    model = make(job(f"sklearn.{path}", columns=Columns((), ("code",))), {"train": MIXED})
    assert agrees(model)
    schema = model.converted.schema
    assert [(tensor.name, tensor.datatype, tensor.shape, tensor.columns) for tensor in schema.inputs] == [
        ("plan_name", "BYTES", (-1, 1), ("plan name",)),
        ("age", "INT64", (-1, 1), ("age",)),
        ("income", "FP32", (-1, 1), ("income",)),
        ("member", "BOOL", (-1, 1), ("member",)),
        ("code", "INT64", (-1, 1), ("code",)),
    ]
    assert schema.outputs[0].datatype == "BYTES"
    assert {finding.group for finding in model.report.findings} >= {"missing value", "unseen category"}


@pytest.mark.parametrize("path", ["ensemble.RandomForestClassifier", "linear_model.LogisticRegression"])
def test_missing_numbers_are_filled(path: str) -> None:
    assert agrees(make(job(f"sklearn.{path}"), {"train": HOLEY}))


@pytest.mark.parametrize("preprocessing", Preprocessing)
def test_histogram_boosting_takes_missing_numbers_itself(preprocessing: Preprocessing) -> None:
    assert agrees(make(job(HIST_CLASSIFIER, preprocessing=preprocessing), {"train": HOLEY}))


def timestamps(seconds: int) -> Any:
    when = 1.7e9 + RNG.integers(0, seconds, ROWS)
    return pa.table({"when": when, "x": RNG.normal(size=ROWS), "target": (np.sin(when / seconds * 30) > 0).astype(int)})


LOST = {
    "boosting with log link, poisson": (job(HIST_REGRESSOR, {"loss": "poisson"}, uri="sklearn://diabetes"), None, None),
    "boosting with log link, gamma": (job(HIST_REGRESSOR, {"loss": "gamma"}, uri="sklearn://diabetes"), None, None),
    "boosting with native categories": (
        job(HIST_CLASSIFIER, {"categorical_features": [0]}),
        pa.table({"k": RNG.integers(0, 20, ROWS), "x": RNG.normal(size=ROWS), "target": RNG.integers(0, 2, ROWS)}),
        None,
    ),
    "binary linear discriminants": (job("sklearn.discriminant_analysis.LinearDiscriminantAnalysis"), None, None),
    "isotonic calibration of LinearSVC": (
        job("sklearn.calibration.CalibratedClassifierCV", {"method": "isotonic"}),
        None,
        None,
    ),
    "isotonic calibration of a regression": (
        job(LOGISTIC),
        None,
        CalibratedClassifierCV(LogisticRegression(), method="isotonic"),
    ),
    "tuned threshold": (job(LOGISTIC), None, TunedThresholdClassifierCV(LogisticRegression(class_weight={0: 9, 1: 1}))),
    "forest trained with missing values": (
        job("sklearn.ensemble.RandomForestClassifier", preprocessing=Preprocessing.NONE),
        HOLEY,
        None,
    ),
    "tree trained with missing values": (
        job("sklearn.tree.DecisionTreeClassifier", preprocessing=Preprocessing.NONE),
        HOLEY,
        None,
    ),
}


@pytest.mark.parametrize("name", LOST)
def test_silently_wrong_conversions_are_refused(name: str) -> None:
    config, table, estimator = LOST[name]
    with pytest.raises(StageError) as error:
        make(config, {"train": table} if table else None, estimator)
    assert error.value.reason is Reason.PARITY_FAILED
    assert "row" in str(error.value)
    assert "choose others" in str(error.value)


def test_timestamps_of_a_year_are_right_and_of_a_day_refused() -> None:
    assert agrees(make(job(HIST_CLASSIFIER), {"train": timestamps(365 * 86400)}))
    with pytest.raises(StageError, match=r"column 'when'.*subtract an offset"):
        make(job(HIST_CLASSIFIER), {"train": timestamps(86400)})


@pytest.mark.parametrize(
    ("estimator", "named"),
    [
        (
            VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft"),
            "flatten_transform to false",
        ),
        (CalibratedClassifierCV(LogisticRegression(), method="temperature"), "cannot be converted"),
    ],
)
def test_known_remedies(estimator: Any, named: str) -> None:
    with pytest.raises(StageError, match=named) as error:
        make(job(LOGISTIC), None, estimator)
    assert error.value.reason is Reason.CONVERSION_FAILED


@pytest.mark.parametrize(
    "path", ["neighbors.NearestCentroid", "dummy.DummyClassifier", "gaussian_process.GaussianProcessClassifier"]
)
def test_estimators_without_a_converter(path: str) -> None:
    with pytest.raises(StageError, match=path.split(".")[1]) as error:
        make(job(f"sklearn.{path}", uri="sklearn://iris"))
    assert error.value.reason is Reason.CONVERSION_FAILED


def test_graph_that_breaks_when_it_runs_is_refused() -> None:
    config = job("sklearn.neighbors.RadiusNeighborsRegressor", {"radius": 0.5}, uri="sklearn://diabetes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of rows without neighbours, too
        with pytest.raises(StageError, match="the ONNX model cannot be run"):
            make(config)


@pytest.mark.parametrize(
    "estimator",
    [
        StackingClassifier([("a", LogisticRegression()), ("b", GaussianNB())]),
        VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft", flatten_transform=False),
    ],
)
def test_combined_estimators(estimator: Any) -> None:
    assert agrees(make(job(LOGISTIC), None, estimator))


def test_values_between_a_threshold_and_its_rounding_stay_on_their_side() -> None:
    """Midpoints of decimals are where boosting splits, and such decimals are what clients send."""
    x = np.repeat(np.arange(1, 200) / 10, 5)
    table = pa.table({"x": x, "target": (x * 5).round() % 2 + (x > 7)})
    model = make(job(HIST_REGRESSOR), {"train": table})
    between = Values(model.data.features, np.arange(1, 4000)[:, None] / 200, np.empty((3999, 0), dtype=object))
    assert np.allclose(model.runtime.predict(between)[0][:, 0], model.fitted.predict(between.native()), atol=1e-4)


def test_graph_is_plain() -> None:
    model = make(job(HIST_CLASSIFIER, columns=Columns((), ("code",))), {"train": MIXED}).converted.model
    onnx.checker.check_model(model, full_check=True)
    assert max(opset.version for opset in model.opset_import) <= 22
    assert {opset.domain for opset in model.opset_import} <= {"", "ai.onnx.ml"}
    assert model.doc_string == model.producer_version == ""
    assert not any(node.doc_string for node in model.graph.node)
