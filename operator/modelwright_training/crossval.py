# pyright: basic
# (scikit-learn comes without types.)
"""Cross-validation within the training rows; the holdout is never seen."""

from dataclasses import replace
from typing import Any

import numpy as np

from modelwright_training import measure, train
from modelwright_training.classification import Classified
from modelwright_training.contract import JobConfig, Reason, Task
from modelwright_training.dataset import Dataset
from modelwright_training.errors import StageError
from modelwright_training.folds import folds
from modelwright_training.measure import Answers
from modelwright_training.regression import Regressed

_DIGITS = 6  # as measure's: scores are part of the digest


def scores(job: JobConfig, data: Dataset, metric: str, count: int) -> list[float]:
    """Fit and measure on `count` folds of the training rows; return the metric on each.

    Raises:
        StageError: TuningInvalid, when the estimator has no such metric; or what fitting raises.

    """
    found: list[float] = []
    for kept, tested in folds(data.train, data.task, job, count):
        fold = replace(data, train=data.train.take(kept), holdout=data.train.take(tested))
        fitted, _ = train.fit(job, fold)
        measured = {item.name: item.value for item in measure.measure(_answers(fitted, fold))}
        if metric not in measured:
            message = (
                f"tuning.metric: {metric} cannot be measured for {job.trainer.sklearn.estimator} on these data; there"
                f" are {', '.join(measured)}"
            )
            raise StageError(Reason.TUNING_INVALID, message)
        found.append(measured[metric])
    return found


def summary(found: list[float]) -> tuple[float, float]:
    """Return mean and standard deviation, rounded to six significant digits."""
    return _rounded(float(np.mean(found))), _rounded(float(np.std(found)))


def _answers(fitted: Any, fold: Dataset) -> Answers:  # noqa: ANN401 - any pipeline
    rows, target = fold.holdout.values.native(), fold.holdout.target
    predicted = np.asarray(fitted.predict(rows))
    if fold.task is Task.REGRESSION:
        return Regressed.of(target, predicted.reshape(len(target)))
    known = np.asarray(fitted.classes_)
    classes = np.union1d(known, target)  # a class with few rows may not be among those fitted on
    probabilities = None
    if hasattr(fitted, "predict_proba"):
        probabilities = np.zeros((len(target), len(classes)))
        probabilities[:, np.searchsorted(classes, known)] = fitted.predict_proba(rows)
    positive = 1 if fold.positive is None else int(np.searchsorted(classes, fold.positive))
    return Classified.of(target, predicted, probabilities, classes, positive)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
