# pyright: basic
# (NumPy's own types, through scikit-learn's conventions.)
"""Metrics of a classifier, as scikit-learn defines them, with intervals of 95 %.

Each is a function of `Classified`, and None where these rows do not define it:

    accuracy                       proportion of rows
    balanced_accuracy              mean recall of the classes that occur, which are independent given their numbers
    f1                             of the positive class of two; else the mean over the classes that occur or are said
    roc_auc, average_precision     of the positive class of two; else the mean of each class against the rest
    log_loss, brier                mean loss of a row; brier is (p - y)² of the positive class of two, else Σ (p - y)²
    ece                            see `calibration`
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from modelwright_training import calibration, ranking
from modelwright_training.estimates import Array, Estimate, combined, mapped, mean, proportion

_SMALLEST: Final = float(np.finfo(np.float32).eps)  # as scikit-learn's log_loss clips what a float32 model says
_BINARY: Final = 2


@dataclass(frozen=True, slots=True)
class Classified:
    """Rows with their true class and what a model said of them.

    Attributes:
        target: index [n] of the true class.
        label: index [n] of the class said.
        probabilities: float64 [n, classes], rows that add up to one; None: the model gives none.
        classes: how many there are.
        positive: index of the positive one, where there are two.
    """

    target: Array
    label: Array
    probabilities: Array | None
    classes: int
    positive: int = 1

    @classmethod
    def of(
        cls, target: Array, label: Array, probabilities: Array | None, classes: Array, positive: int = 1
    ) -> "Classified":
        """Take labels [n] as they are, all among the sorted classes, and probabilities [n, classes] in any scale."""
        said = None
        if probabilities is not None:
            said = probabilities.astype(np.float64)
            said /= said.sum(axis=1, keepdims=True)
        return cls(np.searchsorted(classes, target), np.searchsorted(classes, label), said, len(classes), positive)

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: Array) -> "Classified":
        """Return some of the rows."""
        said = None if self.probabilities is None else self.probabilities[rows]
        return Classified(self.target[rows], self.label[rows], said, self.classes, self.positive)

    @property
    def is_binary(self) -> bool:
        """Whether one class is the positive one."""
        return self.classes == _BINARY


def accuracy(rows: Classified) -> Estimate:
    """Return the share of rows whose class was said."""
    return proportion(int(np.sum(rows.target == rows.label)), len(rows))


def balanced_accuracy(rows: Classified) -> Estimate:
    """Return the mean recall of the classes that occur."""
    counts = np.bincount(rows.target, minlength=rows.classes)
    hits = np.bincount(rows.target[rows.target == rows.label], minlength=rows.classes)
    return combined([proportion(hits[index], counts[index]) for index in np.flatnonzero(counts)])


def f1(rows: Classified) -> Estimate | None:
    """Return 2 TP / (2 TP + FP + FN), of one class or as a mean.

    Given the rows that are of a class or said to be, the true positives among them are binomial, with Jaccard's index J
    as their share; f1 is 2 J / (1 + J). Means take the correlation of the classes from the influence of each row.
    """
    true, said = (np.bincount(values, minlength=rows.classes) for values in (rows.target, rows.label))
    hits: Array = np.bincount(rows.target[rows.target == rows.label], minlength=rows.classes)
    rated = np.array([rows.positive]) if rows.is_binary else np.arange(rows.classes)
    rated = rated[(true + said)[rated] > 0]
    if not len(rated):
        return None
    parts = [
        mapped(proportion(hits[index], true[index] + said[index] - hits[index]), lambda share: 2 * share / (1 + share))
        for index in map(int, rated)
    ]
    return parts[0] if len(parts) == 1 else combined(parts, _correlation(rows, rated, true + said))


def _correlation(rows: Classified, rated: Array, total: Array) -> Array:
    """Return how the f1 of the rated classes vary together, [rated, rated].

    A row influences the f1 of its class t and of the class l that was said: by (2·1{t=l} - F(1{c=t} + 1{c=l})) / S.
    """
    confusion = np.zeros((rows.classes, rows.classes))
    np.add.at(confusion, (rows.target, rows.label), 1.0)
    size = np.maximum(total, 1).astype(np.float64)
    value = 2 * np.diag(confusion) / size
    missed = confusion - np.diag(np.diag(confusion))
    # Rows t=l=c: influence 2(1 - F)/S on c alone. Rows t≠l: -F/S on each of the two.
    right = np.diag(confusion) * (2 * (1 - value) / size) ** 2
    each = value / size
    covariance = np.outer(each, each) * (missed + missed.T)
    covariance[np.diag_indices_from(covariance)] = right + each**2 * (missed.sum(axis=0) + missed.sum(axis=1))
    covariance = covariance[np.ix_(rated, rated)]
    deviation = np.sqrt(np.diag(covariance))
    scale = np.outer(deviation, deviation)
    correlation: Array = np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def roc_auc(rows: Classified) -> Estimate | None:
    """Return the area under the ROC curve."""
    found = [ranking.area(positive, score) for positive, score in _against_rest(rows)]
    return ranking.mean_area(found) if found else None


def average_precision(rows: Classified) -> Estimate | None:
    """Return the average precision."""
    found = [ranking.average_precision(positive, score) for positive, score in _against_rest(rows)]
    return ranking.mean_precision(found) if found else None


def _against_rest(rows: Classified) -> list[tuple[Array, Array]]:
    """Return truth and score of each rated class that some rows have and others have not."""
    if rows.probabilities is None:
        return []
    rated = [rows.positive] if rows.is_binary else range(rows.classes)
    cases = ((rows.target == index, rows.probabilities[:, index]) for index in rated)
    return [(positive, score) for positive, score in cases if 0 < positive.sum() < len(rows)]


def log_loss(rows: Classified) -> Estimate | None:
    """Return the mean of -log of the probability given to the true class."""
    if rows.probabilities is None:
        return None
    chosen = rows.probabilities[np.arange(len(rows)), rows.target]
    return mean(-np.log(np.clip(chosen, _SMALLEST, 1)), -float(np.log(_SMALLEST)))


def brier(rows: Classified) -> Estimate | None:
    """Return the mean squared distance of the probabilities from the truth."""
    if rows.probabilities is None:
        return None
    if rows.is_binary:
        return mean((rows.probabilities[:, rows.positive] - (rows.target == rows.positive)) ** 2, 1)
    chosen = rows.probabilities[np.arange(len(rows)), rows.target]
    return mean(np.sum(rows.probabilities**2, axis=1) - 2 * chosen + 1, 2)


def ece(rows: Classified) -> Estimate | None:
    """Return the calibration error of the positive class of two, else of the most probable class."""
    if rows.probabilities is None:
        return None
    if rows.is_binary:
        return calibration.error(rows.target == rows.positive, rows.probabilities[:, rows.positive])
    best = rows.probabilities.argmax(axis=1)
    return calibration.error(rows.target == best, rows.probabilities[np.arange(len(rows)), best])


METRICS: Final[Mapping[str, Callable[[Classified], Estimate | None]]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "f1": f1,
    "roc_auc": roc_auc,
    "average_precision": average_precision,
    "log_loss": log_loss,
    "brier": brier,
    "ece": ece,
}
