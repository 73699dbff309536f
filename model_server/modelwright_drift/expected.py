"""How accurate a classifier of two classes probably is on live rows whose labels nobody knows yet.

A model's mistakes lie where its score is undecided.  Of the rows held out it is known how many of each bin of the score
were predicted right; live rows fall into the same bins, so that with their shares p and the bins' accuracies a

    estimate = Σ p a

This is confidence-based performance estimation (Białek et al., Estimating Model Performance Under Covariate Shift
Without Labels, arXiv 2401.08348; likewise Guillory et al., arXiv 2107.03315) with accuracies that were counted, so that
the scores need not be calibrated.  It holds as long as rows of equal score are right as often as they were: whatever
changes in the rows, but not in what they mean.  A concept drift goes unseen, and so does a region of the features that
the holdout lacks.
"""

import math
from dataclasses import dataclass

import numpy as np

from modelwright_drift.baseline import Baseline
from modelwright_drift.counts import Counts

_SIGMAS = 1.96  # of 95 %


@dataclass(frozen=True, slots=True)
class Estimate:
    """An expected accuracy, with an interval of 95 % for what chance does in the holdout and in the window.

    Attributes:
        value: the estimate.
        low: of the interval.
        high: of the interval.
        holdout: accuracy on the rows held out.
        rows: live rows.
    """

    value: float
    low: float
    high: float
    holdout: float
    rows: int


def estimate(baseline: Baseline, prediction: tuple[Counts, ...]) -> Estimate | None:
    """Return what is expected of the rows whose predictions were counted; None where it cannot be told.

    That is for any task but two classes, without rows, and where live rows are in a bin that has none of the holdout.
    """
    if not baseline.right:
        return None
    held = np.array(baseline.prediction[1].counts, dtype=np.float64)
    right = np.array(baseline.right, dtype=np.float64)
    live = prediction[1][: len(held)].astype(np.float64)
    rows = float(live.sum())
    if not rows or bool(np.any((held == 0) & (live > 0))):
        return None
    known = held > 0
    held, right, shares = held[known], right[known], live[known] / rows
    accuracy = right / held
    value = float(shares @ accuracy)
    careful = (right + 0.5) / (held + 1)  # bins without a mistake are not certain to have none
    chance = float(shares**2 @ (careful * (1 - careful) / held)) + value * (1 - value) / rows
    reach = _SIGMAS * math.sqrt(chance)
    whole = float(right.sum() / held.sum())
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach), whole, int(rows))
