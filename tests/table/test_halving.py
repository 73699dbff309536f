"""Successive halving, and AutoML, which is the same over several estimators: what one pass does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import builders as make
from tests.support import trials
from tests.support.builders import stored
from tests.table.planning import ended, planned
from tests.table.searches import ROW, config_of, failed, numbers_of, search_job, subject

Raw = dict[str, Any]


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


def of_families() -> make.Maker:
    return make.training_job().spec(
        task="Classification", trainer=None, tuning={"algorithm": "AutoML", "maxTrials": 6, "parallelism": 6}
    )


def voting(maker: make.Maker) -> tuple[make.Maker, Raw, Raw]:
    """Return a search whose leaders vote, with the ended Jobs of its two rungs."""
    first = search_job(maker, conditions=ended("Complete"))
    known = maker.status(tuning=planned(maker, first, *trials.pods(first)).status["tuning"])
    start = planned(known, first)
    return known, first, {**stored(start.manifest("Job")), "status": {"conditions": ended("Complete")}}


def test_the_leaders_of_automl_vote_on_the_last_rung() -> None:
    maker = of_families()
    job = search_job(maker, conditions=ended("Complete"))
    first = planned(maker, job, *trials.pods(job))
    shown = {row["trial"]: row["estimator"] for row in first.status["tuning"]["trials"]}
    assert shown[0] == "sklearn.linear_model.LogisticRegression"
    assert shown[3] == "sklearn.neighbors.KNeighborsClassifier"
    tuning = first.status["tuning"]
    assert (tuning["candidates"], tuning["leaders"]) == ([6], [2, 5, 3, 0, 1, 4])
    told = config_of(voting(maker)[2]).tuning
    assert told is not None
    assert (told.trials, told.rung, told.leaders, told.weights) == ((6,), 1, (2, 5, 3, 0, 1, 4), ())


@pytest.mark.parametrize(
    ("weights", "estimator", "members"),
    [
        ([9, 0, 0, 5, 11, 0], "sklearn.ensemble.VotingClassifier", [("trial_2", 9), ("trial_0", 5), ("trial_1", 11)]),
        ([25, 0, 0, 0, 0, 0], "sklearn.ensemble.HistGradientBoostingClassifier", []),
    ],
    ids=["some", "one"],
)
def test_automl_trains_those_that_have_votes(
    weights: list[int], estimator: str, members: list[tuple[str, int]]
) -> None:
    known, first, second = voting(of_families())
    done = planned(known, first, second, *trials.pods(second, {0: trials.scored(6, 0.5, rung=1, weights=weights)}))
    assert (done.status["bestTrial"]["trial"], done.status["bestTrial"]["estimator"]) == (6, estimator)
    assert (done.status["tuning"]["total"], done.status["tuning"]["weights"]) == (7, weights)

    chosen = known.status(**{key: done.status[key] for key in ("tuning", "bestTrial", "startedAt", "stage")})
    config = config_of(planned(chosen, first, second).plan.apply[-1].manifest)
    assert config.sklearn.estimator == estimator
    told: Any = config.sklearn.parameters
    names = [item["name"] for item in told.get("estimators", [])]
    assert list(zip(names, told.get("weights", []), strict=True)) == members
    assert config.tuning is not None
    assert (config.tuning.leaders, config.tuning.weights) == ((2, 5, 3, 0, 1, 4), tuple(weights))


def test_leaders_that_cannot_vote_leave_the_best_of_the_rung_before() -> None:
    known, first, second = voting(of_families())
    second["status"] = failed("FailedIndexes", failedIndexes="0")
    done = planned(known, first, second, *trials.pods(second, {0: trials.failed()}))
    assert (done.status["bestTrial"]["trial"], done.status["tuning"]["state"]) == (2, "Finished")


@pytest.mark.parametrize("weights", [[], [1, 2], [1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0], [-1, 1, 1, 1, 1, 1]])
def test_votes_that_are_not_of_the_leaders_are_not_believed(weights: list[int]) -> None:
    known, first, second = voting(of_families())
    plan = planned(known, first, second, *trials.pods(second, {0: trials.scored(6, 0.95, rung=1, weights=weights)}))
    assert "bestTrial" not in plan.status
    assert plan.status["tuning"].get("weights") is None


def test_a_trial_alone_has_no_votes_to_share_out() -> None:
    maker = of_families()
    job = search_job(maker)
    plan = planned(maker, job, *trials.pods(job, {0: trials.scored(0, weights=[1])}))
    assert plan.status["tuning"]["succeeded"] == 0
