"""Metrics by tallies against scikit-learn's on the rows themselves, and how often their intervals hold the truth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, mean_absolute_error, roc_auc_score, root_mean_squared_error

from modelwright_monitor.quality.metrics import METRICS, estimate
from modelwright_monitor.quality.tally import BINS, Tally, score_bin

RNG = np.random.default_rng(5)


def classified(truth: Any, scores: Any) -> Tally:
    """Return the tally of labels 0 and 1 and the scores for 1."""
    found = Tally(labels=len(truth), correct=int(np.sum((scores > 0.5) == truth)))
    for name, wanted in (("negatives", 0), ("positives", 1)):
        bins = [score_bin(float(score)) for score in scores[truth == wanted]]
        setattr(found, name, np.bincount(bins, minlength=BINS).tolist())
    return found


def measured(truth: Any, predicted: Any) -> Tally:
    errors = np.abs(np.asarray(truth, dtype=float) - predicted)
    return Tally(
        labels=len(errors),
        measured=len(errors),
        absolute=float(np.sum(errors)),
        squared=float(np.sum(errors**2)),
        fourth=float(np.sum(errors**4)),
    )


def scored(count: int, prevalence: float, strength: float) -> tuple[Any, Any]:
    """Return truths and calibrated-looking scores."""
    truth = (RNG.random(count) < prevalence).astype(int)
    logits = RNG.normal(size=count) + strength * truth + math.log(prevalence / (1 - prevalence)) - strength / 2
    return truth, 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize(("prevalence", "strength"), [(0.5, 1.0), (0.5, 3.0), (0.1, 2.0), (0.02, 2.0), (0.002, 3.0)])
def test_classification_is_measured_as_scikit_learn_does(prevalence: float, strength: float) -> None:
    truth, scores = scored(50_000, prevalence, strength)
    tally = classified(truth, scores)
    accuracy, auc = estimate("accuracy", tally), estimate("roc_auc", tally)
    assert accuracy is not None
    assert auc is not None
    assert accuracy.value == pytest.approx(accuracy_score(truth, scores > 0.5), abs=1e-12)
    assert -0.002 < auc.value - roc_auc_score(truth, scores) < 1e-9
    assert auc.low < roc_auc_score(truth, scores) < auc.high
    assert auc.labels == accuracy.labels == 50_000


def test_regression_is_measured_as_scikit_learn_does() -> None:
    truth = RNG.normal(size=5000)
    predicted = truth + RNG.laplace(size=5000)
    tally = measured(truth, predicted)
    for metric, oracle in (("rmse", root_mean_squared_error), ("mae", mean_absolute_error)):
        found = estimate(metric, tally)
        assert found is not None
        assert found.value == pytest.approx(oracle(truth, predicted), rel=1e-9)
        assert found.low < found.value < found.high


def held(metric: str, tallies: list[Tally], truth: float) -> float:
    """Return in which share of the samples the interval holds the truth."""
    found = [estimate(metric, tally) for tally in tallies]
    return sum(item is not None and item.low <= truth <= item.high for item in found) / len(found)


@pytest.mark.parametrize("count", [100, 1000])
def test_intervals_hold_the_truth_as_often_as_they_say(count: int) -> None:
    right = [Tally(labels=count, correct=int(RNG.binomial(count, 0.9))) for _ in range(1000)]
    assert 0.93 <= held("accuracy", right, 0.9) <= 0.98
    auc = float(roc_auc_score(*scored(400_000, 0.3, 1.5)))
    assert 0.92 <= held("roc_auc", [classified(*scored(count, 0.3, 1.5)) for _ in range(600)], auc) <= 0.98
    errors = [measured(RNG.normal(size=count), 0.0) for _ in range(1000)]
    assert 0.92 <= held("rmse", errors, 1.0) <= 0.97
    assert 0.92 <= held("mae", errors, math.sqrt(2 / math.pi)) <= 0.97


def test_all_in_order_is_not_taken_for_certain() -> None:
    perfect = classified(np.array([0] * 20 + [1] * 20), np.array([0.1] * 20 + [0.9] * 20))
    found = estimate("roc_auc", perfect)
    assert found is not None
    assert (found.value, found.high) == (1, 1)
    assert 0.7 < found.low < 0.9
    reverse = estimate("roc_auc", classified(np.array([1] * 20 + [0] * 20), np.array([0.1] * 20 + [0.9] * 20)))
    assert reverse is not None
    assert (reverse.value, reverse.low) == (0, 0)
    assert 0.1 < reverse.high < 0.3


@pytest.mark.parametrize("metric", METRICS)
def test_without_labels_there_is_no_value(metric: str) -> None:
    assert estimate(metric, Tally()) is None
    assert estimate(metric, Tally(predictions=9, labels=1, correct=1)) is None


def test_labels_of_numbers_say_nothing_of_classes_nor_the_other_way() -> None:
    assert estimate("accuracy", measured([1.0] * 9, 1.0)) is None
    assert estimate("rmse", Tally(labels=9, correct=9)) is None


def test_bins_of_scores_are_in_order() -> None:
    bins = [score_bin(float(score)) for score in np.linspace(0, 1, 100_001)]
    assert bins == sorted(bins)
    assert (bins[0], bins[-1], len(set(bins))) == (0, BINS - 1, BINS)
