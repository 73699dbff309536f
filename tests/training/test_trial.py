"""Stage trial, and what becomes of a search's result in the stages behind it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from modelwright_training import contract, crossval, dataset, train
from modelwright_training.__main__ import main
from modelwright_training.contract import (
    Algorithm,
    ExitCode,
    Failure,
    JobConfig,
    Parameter,
    Reason,
    Score,
    Searched,
    Stage,
    Stopped,
    Task,
    TrialResult,
    Tuning,
)
from modelwright_training.trial import with_parameters
from tests.training.builders import LOGISTIC, Pod, job, read_json
from tests.training.searches import C, tuning


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


def test_an_index_behind_the_trials_shares_out_votes_among_their_leaders(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaders = (3, 0, 1)
    search = Tuning(Algorithm.AUTO_ML, 5, (), 2, metric="log_loss", trials=(0, 5), rung=1, leaders=leaders)
    config = job(LOGISTIC, tuning=search, task=Task.CLASSIFICATION)
    code, result = run_trial(pod, config, 1, monkeypatch)
    assert (code, result.trial, result.rung, result.metric) == (0, 5, 1, "log_loss")
    assert (len(result.weights), sum(result.weights)) == (3, 25)
    plans = contract.trials(search, config.seed, config.task)
    *_, vote = contract.with_vote(plans, leaders, config.task, result.weights)
    alone = with_parameters(config, vote)
    found = crossval.scores(alone, dataset.load(alone, Task.CLASSIFICATION), "log_loss", 2, 100, 1)
    assert (result.score, result.deviation) == pytest.approx(crossval.summary(found), abs=1e-5)


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
