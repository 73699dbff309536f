"""The search of a TrainingJob: what one pass does in every situation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from modelwright_operator import naming
from modelwright_operator.render import search as render
from modelwright_operator.render.space import Round
from modelwright_operator.render.training import parameters_digest
from modelwright_training import contract
from tests.support import builders as make
from tests.support import kubelet, trials
from tests.support.builders import SETTINGS, stored
from tests.support.clock import START
from tests.table.planning import Planned, attempt_job, ended, planned, training_job_of

Raw = dict[str, Any]

TUNING: Raw = {
    "maxTrials": 6,
    "parallelism": 2,
    "maxSeconds": 600,
    "space": [{"parameter": "C", "min": 0.01, "max": 10, "scale": "Log"}],
}
GIVEN: Raw = {"sklearn": {"estimator": "sklearn.linear_model.LogisticRegression", "parameters": {"C": 1}}}
ROW: Raw = {"state": "Succeeded", "score": 0.8, "deviation": 0.01}


def subject(**tuning: Any) -> make.Maker:
    return make.training_job().spec(tuning={**TUNING, **tuning})


def searching(*known: int, **tuning: Any) -> make.Maker:
    """Return a TrainingJob whose search runs, with these trials in its status."""
    rows = [{**ROW, "trial": number, "score": trials.score(number)} for number in known]
    found = {"attempt": 1, "startedAt": "2026-03-01T12:00:00Z", "trials": rows, "total": 6, "succeeded": len(rows)}
    if rows:
        found |= {"metric": "accuracy", "dataDigest": make.digest("d")}
    return subject(**tuning).status(tuning=found, startedAt="2026-03-01T12:00:00Z")


def search_job(
    maker: make.Maker, numbers: tuple[int, ...] = (0, 1, 2, 3, 4, 5), attempt: int = 1, rung: int = 0, **status: Any
) -> Raw:
    job = training_job_of(maker)
    assert job.spec.tuning is not None
    manifest = render.batch_job(
        job,
        job.spec.tuning,
        attempt,
        Round(numbers, rung),
        SETTINGS,
        seconds=job.spec.tuning.max_seconds,
        failures=job.spec.tuning.max_failed_trials,
    )
    return {**stored(manifest), "status": status}


def _said(trial: int) -> Raw:
    said = trials.scored(trial)[1]
    assert isinstance(said, dict)
    return said


def failed(reason: str, at: Any = START, **status: Any) -> Raw:
    return {"conditions": ended("Failed", at, reason), **status}


def numbers_of(plan: Planned) -> tuple[int, ...]:
    """Return the trials that the Job of a plan runs."""
    [variable] = [
        item
        for item in plan.manifest("Job")["spec"]["template"]["spec"]["containers"][0]["env"]
        if item["name"] == contract.ENV_JOB
    ]
    tuning = contract.JobConfig.from_json(variable["value"]).tuning
    assert tuning is not None
    assert tuning.trials is not None
    return tuning.trials


def later(seconds: float) -> Any:
    return START + timedelta(seconds=seconds)


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


PREPARING: Raw = {"image": "registry.test/prepare:1"}


def test_a_code_of_the_users_own_is_no_failed_trial() -> None:
    spec = planned(subject().spec(prepare=PREPARING)).manifest("Job")["spec"]
    rules = {rule["action"]: rule.get("onExitCodes", {}) for rule in spec["podFailurePolicy"]["rules"]}
    assert (rules["FailIndex"]["containerName"], rules["FailIndex"]["values"]) == ("trial", [3])
    assert "containerName" not in rules["FailJob"]


@pytest.mark.parametrize(("code", "failed_by"), [(3, "retries"), (1, "retries"), (2, "policy")])
def test_data_that_cannot_be_prepared_end_the_search(code: int, failed_by: str) -> None:
    maker = searching(0).spec(prepare=PREPARING)
    status: Raw = failed("PodFailurePolicy") if failed_by == "policy" else {"failedIndexes": "1"}
    job = search_job(maker, **status)
    pod = trials.pod(job, 1, (code, "KeyError: 'spent'"), "prepare")
    plan = planned(maker, job, pod)
    assert plan.conditions["Failed"] == "True/PrepareFailed"
    assert f"your image of stage prepare ended with exit code {code}: KeyError: 'spent'" in plan.messages


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


def test_a_budget_too_small_for_any_trial_fails_the_run() -> None:
    maker = searching()
    plan = planned(maker, search_job(maker, **failed("DeadlineExceeded")))
    assert plan.conditions["Failed"] == "True/DeadlineExceeded"
    assert "spec.tuning.maxSeconds" in plan.messages


def test_a_failed_trial_is_left_out() -> None:
    maker = searching()
    job = search_job(maker, **failed("FailedIndexes", failedIndexes="2"))
    ends = {index: trials.scored(index) for index in (0, 1, 3, 4, 5)}
    plan = planned(maker, job, *trials.pods(job, {**ends, 2: trials.failed()}))
    assert plan.status["bestTrial"]["trial"] == 5
    assert plan.status["tuning"]["failed"] == 1
    [row] = [row for row in plan.status["tuning"]["trials"] if row["state"] == "Failed"]
    assert (row["trial"], row["message"]) == (2, "it does not converge")


def test_a_trial_killed_for_memory_names_the_field() -> None:
    maker = searching()
    job = search_job(maker, failedIndexes="0")
    pod = trials.pod(job, 0, (137, ""))
    pod["status"]["containerStatuses"] = [kubelet.terminated("trial", 137, "", reason="OOMKilled")]
    plan = planned(maker, job, pod)
    assert "spec.resources" in plan.status["tuning"]["trials"][0]["message"]


@pytest.mark.parametrize(
    ("reason", "failures", "said"),
    [("FailedIndexes", "0-5", "every trial failed"), ("MaxFailedIndexesExceeded", "0,1", "maxFailedTrials 1")],
)
def test_too_many_failed_trials_fail_the_run(reason: str, failures: str, said: str) -> None:
    maker = searching(maxFailedTrials=1)
    job = search_job(maker, **failed(reason, failedIndexes=failures))
    assert job["spec"]["maxFailedIndexes"] == 1
    plan = planned(maker, job, *trials.pods(job, dict.fromkeys(range(6), trials.failed())))
    assert plan.conditions["Failed"] == "True/TrialsFailed"
    assert said in plan.messages
    assert "it does not converge" in plan.messages
    assert plan.applies == []


@pytest.mark.parametrize("container", ["fetch", "trial"])
def test_what_no_trial_can_mend_fails_the_run_with_its_reason(container: str) -> None:
    maker = searching()
    job = search_job(maker, **failed("PodFailurePolicy"))
    said = {"stage": container, "reason": "DataInvalid", "message": "column 'age' is empty"}
    plan = planned(maker, job, trials.pod(job, 0, (2, said), container))
    assert plan.conditions["Failed"] == "True/DataInvalid"
    assert "column 'age' is empty" in plan.messages


def test_trials_that_saw_other_data_are_not_compared() -> None:
    maker = searching(0)
    job = search_job(maker)
    plan = planned(maker, job, *trials.pods(job, {1: trials.scored(1, data=make.digest("e"))}))
    assert plan.conditions["Failed"] == "True/DataDigestMismatch"


def test_a_deleted_job_costs_only_the_trials_that_had_not_ended() -> None:
    maker = searching(0, 2)
    plan = planned(maker, now=later(100))
    assert numbers_of(plan) == (1, 3, 4, 5)
    assert plan.manifest("Job")["spec"]["activeDeadlineSeconds"] == 500
    assert plan.status["tuning"]["attempt"] == 2
    gone = render.job_name(training_job_of(maker), 1)
    assert (naming.JOBS, gone, None) in [
        (item.resource, item.name, item.resource_version) for item in plan.plan.confirm
    ]


def test_a_job_deleted_again_and_again_fails_the_run() -> None:
    maker = searching(0).spec(retryLimit=0)
    plan = planned(maker)
    assert plan.conditions["Failed"] == "True/JobDeleted"


def test_scores_that_never_arrive_are_looked_for_once_more() -> None:
    """A pod may be removed before anybody read it: its trial runs again, under another index."""
    maker = searching()
    job = search_job(maker, conditions=ended("Complete"), completedIndexes="0-5")
    seen = trials.pods(job, {index: trials.scored(index) for index in (0, 1, 2, 4, 5)})
    early = planned(maker, job, *seen, now=later(2))
    assert (early.applies, early.plan.requeue_after) == ([], 10)
    plan = planned(maker, job, *seen, now=later(15))
    assert numbers_of(plan) == (3,)
    second = maker.status(tuning=plan.status["tuning"])
    again = search_job(second, (3,), 2, conditions=ended("Complete"))
    done = planned(second, job, again, *seen, *trials.pods(again))
    assert done.status["tuning"]["stopped"] == "AllTrialsEnded"
    assert done.status["bestTrial"]["trial"] == 2


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"trial": 3}, id="another trial's score"),
        pytest.param({"score": "0.9"}, id="no number"),
        pytest.param({"data": "sha256:0"}, id="no digest"),
    ],
)
def test_a_pod_speaks_for_its_own_trial_only(said: Raw) -> None:
    maker = searching()
    job = search_job(maker)
    plan = planned(maker, job, trials.pod(job, 0, (0, {**_said(0), **said})))
    assert "trials" not in plan.status["tuning"] or plan.status["tuning"]["trials"] == []


def test_a_pod_of_another_job_is_not_believed() -> None:
    maker = searching()
    job = search_job(maker)
    [forged] = trials.pods(job, {0: trials.scored(0)})
    forged["metadata"]["ownerReferences"][0]["uid"] = "uid-of-nobody"
    assert planned(maker, job, forged).status["tuning"]["succeeded"] == 0


def test_suspending_holds_the_search_back_and_keeps_its_scores() -> None:
    maker = searching().spec(suspend=True)
    job = search_job(searching())
    plan = planned(maker, job, *trials.pods(job, {0: trials.scored(0)}))
    assert plan.manifest("Job")["spec"]["suspend"] is True
    assert plan.conditions == {"Suspended": "True/Suspended"}
    assert plan.status["tuning"]["succeeded"] == 1
    assert planned(subject().spec(suspend=True)).applies == []


def test_a_parameter_both_given_and_searched_fails_the_run() -> None:
    plan = planned(subject().spec(trainer=GIVEN))
    assert plan.conditions["Failed"] == "True/TuningInvalid"
    assert "spec.tuning.space names 'C', which trainer.sklearn.parameters sets" in plan.messages
    assert plan.applies == []


def test_a_grid_larger_than_its_trials_fails_the_run() -> None:
    plan = planned(subject(algorithm="Grid", space=[{"parameter": "C", "min": 1, "max": 9, "step": 1}]))
    assert plan.conditions["Failed"] == "True/TuningInvalid"
    assert "9 points, more than tuning.maxTrials 6" in plan.messages


def test_a_search_that_cannot_start_its_pods_says_why() -> None:
    maker = searching()
    job = search_job(maker)
    raw = trials.pod(job, 0, None)
    raw["status"]["initContainerStatuses"] = [kubelet.waiting("fetch", "ImagePullBackOff", "not found")]
    assert planned(maker, job, raw).conditions == {
        "Ready": "False/ImagePullFailed",
        "Stalled": "True/ImagePullFailed",
    }


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


# Successive halving, and AutoML, which is the same over several estimators


def halving(**status: Any) -> make.Maker:
    """Return a TrainingJob whose search by halves runs: 6 trials, then 2."""
    maker = subject(algorithm="SuccessiveHalving")
    found = {"attempt": 1, "startedAt": "2026-03-01T12:00:00Z", "metric": "accuracy", "dataDigest": make.digest("d")}
    return maker.status(tuning={**found, **status}, startedAt="2026-03-01T12:00:00Z")


def on_rung(rung: int, *numbers: int) -> list[Raw]:
    return [{**ROW, "trial": number, "rung": rung, "score": trials.score(number)} for number in numbers]


def test_the_best_third_goes_on_to_the_next_rung() -> None:
    maker = halving()
    job = search_job(maker, conditions=ended("Complete"))
    plan = planned(maker, job, *trials.pods(job))
    assert plan.applies == []  # first the status has all scores of the rung
    assert (plan.status["tuning"]["rung"], plan.status["tuning"]["candidates"]) == (1, [2, 5])
    assert "bestTrial" not in plan.status
    then = planned(maker.status(tuning=plan.status["tuning"]), job, *trials.pods(job))
    assert numbers_of(then) == (2, 5)
    assert then.status["tuning"]["attempt"] == 2
    assert len(then.status["tuning"]["trials"]) == 6


def test_the_last_rung_decides() -> None:
    """Trial 0 has the better score, but on the rung below: on fewer rows."""
    rows = on_rung(0, 0, 1, 2, 3, 4, 5)
    rows[0]["score"] = 0.99
    maker = halving(attempt=2, rung=1, candidates=[0, 2], trials=rows[1:] + rows[:1])
    job = search_job(maker, (0, 2), 2, 1, conditions=ended("Complete"))
    ends = {0: trials.scored(0, 0.7, rung=1), 1: trials.scored(2, 0.8, rung=1)}
    plan = planned(maker, job, *trials.pods(job, ends))
    assert plan.status["bestTrial"]["trial"] == 2
    assert plan.status["tuning"]["state"] == "Finished"
    assert {row["trial"]: row.get("rung", 0) for row in plan.status["tuning"]["trials"]} == {
        0: 1,
        1: 0,
        2: 1,
        3: 0,
        4: 0,
        5: 0,
    }


def test_a_score_of_another_rung_is_not_believed() -> None:
    maker = halving(attempt=2, rung=1, candidates=[2, 5], trials=on_rung(0, *range(6)))
    job = search_job(maker, (2, 5), 2, 1)
    plan = planned(maker, job, *trials.pods(job, {0: trials.scored(2, rung=0)}))
    assert "0 of 2 trials ended" in plan.messages


def test_a_lost_job_of_a_rung_costs_only_what_had_not_ended_on_it() -> None:
    rows = [*on_rung(0, 0, 1, 3, 4, 5), *on_rung(1, 2)]
    plan = planned(halving(attempt=2, rung=1, candidates=[2, 5], trials=rows))
    assert numbers_of(plan) == (5,)
    assert plan.status["tuning"]["attempt"] == 3


def test_a_budget_that_ends_on_a_rung_keeps_the_best_of_the_highest() -> None:
    maker = halving(attempt=2, rung=1, candidates=[2, 5], trials=on_rung(0, *range(6)))
    job = search_job(maker, (2, 5), 2, 1, **failed("DeadlineExceeded"))
    assert planned(maker, job).status["bestTrial"]["trial"] == 2
    plan = planned(maker, job, *trials.pods(job, {1: trials.scored(5, 0.1, rung=1)}))
    assert plan.status["bestTrial"]["trial"] == 5
    assert plan.status["tuning"]["stopped"] == "BudgetReached"


def config_of(manifest: Raw) -> contract.JobConfig:
    variables = manifest["spec"]["template"]["spec"]["containers"][0]["env"]
    [told] = [item["value"] for item in variables if item["name"] == contract.ENV_JOB]
    return contract.JobConfig.from_json(told)


@pytest.mark.parametrize(
    ("scores", "best", "estimator"),
    [
        pytest.param({}, 2, "sklearn.ensemble.HistGradientBoostingClassifier", id="one trial"),
        pytest.param({6: 0.95}, 6, "sklearn.ensemble.VotingClassifier", id="three that vote"),
        pytest.param({7: 0.95}, 7, "sklearn.ensemble.VotingClassifier", id="five that vote"),
    ],
)
def test_automl_trains_what_it_found(scores: dict[int, float], best: int, estimator: str) -> None:
    """One estimator, or leaders that vote: trials 6 and 7 of the last rung."""
    maker = make.training_job().spec(
        task="Classification", trainer=None, tuning={"algorithm": "AutoML", "maxTrials": 6, "parallelism": 6}
    )
    job = search_job(maker, conditions=ended("Complete"))
    first = planned(maker, job, *trials.pods(job))
    shown = {row["trial"]: row["estimator"] for row in first.status["tuning"]["trials"]}
    assert shown[0] == "sklearn.linear_model.LogisticRegression"
    assert shown[3] == "sklearn.neighbors.KNeighborsClassifier"
    tuning = first.status["tuning"]
    assert (tuning["candidates"], tuning["leaders"]) == ([2, 5, 6, 7], [2, 5, 3, 0, 1])

    again = maker.status(tuning=tuning)
    start = planned(again, job)
    second = {**stored(start.manifest("Job")), "status": {"conditions": ended("Complete")}}
    told = config_of(second).tuning
    assert told is not None
    assert (told.trials, told.rung, told.leaders) == ((2, 5, 6, 7), 1, (2, 5, 3, 0, 1))
    ends = {index: trials.scored(number, scores.get(number), rung=1) for index, number in enumerate(told.trials or ())}
    done = planned(again, job, second, *trials.pods(second, ends))
    assert (done.status["bestTrial"]["trial"], done.status["bestTrial"]["estimator"]) == (best, estimator)
    assert done.status["tuning"]["total"] == 8

    chosen = again.status(**{key: done.status[key] for key in ("tuning", "bestTrial", "startedAt", "stage")})
    after = planned(chosen, job, second)
    config = config_of(after.plan.apply[-1].manifest)
    assert config.sklearn.estimator == estimator
    members: Any = config.sklearn.parameters.get("estimators", [])
    assert [item["name"] for item in members] == [f"trial_{number}" for number in (2, 5, 3, 0, 1)][
        : {6: 3, 7: 5}.get(best, 0)
    ]
    assert config.tuning is not None
    assert config.tuning.leaders == (2, 5, 3, 0, 1)
