"""Real models, trained and converted here, as artifacts in a store."""

import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import pandas as pd
from onnx import helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import (
    BooleanTensorType,
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from modelwright_server import artifact

CLAIM = "models"


@dataclass(frozen=True)
class Built:
    """An artifact, with what is needed to check answers made from it."""

    folder: Path
    digest: str
    rows: pd.DataFrame
    estimator: Any
    schema: dict[str, Any]

    @property
    def uri(self) -> str:
        return f"pvc://{CLAIM}/{self.folder.name}"

    @property
    def stores(self) -> Path:
        return self.folder.parent.parent

    def inputs(self, rows: pd.DataFrame) -> list[dict[str, Any]]:
        """The rows as tensors of a request."""
        tensors = []
        for spec in self.schema["inputs"]:
            columns = spec["columns"] if spec["shape"][1] > 1 else [spec["name"]]
            data = [None if value != value else value for value in rows[columns].to_numpy().ravel().tolist()]  # noqa: PLR0124
            shape = [len(rows), *spec["shape"][1:]]
            tensors.append({"name": spec["name"], "datatype": spec["datatype"], "shape": shape, "data": data})
        return tensors


def write_artifact(folder: Path, onnx: bytes, schema: dict[str, Any]) -> str:
    """Write an artifact; return its digest."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(onnx)
    (folder / "schema.json").write_text(json.dumps(schema))
    (folder / "metrics.json").write_text('{"metrics":[]}')
    (folder / "card.json").write_text("{}")
    (folder / "report.json").write_text('{"seconds":1.5}')
    return artifact.write(folder).digest


def _classifier_outputs(classes: Any) -> list[dict[str, Any]]:
    label = "INT64" if np.issubdtype(np.asarray(classes).dtype, np.integer) else "BYTES"
    columns = [str(item) for item in classes]
    return [
        {"name": "label", "datatype": label, "shape": [-1]},
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(columns)], "columns": columns},
    ]


def _matrix_schema(columns: list[str], outputs: list[dict[str, Any]], task: str, datatype: str) -> dict[str, Any]:
    matrix = {"name": "input", "datatype": datatype, "shape": [-1, len(columns)], "columns": columns}
    return {"inputs": [matrix], "outputs": outputs, "task": task}


def _with_gaps(data: pd.DataFrame) -> pd.DataFrame:
    """Take a tenth of the numbers away, and all of every fiftieth row."""
    gaps = np.random.default_rng(5).random(data.shape) < 0.1
    gaps[::50] = True
    return data.mask(gaps)


def _converted(estimator: Any, types: list[tuple[str, Any]]) -> Any:
    with warnings.catch_warnings():
        # skl2onnx hands numpy's truth values to protobuf, which warns; as an error that breaks it.
        warnings.simplefilter("ignore")
        options = {"zipmap": False} if is_classifier(estimator) else None
        return to_onnx(estimator, initial_types=types, options=options)


def _bytes(onnx: Any, names: dict[str, str] | None = None) -> bytes:
    """Serialise, with outputs renamed."""
    for node in onnx.graph.node:
        for ends in (node.input, node.output):
            ends[:] = [(names or {}).get(name, name) for name in ends]
    for output in onnx.graph.output:
        output.name = (names or {}).get(output.name, output.name)
    return bytes(onnx.SerializeToString())


def logistic(store: Path, name: str) -> Built:
    """A matrix of floats, two classes."""
    data, target = load_breast_cancer(return_X_y=True, as_frame=True)
    data = data.astype(np.float32)
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.to_numpy(), target)
    return _matrix(store / name, estimator, data, _classifier_outputs([0, 1]), "Classification")


def boosted(store: Path, name: str) -> Built:
    """Boosted trees on a matrix, three classes that are texts."""
    data, target = load_iris(return_X_y=True, as_frame=True)
    data = data.astype(np.float32)
    labels = np.array(["setosa", "versi:color", "virginica"])[target]
    estimator = HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(data.to_numpy(), labels)
    return _matrix(store / name, estimator, data, _classifier_outputs(estimator.classes_), "Classification")


def slow(store: Path, name: str) -> Built:
    """Boosted trees, many of them: too slow for the event loop."""
    data, target = load_breast_cancer(return_X_y=True, as_frame=True)
    data = data.astype(np.float32)
    estimator = HistGradientBoostingClassifier(max_iter=150, random_state=0, max_leaf_nodes=63, min_samples_leaf=2)
    estimator.fit(data.to_numpy(), target)
    return _matrix(store / name, estimator, data, _classifier_outputs([0, 1]), "Classification")


def trees(store: Path, name: str) -> Built:
    """Two hundred boosted trees."""
    data, target = load_breast_cancer(return_X_y=True, as_frame=True)
    data = data.astype(np.float32)
    estimator = HistGradientBoostingClassifier(max_iter=200, random_state=0).fit(data.to_numpy(), target)
    return _matrix(store / name, estimator, data, _classifier_outputs([0, 1]), "Classification")


def dense(store: Path, name: str) -> Built:
    """A net of dense layers, whose sums depend on how many rows there are."""
    data, target = load_breast_cancer(return_X_y=True, as_frame=True)
    data = ((data - data.mean()) / data.std()).astype(np.float32)
    estimator = MLPClassifier((256, 256), early_stopping=True, random_state=0).fit(data.to_numpy(), target)
    return _matrix(store / name, estimator, data, _classifier_outputs([0, 1]), "Classification")


def regressor(store: Path, name: str) -> Built:
    """A matrix of doubles, a number as answer."""
    data, target = load_diabetes(return_X_y=True, as_frame=True)
    estimator = make_pipeline(StandardScaler(), Ridge()).fit(data.to_numpy(), target)
    outputs = [{"name": "prediction", "datatype": "FP64", "shape": [-1, 1]}]
    return _matrix(store / name, estimator, data, outputs, "Regression", kind=DoubleTensorType)


def boosted_regressor(store: Path, name: str) -> Built:
    """Boosted trees, a number as answer."""
    data, target = load_diabetes(return_X_y=True, as_frame=True)
    data = data.astype(np.float32)
    estimator = HistGradientBoostingRegressor(max_iter=20, random_state=0).fit(data.to_numpy(), target)
    outputs = [{"name": "prediction", "datatype": "FP32", "shape": [-1, 1]}]
    return _matrix(store / name, estimator, data, outputs, "Regression")


def filled(store: Path, name: str) -> Built:
    """A matrix of floats, gaps filled in the graph."""
    data, target = load_breast_cancer(return_X_y=True, as_frame=True)
    data = _with_gaps(data.astype(np.float32))
    estimator = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression())
    estimator.fit(data.to_numpy(), target)
    return _matrix(store / name, estimator, data, _classifier_outputs([0, 1]), "Classification", nullable=True)


def filled_regressor(store: Path, name: str) -> Built:
    """A matrix of doubles, gaps filled in the graph by hand, since onnxruntime's Imputer takes no doubles."""
    data, target = load_diabetes(return_X_y=True, as_frame=True)
    data = _with_gaps(data)
    estimator = make_pipeline(SimpleImputer(strategy="median"), Ridge()).fit(data.to_numpy(), target)
    imputer, ridge = (step for _, step in estimator.steps)
    onnx = _converted(ridge, [("input", DoubleTensorType([None, data.shape[1]]))])
    rest = [*onnx.graph.node]
    for node in rest:
        node.input[:] = ["filled" if end == "input" else end for end in node.input]
    del onnx.graph.node[:]
    onnx.graph.initializer.append(numpy_helper.from_array(imputer.statistics_, "medians"))
    fill = [
        helper.make_node("IsNaN", ["input"], ["gaps"]),
        helper.make_node("Where", ["gaps", "medians", "input"], ["filled"]),
    ]
    onnx.graph.node.extend([*fill, *rest])
    schema = _matrix_schema(
        [str(column) for column in data.columns],
        [{"name": "prediction", "datatype": "FP64", "shape": [-1, 1]}],
        "Regression",
        "FP64",
    )
    schema["inputs"][0]["nullable"] = True
    folder = store / name
    digest = write_artifact(folder, _bytes(onnx, {"variable": "prediction"}), schema)
    return Built(folder, digest, data, estimator, schema)


def boosted_with_gaps(store: Path, name: str) -> Built:
    """Boosted trees, which take gaps as they are."""
    data, target = load_diabetes(return_X_y=True, as_frame=True)
    data = _with_gaps(data.astype(np.float32))
    estimator = HistGradientBoostingRegressor(max_iter=20, random_state=0).fit(data.to_numpy(), target)
    outputs = [{"name": "prediction", "datatype": "FP32", "shape": [-1, 1]}]
    return _matrix(store / name, estimator, data, outputs, "Regression", nullable=True)


def columns_with_gaps(store: Path, name: str) -> Built:
    """Named columns, of which one may have gaps and one may not."""
    rng = np.random.default_rng(4)
    rows = pd.DataFrame({"age": rng.normal(40, 12, 300), "spent": rng.gamma(2.0, 40.0, 300)}).astype(np.float32)
    target = (rows["age"] / 40 + rows["spent"] / 80 > 2).astype(int)
    rows["age"] = rows["age"].mask(rng.random(300) < 0.2)
    filling = ColumnTransformer([("age", SimpleImputer(), ["age"]), ("spent", StandardScaler(), ["spent"])])
    estimator = make_pipeline(filling, LogisticRegression(max_iter=500)).fit(rows, target)
    onnx = _converted(estimator, [(column, FloatTensorType([None, 1])) for column in rows.columns])
    tensors: list[dict[str, Any]] = [{"name": c, "datatype": "FP32", "shape": [-1, 1]} for c in rows.columns]
    tensors[0]["nullable"] = True
    schema = {"inputs": tensors, "outputs": _classifier_outputs([0, 1]), "task": "Classification"}
    folder = store / name
    return Built(folder, write_artifact(folder, _bytes(onnx), schema), rows, estimator, schema)


def mixed(store: Path, name: str) -> Built:
    """Named columns of every type: texts, floats, whole numbers, truth values."""
    rng = np.random.default_rng(3)
    count = 400
    rows = pd.DataFrame(
        {
            "plan": rng.choice(["basic", "plus", "prémium: 2", 'a"b\\c', "null"], count),
            "age": rng.normal(40, 12, count).astype(np.float32),
            "visits": rng.integers(0, 50, count),
            "active": rng.random(count) < 0.5,
            "region": rng.choice(["north", "south"], count),
        }
    )
    score = (rows["plan"] == "plus") * 1.0 + rows["age"] / 40 + rows["visits"] / 25 - rows["active"] * 1.5
    target = np.where(score + rng.normal(0, 0.3, count) > 1.6, "yes", "no")
    columns = ColumnTransformer(
        [
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["plan", "region"]),
            ("numbers", StandardScaler(), ["age", "visits"]),
            ("truths", FunctionTransformer(), ["active"]),
        ]
    )
    estimator = make_pipeline(columns, LogisticRegression()).fit(rows, target)
    types = {
        "plan": (StringTensorType, "BYTES"),
        "age": (FloatTensorType, "FP32"),
        "visits": (Int64TensorType, "INT64"),
        "active": (BooleanTensorType, "BOOL"),
        "region": (StringTensorType, "BYTES"),
    }
    onnx = _converted(estimator, [(column, kind([None, 1])) for column, (kind, _) in types.items()])
    schema = {
        "inputs": [{"name": column, "datatype": datatype, "shape": [-1, 1]} for column, (_, datatype) in types.items()],
        "outputs": _classifier_outputs(estimator.classes_),
        "task": "Classification",
    }
    folder = store / name
    return Built(folder, write_artifact(folder, _bytes(onnx), schema), rows, estimator, schema)


def _matrix(
    folder: Path,
    estimator: Any,
    data: pd.DataFrame,
    outputs: list[dict[str, Any]],
    task: str,
    *,
    kind: Any = FloatTensorType,
    nullable: bool = False,
) -> Built:
    width = data.shape[1]
    onnx = _converted(estimator, [("input", kind([None, width]))])
    datatype = "FP32" if kind is FloatTensorType else "FP64"
    schema = _matrix_schema([str(column) for column in data.columns], outputs, task, datatype)
    if nullable:
        schema["inputs"][0]["nullable"] = True
    digest = write_artifact(folder, _bytes(onnx, {"variable": "prediction"}), schema)
    return Built(folder, digest, data, estimator, schema)


BUILDERS: dict[str, Callable[[Path, str], Built]] = {
    "logistic": logistic,
    "boosted": boosted,
    "slow": slow,
    "trees": trees,
    "dense": dense,
    "regressor": regressor,
    "boosted-regressor": boosted_regressor,
    "filled": filled,
    "filled-regressor": filled_regressor,
    "boosted-with-gaps": boosted_with_gaps,
    "columns-with-gaps": columns_with_gaps,
    "mixed": mixed,
}
