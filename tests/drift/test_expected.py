"""What is expected without labels is what labels would say, as long as only the rows change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from modelwright_drift import counts, document, summary
from modelwright_drift.baseline import Baseline, BaselineError, Numeric
from modelwright_drift.expected import estimate

if TYPE_CHECKING:
    from modelwright_drift.expected import Estimate

MODELS = {
    "linear": LogisticRegression(),
    "boosted": HistGradientBoostingClassifier(max_iter=40, random_state=0),
    "forest": RandomForestClassifier(40, min_samples_leaf=5, random_state=0),  # its scores are too timid
}
Rows = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def draw(rng: np.random.Generator, rows: int, shift: float = 0.0, *, weakened: bool = False) -> Rows:
    """Return rows with their labels; a shift moves the rows, while the labels of equal rows stay as they were."""
    x = rng.normal(size=(rows, 5))
    x[:, 0] += shift
    effect = (0.5 if weakened else 2.0) * x[:, 0] - 1.2 * x[:, 1] + 0.8 * x[:, 2] * x[:, 3]
    return x, (rng.random(rows) < 1 / (1 + np.exp(-effect))).astype(np.int64)


def baseline_of(model: Any, held: Rows) -> Baseline:
    x, truth = held
    scores = model.predict_proba(x)[:, 1]
    labels = model.predict(x)
    score = summary.numeric("probabilities[1]", "FP64", scores, computed=True)
    label = summary.categorical("label", "INT64", map(str, labels.tolist()))
    right = counts.count_numbers(score, scores[labels == truth])[: len(score.counts)]
    return Baseline((summary.numeric("x", "FP64", x[:, 0]),), (label, score), tuple(right.tolist()))


def expected(model: Any, baseline: Baseline, x: np.ndarray[Any, Any]) -> Estimate:
    score = baseline.prediction[1]
    assert isinstance(score, Numeric)
    label = counts.count_whole_numbers(baseline.prediction[0], model.predict(x))  # type: ignore[arg-type]
    found = estimate(baseline, (label, counts.count_numbers(score, model.predict_proba(x)[:, 1])))
    assert found is not None
    return found


@pytest.fixture(scope="module", params=MODELS)
def trained(request: pytest.FixtureRequest) -> tuple[Any, Baseline]:
    rng = np.random.default_rng(1)
    model = MODELS[request.param].fit(*draw(rng, 6000))
    return model, baseline_of(model, draw(rng, 4000))


@pytest.mark.parametrize("shift", [-1.0, -0.3, 0.0, 0.3, 0.6, 1.0, 1.5])
def test_under_covariate_shift_it_is_the_accuracy_that_labels_show(trained: tuple[Any, Baseline], shift: float) -> None:
    model, baseline = trained
    x, truth = draw(np.random.default_rng(2), 20_000, shift)
    accuracy = float((model.predict(x) == truth).mean())
    found = expected(model, baseline, x)
    assert found.value == pytest.approx(accuracy, abs=0.02 if abs(shift) <= 1 else 0.03)
    assert found.rows == 20_000


def test_it_moves_with_the_accuracy(trained: tuple[Any, Baseline]) -> None:
    """Rows that are chosen for being hard, by what the model does not see: most of the fall is found, not all of it.

    Rows of equal score are not quite the same as before then, since no model's score says all about its rows.
    """
    model, baseline = trained
    x, truth = draw(np.random.default_rng(3), 30_000)
    hard = np.abs(2 * x[:, 0] - 1.2 * x[:, 1] + 0.8 * x[:, 2] * x[:, 3]) < 1.5
    x, truth = x[hard], truth[hard]
    accuracy = float((model.predict(x) == truth).mean())
    found = expected(model, baseline, x)
    assert accuracy < found.holdout - 0.1
    assert found.value < found.holdout - 0.5 * (found.holdout - accuracy)
    assert found.value == pytest.approx(accuracy, abs=0.07)


def test_its_interval_holds_the_accuracy_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    model = LogisticRegression().fit(*draw(rng, 6000))
    held = 0
    for _ in range(200):
        baseline = baseline_of(model, draw(rng, 1000))
        x, truth = draw(rng, 1000, 0.3)
        found = expected(model, baseline, x)
        held += found.low <= float((model.predict(x) == truth).mean()) <= found.high
    assert held >= 180, "95 % are promised, and few rows make an interval of normal approximation a little narrow"


def test_a_change_of_what_rows_mean_is_not_seen(trained: tuple[Any, Baseline]) -> None:
    """Why it is called an estimate that assumes no concept drift, and nothing is decided on it."""
    model, baseline = trained
    x, truth = draw(np.random.default_rng(5), 20_000, weakened=True)
    accuracy = float((model.predict(x) == truth).mean())
    assert expected(model, baseline, x).value > accuracy + 0.05


def test_where_it_cannot_be_told_nothing_is() -> None:
    rng = np.random.default_rng(6)
    model = LogisticRegression().fit(*draw(rng, 2000))
    baseline = baseline_of(model, draw(rng, 1000))
    none = counts.zeros(baseline.prediction[0]), counts.zeros(baseline.prediction[1])
    assert estimate(baseline, none) is None, "no rows"
    some = none[1].copy()
    some[0] = 5
    assert estimate(baseline, (none[0], some)) is not None
    assert estimate(replace(baseline, right=()), (none[0], some)) is None, "an older baseline, or another task"


def test_it_travels_in_the_baseline_and_older_ones_are_read() -> None:
    rng = np.random.default_rng(7)
    model = LogisticRegression().fit(*draw(rng, 2000))
    baseline = baseline_of(model, draw(rng, 1000))
    data = document.dump(baseline)
    assert document.load(data) == baseline
    without = replace(baseline, right=())
    assert b'"right"' not in document.dump(without)
    assert document.load(document.dump(without)) == without
    for bad in (baseline.right[:-1], (10_000, *baseline.right[1:]), (-1, *baseline.right[1:])):
        with pytest.raises(BaselineError, match="right"):
            replace(baseline, right=bad)
        with pytest.raises(BaselineError, match="right"):
            document.load(data.replace(str([*baseline.right]).replace(" ", "").encode(), str([*bad]).encode()))
    with pytest.raises(BaselineError, match="right"):
        Baseline(baseline.features, baseline.prediction[:1], baseline.right)
