# pyright: basic
# (NumPy's own types.)
"""Expected calibration error: how far shares are from the probabilities that were given for them.

Rows are put by their probability into ten bins of about equal size; the error is Σ (rows in bin / rows) · |share -
mean probability| (Naeini, Cooper & Hauskrecht 2015; bins of equal size after Nixon et al. 2019).

Sampling alone makes it greater than zero, so that the usual bootstrap misleads. The interval is that of the directional
delta method (Fang & Santos 2019): what normal noise in each bin, drawn with a seed, does to the sum of distances, where
the sign of a distance is only trusted beyond √log n standard errors. Its upper end is raised to the value, so that it
never leaves out what is reported; it then holds the truth at least as often as it says.
"""

import math
from typing import Final

import numpy as np

from modelwright_training.estimates import LEVEL, Array, Estimate, bracket

BINS: Final = 10
_DRAWS: Final = 4000
_SEED: Final = 20150125


def error(happened: Array, probability: Array) -> Estimate:
    """Return the calibration error of probabilities [n] of what happened [n] or not."""
    edges = np.quantile(probability, np.linspace(0, 1, BINS + 1))
    bins = np.searchsorted(edges[1:-1], probability)
    counts = np.bincount(bins, minlength=BINS)
    filled = counts > 0
    weight = counts[filled] / len(probability)
    residual = happened.astype(np.float64) - probability
    distance = np.bincount(bins, residual, BINS)[filled] / counts[filled]
    square = np.bincount(bins, residual**2, BINS)[filled] / counts[filled]
    value = float(np.sum(weight * np.abs(distance)))
    # A bin in which all rows agree has no spread of its own; its probability still says what it should have.
    expected = np.bincount(bins, probability * (1 - probability), BINS)[filled] / counts[filled]
    deviation = np.sqrt(np.maximum(square - distance**2, expected) / counts[filled])
    low, high = _noise(distance, deviation, weight, len(probability))
    return bracket(value, value - high, value - low, 0, 1)


def _noise(distance: Array, deviation: Array, weight: Array, rows: int) -> tuple[float, float]:
    """Return the quantiles of what noise adds to the error."""
    noise = np.random.default_rng(_SEED).standard_normal((_DRAWS, len(distance))) * deviation
    trusted = np.abs(distance) > math.sqrt(math.log(max(rows, 3))) * deviation
    moved = np.where(trusted, np.sign(distance) * noise, np.abs(noise))
    low, high = np.quantile(moved @ weight, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
