# pyright: basic
# (scikit-learn comes without types.)
"""Metrics on the holdout, from the ONNX model's predictions.

Values are rounded to six significant digits: they are part of the digest, and processors differ in the last bits.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics

from modelwright_training.contract import Metric

_DIGITS = 6
Array = npt.NDArray[Any]


def classification(target: Array, label: Array, probabilities: Array | None, classes: Array) -> tuple[Metric, ...]:
    """Measure labels [n], and probabilities [n, classes] if there are any.

    `f1` is the mean over the classes that occur; `roc_auc` is that of the second class of two, else the mean of each
    class against the rest, over the classes of which the holdout has some and not only.
    """
    seen = np.unique(target)
    recalls = [float(np.mean(label[target == value] == value)) for value in seen]
    values = {
        "accuracy": float(np.mean(label == target)),
        "balanced_accuracy": float(np.mean(recalls)),
        "f1": float(np.mean([_f1(target == value, label == value) for value in np.union1d(target, label)])),
    }
    if probabilities is not None:
        scores = probabilities.astype(np.float64)
        scores /= scores.sum(axis=1, keepdims=True)
        rated = classes[1:] if len(classes) == 2 else classes  # noqa: PLR2004 - binary
        areas = [
            float(metrics.roc_auc_score(target == value, scores[:, index]))
            for index, value in enumerate(classes)
            if value in rated and 0 < np.sum(target == value) < len(target)
        ]
        if areas:
            values["roc_auc"] = float(np.mean(areas))
        chosen = scores[np.arange(len(target)), np.searchsorted(classes, target)]
        values["log_loss"] = float(-np.mean(np.log(np.clip(chosen, np.finfo(np.float32).eps, 1))))
    return _rounded(values)


def regression(target: Array, prediction: Array) -> tuple[Metric, ...]:
    """Measure predictions [n]; `r2` needs a holdout whose target varies."""
    error = prediction.astype(np.float64) - target
    values = {"rmse": float(np.sqrt(np.mean(error**2))), "mae": float(np.mean(np.abs(error)))}
    spread = float(np.sum((target - np.mean(target)) ** 2))
    if spread > 0:
        values["r2"] = 1 - float(np.sum(error**2)) / spread
    return _rounded(values)


def _f1(true: Array, said: Array) -> float:
    """Return 2 TP / (2 TP + FP + FN) of one class, which occurs in at least one of the two."""
    return float(2 * np.sum(true & said) / (np.sum(true) + np.sum(said)))


def _rounded(values: dict[str, float]) -> tuple[Metric, ...]:
    found = ((name, float(f"{value:.{_DIGITS}g}")) for name, value in values.items())
    return tuple(Metric(name, value) for name, value in found if np.isfinite(value))
