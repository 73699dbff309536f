"""The trials of a search: which they are, and what is made of their scores."""

import itertools
import json
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import qmc

from modelwright_training import contract, estimator, train
from modelwright_training.contract import (
    Algorithm,
    JobConfig,
    Parameter,
    ParameterType,
    Scale,
    Score,
    Searched,
    Stopped,
    Task,
    Tuning,
    sobol,
)
from modelwright_training.trial import with_parameters
from tests.training.builders import LOGISTIC, job, make
from tests.training.searches import C, tuning

DEPTH = Parameter("max_depth", low=1.0, high=5.0, type=ParameterType.INTEGER)
SOLVER = Parameter("solver", values=("lbfgs", "saga", None))


# The list of trials


def test_sobol_points_are_scipys() -> None:
    points = [[sobol.coordinate(index, axis) for axis in range(sobol.MAX_DIMENSIONS)] for index in range(256)]
    expected = qmc.Sobol(sobol.MAX_DIMENSIONS, scramble=False, bits=sobol.BITS).random(256)
    assert np.array_equal(points, expected)


@pytest.mark.parametrize("algorithm", [Algorithm.SOBOL, Algorithm.RANDOM])
def test_trials_follow_from_the_seed(algorithm: Algorithm) -> None:
    search = tuning(C, DEPTH, SOLVER, algorithm=algorithm)
    found = contract.trials(search, 7)
    assert found == contract.trials(search, 7)
    assert found != contract.trials(search, 8)
    assert len(found) == 16
    assert contract.trials(replace(search, max_trials=5), 7) == found[:5]


@pytest.mark.parametrize("algorithm", [Algorithm.SOBOL, Algorithm.RANDOM])
def test_ranges_are_covered(algorithm: Algorithm) -> None:
    found = contract.trials(tuning(C, DEPTH, algorithm=algorithm, count=200), 7)
    decades = Counter(int(np.floor(np.log10(float(str(trial["C"]))))) for trial in found)
    assert set(decades) <= {-3, -2, -1, 0, 1}
    assert min(decades.values()) > 20
    depths = Counter(trial["max_depth"] for trial in found)
    assert set(depths) == {1, 2, 3, 4, 5}
    assert min(depths.values()) > 25
    assert all(type(depth) is int for depth in depths)


def test_sobol_points_lie_more_evenly_than_random_ones() -> None:
    axes = tuple(Parameter(name, low=0.0, high=1.0) for name in "abc")

    def discrepancy(algorithm: Algorithm, seed: int) -> float:
        found = contract.trials(tuning(*axes, algorithm=algorithm, count=64), seed)
        return float(qmc.discrepancy(np.array([[float(str(trial[name])) for name in "abc"] for trial in found])))

    for seed in range(5):
        assert discrepancy(Algorithm.SOBOL, seed) < discrepancy(Algorithm.RANDOM, seed) / 2


def test_nothing_is_tried_twice() -> None:
    found = contract.trials(tuning(DEPTH, SOLVER, count=100), 7)
    assert len(found) == 15
    assert len({json.dumps(trial, sort_keys=True) for trial in found}) == 15


def test_a_grid_is_every_combination() -> None:
    step = Parameter("alpha", low=0.1, high=0.5, step=0.2)
    found = contract.trials(tuning(step, DEPTH, SOLVER, algorithm=Algorithm.GRID, count=45), 7)
    expected = itertools.product([0.1, 0.3, 0.5], [1, 2, 3, 4, 5], ["lbfgs", "saga", None])
    assert [tuple(trial.values()) for trial in found] == list(expected)
    with pytest.raises(ValueError, match="45 points, more than"):
        contract.trials(tuning(step, DEPTH, SOLVER, algorithm=Algorithm.GRID, count=44), 7)
    with pytest.raises(ValueError, match="needs values, or a step"):
        contract.trials(tuning(C, algorithm=Algorithm.GRID), 7)


@given(
    low=st.floats(-1e6, 1e6),
    width=st.floats(1e-3, 1e6),
    seed=st.integers(0, 2**31),
    step=st.none() | st.floats(0.01, 1.0),
)
def test_values_stay_within_their_range(low: float, width: float, seed: int, step: float | None) -> None:
    item = Parameter("x", low=low, high=low + width, step=None if step is None else step * width)
    for trial in contract.trials(tuning(item, count=8), seed):
        assert low <= float(str(trial["x"])) <= low + width


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"values": ()},
        {"low": 1.0},
        {"low": 2.0, "high": 1.0},
        {"values": (1,), "low": 1.0, "high": 2.0},
        {"low": 0.0, "high": 1.0, "scale": Scale.LOG},
        {"low": 0.0, "high": 1.0, "step": 2.0},
        {"low": 0.5, "high": 3.0, "type": ParameterType.INTEGER},
    ],
)
def test_a_parameter_that_is_no_dimension_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"tuning\.space 'x'"):
        Parameter("x", **wrong)


def test_a_search_survives_its_json() -> None:
    found = Searched(
        (Score(0, 0.5), Score(1, None), Score(3, 1.0)), 3, "accuracy", Stopped.EARLY_STOPPED, "sha256:" + "a" * 64
    )
    config = job(tuning=tuning(C, SOLVER, Parameter("h", values=([8, 8], 1.0, True)), trials=(0, 2), searched=found))
    assert JobConfig.from_json(config.to_json()) == config


# What is made of the scores


@given(
    scores=st.lists(st.none() | st.sampled_from([0.1, 0.2, 0.3, 0.4]), min_size=1, max_size=12),
    patience=st.none() | st.integers(1, 4),
    order=st.randoms(use_true_random=False),
)
def test_the_decision_does_not_depend_on_the_order_of_arrival(
    scores: list[float | None], patience: int | None, order: random.Random
) -> None:
    everything = dict(enumerate(scores))
    final = contract.decided_after(everything, len(scores), "accuracy", patience)
    assert final is not None
    arrived: dict[int, float | None] = {}
    for trial in order.sample(sorted(everything), len(everything)):
        arrived[trial] = everything[trial]
        early = contract.decided_after(arrived, len(scores), "accuracy", patience)
        assert early in {None, final}
    kept = {trial: score for trial, score in everything.items() if trial < final}
    best = contract.best_of(kept, "accuracy")
    assert (best is None) == all(score is None for score in scores)
    if best is not None:
        assert kept[best] == max(score for score in kept.values() if score is not None)


def test_patience_counts_trials_without_improvement() -> None:
    scores: dict[int, float | None] = {0: None, 1: 0.5, 2: 0.5, 3: None, 4: 0.4, 5: 0.9}
    assert contract.decided_after(scores, 6, "accuracy", 3) == 5
    assert contract.decided_after(scores, 6, "accuracy", 4) == 6
    assert contract.decided_after(scores, 6, "rmse", 4) == 6
    assert contract.best_of(scores, "rmse") == 4


# Successive halving, and AutoML


@pytest.mark.parametrize("count", [4, 5, 9, 16, 27, 100, 256])
def test_rungs_halve_the_trials_and_end_with_all_rows(count: int) -> None:
    rungs = contract.rungs(Algorithm.SUCCESSIVE_HALVING, count)
    assert rungs[0].trials == count
    assert [rung.percent for rung in rungs] == sorted(rung.percent for rung in rungs)
    assert rungs[-1].percent == 100
    assert len(rungs) > 1
    assert all(below.trials > above.trials >= 1 for below, above in itertools.pairwise(rungs))
    assert contract.rungs(Algorithm.SOBOL, count) == (contract.Rung(count, 100),)


def test_the_best_go_on_and_one_that_is_kept() -> None:
    scores = {0: 0.5, 1: None, 2: 0.9, 3: 0.7, 4: 0.9, 5: 0.6}
    assert contract.promoted(scores, "accuracy", 2) == (2, 4)
    assert contract.promoted(scores, "accuracy", 3, kept=(0, 1, 5)) == (2, 4, 5)
    assert contract.promoted(scores, "log_loss", 2) == (0, 5)


def test_leaders_are_the_best_in_order_and_the_simplest() -> None:
    scores = {0: 0.5, 1: None, 2: 0.9, 3: 0.7, 4: 0.9, 5: 0.6, 6: 0.1}
    assert contract.leaders(scores, "accuracy") == (2, 4, 3, 5, 0, 6)
    assert contract.leaders(scores, "rmse") == (6, 0, 5, 3, 2, 4)
    plans = contract.trials(Tuning(Algorithm.AUTO_ML, 7, (), 5), 7, Task.REGRESSION)
    assert contract.leaders({trial: trial / 10 for trial in range(1, 12)}, "r2") == (11, 10, 9, 8, 7, 6, 5, 0)
    assert contract.with_vote(plans, (), Task.REGRESSION) == plans
    assert contract.with_vote(plans, (2, 0), Task.REGRESSION, (0, 3)) == (*plans, plans[0])
    with pytest.raises(ValueError, match="zip"):
        contract.with_vote(plans, (2, 0), Task.REGRESSION, (1,))


@pytest.mark.parametrize("task", [Task.CLASSIFICATION, Task.REGRESSION])
def test_automl_tries_each_family_as_it_is_and_then_in_turns(task: Task) -> None:
    search = Tuning(Algorithm.AUTO_ML, 25, (), 5)
    plans = contract.trials(search, 7, task)
    assert len({json.dumps(plan, sort_keys=True) for plan in plans}) == 25
    assert contract.untuned(plans) == (0, 1, 2, 3, 4)
    names = [contract.estimator_of(plan)[0] for plan in plans]
    assert names == [family.estimator for family in contract.FAMILIES[task]] * 5
    for plan in plans:
        tried = with_parameters(job(LOGISTIC, {"C": 1}, task=task), plan)
        built = estimator.build(tried.sklearn, 7)
        assert estimator.resolve_task(tried, built) is task
        built._validate_params()
    with pytest.raises(ValueError, match="task"):
        contract.trials(search, 7)


@pytest.mark.parametrize(("task", "uri"), [(Task.CLASSIFICATION, "wine"), (Task.REGRESSION, "diabetes")])
def test_the_weighted_mean_of_all_families_is_served_as_it_was_trained(task: Task, uri: str) -> None:
    """`make` compares the graph with scikit-learn, as every run does."""
    plans = contract.trials(Tuning(Algorithm.AUTO_ML, 10, (), 5), 7, task)
    weights = (5, 0, 7, 1, 3, 2)
    *_, vote = contract.with_vote(plans, (5, 4, 1, 2, 3, 9), task, weights)
    model = make(with_parameters(job(LOGISTIC, uri=f"sklearn://{uri}", task=task), vote))
    members = [name for name, _ in model.fitted[-1].estimators]
    assert members == ["trial_5", "trial_1", "trial_2", "trial_3", "trial_9"]
    rows = model.data.holdout.values.native()
    each = [with_parameters(job(LOGISTIC, task=task), plans[number]) for number in (5, 1, 2, 3, 9)]
    fitted = [train.fit(tried, model.data)[0] for tried in each]
    if task is Task.REGRESSION:
        mean = np.average([one.predict(rows) for one in fitted], axis=0, weights=[5, 7, 1, 3, 2])
        assert model.fitted.predict(rows) == pytest.approx(mean, rel=1e-6)
    else:
        mean = np.average([one.predict_proba(rows) for one in fitted], axis=0, weights=[5, 7, 1, 3, 2])
        assert model.fitted.predict_proba(rows) == pytest.approx(mean, abs=1e-6)
