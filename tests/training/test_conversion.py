"""Which estimators become ONNX models that agree with scikit-learn, and that the others are found out."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest

from modelwright_training import unservable
from modelwright_training.contract import Columns, DataSource, Evaluation, Preprocessing, Reason
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


# All of them are in tests/estimators; here is what the schema says.
CLASSIFIERS = ["linear_model.LogisticRegression", "linear_model.Perceptron", "svm.LinearSVC", "svm.SVC"]
REGRESSORS = ["cross_decomposition.PLSRegression", "linear_model.Ridge", "svm.SVR", "tree.DecisionTreeRegressor"]


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
    "forest trained with missing values": "sklearn.ensemble.RandomForestClassifier",
    "tree trained with missing values": "sklearn.tree.DecisionTreeClassifier",
}


@pytest.mark.parametrize("name", LOST)
def test_silently_wrong_conversions_are_refused(name: str) -> None:
    with pytest.raises(StageError) as error:
        make(job(LOST[name], preprocessing=Preprocessing.NONE), {"train": HOLEY})
    assert error.value.reason is Reason.PARITY_FAILED
    assert "row" in str(error.value)
    assert "choose others" in str(error.value)


INNER = {"estimator": LOGISTIC}
CALIBRATED = "sklearn.calibration.CalibratedClassifierCV"
CODES = pa.table({"k": RNG.integers(0, 20, ROWS), "x": RNG.normal(size=ROWS), "target": RNG.integers(0, 2, ROWS)})
UNSERVABLE: list[tuple[str, dict[str, Any], Any, str]] = [
    (HIST_REGRESSOR, {"loss": "poisson"}, None, "PoissonRegressor"),
    (HIST_REGRESSOR, {"loss": "gamma"}, None, "GammaRegressor"),
    (HIST_CLASSIFIER, {"categorical_features": [0]}, CODES, "columns.categorical"),
    (HIST_REGRESSOR, {"categorical_features": [0]}, CODES, "columns.categorical"),
    (CALIBRATED, {"method": "isotonic"}, None, 'set method to "sigmoid"'),
    (CALIBRATED, {"method": "isotonic", "estimator": INNER}, None, 'set method to "sigmoid"'),
    (CALIBRATED, {"method": "temperature", "estimator": INNER}, None, 'set method to "sigmoid"'),
    (
        "sklearn.model_selection.TunedThresholdClassifierCV",
        {"estimator": {"estimator": LOGISTIC, "parameters": {"class_weight": {"0": 9, "1": 1}}}},
        None,
        "use the estimator inside it",
    ),
    ("sklearn.model_selection.FixedThresholdClassifier", {"estimator": INNER}, None, "use the estimator inside it"),
    (
        "sklearn.compose.TransformedTargetRegressor",
        {"regressor": {"estimator": "sklearn.linear_model.Ridge"}},
        None,
        "transform the target",
    ),
]


@pytest.mark.parametrize(("path", "parameters", "table", "advice"), UNSERVABLE)
def test_what_is_refused_by_name_would_be_wrong_indeed(
    path: str, parameters: dict[str, Any], table: Any, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = job(path, parameters, uri="sklearn://diabetes" if "Regressor" in path else "sklearn://breast_cancer")
    tables = {"train": table} if table else None
    with pytest.raises(StageError, match=advice) as error:
        make(config, tables)
    assert error.value.reason is Reason.ESTIMATOR_INVALID
    monkeypatch.setattr(unservable, "find", lambda _: None)
    with pytest.raises(StageError) as error:
        make(config, tables)
    assert error.value.reason in {Reason.PARITY_FAILED, Reason.CONVERSION_FAILED}


def test_what_is_refused_by_name_is_found_inside_others() -> None:
    inner = {"estimator": HIST_REGRESSOR, "parameters": {"loss": "gamma"}}
    with pytest.raises(StageError, match="loss poisson or gamma"):
        make(job("sklearn.ensemble.BaggingRegressor", {"estimator": inner}, uri="sklearn://diabetes"))


def test_ties_of_an_even_number_of_trees_are_the_only_other_labels() -> None:
    model = make(job("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 4}), {"train": HOLEY})
    assert agrees(model)
    values = model.data.train.values
    probabilities = model.fitted.predict_proba(values.native())
    unlike = model.runtime.predict(values)[0] != model.fitted.predict(values.native())
    assert np.abs(probabilities[unlike, 0] - 0.5).max(initial=0) < 1e-6


def test_categories_never_seen_do_not_make_the_served_model_raise() -> None:
    rare = RNG.choice(["a", "b", "c", "d"], ROWS, p=[0.5, 0.48, 0.01, 0.01])
    table = pa.table({"plan": rare.tolist(), "x": RNG.normal(size=ROWS), "target": (rare == "a").astype(int)})
    model = make(job(LOGISTIC), {"train": table})
    unseen = Values(model.data.features, np.zeros((1, 1)), np.array([["never"]], dtype=object))
    label, probabilities = model.runtime.predict(unseen)
    assert label.shape == (1,)
    assert np.allclose(probabilities, model.fitted.predict_proba(unseen.native()), atol=1e-5)


def test_timestamps_of_a_year_are_right_and_of_a_day_refused() -> None:
    assert agrees(make(job(HIST_CLASSIFIER), {"train": timestamps(365 * 86400)}))
    with pytest.raises(StageError, match=r"column 'when'.*subtract an offset"):
        make(job(HIST_CLASSIFIER), {"train": timestamps(86400)})


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


MEMBERS = [
    {"estimator": LOGISTIC},
    {"estimator": HIST_CLASSIFIER, "parameters": {"max_iter": 10}},
    {"name": "svm", "estimator": "sklearn.svm.SVC", "parameters": {"probability": True}},
]
BOOSTED = {"estimator": HIST_CLASSIFIER, "parameters": {"max_iter": 10}}


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("ensemble.StackingClassifier", {"estimators": MEMBERS, "final_estimator": BOOSTED, "cv": 3}),
        ("ensemble.VotingClassifier", {"estimators": MEMBERS, "voting": "soft"}),
        ("ensemble.VotingClassifier", {"estimators": MEMBERS, "voting": "hard"}),
        ("ensemble.BaggingClassifier", {"estimator": BOOSTED, "n_estimators": 3}),
        ("calibration.CalibratedClassifierCV", {"estimator": BOOSTED, "cv": 3}),
        ("multiclass.OneVsRestClassifier", {"estimator": BOOSTED}),
        ("model_selection.GridSearchCV", {"estimator": BOOSTED, "param_grid": {"max_depth": [2, "None"]}, "cv": 3}),
        ("discriminant_analysis.LinearDiscriminantAnalysis", {}),
        ("discriminant_analysis.LinearDiscriminantAnalysis", {"solver": "lsqr", "shrinkage": "auto"}),
    ],
)
@pytest.mark.filterwarnings("ignore:The .*probability.* parameter:FutureWarning")
def test_combined_estimators(path: str, parameters: dict[str, Any]) -> None:
    assert agrees(make(job(f"sklearn.{path}", parameters, columns=Columns((), ("code",))), {"train": MIXED}))


def test_a_filled_gap_stays_on_its_side_of_a_threshold() -> None:
    """The median of an even number of rows is where boosting splits first, if the target jumps there."""
    low = np.nextafter(np.float32(1), np.float32(2))
    high = np.nextafter(low, np.float32(2))  # the float32 nearest to the middle of the two is this one
    x = np.concatenate([np.linspace(-2, -1, 99), [low, high], np.linspace(2, 3, 99)])
    table = pa.table({"x": x, "target": np.where(x > low, 10.0, 0.0) + np.arange(200) / 1000})
    members = [{"estimator": "sklearn.linear_model.Ridge"}, {"estimator": HIST_REGRESSOR}]
    sources = (DataSource("train", "sklearn://x", None), DataSource("test", "sklearn://x", None))
    config = job("sklearn.ensemble.VotingRegressor", {"estimators": members})
    config = replace(config, data=sources, evaluation=Evaluation("test", 25))
    model = make(config, {"train": table, "test": table})
    missing = Values(model.data.features, np.array([[np.nan]]), np.empty((1, 0), dtype=object))
    assert model.runtime.predict(missing)[0][0, 0] == pytest.approx(model.fitted.predict(missing.native())[0], abs=1e-4)


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
