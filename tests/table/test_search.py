"""The search of a TrainingJob: what one pass does in every situation."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_operator.render.training import parameters_digest
from modelwright_training import contract
from tests.support import builders as make
from tests.support import kubelet, trials
from tests.table.planning import attempt_job, ended, planned, training_job_of
from tests.table.searches import ROW, failed, later, numbers_of, search_job, searching, subject

Raw = dict[str, Any]


def test_a_search_starts_before_anything_is_trained() -> None:
    plan = planned(subject())
    spec = plan.manifest("Job")["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 6, 2)
    assert (spec["backoffLimitPerIndex"], spec["activeDeadlineSeconds"]) == (2, 600)
    assert "maxFailedIndexes" not in spec
    assert [item["name"] for item in spec["template"]["spec"]["initContainers"]] == ["fetch"]
    assert [item["name"] for item in spec["template"]["spec"]["containers"]] == ["trial"]
    assert numbers_of(plan) == (0, 1, 2, 3, 4, 5)
    assert plan.conditions == {"Ready": "False/Pending", "Reconciling": "True/Pending"}
    assert (plan.status["attempt"], plan.status["stage"]) == (0, "search")
    assert plan.status["tuning"]["job"] == plan.plan.apply[0].name
    assert plan.status["tuning"]["total"] == 6
    assert [(item.resource, item.resource_version) for item in plan.plan.confirm] == [
        ("trainingjobs", "10"),
        ("jobs", None),
    ]


def test_scores_go_into_the_status_as_they_come() -> None:
    maker = searching()
    job = search_job(maker)
    plan = planned(maker, job, *trials.pods(job, {0: trials.scored(0), 2: trials.scored(2), 1: None}))
    assert plan.applies == []
    assert plan.conditions == {"Ready": "False/Running", "Reconciling": "True/Running"}
    assert "2 of 6 trials ended, best accuracy 0.9" in plan.messages
    found = plan.status["tuning"]
    assert [(row["trial"], row["score"]) for row in found["trials"]] == [(0, 0.8), (2, 0.9)]
    assert set(found["trials"][0]["parameters"]) == {"C"}
    assert (found["succeeded"], found["failed"], found["dataDigest"]) == (2, 0, make.digest("d"))


def test_a_score_once_recorded_outlives_its_pod() -> None:
    maker = searching(0, 2)
    job = search_job(maker)
    assert planned(maker, job).status["tuning"]["succeeded"] == 2


def test_progress_counts_the_trials_that_ended() -> None:
    maker = searching()
    job = search_job(maker)
    pods = trials.pods(job, {0: trials.scored(0), 2: trials.scored(2), 1: None})
    plan = planned(maker, job, *pods, now=later(60))
    assert plan.status["progress"] == {
        "percent": 26,  # a third of the search, which is 80 % of it all
        "message": "search: 2 of 6 trials ended, best accuracy 0.9",
        "etaSeconds": 200,
    }
    assert "etaSeconds" not in planned(maker, job).status["progress"]
    held = planned(maker.spec(suspend=True).status(progress=plan.status["progress"]), job, *pods)
    assert held.status["progress"] == {"percent": 26}


def test_the_attempt_after_a_search_goes_on_where_that_ended() -> None:
    found = {"state": "Finished", "metric": "accuracy", "dataDigest": make.digest("d"), "trials": [{**ROW, "trial": 0}]}
    best = {"trial": 0, "score": 0.8, "metric": "accuracy", "parameters": {"C": 1}}
    maker = searching().status(tuning=found, bestTrial=best, attempt=1)
    job = attempt_job(maker)
    fetched = kubelet.terminated("fetch", 0, kubelet.results()["fetch"])
    pod = kubelet.pod_of(job, {"phase": "Pending", "initContainerStatuses": [fetched, kubelet.running("train")]})
    plan = planned(maker, job, pod)
    assert plan.status["progress"]["percent"] == 84


def test_the_version_says_how_many_trials_there_were() -> None:
    rows = [{**ROW, "trial": 0}, {"trial": 1, "state": "Failed"}, {**ROW, "trial": 2}]
    found = {"state": "Finished", "metric": "accuracy", "dataDigest": make.digest("d"), "trials": rows}
    best = {"trial": 0, "score": 0.8, "metric": "accuracy", "parameters": {"C": 1}}
    maker = searching().status(tuning=found, bestTrial=best, attempt=1)
    job = attempt_job(maker, conditions=ended("Complete"))
    pod = kubelet.pod_of(job, kubelet.pod_status([kubelet.terminated(*item) for item in _succeeded()], "Succeeded"))
    assert planned(maker, job, pod).manifest("ModelVersion")["spec"]["provenance"]["trials"] == 3


def _succeeded() -> list[tuple[str, int, Raw]]:
    return [(stage, 0, said) for stage, said in kubelet.results().items()]


def test_the_table_says_how_long_trials_took() -> None:
    maker = searching()
    job = search_job(maker)
    [pod] = trials.pods(job, {1: trials.scored(1)})
    [status] = pod["status"]["containerStatuses"]
    status["state"]["terminated"] |= {"startedAt": "2026-03-01T12:00:03Z", "finishedAt": "2026-03-01T12:01:10Z"}
    [row] = planned(maker, job, pod).status["tuning"]["trials"]
    assert row["seconds"] == 67


@pytest.mark.parametrize(
    ("resources", "threads"),
    [
        (None, "1"),
        ({"requests": {"cpu": "500m"}}, "1"),
        ({"requests": {"cpu": 2}}, "2"),
        ({"requests": {"cpu": 1}, "limits": {"cpu": "3500m"}}, "4"),
    ],
)
def test_a_trial_has_a_thread_for_each_of_its_cores(resources: Raw | None, threads: str) -> None:
    spec = planned(subject().spec(resources=resources)).manifest("Job")["spec"]["template"]["spec"]
    variables = {item["name"]: item.get("value") for item in spec["containers"][0]["env"]}
    assert variables["OMP_NUM_THREADS"] == threads


@pytest.mark.parametrize("order", ["in order", "the other way round"])
def test_when_all_have_ended_the_best_is_trained(order: str) -> None:
    maker = searching()
    job = search_job(maker, conditions=ended("Complete"))
    pods = trials.pods(job)
    plan = planned(maker, job, *(pods if order == "in order" else reversed(pods)))
    assert plan.status["tuning"]["state"] == "Finished"
    assert plan.status["tuning"]["stopped"] == "AllTrialsEnded"
    assert plan.status["tuning"]["reproducible"] is True
    assert plan.status["bestTrial"]["trial"] == 2
    assert plan.status["bestTrial"]["score"] == 0.9
    assert plan.status["progress"] == {"percent": 80}
    assert plan.plan.requeue_after == 1

    chosen = maker.status(**{key: plan.status[key] for key in ("tuning", "bestTrial", "startedAt", "stage")})
    then = planned(chosen, job, *pods)
    search, training = then.plan.apply
    assert search.manifest["spec"]["ttlSecondsAfterFinished"] == 86400
    assert then.status["attempt"] == 1
    [variable] = [
        item
        for item in training.manifest["spec"]["template"]["spec"]["containers"][0]["env"]
        if item["name"] == contract.ENV_JOB
    ]
    config = contract.JobConfig.from_json(variable["value"])
    assert config.sklearn.parameters["C"] == plan.status["bestTrial"]["parameters"]["C"]
    assert config.tuning is not None
    assert config.tuning.searched is not None
    assert [item.score for item in config.tuning.searched.scores] == [0.8, 0.7, 0.9, 0.85, 0.6, 0.9]
    assert config.tuning.searched.chosen == contract.Score(2, 0.9)


def test_losses_are_searched_for_the_smallest() -> None:
    maker = searching(metric="log_loss")
    job = search_job(maker, conditions=ended("Complete"))
    pods = trials.pods(job, {index: trials.scored(index, metric="log_loss") for index in range(6)})
    assert planned(maker, job, *pods).status["bestTrial"]["trial"] == 4


def test_an_early_stop_follows_the_trials_order_and_stops_the_job() -> None:
    """Trial 5 ended first and is as good as the best; it comes after the end, so it does not count."""
    maker = searching(earlyStop={"patience": 2})
    job = search_job(maker)
    ends = {index: trials.scored(index) for index in (0, 1, 2, 3, 5)}
    assert planned(maker, job, *trials.pods(job, ends)).status["tuning"]["state"] == "Running"
    plan = planned(maker, job, *trials.pods(job, {**ends, 4: trials.scored(4)}))
    assert plan.status["tuning"]["stopped"] == "EarlyStopped"
    assert plan.status["tuning"]["reproducible"] is True
    assert [row["trial"] for row in plan.status["tuning"]["trials"]] == [0, 1, 2, 3, 4]
    chosen = maker.status(**{key: plan.status[key] for key in ("tuning", "bestTrial", "startedAt", "stage")})
    stopped, training = planned(chosen, job).plan.apply
    assert stopped.manifest["spec"]["activeDeadlineSeconds"] == 1
    assert training.manifest["spec"]["completions"] == 1


def test_the_budget_ends_the_search_with_the_best_so_far_and_says_so() -> None:
    maker = searching()
    job = search_job(maker, **failed("DeadlineExceeded"))
    plan = planned(maker, job, *trials.pods(job, {0: trials.scored(0), 3: trials.scored(3)}))
    assert plan.status["tuning"]["stopped"] == "BudgetReached"
    assert plan.status["tuning"]["reproducible"] is False
    assert plan.status["bestTrial"]["trial"] == 3


def test_suspending_holds_the_search_back_and_keeps_its_scores() -> None:
    maker = searching().spec(suspend=True)
    job = search_job(searching())
    plan = planned(maker, job, *trials.pods(job, {0: trials.scored(0)}))
    assert plan.manifest("Job")["spec"]["suspend"] is True
    assert plan.conditions == {"Suspended": "True/Suspended"}
    assert plan.status["tuning"]["succeeded"] == 1
    assert planned(subject().spec(suspend=True)).applies == []


def test_training_is_tried_again_without_another_search() -> None:
    rows = [{**ROW, "trial": number, "score": trials.score(number)} for number in range(6)]
    best = {"trial": 2, "score": 0.9, "metric": "accuracy", "parameters": {"C": 1.0}}
    found = {
        "state": "Finished",
        "stopped": "AllTrialsEnded",
        "attempt": 1,
        "metric": "accuracy",
        "dataDigest": make.digest("d"),
        "trials": rows,
    }
    maker = subject().status(tuning=found, bestTrial=best, attempt=1, job="x", startedAt="2026-03-01T12:00:00Z")
    job = attempt_job(maker, conditions=ended("Failed"))
    lost = kubelet.pod_of(job, kubelet.pod_status(kubelet.stage_statuses({}, kubelet.terminated("fetch", 1, "boom"))))
    plan = planned(maker, job, lost, now=later(10))
    assert [apply.manifest["spec"].get("completionMode") for apply in plan.plan.apply] == [None, None]
    assert plan.status["attempt"] == 2


def test_the_parameters_digest_tells_searches_apart_but_not_how_many_trials_ran_at_once() -> None:
    none, some = make.training_job(), subject()
    found = [parameters_digest(training_job_of(maker)) for maker in (none, some, subject(maxTrials=7))]
    assert len(set(found)) == 3
    assert parameters_digest(training_job_of(subject(parallelism=3))) == found[1]
