"""What a model answers, by onnxruntime itself, and requests for it."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from tests.server.models import Built

Arrays = dict[str, npt.NDArray[Any]]
DTYPES: dict[str, Any] = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_, "BYTES": object}


@dataclass(frozen=True)
class Case:
    """Some rows of a model's data: the request's inputs, and the outputs they must give."""

    inputs: Arrays
    outputs: Arrays
    document: dict[str, Any]

    @property
    def body(self) -> bytes:
        return json.dumps(self.document).encode()

    def check_json(self, answer: Any, tolerance: float = 0.0) -> None:
        found = {item["name"]: np.array(item["data"]).reshape(item["shape"]) for item in answer["outputs"]}
        self.check(found, tolerance)

    def check(self, found: Arrays, tolerance: float = 0.0) -> None:
        """All outputs; bit for bit unless others may have shared the call, for which a tolerance can be given."""
        assert set(found) == set(self.outputs)
        for name, wanted in self.outputs.items():
            assert found[name].shape == wanted.shape
            if wanted.dtype.kind == "f":
                np.testing.assert_allclose(found[name].astype(wanted.dtype), wanted, rtol=tolerance, atol=tolerance)
            else:
                values = [item.decode() if isinstance(item, bytes) else item for item in found[name].ravel()]
                assert values == wanted.ravel().tolist()


def case(built: Built, start: int, rows: int) -> Case:
    frame = built.rows.iloc[start : start + rows]
    inputs: Arrays = {}
    for spec in built.schema["inputs"]:
        columns = spec["columns"] if spec["shape"][1] > 1 else [spec["name"]]
        inputs[spec["name"]] = frame[columns].to_numpy(dtype=DTYPES[spec["datatype"]])
    session = _session(built.folder)
    names = [spec["name"] for spec in built.schema["outputs"]]
    return Case(inputs, dict(zip(names, session.run(names, inputs), strict=True)), {"inputs": built.inputs(frame)})


@cache
def _session(folder: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
