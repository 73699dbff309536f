"""The trials of a search: which they are, how one is scored, and what the artifact says of them."""

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
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelwright_training import contract, crossval, dataset, estimator, train
from modelwright_training.__main__ import main
from modelwright_training.contract import (
    Algorithm,
    ExitCode,
    Failure,
    JobConfig,
    Parameter,
    ParameterType,
    Reason,
    Scale,
    Score,
    Searched,
    Stage,
    Stopped,
    Task,
    TrialResult,
    Tuning,
    sobol,
)
from modelwright_training.errors import StageError
from modelwright_training.features import Features, Values
from modelwright_training.folds import folds
from modelwright_training.roles import Roles
from modelwright_training.trial import with_parameters
from tests.training.builders import JOB, LOGISTIC, Pod, job, make, read_json

C = Parameter("C", low=0.001, high=100.0, scale=Scale.LOG)
DEPTH = Parameter("max_depth", low=1.0, high=5.0, type=ParameterType.INTEGER)
SOLVER = Parameter("solver", values=("lbfgs", "saga", None))


def tuning(*space: Parameter, algorithm: Algorithm = Algorithm.SOBOL, count: int = 16, **more: Any) -> Tuning:
    return Tuning(algorithm, count, space or (C,), 5, **more)


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


def test_leaders_are_the_best_in_order() -> None:
    scores = {0: 0.5, 1: None, 2: 0.9, 3: 0.7, 4: 0.9, 5: 0.6, 6: 0.1}
    assert contract.leaders(scores, "accuracy") == (2, 4, 3, 5, 0)
    assert contract.leaders(scores, "rmse") == (6, 0, 5, 3, 2)
    plans = contract.trials(Tuning(Algorithm.AUTO_ML, 7, (), 5), 7, Task.REGRESSION)
    votes = [len(contract.with_votes(plans, range(count), Task.REGRESSION)) - 7 for count in range(6)]
    assert votes == [0, 0, 0, 1, 1, 2]


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
def test_the_mean_of_all_families_is_served_as_it_was_trained(task: Task, uri: str) -> None:
    """`make` compares the graph with scikit-learn, as every run does."""
    plans = contract.trials(Tuning(Algorithm.AUTO_ML, 10, (), 5), 7, task)
    *_, vote = contract.with_votes(plans, (5, 1, 2, 3, 9), task)
    model = make(with_parameters(job(LOGISTIC, uri=f"sklearn://{uri}", task=task), vote))
    members = [name for name, _ in model.fitted[-1].estimators]
    assert members == ["trial_5", "trial_1", "trial_2", "trial_3", "trial_9"]
    rows = model.data.holdout.values.native()
    each = [with_parameters(job(LOGISTIC, task=task), plans[number]) for number in (5, 1, 2, 3, 9)]
    fitted = [train.fit(tried, model.data)[0] for tried in each]
    if task is Task.REGRESSION:
        mean = np.mean([one.predict(rows) for one in fitted], axis=0)
        assert model.fitted.predict(rows) == pytest.approx(mean, rel=1e-6)
    else:
        mean = np.mean([one.predict_proba(rows) for one in fitted], axis=0)
        assert model.fitted.predict_proba(rows) == pytest.approx(mean, abs=1e-6)


def test_a_rung_fits_on_its_share_of_rows_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossval, "LEAST_ROWS", 100)
    config = job(LOGISTIC, {"max_iter": 500})
    data = dataset.load(config, Task.CLASSIFICATION)
    every = list(crossval.dealt(config, data, 5, 100, 2))
    assert len(every) == 5
    for (kept, tested), (full, same) in zip(crossval.dealt(config, data, 5, 34, 1), every, strict=True):
        assert len(kept) == len(full) * 34 // 100
        assert set(kept) < set(full)
        assert np.array_equal(tested, same)
        assert np.mean(data.train.target[kept]) == pytest.approx(np.mean(data.train.target[full]), abs=0.01)
    assert all(len(kept) == 100 for kept, _ in crossval.dealt(config, data, 5, 12, 0))


def test_few_rows_are_dealt_anew_on_each_rung() -> None:
    config = job(LOGISTIC, {"max_iter": 500})
    data = dataset.load(config, Task.CLASSIFICATION)
    found = list(crossval.dealt(config, data, 5, 34, 1))
    assert len(found) == 10
    assert len({tuple(tested) for _, tested in found}) == 10
    assert sorted(np.concatenate([tested for _, tested in found[5:]])) == list(range(len(data.train)))


# Cross-validation


def part(target: np.ndarray[Any, Any], **roles: Any) -> dataset.Part:
    values = Values(Features(()), np.zeros((len(target), 0)), np.zeros((len(target), 0), dtype=object))
    return dataset.Part(values, target, Roles(**{"time": None, "group": None, "weight": None, **roles}))


def test_folds_of_groups_keep_them_together() -> None:
    group = np.random.default_rng(0).integers(0, 30, 400)
    tested: list[int] = []
    for kept, measured in folds(part(np.zeros(400), group=group), Task.REGRESSION, JOB, 5):
        assert not set(group[kept]) & set(group[measured])
        assert 60 <= len(measured) <= 100
        tested.extend(measured)
    assert sorted(tested) == list(range(400))
    assert len(list(folds(part(np.zeros(400), group=group % 3), Task.REGRESSION, JOB, 5))) == 3


@pytest.mark.parametrize("grouped", [False, True])
def test_folds_of_times_look_back_only(grouped: bool) -> None:
    random = np.random.default_rng(0)
    time, group = random.integers(0, 100, 300), random.integers(0, 40, 300) if grouped else None
    found = list(folds(part(np.zeros(300), time=time, group=group), Task.REGRESSION, JOB, 4))
    assert len(found) == 4
    for kept, measured in found:
        assert time[kept].max() < time[measured].min()
        assert group is None or not set(group[kept]) & set(group[measured])
        assert grouped or len(kept) + len(measured) == np.sum(time <= time[measured].max())


@pytest.mark.parametrize("role", ["time", "group"])
def test_rows_that_cannot_be_dealt_out_are_refused(role: str) -> None:
    same = np.zeros(10, dtype=np.int64)
    with pytest.raises(StageError, match=f"columns.{role}"):
        list(folds(part(np.zeros(10), **{role: same}), Task.REGRESSION, JOB, 5))


@pytest.mark.parametrize("count", [2, 5, 10])
def test_folds_share_out_rows_and_classes(count: int) -> None:
    target = np.array([0] * 61 + [1] * 30 + [2] * 9)
    order = np.random.default_rng(0).permutation(len(target))
    tested: list[int] = []
    for kept, measured in folds(part(target[order]), Task.CLASSIFICATION, JOB, count):
        assert sorted([*kept, *measured]) == list(range(100))
        tested.extend(measured)
        for label, total in Counter(target.tolist()).items():
            assert abs(np.sum(target[order][measured] == label) - total / count) <= 1
    assert sorted(tested) == list(range(100))


def test_scores_are_those_of_scikit_learn() -> None:
    config = job(LOGISTIC, {"C": 0.3, "max_iter": 500})
    data = dataset.load(config, Task.CLASSIFICATION)
    found = crossval.scores(config, data, "roc_auc", 4)
    rows, target = data.train.values.native(), data.train.target
    expected = []
    for kept, tested in folds(data.train, Task.CLASSIFICATION, config, 4):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=500)).fit(rows[kept], target[kept])
        expected.append(roc_auc_score(target[tested], model.predict_proba(rows[tested])[:, 1]))
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_class_that_a_fold_lacks_is_measured_all_the_same() -> None:
    config = job(LOGISTIC, {"max_iter": 500}, uri="sklearn://wine")
    data = dataset.load(config, Task.CLASSIFICATION)
    kept = np.flatnonzero((data.train.target != 2) | (np.cumsum(data.train.target == 2) <= 2))
    few = replace(data, train=data.train.take(kept))
    for metric in ("log_loss", "roc_auc", "balanced_accuracy"):
        assert np.isfinite(crossval.scores(config, few, metric, 5)).all()


# The stage


def run_trial(pod: Pod, config: JobConfig, index: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Any]:
    for name, value in {**pod.environment(config), contract.ENV_INDEX: str(index)}.items():
        monkeypatch.setenv(name, value)
    assert main([Stage.FETCH]) == 0
    code = main([Stage.TRIAL])
    return code, pod.message(Stage.TRIAL)


def test_an_index_scores_the_trial_it_stands_for(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    config = job(LOGISTIC, {"max_iter": 500}, tuning=tuning(C, metric="log_loss", trials=(3, 1)))
    code, result = run_trial(pod, config, 1, monkeypatch)
    assert code == 0
    assert isinstance(result, TrialResult)
    assert (result.trial, result.metric) == (1, "log_loss")
    given = contract.trials(tuning(C), config.seed)[1]
    alone = job(LOGISTIC, {"max_iter": 500, **given})
    found = crossval.scores(alone, dataset.load(alone, Task.CLASSIFICATION), "log_loss", 5)
    assert (result.score, result.deviation) == crossval.summary(found)
    assert run_trial(pod, config, 1, monkeypatch) == (code, result)


def test_an_index_behind_the_trials_scores_their_leaders(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    search = Tuning(Algorithm.AUTO_ML, 5, (), 2, trials=(0, 5), rung=1, leaders=(3, 0, 1))
    config = job(LOGISTIC, tuning=search, task=Task.CLASSIFICATION)
    code, result = run_trial(pod, config, 1, monkeypatch)
    assert (code, result.trial, result.rung, result.metric) == (0, 5, 1, "accuracy")
    members = [{"estimator": contract.FAMILIES[Task.CLASSIFICATION][number].estimator} for number in (3, 0, 1)]
    alone = job("sklearn.ensemble.VotingClassifier", {"estimators": members, "voting": "soft"})
    found = crossval.scores(alone, dataset.load(alone, Task.CLASSIFICATION), "accuracy", 2, 100, 1)
    assert (result.score, result.deviation) == crossval.summary(found)


def test_parameters_that_cannot_be_fitted_fail_their_trial_alone(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    space = Parameter("solver", values=("lbfgs", "newest"))
    config = job(LOGISTIC, tuning=tuning(space, algorithm=Algorithm.GRID, trials=(0, 1)))
    assert run_trial(pod, config, 0, monkeypatch)[0] == ExitCode.DONE
    code, said = run_trial(pod, config, 1, monkeypatch)
    assert code == ExitCode.TRIAL_FAILED
    assert isinstance(said, Failure)
    assert "'solver'" in said.message


@pytest.mark.parametrize(
    ("search", "reason"),
    [
        (tuning(Parameter("depht", values=(1, 2)), trials=(0,)), Reason.ESTIMATOR_INVALID),
        (tuning(C, metric="rmse", trials=(0,)), Reason.TUNING_INVALID),
    ],
)
def test_what_no_trial_can_mend_ends_the_search(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, search: Tuning, reason: Reason
) -> None:
    code, said = run_trial(pod, job(LOGISTIC, tuning=search), 0, monkeypatch)
    assert code == ExitCode.PERMANENT
    assert isinstance(said, Failure)
    assert said.reason is reason


def test_a_metric_that_some_parameters_cannot_give_fails_their_trials_alone(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = Parameter("loss", values=("log_loss", "hinge"))
    config = job(
        "sklearn.linear_model.SGDClassifier",
        tuning=tuning(space, algorithm=Algorithm.GRID, metric="roc_auc", trials=(0, 1)),
    )
    assert run_trial(pod, config, 0, monkeypatch)[0] == ExitCode.DONE
    assert run_trial(pod, config, 1, monkeypatch)[0] == ExitCode.TRIAL_FAILED


def test_the_artifact_lists_the_trials(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    search = tuning(C, count=4, metric="accuracy")
    monkeypatch.setenv(contract.ENV_JOB, "")
    config = job(LOGISTIC, {"max_iter": 500}, tuning=replace(search, trials=(0, 1, 2, 3)))
    _, result = run_trial(pod, config, 0, monkeypatch)
    found = Searched(
        (Score(0, 0.9), Score(1, None), Score(2, 0.95)), 2, "accuracy", Stopped.BUDGET_REACHED, result.data
    )
    best = contract.trials(search, config.seed)[2]
    done = job(LOGISTIC, {"max_iter": 500, **best}, tuning=replace(search, searched=found))
    pod.run(done, monkeypatch)
    record = read_json(pod.artifact / "tuning.json")
    assert [(item["trial"], item["score"]) for item in record["trials"]] == [(0, 0.9), (1, None), (2, 0.95)]
    assert record["trials"][2]["parameters"] == best
    assert (record["best"], record["stopped"]) == (2, "BudgetReached")
    assert "tuning.json" in {item["path"] for item in read_json(pod.artifact / "manifest.json")["files"]}
    summary = read_json(pod.artifact / "card.json")["tuning"]
    assert (summary["trialsTried"], summary["trialsFailed"], summary["reproducible"]) == (3, 1, False)
    assert read_json(pod.artifact / "report.json")["tuning"] == summary


def test_other_data_than_the_search_saw_are_not_trained_on(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Searched((Score(0, 0.9),), 0, "accuracy", Stopped.ALL_TRIALS_ENDED, "sha256:" + "0" * 64)
    config = job(LOGISTIC, tuning=tuning(C, searched=found))
    for name, value in pod.environment(config).items():
        monkeypatch.setenv(name, value)
    assert main([Stage.FETCH]) == 0
    assert main([Stage.TRAIN]) == ExitCode.PERMANENT
    said = pod.message(Stage.TRAIN)
    assert isinstance(said, Failure)
    assert said.reason is Reason.DATA_DIGEST_MISMATCH


def test_a_job_without_a_search_has_no_trace_of_one(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    config = job(LOGISTIC, {"max_iter": 500})
    assert "tuning" not in json.loads(config.to_json())
    pod.run(config, monkeypatch)
    assert not (pod.artifact / "tuning.json").exists()
    assert "tuning" not in read_json(pod.artifact / "card.json")
    assert train.task_of(config) is Task.CLASSIFICATION
