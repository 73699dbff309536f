# pyright: basic
# (joblib comes without types.)
"""The model to judge: in ONNX, loaded, and compared with the estimator it was converted from."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt

from modelwright_training import adopted, convert, given, parity, pipeline
from modelwright_training.contract import FROM_TRAIN, MODEL_JOBLIB, MODEL_ONNX, PREDICTIONS, Reason, Stage, Task
from modelwright_training.convert import Converted
from modelwright_training.dataset import Dataset
from modelwright_training.errors import StageError
from modelwright_training.log import progress
from modelwright_training.runtime import Runtime
from modelwright_training.settings import Settings
from modelwright_training.workspace import Workspace

_CONVERTING, _COMPARING = 20, 50  # percent of evaluate
_ALONE = f"there is no {PREDICTIONS} to compare the ONNX model with"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A graph, its classes [k] (None for a regression), and how it compares.

    Attributes:
        report: None where there is nothing to compare a given graph with.
        nullable: whether it may be asked about missing numbers.
        notes: those of the stage that chose the rows to train on.
        made_of: what the card says of an estimator that the job does not name.
        warnings: what people should know about it.

    """

    converted: Converted
    runtime: Runtime
    report: parity.Report | None
    classes: npt.NDArray[Any] | None
    nullable: bool
    notes: dict[str, Any]
    made_of: dict[str, str] = field(default_factory=dict[str, str])
    warnings: tuple[str, ...] = ()


def load(settings: Settings, workspace: Workspace, data: Dataset) -> Candidate:
    """Convert what was trained, and compare.

    Raises:
        StageError: ModelInvalid, EstimatorInvalid, ConversionFailed or ParityFailed.

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
    return Candidate(converted, runtime, report, classes, report.nullable, workspace.read_notes(Stage.TRAIN))


def _of_container(settings: Settings, workspace: Workspace, data: Dataset) -> Candidate:
    folder = settings.handover / FROM_TRAIN
    there = [name for name in (MODEL_JOBLIB, MODEL_ONNX) if os.path.lexists(folder / name)]
    if len(there) > 1:
        message = f"trainer.container left both {' and '.join(there)}; leave the one that is the model"
        raise StageError(Reason.MODEL_INVALID, message)
    notes = workspace.read_notes(Stage.SPLIT)
    if there == [MODEL_ONNX]:
        return _given(folder, data, notes)
    progress(_CONVERTING, "converting what the user's image left")
    found = adopted.load(folder, data)
    converted = convert.to_onnx(
        found.convertible(), data.features, data.task, labels=found.labels, field="trainer.container"
    )
    runtime = Runtime(converted)
    progress(_COMPARING, "comparing ONNX with the estimator")
    report = parity.check(found, runtime, data, missing=None)
    made_of = {"estimator": found.kind}
    return Candidate(converted, runtime, report, data.classes, report.nullable, notes, made_of)


def _given(folder: Path, data: Dataset, notes: dict[str, Any]) -> Candidate:
    """Take an ONNX model as it is; rows with gaps are asked about if there were some to train on."""
    progress(_CONVERTING, "looking through the ONNX model")
    converted = given.load(folder, data)
    runtime = Runtime(converted, given=True)
    given.check(runtime, data)
    progress(_COMPARING, "comparing with what the user's image predicted")
    report = given.compared(folder, runtime, data)
    gaps = bool(np.isnan(data.train.values.numbers).any())
    said = () if report is not None else (_ALONE,)
    return Candidate(converted, runtime, report, data.classes, gaps, notes, {"estimator": MODEL_ONNX}, said)
