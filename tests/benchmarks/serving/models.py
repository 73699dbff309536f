"""The models that are served: a linear one, boosted trees, and a net that keeps a core busy."""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.cluster.settings import REPOSITORY
from tests.server.models import write_artifact

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

NAME, VERSION = "bench", "bench-0123456789"
FEATURES = 30
OUTPUTS = ["label", "probabilities"]
MODELS = ("linear", "trees", "dense")
_WIDTH, _LAYERS, _TREES = 1024, 5, 200


@dataclass(frozen=True)
class BenchmarkModel:
    """A model as an artifact folder, and rows to ask it about, float32 `[rows, 30]` with few decimals."""

    name: str
    folder: Path
    rows: npt.NDArray[np.float32]

    @property
    def onnx(self) -> Path:
        """The model's file."""
        return self.folder / "model.onnx"

    def expected(self, rows: int) -> list[npt.NDArray[Any]]:
        """Return onnxruntime's own label and probabilities of the first rows."""
        answers: list[npt.NDArray[Any]] = _session(self.onnx).run(OUTPUTS, {"input": self.rows[:rows]})
        return answers


@cache
def _session(path: Path) -> Any:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def model(name: str) -> BenchmarkModel:
    """Return the model, built once for this text of this module."""
    data, target = load_breast_cancer(return_X_y=True)
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    folder = REPOSITORY / "build" / "bench" / "models" / f"{name}-{digest}"
    if not folder.exists():
        outputs = [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2], "columns": ["0", "1"]},
        ]
        columns = [f"feature{index}" for index in range(FEATURES)]
        inputs = [{"name": "input", "datatype": "FP32", "shape": [-1, FEATURES], "columns": columns}]
        schema = {"inputs": inputs, "outputs": outputs, "task": "Classification"}
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        write_artifact(partial, _BUILDERS[name](data.astype(np.float32), target), schema)
        partial.rename(folder)
    return BenchmarkModel(name, folder, data.astype(np.float32))


def _linear(data: npt.NDArray[np.float32], target: npt.NDArray[np.int64]) -> bytes:
    return _converted(make_pipeline(StandardScaler(), LogisticRegression()).fit(data, target))


def _trees(data: npt.NDArray[np.float32], target: npt.NDArray[np.int64]) -> bytes:
    return _converted(HistGradientBoostingClassifier(max_iter=_TREES, random_state=0).fit(data, target))


def _converted(estimator: Any) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skl2onnx hands numpy's truth values to protobuf, which warns
        onnx = to_onnx(
            estimator, initial_types=[("input", FloatTensorType([None, FEATURES]))], options={"zipmap": False}
        )
    return bytes(onnx.SerializeToString())


def _dense(data: npt.NDArray[np.float32], _: npt.NDArray[np.int64]) -> bytes:
    """Return a net of five matrices with random weights; what it says does not matter, what it costs does."""
    rng = np.random.default_rng(0)
    nodes = [helper.make_node("Mul", ["input", "scale"], ["h0"])]
    weights = [numpy_helper.from_array(1 / data.std(axis=0), "scale")]
    widths = [FEATURES, *[_WIDTH] * (_LAYERS - 1), 2]
    for layer, (before, after) in enumerate(pairwise(widths)):
        matrix = rng.normal(0, np.sqrt(2 / before), (before, after)).astype(np.float32)
        weights += [numpy_helper.from_array(matrix, f"w{layer}")]
        weights += [numpy_helper.from_array(np.zeros(after, np.float32), f"b{layer}")]
        nodes.append(helper.make_node("Gemm", [f"h{layer}", f"w{layer}", f"b{layer}"], [f"g{layer}"]))
        nodes.append(helper.make_node("Relu", [f"g{layer}"], [f"h{layer + 1}"]))
    nodes[-1] = helper.make_node("Softmax", [f"g{_LAYERS - 1}"], ["probabilities"], axis=1)
    nodes.append(helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0))
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", FEATURES])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2]),
        ],
        weights,
    )
    onnx = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    checker.check_model(onnx)
    return bytes(onnx.SerializeToString())


_BUILDERS: dict[str, Callable[[Any, Any], bytes]] = {"linear": _linear, "trees": _trees, "dense": _dense}
