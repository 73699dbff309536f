"""From a tally to a metric's value, with an interval of 95 % confidence for independent rows.

    accuracy    Wilson's score interval (Wilson 1927; Brown, Cai & DasGupta 2001)
    roc_auc     DeLong, DeLong & Clarke-Pearson 1988, from counts by bins of the score: two rows of one bin are a tie
    rmse        the mean of squared errors by the normal distribution, its variance from their fourth powers
    mae         the mean of absolute errors by the normal distribution

The names are those of the metrics a model is judged by when it is trained.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from modelwright_monitor.quality.tally import Tally

LEVEL = 0.95
_Z = 1.959963984540054  # of the normal distribution; the module that computes it takes 3 MiB
_LEAST = 2  # of labels, or of each class: fewer have no spread


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric's value and its interval.

    Attributes:
        value: of the labels that there are.
        low: lower limit for all rows.
        high: upper limit.
        labels: that it rests on.
    """

    value: float
    low: float
    high: float
    labels: int


def estimate(metric: str, tally: Tally) -> Estimate | None:
    """Return a metric's estimate; None where there are too few labels of the right kind."""
    return METRICS[metric](tally)


def _accuracy(tally: Tally) -> Estimate | None:
    trials = tally.labels - tally.measured
    if trials < _LEAST:
        return None
    value, square = tally.correct / trials, _Z**2
    centre = (value + square / (2 * trials)) / (1 + square / trials)
    spread = math.sqrt(square * (value * (1 - value) / trials + square / (4 * trials**2))) / (1 + square / trials)
    return Estimate(value, max(min(centre - spread, value), 0.0), min(max(centre + spread, value), 1.0), trials)


def _roc_auc(tally: Tally) -> Estimate | None:
    positives, negatives = sum(tally.positives), sum(tally.negatives)
    if min(positives, negatives) < _LEAST:
        return None
    below = _placements(tally.negatives, negatives)  # for each bin the share of negatives below it, ties by half
    value = _mean(below, tally.positives, positives)
    above = [1 - share for share in _placements(tally.positives, positives)]
    variance = _variance(below, tally.positives, positives) / positives
    variance += _variance(above, tally.negatives, negatives) / negatives
    spread = _Z * math.sqrt(variance)
    # Where all or none are in order, nothing varies; then as a proportion of so many pairs without a row in common.
    missed = 1 - ((1 - LEVEL) / 2) ** (1 / min(positives, negatives))
    low = min(value - spread, 1 - missed) if value > 0 else 0.0
    high = max(value + spread, missed) if value < 1 else 1.0
    return Estimate(value, max(low, 0.0), min(high, 1.0), positives + negatives)


def _placements(counts: Sequence[int], total: int) -> list[float]:
    return [(upto - count / 2) / total for upto, count in zip(accumulate(counts), counts, strict=True)]


def _mean(values: Sequence[float], counts: Sequence[int], total: int) -> float:
    return sum(value * count for value, count in zip(values, counts, strict=True)) / total


def _variance(values: Sequence[float], counts: Sequence[int], total: int) -> float:
    mean = _mean(values, counts, total)
    return _mean([(value - mean) ** 2 for value in values], counts, total) * total / (total - 1)


def _rmse(tally: Tally) -> Estimate | None:
    found = _of_mean(tally.squared, tally.fourth, tally.measured)
    if found is None:
        return None
    return Estimate(math.sqrt(found.value), math.sqrt(found.low), math.sqrt(found.high), found.labels)


def _mae(tally: Tally) -> Estimate | None:
    return _of_mean(tally.absolute, tally.squared, tally.measured)


def _of_mean(total: float, squares: float, count: int) -> Estimate | None:
    """Return the mean of values that are not negative, from their sum and that of their squares."""
    if count < _LEAST:
        return None
    value = total / count
    variance = max(squares / count - value**2, 0.0) * count / (count - 1)
    spread = _Z * math.sqrt(variance / count)
    return Estimate(value, max(value - spread, 0.0), value + spread, count)


METRICS: dict[str, Callable[[Tally], Estimate | None]] = {
    "accuracy": _accuracy,
    "roc_auc": _roc_auc,
    "rmse": _rmse,
    "mae": _mae,
}
