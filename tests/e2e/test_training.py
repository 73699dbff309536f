"""Training on a team's own tables, and what happens to runs that fail, wait or are stopped."""
# ruff: noqa: PD011 - `values` is the training package's own attribute, not pandas'

from __future__ import annotations

import hashlib
import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor, VotingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelwright_drift import counts, document
from modelwright_drift.baseline import Categorical, Numeric
from modelwright_training import contract
from modelwright_training.dataset import Dataset, load
from tests.e2e.fixtures import (
    CLAIM,
    DEPLOYMENTS,
    JOBS,
    VERSIONS,
    Object,
    Team,
    claim,
    condition,
    deployment,
    is_true,
    training_job,
)
from tests.support.claims import run_in_claim, write_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from modelwright_training.features import Values

pytestmark = pytest.mark.cluster

DATA = "lake"
CLOSE = 1e-5
LOGISTIC = "sklearn.linear_model.LogisticRegression"


def customers(rows: int, seed: int) -> pd.DataFrame:
    """Return a table with every kind of column: numbers, whole numbers, codes, texts (some missing), booleans."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "age": random.integers(18, 90, rows).astype(float),
            "spent": np.round(random.gamma(2.0, 40.0, rows), 2),
            "calls": random.integers(0, 12, rows),
            "region": random.choice([101, 205, 309], rows),
            "plan": random.choice(["basic", "plus", "pro é"], rows),
            "channel": random.choice(["shop", "web"], rows),
            "active": random.random(rows) < 0.6,
        }
    )
    score = 0.02 * table["spent"] - 0.3 * table["calls"] + (table["plan"] == "plus") - table["active"] * 1.5
    table["churned"] = np.where(score + random.normal(0, 0.7, rows) > -0.2, "yes", "no")
    table.loc[random.random(rows) < 0.1, "channel"] = None
    return table


def with_gaps(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Take a column's every tenth number away."""
    gaps = table.index % 10 == 3
    return table.assign(**{column: table[column].mask(gaps)})


def houses(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    table = pd.DataFrame({name: random.normal(0, 1, rows) for name in ("area", "rooms", "age")})
    table["price"] = table["area"] * 1.5 - np.abs(table["age"]) + random.normal(0, 0.1, rows)
    return with_gaps(table, "rooms")


def csv(table: pd.DataFrame) -> bytes:
    return str(table.to_csv(index=False)).encode()


def parquet(table: pd.DataFrame) -> bytes:
    written = io.BytesIO()
    table.to_parquet(written, index=False)
    return written.getvalue()


FILES = {
    "customers/train.csv": csv(with_gaps(customers(400, 1), "age")),
    "customers/test.parquet": parquet(with_gaps(customers(120, 2), "age")),
    "houses/part-1.parquet": parquet(houses(150, 3)),
    "houses/part-2.parquet": parquet(houses(150, 4)),
}


def sha256(name: str) -> str:
    return "sha256:" + hashlib.sha256(FILES[name]).hexdigest()


# Runs that fail: applied first of all, since retries take their time, and looked at further down.

TOO_LARGE = {
    "sklearn": {"estimator": "sklearn.neural_network.MLPClassifier", "parameters": {"hidden_layer_sizes": [10**12]}}
}
FAILING: Mapping[str, Mapping[str, Any]] = {
    "crash": {"trainer": TOO_LARGE, "retryLimit": 1},
    "small": {"resources": {"limits": {"memory": "32Mi"}}, "retryLimit": 0},
    "late": {"activeDeadlineSeconds": 1},
}


@pytest.fixture(scope="module")
def lake(shared: Team) -> Team:
    """Give the namespace with the tables in a claim, and the failing runs on their way."""
    shared.apply(claim(DATA), claim(), *(training_job(name, **FAILING[name]) for name in FAILING))
    write_files(shared, DATA, FILES)
    return shared


def as_the_pod_saw_it(team: Team, job: Object, folder: Path) -> Dataset:
    """Rebuild the rows of a finished job from the configuration of its pod and the same files."""
    spec = team.get("jobs.batch", job["status"]["job"])["spec"]["template"]["spec"]
    variables = {item["name"]: item.get("value", "") for item in spec["containers"][0]["env"]}
    for name, content in FILES.items():
        path = folder / DATA / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    config = contract.JobConfig.from_json(variables[contract.ENV_JOB])
    return load(config, contract.Task(job["status"]["task"]), folder)


def serve(team: Team, name: str, version: str) -> None:
    team.apply(deployment(name, {"version": version}))
    team.wait(DEPLOYMENTS, name, is_true("Ready"), deadline=60)


def baseline_of(version: Object) -> str:
    """Return a program that reads a published baseline in the store's claim and prints it."""
    path = version["spec"]["artifact"]["uri"].removeprefix(f"pvc://{CLAIM}/") + document.NAME
    read = f"document.load(open({path!r}, 'rb').read())"
    return f"from modelwright_drift import document; print(document.dump({read}).decode())"


def as_json(part: np.ndarray[Any, Any]) -> list[Any]:
    """Return values as the protocol has them: null for a missing number."""
    return [None if isinstance(value, float) and math.isnan(value) else value for value in part.ravel().tolist()]


def nullable(version: Object) -> set[str]:
    return {item["name"] for item in version["spec"]["schema"]["inputs"] if item.get("nullable")}


def answers(team: Team, name: str, version: Object, values: Values) -> dict[str, np.ndarray[Any, Any]]:
    """Send rows to a Deployment; return its outputs by name."""
    datatypes = {item["name"]: item["datatype"] for item in version["spec"]["schema"]["inputs"]}
    inputs = [
        {"name": name, "shape": list(part.shape), "datatype": datatypes[name], "data": as_json(part)}
        for name, part in values.feed().items()
    ]
    answer = team.infer(name, {"inputs": inputs}, f"/v2/models/{version['spec']['model']}/infer")
    return {item["name"]: np.array(item["data"]).reshape(item["shape"]) for item in answer["outputs"]}


def test_mixed_columns_are_served_as_scikit_learn_predicts_them(lake: Team, tmp_path: Path) -> None:
    lake.apply(
        training_job(
            "churn",
            model="churn",
            data=[
                {"name": "train", "uri": f"pvc://{DATA}/customers/train.csv", "digest": sha256("customers/train.csv")},
                {"name": "test", "uri": f"pvc://{DATA}/customers/test.parquet"},
            ],
            target="churned",
            columns={"categorical": ["region"]},
            evaluation={"holdout": "test"},
        )
    )
    job = lake.wait(JOBS, "churn", is_true("Complete"), deadline=120)
    found = {item["name"]: (item["digest"], item["rows"]) for item in job["status"]["resolved"]["data"]}
    assert found == {"train": (sha256("customers/train.csv"), 400), "test": (sha256("customers/test.parquet"), 120)}
    version = lake.get(VERSIONS, job["status"]["modelVersion"])
    inputs = {item["name"]: item["datatype"] for item in version["spec"]["schema"]["inputs"]}
    kinds = {"age": "FP32", "spent": "FP32", "calls": "INT64", "region": "INT64", "active": "BOOL"}
    assert inputs == {**kinds, "plan": "BYTES", "channel": "BYTES"}

    assert nullable(version) == {"age", "spent"}

    data = as_the_pod_saw_it(lake, job, tmp_path)
    assert len(data.holdout) == 120
    assert np.isnan(data.holdout.values.numbers).sum() == 12
    numbers = ["age", "spent", "calls", "active"]
    prepared = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["region", "plan", "channel"]),
    )
    model = make_pipeline(prepared, LogisticRegression(max_iter=500, random_state=7))
    model.fit(data.train.values.native(), data.train.target)
    serve(lake, "churn", version["metadata"]["name"])
    served = answers(lake, "churn", version, data.holdout.values)
    rows = data.holdout.values.native()
    assert np.abs(served["probabilities"] - model.predict_proba(rows)).max() <= CLOSE
    assert served["label"].tolist() == model.predict(rows).tolist()
    accuracy = next(item["value"] for item in job["status"]["metrics"] if item["name"] == "accuracy")
    assert accuracy == pytest.approx(np.mean(served["label"] == data.holdout.target))

    # What a monitor would read, with the package it will read it with.
    baseline = document.load(run_in_claim(lake, CLAIM, baseline_of(version)).encode())
    assert (baseline.rows, baseline.holdout_rows) == (400, 120)
    assert {feature.name: feature.datatype for feature in baseline.features} == inputs
    label, score = baseline.prediction
    assert isinstance(label, Categorical)
    assert isinstance(score, Numeric)
    assert counts.count_categories(label, served["label"].tolist())[:-1].tolist() == [*label.counts, label.other]
    positive = served["probabilities"][:, 1].astype(np.float32)
    assert counts.count_numbers(score, positive).tolist() == [*score.counts, 0, 0, 0]


def test_a_regression_over_many_files_is_served_as_scikit_learn_predicts_it(lake: Team, tmp_path: Path) -> None:
    boosting = {"estimator": "sklearn.ensemble.HistGradientBoostingRegressor", "parameters": {"max_iter": 30}}
    members = [{"name": "linear", "estimator": "sklearn.linear_model.Ridge"}, {"name": "boosting", **boosting}]
    lake.apply(
        training_job(
            "houses",
            model="houses",
            data=[{"name": "all", "uri": f"pvc://{DATA}/houses/part-*.parquet"}],
            target="price",
            trainer={
                "sklearn": {"estimator": "sklearn.ensemble.VotingRegressor", "parameters": {"estimators": members}}
            },
            evaluation={"holdoutPercent": 30},
        )
    )
    job = lake.wait(JOBS, "houses", is_true("Complete"), deadline=120)
    assert (job["status"]["task"], job["status"]["resolved"]["data"][0]["rows"]) == ("Regression", 300)
    version = lake.get(VERSIONS, job["status"]["modelVersion"])
    data = as_the_pod_saw_it(lake, job, tmp_path)
    assert len(data.holdout) == 90
    linear = make_pipeline(StandardScaler(), Ridge(random_state=7))
    voting = VotingRegressor([("a", linear), ("b", HistGradientBoostingRegressor(max_iter=30, random_state=7))])
    model = make_pipeline(SimpleImputer(strategy="median"), voting)
    model.fit(data.train.values.native(), data.train.target)
    serve(lake, "houses", version["metadata"]["name"])
    assert nullable(version) == {"input"}
    assert 0 < np.isnan(data.holdout.values.numbers).sum() < 20
    served = answers(lake, "houses", version, data.holdout.values)["prediction"]
    assert served.shape == (90, 1)
    assert np.abs(served[:, 0] - model.predict(data.holdout.values.native())).max() <= CLOSE


def failed(team: Team, name: str, reason: str, attempts: int) -> Object:
    """Wait for a failing run's end and return it."""
    seen = team.wait(JOBS, name, is_true("Failed"), deadline=90)
    stalled = condition(seen, "Stalled")
    assert (stalled["reason"], condition(seen, "Failed")["reason"]) == (reason, reason), seen["status"]
    assert condition(seen, "Ready")["status"] == "False"
    assert not condition(seen, "Reconciling")
    assert seen["status"]["attempt"] == attempts
    return seen


def message_of(seen: Object) -> str:
    return str(condition(seen, "Stalled")["message"])


def jobs_of(team: Team, name: str) -> list[str]:
    found = team.find("jobs.batch", f"modelwright.dev/kind=TrainingJob,modelwright.dev/name={name}")
    return sorted(job["metadata"]["labels"]["modelwright.dev/attempt"] for job in found)


def test_a_crash_is_tried_again_and_shows_its_exit_code_and_the_end_of_its_log(lake: Team) -> None:
    seen = failed(lake, "crash", "StageFailed", 2)
    message = message_of(seen)
    assert "stage train ended with exit code 1" in message
    assert "(all 2 attempts failed)" in message
    stage = next(stage for stage in seen["status"]["stages"] if stage["name"] == "train")
    assert (stage["state"], stage["exitCode"]) == ("Failed", 1)
    assert "_multilayer_perceptron.py" in stage["message"]
    assert "MemoryError: Unable to allocate" in stage["message"]
    assert jobs_of(lake, "crash") == ["1", "2"]


def test_too_little_memory_is_said(lake: Team) -> None:
    message = message_of(failed(lake, "small", "OutOfMemory", 1))
    assert "stage fetch was killed at its memory limit: raise spec.resources.limits.memory" in message


def test_a_deadline_ends_the_run(lake: Team) -> None:
    assert "spec.activeDeadlineSeconds" in message_of(failed(lake, "late", "DeadlineExceeded", 1))
    assert jobs_of(lake, "late") == ["1"]
    pods = "modelwright.dev/kind=TrainingJob,modelwright.dev/name=late"
    lake.wait(JOBS, "late", lambda _: not lake.find("pods", pods), deadline=30)


# Runs that wait.


def suspended(seen: Object | None) -> bool:
    return is_true("Suspended")(seen) and not condition(seen, "Ready") and not condition(seen, "Reconciling")


def in_stage(*names: str) -> Callable[[Object | None], bool]:
    return lambda seen: bool(seen) and (seen or {}).get("status", {}).get("stage") in names


def test_a_template_waits_and_a_suspended_run_goes_on_to_one_version(lake: Team) -> None:
    lake.apply(training_job("paused", model="paused", suspend=True))
    waiting = lake.wait(JOBS, "paused", suspended)
    assert not condition(waiting, "Stalled")
    assert "spec.suspend" in condition(waiting, "Suspended")["message"]
    assert jobs_of(lake, "paused") == []

    pods = "modelwright.dev/kind=TrainingJob,modelwright.dev/name=paused"
    lake.patch(JOBS, "paused", {"spec": {"suspend": False}})
    lake.wait(JOBS, "paused", in_stage("train", "evaluate"), deadline=60)
    lake.patch(JOBS, "paused", {"spec": {"suspend": True}})
    stopped = lake.wait(JOBS, "paused", suspended, deadline=30)
    assert stopped["status"]["attempt"] == 1
    lake.wait(JOBS, "paused", lambda _: not lake.find("pods", pods), deadline=30)
    assert suspended(lake.get(JOBS, "paused"))

    lake.patch(JOBS, "paused", {"spec": {"suspend": False}})
    done = lake.wait(JOBS, "paused", is_true("Complete"), deadline=120)
    assert not condition(done, "Suspended")
    assert (done["status"]["attempt"], jobs_of(lake, "paused")) == (1, ["1"])
    versions = [item["metadata"]["name"] for item in lake.find(VERSIONS) if item["spec"]["model"] == "paused"]
    assert versions == [done["status"]["modelVersion"]]
