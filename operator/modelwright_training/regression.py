# pyright: basic
# (NumPy's own types.)
"""Metrics of a regressor, as scikit-learn defines them, with intervals of 95 %."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from modelwright_training.estimates import Array, Estimate, log_scaled, mapped, mean

_FEWEST: Final = 3  # rows that tell an interval of r2


@dataclass(frozen=True, slots=True)
class Regressed:
    """Rows with their true value [n] and what a model said of them [n], in float64."""

    target: Array
    prediction: Array

    @classmethod
    def of(cls, target: Array, prediction: Array) -> "Regressed":
        """Take numbers of any type."""
        return cls(target.astype(np.float64), prediction.astype(np.float64))

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: Array) -> "Regressed":
        """Return some of the rows."""
        return Regressed(self.target[rows], self.prediction[rows])


def rmse(rows: Regressed) -> Estimate:
    """Return the root of the mean squared error."""
    return mapped(mean((rows.prediction - rows.target) ** 2), math.sqrt)


def mae(rows: Regressed) -> Estimate:
    """Return the mean absolute error."""
    return mean(np.abs(rows.prediction - rows.target))


def r2(rows: Regressed) -> Estimate | None:
    """Return 1 - MSE / variance; None where the target does not vary. Its interval is one of log (MSE / variance)."""
    square = (rows.prediction - rows.target) ** 2
    spread = (rows.target - np.mean(rows.target)) ** 2
    error, variance = float(np.mean(square)), float(np.mean(spread))
    if variance == 0:
        return None
    if error == 0 or len(rows) < _FEWEST:
        return Estimate(1 - error / variance)
    left = log_scaled(error / variance, square / error - spread / variance)
    low, high = (None if limit is None else 1 - limit for limit in (left.high, left.low))
    return Estimate(1 - left.value, low, high)


METRICS: Final[Mapping[str, Callable[[Regressed], Estimate | None]]] = {"rmse": rmse, "mae": mae, "r2": r2}
