"""A search for parameters: from trials side by side to a served version, whatever is taken away in the middle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelwright_training import contract, crossval, trial
from modelwright_training.dataset import load
from tests.cluster.settings import ClusterError
from tests.e2e.fixtures import (
    DEPLOYMENTS,
    JOBS,
    VERSIONS,
    Object,
    Team,
    claim,
    condition,
    deployment,
    is_true,
    rows_body,
    training_job,
)
from tests.support.installation import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.cluster

C: Object = {"parameter": "C", "min": 0.0001, "max": 100, "scale": "Log"}
SEARCH: Object = {"maxTrials": 16, "parallelism": 4, "metric": "log_loss", "space": [C]}
# Trial 0 is the best by far, and the others no better than each other.
EARLY: Object = {
    "algorithm": "Grid",
    "metric": "log_loss",
    "parallelism": 2,
    "earlyStop": {"patience": 2},
    "space": [{"parameter": "C", "values": [1, *(10.0**-power for power in range(4, 16))]}],
}
# The second trial fits for ever; half a processor is enough for that.
SLOW: Object = {
    "algorithm": "Grid",
    "maxSeconds": 180,
    "space": [{"parameter": "max_iter", "values": [2, 1_000_000_000]}],
}
SLOW_TRAINER: Object = {
    "sklearn": {
        "estimator": "sklearn.neural_network.MLPClassifier",
        "parameters": {"tol": 0, "n_iter_no_change": 1_000_000_000},
    }
}
HALF_A_CORE: Object = {"requests": {"cpu": "100m"}, "limits": {"cpu": "500m", "memory": "2Gi"}}
# Four points, of which one cannot be fitted, then the better two with more effort.
SOLVERS: Object = {"parameter": "solver", "values": ["lbfgs", "saga", "newton-cholesky", "newest"]}
HALVED: Object = {
    "algorithm": "SuccessiveHalving",
    "maxTrials": 4,
    "parallelism": 2,
    "metric": "log_loss",
    "space": [SOLVERS],
}
# Five families as they are, which then vote together.
AUTO: Object = {"algorithm": "AutoML", "maxTrials": 5, "parallelism": 3, "metric": "log_loss"}
# What comes of the search alone is of interest: the training waits for a version that is never made.
SEARCH_ONLY: Object = {"holdoutPercent": 25, "champion": {"version": "none-0000000000"}}


def without_trainer(job: Object) -> Object:
    del job["spec"]["trainer"]
    return job


@pytest.fixture(scope="module")
def searching(shared: Team) -> Team:
    """Give the namespace with all searches under way: they take turns on the node anyway."""
    shared.apply(
        claim(),
        training_job("tuned", model="tuned", tuning=SEARCH),
        training_job("slow", tuning=SLOW, trainer=SLOW_TRAINER, resources=HALF_A_CORE, evaluation=SEARCH_ONLY),
        training_job("early", tuning=EARLY, evaluation=SEARCH_ONLY),
        training_job("halved", tuning=HALVED, evaluation=SEARCH_ONLY),
        without_trainer(training_job("auto", model="auto", task="Classification", tuning=AUTO)),
    )
    return shared


def tuning_of(seen: Object | None) -> Object:
    found: Object = ((seen or {}).get("status") or {}).get("tuning") or {}
    return found


def ended(count: int) -> Callable[[Object | None], bool]:
    return lambda seen: len(tuning_of(seen).get("trials", [])) >= count


def searched(seen: Object | None) -> bool:
    return tuning_of(seen).get("state") == "Finished"


def expires(seen: Object | None) -> bool:
    return bool(seen and seen["spec"].get("ttlSecondsAfterFinished"))


def search_jobs(team: Team, name: str) -> list[Object]:
    jobs = team.find("jobs.batch", f"modelwright.dev/name={name},modelwright.dev/search")
    return sorted(jobs, key=lambda job: str(job["metadata"]["labels"]["modelwright.dev/search"]))


def config_of(team: Team, seen: Object) -> contract.JobConfig:
    """Return what the pod that trained the model was told."""
    spec = team.get("jobs.batch", seen["status"]["job"])["spec"]["template"]["spec"]
    variables = {item["name"]: item.get("value", "") for item in spec["containers"][0]["env"]}
    return contract.JobConfig.from_json(variables[contract.ENV_JOB])


@pytest.mark.timeout(600)  # some forty pods take turns on the node, and this test waits for most of them
def test_sixteen_trials_four_at_a_time_end_in_a_served_version(searching: Team) -> None:
    """A running trial's pod, then the search's Job and the operator's pod are deleted meanwhile."""
    team = searching
    first = team.wait(JOBS, "tuned", ended(1), deadline=240)
    assert first["status"]["stage"] == "search"
    [job] = search_jobs(team, "tuned")
    assert (job["spec"]["completions"], job["spec"]["parallelism"]) == (16, 4)
    running: list[str] = []

    def some_run(_: Object | None) -> list[str]:
        pods = team.find("pods", f"batch.kubernetes.io/job-name={job['metadata']['name']}")
        running[:] = [pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] == "Running"]
        return running

    team.wait("jobs.batch", job["metadata"]["name"], some_run)
    team.cluster.delete("pods", running[0], team.namespace)
    team.wait(JOBS, "tuned", ended(4), deadline=240)
    team.cluster.delete("jobs.batch", job["metadata"]["name"], team.namespace)
    team.cluster.delete("pods", team.installation.operator_pod(), NAMESPACE)

    done = team.wait(JOBS, "tuned", is_true("Complete"), deadline=400)
    found, best = tuning_of(done), done["status"]["bestTrial"]
    assert (found["attempt"], found["succeeded"], found["stopped"]) == (2, 16, "AllTrialsEnded")
    assert found["reproducible"] is True
    [second] = search_jobs(team, "tuned")
    assert 1 <= second["spec"]["completions"] <= 12

    config = config_of(team, done)
    assert config.tuning is not None
    data = load(config, contract.Task.CLASSIFICATION)
    plans = contract.trials(config.tuning, config.seed)
    expected = {}
    for number, plan in enumerate(plans):
        tried = trial.with_parameters(config, plan)
        expected[number], _ = crossval.summary(crossval.scores(tried, data, "log_loss", 5))
    assert {row["trial"]: row["score"] for row in found["trials"]} == pytest.approx(expected, rel=1e-4)
    assert (best["trial"], best["metric"]) == (min(expected, key=lambda number: expected[number]), "log_loss")
    assert best["parameters"] == plans[best["trial"]]

    versions = [item for item in team.find(VERSIONS) if item["spec"]["model"] == "tuned"]
    assert [item["metadata"]["name"] for item in versions] == [done["status"]["modelVersion"]]
    team.apply(deployment("tuned", {"version": done["status"]["modelVersion"]}))
    team.wait(DEPLOYMENTS, "tuned", is_true("Ready"), deadline=60)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=best["parameters"]["C"], max_iter=500, random_state=7))
    model.fit(data.train.values.native(), data.train.target)
    rows = data.holdout.values.native()[:20]
    answer = team.infer("tuned", rows_body(rows.tolist()), "/v2/models/tuned/infer")
    [served] = [np.array(item["data"]) for item in answer["outputs"] if item["name"] == "probabilities"]
    assert np.abs(served.reshape(20, 2) - model.predict_proba(rows)).max() <= 1e-5


def test_a_search_that_no_longer_improves_is_stopped(searching: Team) -> None:
    done = searching.wait(JOBS, "early", searched, deadline=240)
    found = tuning_of(done)
    assert (found["stopped"], [row["trial"] for row in found["trials"]]) == ("EarlyStopped", [0, 1, 2])
    assert done["status"]["bestTrial"]["parameters"] == {"C": 1}
    [job] = search_jobs(searching, "early")
    job = searching.wait("jobs.batch", job["metadata"]["name"], expires, deadline=60)
    assert condition(job, "Failed")["reason"] == "DeadlineExceeded"
    assert not job["status"].get("active")
    assert job["status"]["succeeded"] < 13


def test_the_better_half_goes_on_with_more_effort(searching: Team) -> None:
    """A trial that cannot be fitted is left out, and not tried again."""
    done = searching.wait(JOBS, "halved", searched, deadline=300)
    first, second = search_jobs(searching, "halved")
    assert (first["spec"]["completions"], second["spec"]["completions"]) == (4, 2)
    rows: dict[int, Any] = {row["trial"]: row for row in tuning_of(done)["trials"]}
    [failed] = [number for number, row in rows.items() if row["state"] == "Failed"]
    assert "'solver'" in rows[failed]["message"]
    assert (first["status"]["failedIndexes"], first["status"]["failed"]) == (str(failed), 1)
    assert sorted(row["rung"] for row in rows.values()) == [0, 0, 1, 1]
    last = {number: row["score"] for number, row in rows.items() if row["rung"] == 1}
    assert done["status"]["bestTrial"]["trial"] == min(last, key=lambda number: last[number])


def test_automl_trains_the_estimator_it_found(searching: Team) -> None:
    done = searching.wait(JOBS, "auto", is_true("Complete"), deadline=300)
    found, best = tuning_of(done), done["status"]["bestTrial"]
    assert [job["spec"]["completions"] for job in search_jobs(searching, "auto")] == [5, 1]
    assert [(row["trial"], row["rung"]) for row in found["trials"]] == [*((number, 0) for number in range(5)), (5, 1)]
    assert (best["trial"], sum(found["weights"]), len(found["leaders"])) == (5, 25, 5)
    trained = config_of(searching, done).sklearn
    assert (trained.estimator, trained.parameters) == (best["estimator"], best["parameters"])
    version = searching.get(VERSIONS, done["status"]["modelVersion"])
    assert version["spec"]["provenance"]["trials"] == 6


def test_the_budget_ends_a_search_with_the_best_so_far(searching: Team) -> None:
    done = searching.wait(JOBS, "slow", searched, deadline=300)
    found = tuning_of(done)
    assert (found["stopped"], found["reproducible"]) == ("BudgetReached", False)
    assert [row["trial"] for row in found["trials"]] == [0]
    assert done["status"]["bestTrial"]["parameters"] == {"max_iter": 2}


def test_what_is_searched_cannot_be_changed_or_contradict_itself(searching: Team) -> None:
    changed = [{"parameter": "solver", "values": ["lbfgs", "saga"]}]
    with pytest.raises(ClusterError, match=r"spec\.tuning cannot be changed"):
        searching.patch(JOBS, "halved", {"spec": {"tuning": {"space": changed}}})
    both = {**SEARCH, "space": [{**C, "values": [1]}]}
    with pytest.raises(ClusterError, match=r"spec\.tuning\.space\[0\]"):
        searching.apply(training_job("both", tuning=both))
    with pytest.raises(ClusterError, match="a Grid needs values"):
        searching.apply(training_job("continuous", tuning={**SEARCH, "algorithm": "Grid"}))
    assert condition(searching.get(JOBS, "tuned"), "Complete")["status"] == "True"
