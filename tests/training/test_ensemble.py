"""How votes are shared out among the leaders of an AutoML search, by what they say of rows held out."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from modelwright_training import ensemble, measure
from modelwright_training.classification import Classified
from modelwright_training.measure import Answers
from modelwright_training.regression import Regressed

FOLDS = 4
ROWS = 200


def said(*errors: float, seed: int = 0) -> list[list[Answers]]:
    """Return answers of leaders that err independently of each other, by so much, on each fold."""
    random = np.random.default_rng(seed)
    targets = [random.normal(size=ROWS) for _ in range(FOLDS)]
    return [[Regressed(target, target + error * random.normal(size=ROWS)) for target in targets] for error in errors]


def mean_score(leaders: Sequence[Sequence[Answers]], weights: Sequence[int], metric: str) -> float:
    folds = zip(*leaders, strict=True)
    return float(np.mean([measure.value(ensemble.mean(fold, weights), metric) for fold in folds]))


@pytest.mark.parametrize("metric", ["rmse", "r2", "mae"])
def test_votes_of_independent_leaders_go_by_their_precision(metric: str) -> None:
    """The best weights of independent errors are inverse to their variance: here 16 to 4 to 1."""
    leaders = said(0.5, 1.0, 2.0)
    found = ensemble.select(leaders, metric, FOLDS, None)
    assert sum(found.weights) == ensemble.VOTES
    assert np.array(found.weights) / ensemble.VOTES == pytest.approx(np.array([16, 4, 1]) / 21, abs=0.09)
    alone = [mean_score(leaders, [number == leader for number in range(3)], metric) for leader in range(3)]
    assert np.mean(found.scores) > max(alone) if metric == "r2" else np.mean(found.scores) < min(alone)


def test_no_other_votes_are_better_by_much() -> None:
    leaders = said(0.6, 0.8, 1.0, seed=3)
    found = ensemble.select(leaders, "rmse", FOLDS, None)
    shares = [item for item in itertools.product(range(26), repeat=3) if sum(item) == ensemble.VOTES]
    best = min(mean_score(leaders, item, "rmse") for item in shares[::3])
    assert np.mean(found.scores) <= best * 1.005


def test_who_is_no_use_has_no_vote() -> None:
    leaders = said(0.1, 50.0)
    assert ensemble.select(leaders, "rmse", FOLDS, None).weights == (25, 0)


def test_the_simplest_begins_with_a_few_votes_unless_it_is_clearly_worse() -> None:
    leaders = said(1.0, 1.0)
    copied = [leaders[0], leaders[0]]
    assert ensemble.select(copied, "rmse", FOLDS, None).weights == (25, 0)
    assert ensemble.select(copied, "rmse", FOLDS, 1).weights == (20, 5)
    assert ensemble.select(said(0.1, 50.0), "rmse", FOLDS, 1).weights == (25, 0)


def test_the_margin_is_a_standard_error_of_the_best() -> None:
    """Folds of which the best one's errors are 1 ± 0.1: a standard error of 0.05 in four folds."""
    spread = np.array([0.9, 0.9, 1.1, 1.1])

    def leader(level: float) -> list[Answers]:
        return [Regressed(np.zeros(2), np.full(2, level * error)) for error in spread]

    assert ensemble.select([leader(1.0), leader(1.049)], "mae", FOLDS, 1).weights == (20, 5)
    assert ensemble.select([leader(1.0), leader(1.051)], "mae", FOLDS, 1).weights == (25, 0)


def test_of_equals_the_first_has_the_vote() -> None:
    [leader] = said(1.0)
    assert ensemble.select([leader] * 3, "mae", FOLDS, None).weights == (25, 0, 0)


def probabilities(seed: int) -> npt.NDArray[Any]:
    return np.random.default_rng(seed).dirichlet([1, 1, 1], 50)


def test_the_mean_of_answers_is_that_of_soft_voting() -> None:
    random = np.random.default_rng(0)
    rows, target = random.normal(size=(90, 3)), random.integers(0, 3, 90)
    members = [("linear", LogisticRegression()), ("bayes", GaussianNB())]
    voting = VotingClassifier(members, voting="soft", weights=[3, 2]).fit(rows, target)
    classes = voting.classes_
    fitted = voting.estimators_
    each = [Classified.of(target, one.predict(rows), one.predict_proba(rows), classes) for one in fitted]
    found = ensemble.mean(each, [3, 2])
    assert isinstance(found, Classified)
    assert found.probabilities == pytest.approx(voting.predict_proba(rows))
    assert np.array_equal(classes[found.label], voting.predict(rows))


@pytest.mark.parametrize("metric", ["log_loss", "accuracy", "roc_auc"])
def test_any_metric_of_classes_can_be_selected_by(metric: str) -> None:
    target = np.random.default_rng(9).integers(0, 3, 50)
    good = probabilities(1) + 2 * np.eye(3)[target]
    leaders: list[list[Answers]] = [
        [Classified.of(target, given.argmax(axis=1), given, np.arange(3))] * FOLDS for given in (probabilities(2), good)
    ]
    found = ensemble.select(leaders, metric, FOLDS, None)
    assert found.weights[1] > 12
    assert len(found.scores) == FOLDS
