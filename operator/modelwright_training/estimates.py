# pyright: basic
# (SciPy comes without types.)
"""Intervals of 95 % confidence for what a sample of independent rows estimates, in closed form.

    proportion      Wilson's score interval (Wilson 1927; Brown, Cai & DasGupta 2001)
    combined, difference, ratio
                    MOVER: limits recovered from each part's own (Zou & Donner 2008; Newcombe 1998)
    mean            Hall's transformation of the t statistic, which takes the skewness of losses out (Hall 1992)
    share           a smooth statistic in [0, 1] by its influence values: normal on the logit scale, Student's t

Each is deterministic and takes time in proportion to the rows. tests/training/test_coverage.py simulates how often they
hold the truth.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

LEVEL = 0.95
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its interval; without one where the rows do not tell."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def below(self) -> float:
        """How far the interval reaches below the value."""
        return 0.0 if self.low is None else self.value - self.low

    @property
    def above(self) -> float:
        """How far the interval reaches above the value."""
        return 0.0 if self.high is None else self.high - self.value


def bracket(value: float, low: float, high: float, least: float = -math.inf, most: float = math.inf) -> Estimate:
    """Return an estimate whose interval holds its value and stays in the range of the statistic."""
    return Estimate(value, max(min(low, value), least), min(max(high, value), most))


def normal_quantile(level: float = LEVEL) -> float:
    """Return z with P(|Z| ≤ z) = level."""
    return NormalDist().inv_cdf((1 + level) / 2)


def _student_quantile(freedom: float) -> float:
    return float(special.stdtrit(max(freedom, 1.0), (1 + LEVEL) / 2))


def proportion(successes: float, trials: float, level: float = LEVEL) -> Estimate:
    """Return the share of successes of at least one trial."""
    value, square = successes / trials, normal_quantile(level) ** 2
    centre = (value + square / (2 * trials)) / (1 + square / trials)
    spread = math.sqrt(square * (value * (1 - value) / trials + square / (4 * trials**2))) / (1 + square / trials)
    return bracket(value, centre - spread, centre + spread, 0, 1)


def combined(parts: Sequence[Estimate], correlation: Array | None = None) -> Estimate:
    """Return the mean of estimates in [0, 1], which are independent unless their correlation [n, n] is given."""
    value = sum(part.value for part in parts) / len(parts)
    below, above = (np.array([getattr(part, side) for part in parts]) for side in ("below", "above"))
    matrix = np.eye(len(parts)) if correlation is None else correlation
    reach = [math.sqrt(max(float(side @ matrix @ side), 0.0)) / len(parts) for side in (below, above)]
    return bracket(value, value - reach[0], value + reach[1], 0, 1)


def difference(greater: Estimate, less: Estimate) -> Estimate:
    """Return the difference of two independent proportions."""
    value = greater.value - less.value
    low = value - math.hypot(greater.below, less.above)
    return bracket(value, low, value + math.hypot(greater.above, less.below), -1, 1)


def ratio(less: Estimate, greater: Estimate) -> Estimate:
    """Return the ratio of two independent proportions, of which the greater is not zero (MOVER on the log scale)."""
    value = less.value / greater.value
    low, high = 0.0, (less.high or 0.0) / (greater.low or math.inf)
    if less.value > 0 and less.low and greater.low and greater.high and less.high:
        down = math.hypot(math.log(less.value / less.low), math.log(greater.high / greater.value))
        up = math.hypot(math.log(less.high / less.value), math.log(greater.value / greater.low))
        low, high = value * math.exp(-down), value * math.exp(up)
    return bracket(value, low, high, 0)


def mean(values: Array, most: float = math.inf) -> Estimate:
    """Return the mean of values [n] that are at least 0, and at most `most`.

    Where they are all the same, the interval reaches as far as a share of rows that the sample may have missed, at the
    value `most`; it is absent if there is no such bound.
    """
    count, value = len(values), float(np.mean(values))
    spread = float(np.std(values))
    if count < 2 or spread <= abs(value) * 1e-12:  # noqa: PLR2004 - one row has no spread
        missed = 1 - ((1 - LEVEL) / 2) ** (1 / count)
        return (
            bracket(value, value * (1 - missed), value + (most - value) * missed)
            if most < math.inf
            else Estimate(value)
        )
    skewness = float(np.mean(((values - value) / spread) ** 3))
    unit, z = spread / math.sqrt(count), normal_quantile()
    return bracket(value, value - _hall(z, skewness, count) * unit, value - _hall(-z, skewness, count) * unit, 0, most)


def _hall(quantile: float, skewness: float, count: int) -> float:
    """Return the quantile of the t statistic: Hall's g⁻¹: g(t) = t + a t² + a² t³ / 3 + a/2, a = skewness / 3√n."""
    third = skewness / (3 * math.sqrt(count))
    shifted = quantile - third / 2
    return shifted if abs(third) < 1e-9 else float(np.cbrt(1 + 3 * third * shifted) - 1) / third  # noqa: PLR2004


def share(value: float, influence: Array, freedom: float) -> Estimate | None:
    """Return a statistic in [0, 1] by the influence [n] of each row on it; None at the borders, where it has none."""
    error = math.sqrt(float(np.sum(influence**2))) / len(influence)
    if not 0 < value < 1 or error == 0:
        return None
    reach = _student_quantile(freedom) * error / (value * (1 - value))
    centre = special.logit(value)
    return bracket(value, float(special.expit(centre - reach)), float(special.expit(centre + reach)), 0, 1)


def log_scaled(value: float, influence: Array) -> Estimate:
    """Return a positive statistic by the influence [n] of each row on its logarithm."""
    count = len(influence)
    error = math.sqrt(float(np.sum(influence**2))) / count
    reach = math.exp(_student_quantile(count - 1) * error)
    return bracket(value, value / reach, value * reach, 0)


def mapped(estimate: Estimate, function: Any) -> Estimate:  # noqa: ANN401 - an increasing function of one number
    """Return an increasing function of what was estimated."""
    low, high = (None if limit is None else float(function(limit)) for limit in (estimate.low, estimate.high))
    return Estimate(float(function(estimate.value)), low, high)
