# pyright: basic
# (scikit-learn comes without types.)
"""Cross-validation within the training rows; the holdout is never seen."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from modelwright_training import measure, train
from modelwright_training.classification import Classified
from modelwright_training.contract import JobConfig, Reason, Task
from modelwright_training.dataset import Dataset
from modelwright_training.errors import StageError
from modelwright_training.folds import folds
from modelwright_training.measure import Answers
from modelwright_training.regression import Regressed

LEAST_ROWS = 1000  # that a rung fits on, if there are: fewer say too little of how many would do
_DIGITS = 6  # as measure's: scores are part of the digest


def scores(  # noqa: PLR0913, PLR0917  # what is scored, and with how much effort
    job: JobConfig, data: Dataset, metric: str, count: int, percent: int = 100, rung: int = 0
) -> list[float]:
    """Fit and measure on `count` folds of the training rows; return the metric on each.

    Raises:
        StageError: as `answers`.

    """
    return [measure.value(fold, metric) for fold in answers(job, data, metric, count, percent, rung)]


def answers(  # noqa: PLR0913, PLR0917  # as `scores`
    job: JobConfig, data: Dataset, metric: str, count: int, percent: int = 100, rung: int = 0
) -> list[Answers]:
    """Fit on `count` folds of the training rows; return what is said of the rows of each.

    On a rung of successive halving `percent` % of the rows are fitted on, but at least `LEAST_ROWS`. Where there are no
    more than that, so that every rung would be like the other, the rung's effort is to deal the rows out anew: once
    more than on the rung before.

    Raises:
        StageError: TuningInvalid, when the estimator has no such metric; or what fitting raises.

    """
    found: list[Answers] = []
    for kept, tested in dealt(job, data, count, percent, rung):
        fold = replace(data, train=data.train.take(kept), holdout=data.train.take(tested))
        fitted, _ = train.fit(job, fold)
        said = _answers(fitted, fold)
        values = _values(said)
        if metric not in values:
            message = (
                f"tuning.metric: {metric} cannot be measured for {job.sklearn.estimator} on these data; there"
                f" are {', '.join(values)}"
            )
            raise StageError(Reason.TUNING_INVALID, message)
        found.append(said)
    return found


def dealt(
    job: JobConfig, data: Dataset, count: int, percent: int, rung: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Yield the rows to fit on and to measure on, as often as a rung wants it."""
    rows = len(data.train)
    again = rung if rows <= LEAST_ROWS and data.train.roles.time is None else 0
    for repeat in range(again + 1):
        seed = (job.seed + repeat) % 2**32
        for kept, tested in folds(data.train, data.task, replace(job, seed=seed), count):
            wanted = max(len(kept) * percent // 100, min(len(kept), LEAST_ROWS))
            yield _some(kept, data.train.target, data.task, wanted, seed), tested


def _some(
    rows: npt.NDArray[np.int64], target: npt.NDArray[Any], task: Task, wanted: int, seed: int
) -> npt.NDArray[np.int64]:
    """Return so many of the rows, drawn by the seed, of each class alike; sorted."""
    if wanted >= len(rows):
        return rows
    shuffled = np.random.default_rng(seed).permutation(rows)
    if task is Task.CLASSIFICATION:
        shuffled = shuffled[np.argsort(np.unique(target[shuffled], return_inverse=True)[1], kind="stable")]
    return np.sort(shuffled[np.linspace(0, len(rows) - 1, wanted).round().astype(np.int64)])


def summary(found: list[float]) -> tuple[float, float]:
    """Return mean and standard deviation, rounded to six significant digits."""
    return _rounded(float(np.mean(found))), _rounded(float(np.std(found)))


def measured(fitted: Any, fold: Dataset) -> dict[str, float]:  # noqa: ANN401 - any pipeline
    """Measure the pipeline's own predictions of the rows held out."""
    return _values(_answers(fitted, fold))


def _values(said: Answers) -> dict[str, float]:
    return {item.name: item.value for item in measure.measure(said)}


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
