# pyright: basic
# (SciPy comes without types.)
"""How well scores put one class before the rest: area under the ROC curve and average precision, with intervals.

Both are smooth functions of the rows' distribution, so the influence of each row on them gives their variance
(Hampel 1974). For the area this is DeLong's estimate (DeLong, DeLong & Clarke-Pearson 1988), here in O(n log n) by
midranks (Sun & Xu 2014). The influence of a row on several classes' means adds up, whatever their correlation.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from modelwright_training.estimates import Array, Estimate, bracket, normal_quantile, proportion, share


@dataclass(frozen=True, slots=True)
class Ranking:
    """A statistic of one class against the rest, the influence [n] of each row on it, and the rows of both sides."""

    value: float
    influence: Array
    positives: int
    negatives: int

    @property
    def smaller(self) -> int:
        """Rows of the smaller side."""
        return min(self.positives, self.negatives)


def area(positive: Array, score: Array) -> Ranking:
    """Return the area under the ROC curve of scores [n]; both classes occur.

    A positive row's placement is the share of negative rows below it, ties counted half, and the other way round.
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    ranks = stats.rankdata(score)
    above = (ranks[positive] - stats.rankdata(score[positive])) / negatives
    below = 1 - (ranks[~positive] - stats.rankdata(score[~positive])) / positives
    value = float(np.mean(above))
    influence = np.empty(len(positive))
    # The root turns the variance of a side into its unbiased estimate, as DeLong has it.
    influence[positive] = (above - value) * len(positive) / math.sqrt(positives * max(positives - 1, 1))
    influence[~positive] = (below - value) * len(positive) / math.sqrt(negatives * max(negatives - 1, 1))
    return Ranking(value, influence, positives, negatives)


def average_precision(positive: Array, score: Array) -> Ranking:
    """Return the mean precision at the positive rows' scores [n]; both classes occur.

    With π = P(y=1), A(t) = P(y=1, s≥t), B(t) = P(s≥t): AP = E[y A(s)/B(s)] / π. The influence of a row (y, s) is
    y (A(s)/B(s) - AP + E[u 1{r≤s} / B(r)]) / π - E[u 1{r≤s} A(r) / B(r)²] / π, over rows (u, r).
    """
    count = len(positive)
    order = np.argsort(-score, kind="stable")
    sorted_score, sorted_positive = score[order], positive[order].astype(np.float64)
    last = np.append(np.flatnonzero(sorted_score[1:] != sorted_score[:-1]), count - 1)  # of each group of equal scores
    group = np.repeat(np.arange(len(last)), np.diff(last, prepend=-1))
    hits, said = np.cumsum(sorted_positive)[last] / count, (last + 1) / count
    here = np.bincount(group, sorted_positive, len(last)) / count
    precision, share_positive = hits / said, float(hits[-1])
    value = float(np.sum(here * precision)) / share_positive
    up = np.cumsum((here / said)[::-1])[::-1]
    down = np.cumsum((here * hits / said**2)[::-1])[::-1]
    influence = np.empty(count)
    influence[order] = (sorted_positive * (precision - value + up)[group] - down[group]) / share_positive
    positives = int(positive.sum())
    return Ranking(value, influence, positives, count - positives)


def mean_area(found: Sequence[Ranking]) -> Estimate:
    """Return the mean of areas; where all rows are in order, after Newcombe (2006, method 5) for the smallest class."""
    value = float(np.mean([item.value for item in found]))
    influence = np.mean([item.influence for item in found], axis=0)
    smallest = min(found, key=lambda item: item.smaller)
    freedom = sum(item.smaller - 1 for item in found)
    return share(value, influence, freedom) or _newcombe(value, smallest.positives, smallest.negatives)


def mean_precision(found: Sequence[Ranking]) -> Estimate:
    """Return the mean of average precisions; at the border as a share of the positives (Boyd, Eng & Page 2013)."""
    value = float(np.mean([item.value for item in found]))
    influence = np.mean([item.influence for item in found], axis=0)
    fewest = min(item.positives for item in found)
    freedom = sum(item.positives - 1 for item in found)
    return share(value, influence, freedom) or proportion(value * fewest, fewest)


def _newcombe(value: float, positives: int, negatives: int) -> Estimate:
    """Return the areas θ with (value - θ)² ≤ z² V(θ), V by Hanley & McNeil's approximation, by bisection."""
    square, mean_rows = normal_quantile() ** 2, (positives + negatives) / 2 - 1

    def excess(theta: float) -> float:
        shape = 1 + mean_rows * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (value - theta) ** 2 - square * theta * (1 - theta) / (positives * negatives) * shape

    return bracket(value, _border(excess, value, 0.0), _border(excess, value, 1.0), 0, 1)


def _border(excess: Callable[[float], float], inside: float, outside: float) -> float:
    if excess(outside) <= 0:
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if excess(middle) <= 0 else (inside, middle)
    return outside
