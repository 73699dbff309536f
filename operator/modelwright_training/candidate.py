# pyright: basic
# (joblib comes without types.)
"""The model to judge: in ONNX, loaded, and compared with the estimator it was converted from."""

from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt

from modelwright_training import adopted, convert, parity, pipeline
from modelwright_training.contract import FROM_TRAIN, Stage, Task
from modelwright_training.convert import Converted
from modelwright_training.dataset import Dataset
from modelwright_training.log import progress
from modelwright_training.runtime import Runtime
from modelwright_training.settings import Settings
from modelwright_training.workspace import Workspace

_CONVERTING, _COMPARING = 20, 50  # percent of evaluate


@dataclass(frozen=True, slots=True)
class Candidate:
    """A graph, its classes [k] (None for a regression), and how it compares.

    `notes` are those of the stage that chose the rows to train on; `made_of` is what the card says of an estimator that
    the job does not name.
    """

    converted: Converted
    runtime: Runtime
    report: parity.Report
    classes: npt.NDArray[Any] | None
    notes: dict[str, Any]
    made_of: dict[str, str]


def load(settings: Settings, workspace: Workspace, data: Dataset) -> Candidate:
    """Convert what was trained, and compare.

    Raises:
        StageError: ModelInvalid, ConversionFailed or ParityFailed.

    """
    if settings.job.trainer.container is not None:
        return _of_container(settings, workspace, data)
    fitted = joblib.load(workspace.estimator)
    progress(_CONVERTING, "converting to ONNX")
    converted = convert.to_onnx(fitted, data.features, data.task)
    runtime = Runtime(converted)
    progress(_COMPARING, "comparing ONNX with scikit-learn")
    missing = pipeline.takes_missing(fitted, settings.job.sklearn.preprocessing)
    report = parity.check(fitted, runtime, data, missing=missing)
    classes = np.asarray(fitted.classes_) if data.task is Task.CLASSIFICATION else None
    return Candidate(converted, runtime, report, classes, workspace.read_notes(Stage.TRAIN), {})


def _of_container(settings: Settings, workspace: Workspace, data: Dataset) -> Candidate:
    progress(_CONVERTING, "converting what the user's image left")
    found = adopted.load(settings.handover / FROM_TRAIN, data)
    converted = convert.to_onnx(
        found.convertible(), data.features, data.task, labels=found.labels, field="trainer.container"
    )
    runtime = Runtime(converted)
    progress(_COMPARING, "comparing ONNX with the estimator")
    report = parity.check(found, runtime, data, missing=None)
    notes = workspace.read_notes(Stage.SPLIT)
    return Candidate(converted, runtime, report, data.classes, notes, {"estimator": found.kind})
