"""Metrics equal scikit-learn's, on data with ties, rare classes and missing ones."""

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.calibration import calibration_curve

from modelwright_training import measure
from modelwright_training.classification import Classified
from modelwright_training.contract import METRICS, Metric, Task, metrics_of
from modelwright_training.regression import Regressed

Array = np.ndarray[Any, Any]


def values(found: tuple[Metric, ...]) -> dict[str, float]:
    return {metric.name: metric.value for metric in found}


def drawn(count: int, rows: int, seed: int = 0) -> tuple[Array, Array, Array, Array]:
    """Return classes, truth, labels and probabilities of a fair model whose scores have ties."""
    random = np.random.default_rng(seed)
    classes = np.arange(count) + 5
    target = random.choice(classes, rows, p=np.arange(1, count + 1) / sum(range(1, count + 1)))
    scores = np.round(random.random((rows, count)) + 0.7 * (target[:, None] == classes), 1) + 0.05
    probabilities = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    return classes, target, classes[probabilities.argmax(axis=1)], probabilities


@pytest.mark.parametrize("positive", [0, 1])
def test_two_classes_equal_scikit_learn(positive: int) -> None:
    classes, target, label, probabilities = drawn(2, 300)
    exact = probabilities.astype(float) / probabilities.astype(float).sum(axis=1, keepdims=True)
    true, score, name = target == classes[positive], exact[:, positive], classes[positive]
    share, expected = calibration_curve(true, score, n_bins=10, strategy="quantile")
    edges = np.quantile(score, np.linspace(0, 1, 11))
    counted = np.bincount(np.searchsorted(edges[1:-1], score))
    sizes = counted[counted > 0] / len(target)
    found = measure.measure(Classified.of(target, label, probabilities, classes, positive))
    assert values(found) == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(target, label),
            "balanced_accuracy": metrics.balanced_accuracy_score(target, label),
            "f1": metrics.f1_score(target, label, pos_label=name),
            "roc_auc": metrics.roc_auc_score(true, score),
            "average_precision": metrics.average_precision_score(true, score),
            "log_loss": metrics.log_loss(target, exact),
            "brier": metrics.brier_score_loss(true, score),
            "ece": float(np.sum(sizes * np.abs(share - expected))),
        },
        rel=1e-5,
    )


@pytest.mark.parametrize("count", [3, 7])
def test_more_classes_equal_scikit_learn(count: int) -> None:
    classes, target, label, probabilities = drawn(count, 400)
    exact = probabilities.astype(float) / probabilities.astype(float).sum(axis=1, keepdims=True)
    found = values(measure.measure(Classified.of(target, label, probabilities, classes)))
    found.pop("ece")
    assert found == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(target, label),
            "balanced_accuracy": metrics.balanced_accuracy_score(target, label),
            "f1": metrics.f1_score(target, label, average="macro"),
            "roc_auc": metrics.roc_auc_score(target, exact, multi_class="ovr", average="macro"),
            "average_precision": metrics.average_precision_score(target, exact, average="macro"),
            "log_loss": metrics.log_loss(target, exact),
            "brier": metrics.brier_score_loss(target, exact),
        },
        rel=1e-5,
    )


@pytest.mark.parametrize("count", [2, 5])
def test_every_metric_has_an_interval_around_it(count: int) -> None:
    classes, target, label, probabilities = drawn(count, 300)
    found = measure.measure(Classified.of(target, label, probabilities, classes))
    assert [metric.name for metric in found] == list(metrics_of(Task.CLASSIFICATION, probabilities=True))
    for metric in found:
        assert metric.low is not None
        assert metric.high is not None
        assert 0 <= metric.low <= metric.value <= metric.high
        assert 0 < metric.high - metric.low < 0.35


def test_labels_alone() -> None:
    target = np.array(["a", "b", "b"], dtype=object)
    label = np.array(["a", "b", "a"], dtype=object)
    found = measure.measure(Classified.of(target, label, None, np.array(["a", "b"])))
    assert [metric.name for metric in found] == list(metrics_of(Task.CLASSIFICATION, probabilities=False))


def test_one_class_in_the_holdout_has_no_ranking() -> None:
    rows = Classified.of(np.ones(3), np.ones(3), np.full((3, 2), 0.5), np.array([0, 1]))
    found = values(measure.measure(rows))
    assert not {"roc_auc", "average_precision"} & found.keys()
    assert found["log_loss"] == pytest.approx(np.log(2), rel=1e-5)


def test_a_positive_class_that_is_nowhere_has_no_f1() -> None:
    rows = Classified.of(np.zeros(3), np.zeros(3), None, np.array([0, 1]))
    assert "f1" not in values(measure.measure(rows))


def test_perfect_answers_have_intervals_that_do_not_claim_perfection() -> None:
    target = np.arange(60) % 2
    rows = Classified.of(target, target, np.eye(2)[target], np.array([0, 1]))
    for metric in measure.measure(rows):
        perfect = 0.0 if metric.name in {"log_loss", "brier", "ece"} else 1.0
        assert metric.value == perfect
        if metric.name != "ece":
            assert (metric.high if perfect == 0 else metric.low) != perfect, metric


def test_regression_equals_scikit_learn() -> None:
    random = np.random.default_rng(0)
    target = random.normal(size=100)
    prediction = target + random.normal(size=100)
    found = measure.measure(Regressed.of(target, prediction))
    assert values(found) == pytest.approx(
        {
            "rmse": metrics.root_mean_squared_error(target, prediction),
            "mae": metrics.mean_absolute_error(target, prediction),
            "r2": metrics.r2_score(target, prediction),
        },
        rel=1e-5,
    )
    assert all(metric.low is not None and metric.low < metric.value < (metric.high or 0) for metric in found)


def test_constant_holdout_has_no_r2() -> None:
    assert set(values(measure.measure(Regressed.of(np.ones(3), np.zeros(3))))) == {"rmse", "mae"}


def test_metrics_of_the_contract_are_those_measured() -> None:
    known = {*metrics_of(Task.CLASSIFICATION, probabilities=True), *metrics_of(Task.REGRESSION, probabilities=False)}
    assert known == set(METRICS)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 5), st.integers(1, 40), st.integers(0, 2**31))
def test_no_sample_breaks_a_metric(count: int, rows: int, seed: int) -> None:
    """Single rows, classes nobody has, probabilities of zero and one: finite values within their limits."""
    random = np.random.default_rng(seed)
    target, label = random.integers(0, count, rows), random.integers(0, count, rows)
    probabilities = np.eye(count)[label] if seed % 2 else random.dirichlet(np.full(count, 0.2), rows) + 1e-9
    for metric in measure.measure(Classified.of(target, label, probabilities, np.arange(count))):
        assert np.isfinite(metric.value)
        assert (metric.low is None) == (metric.high is None)
    prediction = random.normal(size=rows) if seed % 3 else target
    for metric in measure.measure(Regressed.of(target, prediction)):
        assert np.isfinite(metric.value)


def test_ten_times_the_rows_take_about_ten_times_as_long() -> None:
    """Nothing is quadratic: that would be a hundred times."""

    def seconds(rows: int) -> float:
        classes, target, label, probabilities = drawn(2, rows)
        answers = Classified.of(target, label, probabilities, classes)
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            measure.measure(answers)
            best = min(best, time.process_time() - started)
        return best

    assert seconds(200_000) < 40 * seconds(20_000)
