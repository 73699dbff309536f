"""Rates and their disparities: equal to their definitions, with intervals that hold the truth."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from modelwright_training import fairness
from modelwright_training.classification import Classified


def group(random: np.random.Generator, rows: int, share: float, hit: float, alarm: float) -> Classified:
    """Draw rows of which `share` are positive, and are said to be with the rates given."""
    target = (random.random(rows) < share).astype(int)
    label = (random.random(rows) < np.where(target == 1, hit, alarm)).astype(int)
    return Classified(target, label, None, 2)


def test_rates_are_what_they_say() -> None:
    rows = group(np.random.default_rng(0), 500, 0.3, 0.8, 0.2)
    found = fairness.rates(rows)
    assert found["true_positive_rate"].value == pytest.approx(metrics.recall_score(rows.target, rows.label))
    assert found["false_positive_rate"].value == pytest.approx(
        1 - metrics.recall_score(rows.target, rows.label, pos_label=0)
    )
    assert found["selection_rate"].value == pytest.approx(np.mean(rows.label))


def test_disparities_are_those_of_the_extreme_groups() -> None:
    random = np.random.default_rng(1)
    parts = [group(random, 400, 0.3, hit, 0.2) for hit in (0.9, 0.6, 0.75)]
    rates = [fairness.rates(part)["true_positive_rate"].value for part in parts]
    found = fairness.disparities(parts)
    assert found["true_positive_rate_difference"].value == pytest.approx(max(rates) - min(rates))
    assert found["true_positive_rate_ratio"].value == pytest.approx(min(rates) / max(rates))
    assert set(found) == {f"{rate}_{kind}" for rate in fairness.RATES for kind in ("difference", "ratio")}
    swapped = fairness.disparities(parts[::-1])
    assert {name: item.value for name, item in swapped.items()} == {name: item.value for name, item in found.items()}


def test_the_other_class_may_be_the_positive_one() -> None:
    rows = group(np.random.default_rng(2), 500, 0.3, 0.8, 0.2)
    other = Classified(rows.target, rows.label, None, 2, positive=0)
    assert fairness.rates(other)["selection_rate"].value == pytest.approx(1 - np.mean(rows.label))


def test_rates_that_too_few_rows_tell_are_left_out() -> None:
    random = np.random.default_rng(3)
    few = group(random, 300, 0.02, 0.8, 0.2)
    assert "true_positive_rate" not in fairness.rates(few)
    found = fairness.disparities([few, group(random, 300, 0.5, 0.8, 0.2)])
    assert "true_positive_rate_difference" not in found
    assert "selection_rate_difference" in found
    assert fairness.disparities([few]) == {}
    nobody = [group(random, 100, 0.5, 0, 0) for _ in range(2)]
    assert "selection_rate_ratio" not in fairness.disparities(nobody)
    assert fairness.disparities(nobody)["selection_rate_difference"].value == 0


@pytest.mark.parametrize("hits", [(0.8, 0.8), (0.9, 0.6), (0.7, 0.7, 0.7, 0.7), (0.9, 0.8, 0.7, 0.5, 0.5)], ids=str)
def test_intervals_hold_the_truth(hits: tuple[float, ...]) -> None:
    random = np.random.default_rng(4)
    truth = {
        "true_positive_rate_difference": max(hits) - min(hits),
        "true_positive_rate_ratio": min(hits) / max(hits),
    }
    held: dict[str, list[bool]] = {name: [] for name in truth}
    for _ in range(300):
        found: Any = fairness.disparities([group(random, 300, 0.4, hit, 0.2) for hit in hits])
        for name, value in truth.items():
            held[name].append(found[name].low <= value <= found[name].high)
    assert {name: np.mean(items) for name, items in held.items() if np.mean(items) < 0.925} == {}
