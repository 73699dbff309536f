"""The contract of a user's own training image: what it finds, what it may leave, and what becomes of that."""

# ruff: noqa: PD011 - `values` is the training package's own attribute, not pandas'

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnxruntime
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from modelwright_training import dataset
from modelwright_training.__main__ import main
from modelwright_training.contract import (
    FROM_TRAIN,
    TO_TRAIN,
    Columns,
    EvaluateResult,
    Failure,
    Gate,
    JobConfig,
    OwnCode,
    PublishResult,
    Reason,
    SplitResult,
    Stage,
    Task,
    Trainer,
)
from tests.training.builders import JOB, Pod, job, read_json

OWN = OwnCode("registry.test/train:1", "sha256:" + "6" * 64)
RANDOM = np.random.default_rng(4)
ROWS = 600
MIXED = pa.table(
    {
        "plan": RANDOM.choice(["basic", "plus", "pro"], ROWS),
        "spent": RANDOM.gamma(2, 40, ROWS),
        "calls": RANDOM.integers(0, 9, ROWS),
        "customer": RANDOM.integers(0, 60, ROWS),
        "weight": RANDOM.uniform(1, 2, ROWS),
    }
)
MIXED = MIXED.append_column(
    "churned", pa.array(np.where(MIXED["spent"].to_numpy() > 9 * MIXED["calls"].to_numpy() + 20, "yes", "no"))
)
FEATURES = ["plan", "spent", "calls"]


def config(task: Task = Task.CLASSIFICATION, **changes: Any) -> JobConfig:
    return replace(JOB, trainer=Trainer(container=OWN), task=task, **changes)


def mixed(**changes: Any) -> JobConfig:
    columns = Columns((), (), group="customer", weight="weight")
    data = job(uri="pvc://lake/mixed.parquet").data
    return config(**{"data": data, "target": "churned", "columns": columns, **changes})


def fitting(pod: Pod, estimator: Any, how: Callable[[Any, Any, Any], None] | None = None) -> Callable[[], None]:
    """Stand in for an image: fit on what is there, and leave the estimator."""

    def run() -> None:
        told = read_json(pod.root / "handover" / TO_TRAIN / "columns.json")
        rows = pd.read_parquet(pod.root / "handover" / TO_TRAIN / "train.parquet")
        features = rows[[feature["name"] for feature in told["features"]]]
        (how or (lambda model, x, y: model.fit(x, y)))(estimator, features, rows[told["target"]])
        joblib.dump(estimator, pod.root / "handover" / FROM_TRAIN / "model.joblib")

    return run


def by_name(last: Any) -> Any:
    steps = [
        ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["calls", "spent"]),
        ("texts", OneHotEncoder(handle_unknown="ignore"), ["plan"]),
    ]
    return make_pipeline(ColumnTransformer(steps), last)


def served(pod: Pod, feed: dict[str, Any]) -> list[Any]:
    found = onnxruntime.InferenceSession(pod.artifact / "model.onnx").run(None, feed)
    assert isinstance(found, list)
    return found


def through(pod: Pod, found: JobConfig, monkeypatch: pytest.MonkeyPatch, estimator: Any, how: Any = None) -> list[Any]:
    return pod.run(found, monkeypatch, {Stage.TRAIN: fitting(pod, estimator, how)})


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(LogisticRegression(max_iter=5000), id="linear"),
        pytest.param(HistGradientBoostingClassifier(max_iter=20), id="histograms"),
        pytest.param(GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {}, cv=2), id="search"),
        pytest.param(LinearSVC(), id="no probabilities"),
    ],
)
def test_an_estimator_is_converted_measured_and_published(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, estimator: Any
) -> None:
    found = config(gates=(Gate("accuracy", min=0.8),))
    fetched, split, evaluated, published = through(pod, found, monkeypatch, estimator)
    assert isinstance(split, SplitResult)
    assert split.data == ()
    assert isinstance(evaluated, EvaluateResult)
    assert evaluated.parity is not None
    assert evaluated.parity.rows > 500
    assert [gate.verdict for gate in evaluated.gates] == ["Passed"]
    assert isinstance(published, PublishResult)
    holdout = dataset.load(found, found.task).holdout
    labels = served(pod, holdout.values.feed())[0]
    assert (labels == estimator.predict(pd.DataFrame(holdout.values.native(), columns=_names(holdout)))).all()
    card = read_json(pod.artifact / "card.json")
    assert card["trainer"] == {"container": {"image": OWN.image, "digest": OWN.digest}}
    assert card["estimator"].startswith("sklearn.")
    assert read_json(pod.artifact / "report.json")["importance"]["columns"]
    assert fetched.data[0].rows == 569


def _names(part: dataset.Part) -> list[str]:
    return [feature.column for feature in part.values.features.all]


def test_the_image_sees_the_rows_to_train_on_and_no_other(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(MIXED, pod.root / "stores" / "lake" / "mixed.parquet")
    found = mixed()
    through(pod, found, monkeypatch, by_name(LogisticRegression()))
    data = dataset.load(found, found.task, pod.root / "stores")
    rows = pd.read_parquet(pod.root / "handover" / TO_TRAIN / "train.parquet")
    assert list(rows.columns) == [*FEATURES, "churned", "customer", "weight"]
    assert len(rows) == len(data.train)
    assert rows["spent"].tolist() == data.train.values.numbers[:, 0].astype(np.float32).tolist()
    assert rows["churned"].tolist() == data.train.target.tolist()
    assert rows["customer"].nunique() < 60  # groups of the holdout are not among them
    assert read_json(pod.root / "handover" / TO_TRAIN / "columns.json") == {
        "features": [
            {"name": "plan", "type": "Text"},
            {"name": "spent", "type": "Number"},
            {"name": "calls", "type": "Number"},
        ],
        "target": "churned",
        "classes": ["no", "yes"],
        "positive": "yes",
        "group": "customer",
        "weight": "weight",
    }
    assert sorted(path.name for path in (pod.root / "handover" / TO_TRAIN).iterdir()) == [
        "columns.json",
        "train.parquet",
    ]


@pytest.mark.parametrize("encoded", [False, True])
def test_columns_by_name_and_labels_by_number(pod: Pod, monkeypatch: pytest.MonkeyPatch, encoded: bool) -> None:
    pq.write_table(MIXED, pod.root / "stores" / "lake" / "mixed.parquet")
    model, found = by_name(DecisionTreeClassifier(max_depth=5)), mixed()
    codes = {"no": 0, "yes": 1}
    _, _, evaluated, published = through(
        pod, found, monkeypatch, model, lambda m, x, y: m.fit(x, y.map(codes) if encoded else y)
    )
    assert isinstance(evaluated, EvaluateResult)
    assert {metric.name: metric.value for metric in evaluated.metrics}["accuracy"] > 0.9
    schema = published.schema
    assert schema is not None
    assert [tensor.name for tensor in schema.inputs] == FEATURES
    assert schema.outputs[1].columns == ("no", "yes")
    holdout = dataset.load(found, found.task, pod.root / "stores").holdout
    labels, probabilities = served(pod, holdout.values.feed())
    native = holdout.values.native()[FEATURES]
    said = model.predict(native)
    assert labels.tolist() == (np.array(["no", "yes"])[said] if encoded else said).tolist()
    assert np.abs(probabilities - model.predict_proba(native)).max() < 1e-5


def test_gaps_filled_before_trees_fall_to_the_same_side(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """The median of an even number of rows, and a tree's threshold, may be the very same number between two others."""
    near = np.array([1.0, np.nextafter(np.float32(1), np.float32(2))], dtype=np.float64)
    values = np.where(RANDOM.random(ROWS) < 0.5, near[0], near[1])
    values[::7] = np.nan
    target = np.where(np.isnan(values) | (values == near[0]), 0, 1)
    table = pa.table({"a": pa.array(values, from_pandas=True), "b": RANDOM.normal(size=ROWS), "y": target})
    pq.write_table(table, pod.root / "stores" / "lake" / "mixed.parquet")
    model = make_pipeline(SimpleImputer(strategy="mean"), DecisionTreeClassifier(max_depth=3))
    _, _, evaluated, _ = through(pod, mixed(target="y", columns=Columns((), ())), monkeypatch, model)
    assert isinstance(evaluated, EvaluateResult)
    assert evaluated.parity is not None
    assert evaluated.parity.max_difference < 1e-6


def test_a_regression(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    found = config(Task.REGRESSION, data=job(uri="sklearn://diabetes").data)
    _, _, evaluated, _ = through(pod, found, monkeypatch, LinearRegression(), lambda m, x, y: m.fit(x.to_numpy(), y))
    assert isinstance(evaluated, EvaluateResult)
    assert {metric.name for metric in evaluated.metrics} == {"rmse", "mae", "r2"}


def test_missing_values_are_taken_where_the_estimator_takes_them(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forest predicts rows with gaps somehow, its graph otherwise: such a model does not offer to take them."""
    nullable: dict[str, bool | None] = {}
    for name, estimator in (
        ("histograms", HistGradientBoostingClassifier(max_iter=5)),
        ("forest", RandomForestClassifier(11, random_state=1)),
        ("linear", make_pipeline(StandardScaler(), LogisticRegression())),
    ):
        *_, published = through(pod, config(), monkeypatch, estimator)
        assert published.schema is not None
        nullable[name] = published.schema.inputs[0].nullable
    assert nullable == {"histograms": True, "forest": None, "linear": None}


def test_copies_of_the_target_are_refused_before_the_image_runs(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    leaky = MIXED.append_column("left", pa.array((np.array(MIXED["churned"]) == "yes").astype(np.int64)))
    pq.write_table(leaky, pod.root / "stores" / "lake" / "mixed.parquet")
    assert failed(pod, mixed(), monkeypatch, Stage.SPLIT, lambda: None).reason is Reason.DATA_INVALID


def failed(
    pod: Pod, found: JobConfig, monkeypatch: pytest.MonkeyPatch, stage: Stage, own: Callable[[], object]
) -> Failure:
    """Run the stages before, then the one that must fail for good."""
    for name, value in pod.environment(found).items():
        monkeypatch.setenv(name, value)
    for before in found.stages[: found.stages.index(stage)]:
        if before is Stage.TRAIN:
            own()
        else:
            assert main([before]) == 0
    assert main([stage]) == 2
    message = pod.message(stage)
    assert isinstance(message, Failure)
    assert len(message.message.encode()) <= 600
    return message


def _own_script(folder: Path) -> None:
    """Leave an estimator of a class that only the script which trained it knows."""
    script = (
        "import joblib, sys; from sklearn.linear_model import LogisticRegression\n"
        "class Mine(LogisticRegression): pass\n"
        "joblib.dump(Mine().fit([[0], [1]], [0, 1]), sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", script, str(folder / "model.joblib")], check=True)


def _own_module(folder: Path) -> None:
    (folder / "model.joblib").write_bytes(b"cmy_features\nScaler\n.")


def _older(folder: Path) -> None:
    model = LogisticRegression().fit(np.eye(30)[[0, 1]], [0, 1])
    text = pickle.dumps(model)
    import sklearn  # noqa: PLC0415 - for its release

    here = sklearn.__version__.encode()
    (folder / "model.joblib").write_bytes(text.replace(here, b"0" + here[1:]))


def _dump(made: Callable[[], object]) -> Callable[[Path], object]:
    return lambda folder: joblib.dump(made(), folder / "model.joblib")


def _bytes(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "model.joblib").write_bytes(content)


def _on(columns: int, classes: tuple[object, ...] = (0, 1)) -> Callable[[], object]:
    matrix = np.eye(max(columns, len(classes)))[: len(classes), :columns]
    return lambda: LogisticRegression().fit(matrix, classes)


def _named(*names: str) -> Callable[[], object]:
    return lambda: LogisticRegression().fit(pd.DataFrame(np.eye(len(names))[:2], columns=list(names)), [0, 1])


@pytest.mark.parametrize(
    ("leave", "says"),
    [
        pytest.param(lambda _: None, "train left no model.joblib; its output folder is empty", id="nothing"),
        pytest.param(
            lambda folder: (folder / "model.pkl").touch(), "its output folder holds 'model.pkl'", id="another name"
        ),
        pytest.param(lambda folder: (folder / "model.joblib").symlink_to("/etc/passwd"), "no link", id="a link"),
        pytest.param(lambda folder: os.mkfifo(folder / "model.joblib"), "not a plain file", id="a pipe"),
        pytest.param(_bytes(b""), "is no file of joblib.dump", id="empty"),
        pytest.param(_bytes(b"PK\3\4 hello"), "is no file of joblib.dump", id="something else"),
        pytest.param(_dump(lambda: {"model": 1}), "holds a builtins.dict, which is no estimator", id="a dict"),
        pytest.param(_dump(LogisticRegression), "is not fitted: call fit before saving it", id="not fitted"),
        pytest.param(
            _dump(lambda: LinearRegression().fit([[1.0]], [1.0])), "not a classifier, but task is", id="a regressor"
        ),
        pytest.param(_own_script, "Can't get attribute 'Mine'", id="a class of the script"),
        pytest.param(_own_module, "needs the module 'my_features', which only the image has", id="a module"),
        pytest.param(_older, "was saved with scikit-learn 0", id="another release"),
        pytest.param(_dump(_on(5)), "was fitted on 5 columns, but the features are 30", id="columns"),
        pytest.param(_dump(_named("mean radius", "mood")), "columns that are no features: mood", id="unknown column"),
        pytest.param(_dump(_named("mean radius", "area error")), "was not fitted on the features", id="few columns"),
        pytest.param(_dump(_on(30, (1, 2))), "has the classes 1, 2, but the target has 0, 1", id="classes"),
    ],
)
def test_what_cannot_be_a_model_is_said(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, leave: Callable[[Path], object], says: str
) -> None:
    found = failed(pod, config(), monkeypatch, Stage.EVALUATE, lambda: leave(pod.root / "handover" / FROM_TRAIN))
    assert found.reason is Reason.MODEL_INVALID
    assert says in found.message
    assert found.message.startswith(("trainer.container left model.joblib, which", "train left"))


@pytest.mark.parametrize(
    ("estimator", "reason", "says"),
    [
        (
            make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()),
            Reason.CONVERSION_FAILED,
            "trainer.container",
        ),
        (
            HistGradientBoostingClassifier(max_iter=3, categorical_features=[0]),
            Reason.ESTIMATOR_INVALID,
            "trainer.container left model.joblib: HistGradientBoostingClassifier",
        ),
    ],
)
def test_what_cannot_be_converted_is_said(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, estimator: Any, reason: Reason, says: str
) -> None:
    pq.write_table(MIXED.drop_columns(["plan"]), pod.root / "stores" / "lake" / "mixed.parquet")
    found = failed(
        pod,
        mixed(columns=Columns(("spent", "customer", "weight"), ())),
        monkeypatch,
        Stage.EVALUATE,
        fitting(pod, estimator),
    )
    assert found.reason is reason
    assert says in found.message


def test_a_matrix_without_names_says_nothing_of_texts(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(MIXED, pod.root / "stores" / "lake" / "mixed.parquet")
    own = fitting(pod, LogisticRegression(), lambda m, x, y: m.fit(x[["spent", "calls", "calls"]].to_numpy(), y))
    found = failed(pod, mixed(), monkeypatch, Stage.EVALUATE, own)
    assert "fit on a pandas.DataFrame" in found.message


def test_an_order_of_ones_own_is_said(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    own = fitting(pod, DecisionTreeClassifier(), lambda m, x, y: m.fit(x[x.columns[::-1]], y))
    found = failed(pod, config(), monkeypatch, Stage.EVALUATE, own)
    assert "in another order; keep that of train.parquet: mean radius" in found.message


def test_a_task_is_needed() -> None:
    with pytest.raises(ValueError, match=r"trainer\.container needs a task"):
        config(Task.AUTO)


def test_a_trainer_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        Trainer(None, None)
    with pytest.raises(ValueError, match="exactly one"):
        replace(JOB.trainer, container=OWN)


def test_the_same_estimator_gives_the_same_digest(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = [
        through(pod, config(), monkeypatch, LogisticRegression(max_iter=5000))[-1].digest for _ in ("one", "another")
    ]
    assert digests[0] == digests[1]
