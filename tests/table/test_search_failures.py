"""The search of a TrainingJob: trials that fail, are lost or lie, and searches that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_operator import naming
from modelwright_operator.render import search as render
from tests.support import builders as make
from tests.support import kubelet, trials
from tests.table.planning import ended, planned, training_job_of
from tests.table.searches import failed, later, numbers_of, search_job, searching, subject

Raw = dict[str, Any]

GIVEN: Raw = {"sklearn": {"estimator": "sklearn.linear_model.LogisticRegression", "parameters": {"C": 1}}}


def _said(trial: int) -> Raw:
    said = trials.scored(trial)[1]
    assert isinstance(said, dict)
    return said


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
