# pyright: basic
# (NumPy's own types, through scikit-learn's conventions.)
"""How much each leader of an AutoML search has to say, selected by what they say of rows they were not fitted on.

Greedy selection with replacement (R. Caruana et al., "Ensemble selection from libraries of models", ICML 2004): again
and again the leader joins whose vote makes the mean of all votes best, so that one may have several. On few rows that
follows chance; therefore the simplest leader begins with a fifth of the votes, unless it is worse than the best by more
than the standard error of that one's score (L. Breiman et al., "Classification and Regression Trees", 1984, §3.4.3).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from modelwright_training import measure
from modelwright_training.classification import Classified
from modelwright_training.contract import better
from modelwright_training.measure import Answers

VOTES = 25
FIRST_VOTES = 5  # of the simplest


class Ensemble(NamedTuple):
    """Votes of each leader, and the metric of their mean on each fold: of the rows that they were selected by."""

    weights: tuple[int, ...]
    scores: list[float]


def select(said: Sequence[Sequence[Answers]], metric: str, folds: int, simplest: int | None) -> Ensemble:
    """Select votes by what each leader said on each fold, [leader][fold].

    Args:
        said: answers of each leader on each fold, all to the same rows.
        metric: what the mean vote is to be best by, as the mean over the folds.
        folds: how many of them there are in one deal; those of further deals hold the same rows.
        simplest: which leader begins with a few votes; None: no one does.

    """
    alone = [[measure.value(fold, metric) for fold in leader] for leader in said]
    weights = [0] * len(said)
    if simplest is not None and _as_good(alone, simplest, metric, folds):
        weights[simplest] = FIRST_VOTES
    while sum(weights) < VOTES:
        best: tuple[float, int] | None = None
        for leader in range(len(said)):
            tried = [weight + (number == leader) for number, weight in enumerate(weights)]
            score = float(np.mean(_scores(said, tried, metric)))
            if best is None or better(score, best[0], metric):
                best = score, leader
        assert best is not None  # there are leaders  # noqa: S101
        weights[best[1]] += 1
    return Ensemble(tuple(weights), _scores(said, weights, metric))


def mean(said: Sequence[Answers], weights: Sequence[int]) -> Answers:
    """Return the weighted mean of answers to the same rows; the class with the highest probability is said."""
    first = said[0]
    if isinstance(first, Classified):
        given = [answers.probabilities for answers in said if isinstance(answers, Classified)]
        probabilities = np.average(np.array(given), axis=0, weights=weights)
        return replace(first, probabilities=probabilities, label=probabilities.argmax(axis=1))
    given = [answers.prediction for answers in said if not isinstance(answers, Classified)]
    return replace(first, prediction=np.average(np.array(given), axis=0, weights=weights))


def _scores(said: Sequence[Sequence[Answers]], weights: Sequence[int], metric: str) -> list[float]:
    return [measure.value(mean(fold, weights), metric) for fold in zip(*said, strict=True)]


def _as_good(alone: Sequence[Sequence[float]], simplest: int, metric: str, folds: int) -> bool:
    """Tell whether the simplest is not worse than the best by more than a standard error."""
    means = [float(np.mean(scores)) for scores in alone]
    best = 0
    for leader, score in enumerate(means):
        best = leader if better(score, means[best], metric) else best
    error = float(np.std(alone[best])) / folds**0.5
    return bool(abs(means[simplest] - means[best]) <= error)
