# pyright: basic
# (NumPy's own types.)
"""What the ONNX model says of rows whose truth is known."""

from typing import Any

import numpy as np
import numpy.typing as npt

from modelwright_training.classification import Classified
from modelwright_training.contract import Task
from modelwright_training.dataset import Dataset, Part
from modelwright_training.measure import Answers
from modelwright_training.regression import Regressed
from modelwright_training.runtime import Runtime


def given(runtime: Runtime, data: Dataset, part: Part, classes: npt.NDArray[Any] | None) -> Answers:
    """Return the model's answers to a part of the data; `classes` are those it was fitted on, None for a regression."""
    outputs = runtime.predict(part.values)
    if data.task is Task.REGRESSION or classes is None:
        return Regressed.of(part.target, outputs[0][:, 0])
    probabilities = outputs[1] if len(outputs) > 1 else None
    positive = 1 if data.positive is None else int(np.searchsorted(classes, data.positive))
    return Classified.of(part.target, outputs[0], probabilities, classes, positive)
