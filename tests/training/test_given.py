"""An ONNX model that a user's own image left: taken as it is, under the names of every model of these data."""
# ruff: noqa: PD011 - `values` is the training package's own attribute, not pandas'

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import parser
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from modelwright_training import dataset
from modelwright_training.contract import (
    FROM_TRAIN,
    TO_TRAIN,
    Columns,
    EvaluateResult,
    JobConfig,
    Reason,
    Stage,
    Task,
)
from tests.training.builders import Pod, job, read_json
from tests.training.test_container import MIXED, by_name, config, failed, mixed

SMALL = pa.table(
    {
        "a": np.arange(400, dtype=np.float64) % 17,
        "b": np.arange(400, dtype=np.float64) % 5,
        "y": np.where(np.arange(400) % 17 > 8, "yes", "no"),
    }
)
HEADER = '<ir_version: 10, opset_import: ["" : 21]>'
TWO = f"{HEADER} m (float[N,2] x) => (float[N,2] probabilities) "
SHARES = """{
    places = Constant <value_ints: ints = [0]> ()
    first = Gather <axis: int = 1> (x, places)
    limit = Constant <value_float: float = 8.5> ()
    far = Sub (first, limit)
    yes = Sigmoid (far)
    one = Constant <value_float: float = 1.0> ()
    no = Sub (one, yes)
    probabilities = Concat <axis: int = 1> (no, yes)
}"""

FILLED = SHARES.replace("first = Gather", "given = Gather").replace(
    "limit = Constant",
    "gap = IsNaN (given) zero = Constant <value_float: float = 0.0> ()"
    " first = Where (gap, zero, given) limit = Constant",
)


def small(**changes: Any) -> JobConfig:
    data = job(uri="pvc://lake/small.parquet").data
    return config(**{"data": data, "target": "y", "columns": Columns((), ()), **changes})


def there(pod: Pod) -> tuple[Any, Any]:
    """Return the rows to train on, and their target."""
    folder = pod.root / "handover" / TO_TRAIN
    rows, told = pd.read_parquet(folder / "train.parquet"), read_json(folder / "columns.json")
    return rows[[feature["name"] for feature in told["features"]]], rows[told["target"]]


def left(pod: Pod) -> Path:
    return pod.root / "handover" / FROM_TRAIN


def through(pod: Pod, found: JobConfig, monkeypatch: pytest.MonkeyPatch, own: Callable[[], None]) -> list[Any]:
    pq.write_table(SMALL, pod.root / "stores" / "lake" / "small.parquet")
    pq.write_table(MIXED, pod.root / "stores" / "lake" / "mixed.parquet")
    return pod.run(found, monkeypatch, {Stage.TRAIN: own})


def session(pod: Pod) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(pod.artifact / "model.onnx")


def answers(pod: Pod, found: JobConfig) -> list[Any]:
    holdout = dataset.load(found, found.task, pod.root / "stores").holdout
    said = session(pod).run(None, holdout.values.feed())
    assert isinstance(said, list)
    return said


def test_a_matrix_is_wired_and_compared_with_what_was_predicted(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression())

    def own() -> None:
        x, y = there(pod)
        model.fit(x.to_numpy(), y)
        exported = to_onnx(model, x.to_numpy().astype(np.float32), options={id(model): {"zipmap": False}})
        (left(pod) / "model.onnx").write_bytes(exported.SerializeToString())
        shares = pd.DataFrame(model.predict_proba(x.to_numpy()), columns=["0", "1"])
        shares.assign(label=model.predict(x.to_numpy())).to_parquet(left(pod) / "predictions.parquet")

    _, _, evaluated, published = through(pod, config(), monkeypatch, own)
    assert isinstance(evaluated, EvaluateResult)
    assert evaluated.parity is not None
    assert evaluated.parity.rows == 427
    assert evaluated.parity.max_difference < 1e-5
    assert evaluated.warnings == ()
    assert {metric.name: metric.value for metric in evaluated.metrics}["roc_auc"] > 0.95
    labels, probabilities = answers(pod, config())
    holdout = dataset.load(config(), Task.CLASSIFICATION).holdout.values.native()
    assert labels.tolist() == model.predict(holdout).tolist()
    assert np.abs(probabilities - model.predict_proba(holdout)).max() < 1e-5
    assert published.schema.inputs[0].name == "input"
    assert read_json(pod.artifact / "card.json")["estimator"] == "model.onnx"


def test_columns_of_several_types_are_inputs_of_their_own(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    model = by_name(DecisionTreeClassifier(max_depth=5))

    def own() -> None:
        x, y = there(pod)
        model.fit(x, y)
        kinds = {"plan": StringTensorType, "spent": FloatTensorType, "calls": Int64TensorType}
        types = [(name, FloatTensorType([None, 1]) if name != "plan" else kinds[name]([None, 1])) for name in x.columns]
        exported = to_onnx(model, initial_types=types, options={id(model): {"zipmap": False}})
        (left(pod) / "model.onnx").write_bytes(exported.SerializeToString())

    _, _, evaluated, published = through(pod, mixed(), monkeypatch, own)
    assert evaluated.parity is None
    assert evaluated.warnings == ("there is no predictions.parquet to compare the ONNX model with",)
    assert read_json(pod.artifact / "report.json")["parity"] is None
    assert [tensor.name for tensor in published.schema.inputs] == ["plan", "spent", "calls"]
    assert published.schema.outputs[1].columns == ("no", "yes")
    holdout = dataset.load(mixed(), Task.CLASSIFICATION, pod.root / "stores").holdout
    assert answers(pod, mixed())[0].tolist() == model.predict(holdout.values.native()).tolist()


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(TWO + SHARES, id="a matrix"),
        pytest.param(
            f"{HEADER} m (double[N,1] a, float[N] b) => (double[N,2] probabilities)"
            + SHARES.replace("{", "{ x = Cast <to: int = 1> (a) unused = Identity (b)", 1)
            .replace("probabilities = Concat", "shares = Concat")
            .replace("(no, yes)", "(no, yes) probabilities = Cast <to: int = 11> (shares)"),
            id="numbers one by one",
        ),
    ],
)
def test_probabilities_alone_give_the_label(pod: Pod, monkeypatch: pytest.MonkeyPatch, graph: str) -> None:
    def own() -> None:
        (left(pod) / "model.onnx").write_bytes(parser.parse_model(graph).SerializeToString())

    _, _, evaluated, published = through(pod, small(), monkeypatch, own)
    assert {metric.name: metric.value for metric in evaluated.metrics}["accuracy"] == 1
    assert [tensor.shape for tensor in published.schema.inputs] == [(-1, 2)]
    labels, probabilities = answers(pod, small())
    assert set(labels) == {"no", "yes"}
    assert probabilities.dtype == np.float32


def test_a_regression_and_places_of_classes(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{HEADER} m (float[N,2] x) => (float[N] y) {{ axis = Constant <value_ints: ints = [1]> ()"
    text += " y = ReduceSum <keepdims: int = 0> (x, axis) }"

    def own() -> None:
        (left(pod) / "model.onnx").write_bytes(parser.parse_model(text).SerializeToString())
        x, _ = there(pod)
        pd.DataFrame({"prediction": x.sum(axis=1)}).to_parquet(left(pod) / "predictions.parquet")

    summed = SMALL.set_column(2, "y", pa.array(SMALL["a"].to_numpy() + SMALL["b"].to_numpy() + 0.25))
    found = small(task=Task.REGRESSION, data=job(uri="pvc://lake/summed.parquet").data)
    pq.write_table(summed, pod.root / "stores" / "lake" / "summed.parquet")
    monkeypatch.setattr("modelwright_training.leakage.check", lambda _: ())  # the target is made of the columns
    _, _, evaluated, published = through(pod, found, monkeypatch, own)
    assert evaluated.parity.rows == 300
    assert published.schema.outputs[0].shape == (-1, 1)
    assert {metric.name: metric.value for metric in evaluated.metrics}["mae"] == pytest.approx(0.25)


def test_gaps_are_taken_where_there_were_some_to_train_on(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    gaps = SMALL.set_column(0, "a", pa.array([None if n % 9 == 4 else n % 17 for n in range(400)], pa.float64()))
    pq.write_table(gaps, pod.root / "stores" / "lake" / "gaps.parquet")

    def own() -> None:
        (left(pod) / "model.onnx").write_bytes(parser.parse_model(TWO + FILLED).SerializeToString())

    found = small(data=job(uri="pvc://lake/gaps.parquet").data)
    assert through(pod, found, monkeypatch, own)[-1].schema.inputs[0].nullable is True
    assert through(pod, small(), monkeypatch, own)[-1].schema.inputs[0].nullable is None


def _text(graph: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "model.onnx").write_bytes(parser.parse_model(graph).SerializeToString())


def _both(folder: Path) -> None:
    _text(TWO + SHARES)(folder)
    joblib.dump(1, folder / "model.joblib")


def _zipmap(folder: Path) -> None:
    model = LogisticRegression().fit([[0, 0], [1, 1]], ["no", "yes"])
    (folder / "model.onnx").write_bytes(to_onnx(model, np.zeros((1, 2), dtype=np.float32)).SerializeToString())


def _predicted(**columns: Any) -> Callable[[Path], object]:
    def leave(folder: Path) -> None:
        _text(TWO + SHARES)(folder)
        pq.write_table(pa.table(columns), folder / "predictions.parquet")

    return leave


def _labels(label: str) -> str:
    return f"""{HEADER} m (float[N,2] x) => (string[N] label) {{
        places = Constant <value_ints: ints = [0]> ()
        first = Gather <axis: int = 1> (x, places)
        flat = Constant <value_ints: ints = [-1]> ()
        column = Reshape (first, flat)
        limit = Constant <value_float: float = 8.5> ()
        far = Greater (column, limit)
        yes = Constant <value_strings: strings = ["{label}"]> ()
        no = Constant <value_strings: strings = ["no"]> ()
        label = Where (far, yes, no)
    }}"""


@pytest.mark.parametrize(
    ("leave", "says"),
    [
        pytest.param(_both, "left both model.joblib and model.onnx", id="both"),
        pytest.param(lambda folder: (folder / "model.onnx").write_bytes(b""), "is not an ONNX model", id="empty"),
        pytest.param(lambda folder: (folder / "model.onnx").write_bytes(b"PK" * 40), "no server would run", id="a zip"),
        pytest.param(lambda folder: (folder / "model.onnx").symlink_to("/etc/passwd"), "no link", id="a link"),
        pytest.param(lambda folder: os.mkfifo(folder / "model.onnx"), "not a plain file", id="a pipe"),
        pytest.param(
            _text((TWO + SHARES).replace("21]", '21, "com.acme" : 1]').replace("Sigmoid", "com.acme.Sigmoid")),
            "'com.acme'",
            id="an operator of somebody's",
        ),
        pytest.param(_text((TWO + SHARES).replace(": 21", ": 12")), "opset 12; export it with opset 13", id="old"),
        pytest.param(_text((TWO + SHARES).replace("[N,2] x", "[N,3] x")), "takes 3 columns", id="columns"),
        pytest.param(
            _text((TWO + SHARES).replace("float[N,2] x", "float[N,2] x, float[N,1] z")),
            "has the inputs x, z, and none for a, b: it needs one input of all 2 features",
            id="inputs",
        ),
        pytest.param(
            _text((TWO + SHARES).replace("probabilities", "scores")), "gives scores: call what it predicts", id="names"
        ),
        pytest.param(_zipmap, "as a sequence or map; export tensors (skl2onnx: zipmap=False)", id="maps"),
        pytest.param(
            _text((TWO + SHARES).replace("Sub (one, yes)", "Add (one, yes)")), "which do not sum up to 1", id="shares"
        ),
        pytest.param(_text(_labels("maybe")), "gives the label 'maybe', but the classes are no, yes", id="a label"),
        pytest.param(
            _predicted(label=["no"]), "predictions.parquet, which has 1 rows, but train.parquet has", id="rows"
        ),
        pytest.param(_predicted(klass=["no"] * 300), "has the columns klass, and no 'label'", id="no label"),
        pytest.param(_predicted(label=["maybe"] * 300), "has the label 'maybe'", id="a class that is none"),
    ],
)
def test_what_cannot_be_served_is_said(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, leave: Callable[[Path], object], says: str
) -> None:
    pq.write_table(SMALL, pod.root / "stores" / "lake" / "small.parquet")
    found = failed(pod, small(), monkeypatch, Stage.EVALUATE, lambda: leave(left(pod)))
    assert found.reason is Reason.MODEL_INVALID
    assert says in found.message
    assert found.message.startswith(("trainer.container left", "train left"))


def test_predictions_that_differ_fail(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(SMALL, pod.root / "stores" / "lake" / "small.parquet")
    own = _predicted(label=["yes"] * 300)
    found = failed(pod, small(), monkeypatch, Stage.EVALUATE, lambda: own(left(pod)))
    assert found.reason is Reason.PARITY_FAILED
    assert "otherwise than predictions.parquet says" in found.message


def test_labels_alone_will_do(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    def own() -> None:
        _text(_labels("yes"))(left(pod))

    *_, evaluated, _ = through(pod, small(), monkeypatch, own)
    assert {metric.name for metric in evaluated.metrics} == {"accuracy", "balanced_accuracy", "f1"}
    assert onnx.load(pod.artifact / "model.onnx").graph.output[0].name == "label"
