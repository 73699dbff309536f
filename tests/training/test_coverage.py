"""How often the intervals hold the truth, by simulation: 95 % is promised, where rows are not too few."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from modelwright_training import classification, regression
from modelwright_training.classification import Classified
from modelwright_training.estimates import Estimate
from modelwright_training.regression import Regressed

Array = np.ndarray[Any, Any]
REPEATS = 400
# Of 400 intervals that hold the truth in 95 of 100 cases, fewer than 92.25 % do so with probability 1 %.
LEAST = 0.9225


def binary(random: np.random.Generator, rows: int, share: float, apart: float) -> Classified:
    """Draw from two normal classes whose probabilities are known."""
    target = (random.random(rows) < share).astype(int)
    score = random.normal(size=rows) + apart * target
    likely = expit(np.log(share / (1 - share)) + apart * score - apart**2 / 2)
    return Classified(target, (likely > 0.5).astype(int), np.stack([1 - likely, likely], axis=1), 2)


def many(random: np.random.Generator, rows: int) -> Classified:
    """Draw from five normal classes of unlike sizes; the model is too sure of itself."""
    shares = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
    target = random.choice(5, rows, p=shares)
    score = random.normal(size=(rows, 5)) + 1.5 * np.eye(5)[target] + np.log(shares)
    likely = np.exp(1.5 * score)
    return Classified(target, score.argmax(axis=1), likely / likely.sum(axis=1, keepdims=True), 5)


def linear(random: np.random.Generator, rows: int, noise: str) -> Regressed:
    """Draw a target that is mostly predicted; heavy noise is Student's with five degrees of freedom."""
    prediction = random.normal(size=rows)
    error = random.normal(size=rows) if noise == "normal" else random.standard_t(5, rows)
    return Regressed(prediction + 0.7 * error, prediction)


CASES: dict[str, tuple[Callable[[np.random.Generator, int], Any], int]] = {
    "even classes": (lambda random, rows: binary(random, rows, 0.5, 1.5), 200),
    "one in ten": (lambda random, rows: binary(random, rows, 0.1, 2), 400),
    "well apart": (lambda random, rows: binary(random, rows, 0.4, 3), 500),
    "rare": (lambda random, rows: binary(random, rows, 0.02, 1), 5000),
    "five classes": (many, 600),
    "normal errors": (lambda random, rows: linear(random, rows, "normal"), 100),
    "heavy errors": (lambda random, rows: linear(random, rows, "heavy"), 500),
}


def holds(estimate: Estimate | None, truth: float) -> bool:
    return (
        estimate is not None
        and estimate.low is not None
        and estimate.high is not None
        and estimate.low <= truth <= estimate.high
    )


@pytest.mark.parametrize("case", CASES)
def test_intervals_hold_the_truth_as_often_as_they_say(case: str) -> None:
    draw, rows = CASES[case]
    functions: Any = regression.METRICS if "errors" in case else classification.METRICS
    whole = draw(np.random.default_rng(1), 400_000)
    truth = {name: function(whole).value for name, function in functions.items()}
    if "errors" not in case and whole.classes == 2:
        truth["ece"] = 0.0  # these probabilities are the true ones
    random = np.random.default_rng(2)
    samples = [draw(random, rows) for _ in range(REPEATS)]
    held = {
        name: float(np.mean([holds(function(sample), truth[name]) for sample in samples]))
        for name, function in functions.items()
    }
    assert {name: share for name, share in held.items() if share < LEAST} == {}, held


def test_intervals_are_no_wider_than_they_need_be() -> None:
    """An interval of everything would hold the truth as well: half as many more rows must not fit into it."""
    random = np.random.default_rng(3)
    samples = [binary(random, 500, 0.3, 1.5) for _ in range(300)]
    for name, function in classification.METRICS.items():
        found = [function(sample) for sample in samples]
        spread = float(np.std([item.value for item in found if item]))
        width = float(np.mean([item.below + item.above for item in found if item]))
        most = 12 if name == "ece" else 5  # standard errors; 3.92 is what a normal one has
        assert 3 * spread < width < most * spread, name
