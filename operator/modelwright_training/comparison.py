# pyright: basic
# (NumPy's own types.)
"""Champion against challenger on the same rows: how much worse the challenger is, and how sure that is.

A regression is a difference of two metrics in the worse direction: positive where the challenger is worse. Both models
answer the same rows, so rows are drawn in pairs: the upper limit is that of the paired percentile bootstrap (Efron &
Tibshirani 1993, ch. 13), one-sided, with draws from the job's seed. Rows count as independent.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelwright_training import classification, regression
from modelwright_training.classification import Classified
from modelwright_training.contract import LOWER_IS_BETTER
from modelwright_training.measure import Answers, rounded

_WORK = 20_000_000  # rows drawn in all, so that large holdouts take no longer than minutes
_FEWEST, _MOST = 200, 2000  # draws


@dataclass(frozen=True, slots=True)
class Compared:
    """One metric of both models on the same rows; `limit` is the upper one of the regression, if one was asked for."""

    champion: float
    challenger: float
    regression: float
    limit: float | None = None

    def needed(self, rows: int, tolerated: float) -> int | None:
        """Return how many rows would be enough for the limit to be tolerated, were the regression as measured.

        The limit comes closer to the regression as the root of the number of rows. None: no number of rows is enough.
        """
        if self.limit is None or self.regression >= tolerated:
            return None
        return math.ceil(rows * ((self.limit - self.regression) / (tolerated - self.regression)) ** 2)


def compare(
    champion: Answers, challenger: Answers, metric: str, *, confidence: float | None = None, seed: int = 0
) -> Compared | None:
    """Compare one metric of two models that answered the same rows; None where a model or the rows do not define it."""
    function = _function(challenger, metric)
    theirs, mine = function(champion), function(challenger)
    if theirs is None or mine is None:
        return None
    sign = 1.0 if metric in LOWER_IS_BETTER else -1.0
    worse = sign * (mine - theirs)
    limit = None
    if confidence is not None:
        draws = _drawn(champion, challenger, function, seed)
        limit = rounded(max(float(np.quantile(sign * draws, confidence)), worse)) if len(draws) else None
        if limit is None:
            return None
    return Compared(rounded(theirs), rounded(mine), rounded(worse), limit)


def _function(rows: Answers, metric: str) -> Callable[[Answers], float | None]:
    metrics: Mapping[str, Any] = classification.METRICS if isinstance(rows, Classified) else regression.METRICS

    def value(answers: Answers) -> float | None:
        found = metrics[metric](answers)
        return None if found is None or not math.isfinite(found.value) else float(found.value)

    return value


def _drawn(
    champion: Answers, challenger: Answers, function: Callable[[Answers], float | None], seed: int
) -> np.ndarray:
    """Return challenger minus champion for rows drawn with replacement; draws that define no metric are left out."""
    count = len(challenger)
    random = np.random.default_rng(seed)
    found: list[float] = []
    for _ in range(min(max(_WORK // count, _FEWEST), _MOST)):
        rows = random.integers(0, count, count)
        mine, theirs = function(challenger.take(rows)), function(champion.take(rows))
        if mine is not None and theirs is not None:
            found.append(mine - theirs)
    return np.array(found)
