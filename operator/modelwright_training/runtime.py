# pyright: basic
# (onnxruntime comes without types.)
"""Running the converted model as the server will, on one thread, so that equal inputs give equal bits."""

import os
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from modelwright_training.contract import MODEL_ONNX, Reason
from modelwright_training.convert import Converted
from modelwright_training.errors import StageError
from modelwright_training.features import Values

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

_ROWS_AT_ONCE = 4096
_ONLY_FATAL = 4


class Runtime:
    """A loaded graph."""

    def __init__(self, converted: Converted, *, given: bool = False) -> None:
        """Load the graph; `given` if it is the user's own.

        Raises:
            StageError: ConversionFailed, when the runtime refuses it; ModelInvalid, when it is the user's own.

        """
        self._given = given
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = _ONLY_FATAL
        self._outputs = [output.name for output in converted.schema.outputs]
        try:
            graph = converted.model.SerializeToString(deterministic=True)
            self._session: Any = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - the runtime has many kinds of its own
            _refuse("loaded", error, given=given)

    def predict(self, values: Values) -> list[npt.NDArray[Any]]:
        """Return the outputs for these rows, in the schema's order.

        Raises:
            StageError: ConversionFailed, when the graph breaks on them.

        """
        parts: list[list[npt.NDArray[Any]]] = []
        for start in range(0, len(values), _ROWS_AT_ONCE):
            rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(values)))
            try:
                parts.append(self._session.run(self._outputs, values.take(rows).feed()))
            except Exception as error:  # noqa: BLE001 - the runtime has many kinds of its own
                _refuse("run", error, given=self._given)
        return [np.concatenate(found) for found in zip(*parts, strict=True)]


def _refuse(what: str, error: Exception, *, given: bool) -> NoReturn:
    said = " ".join(str(error).split())[:300]
    if given:
        message = f"trainer.container left {MODEL_ONNX}, which cannot be {what} ({said})"
        raise StageError(Reason.MODEL_INVALID, message) from error
    message = f"trainer: the ONNX model cannot be {what} ({said}); choose another estimator or parameters"
    raise StageError(Reason.CONVERSION_FAILED, message) from error
