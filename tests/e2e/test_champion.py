"""What a challenger has to show before it replaces what serves: how fast it is, and that it is no worse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.fixtures import CLAIM, DEPLOYMENTS, JOBS, VERSIONS, Team, condition, deployment, is_true, training_job
from tests.support.claims import run_in_claim

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.cluster

LATENCY: Mapping[str, Any] = {"resources": {"limits": {"cpu": "500m", "memory": "192Mi"}}, "rows": 4}


def test_a_model_is_timed_under_the_resources_it_will_have(shared: Team) -> None:
    job = shared.train("timed", evaluation={"holdoutPercent": 25, "latency": LATENCY})
    timed = {item["name"]: item["value"] for item in job["status"]["metrics"] if item["dataset"] == "latency"}
    assert set(timed) == {"latencyP50Milliseconds", "latencyP99Milliseconds", "sizeBytes"}
    assert 0 < timed["latencyP50Milliseconds"] <= timed["latencyP99Milliseconds"]
    assert 0 < timed["sizeBytes"] < job["status"]["artifact"]["sizeBytes"]
    assert [stage["name"] for stage in job["status"]["stages"]] == ["fetch", "train", "evaluate", "latency", "publish"]
    version = shared.get(VERSIONS, job["status"]["modelVersion"])
    assert version["spec"]["metrics"] == job["status"]["metrics"]
    folder = job["status"]["artifact"]["uri"].split("/", 3)[3]
    report = json.loads(run_in_claim(shared, CLAIM, f"print(open('{folder}report.json').read())"))
    assert report["latency"]["p99Milliseconds"] == timed["latencyP99Milliseconds"]
    assert [run["calls"] for run in report["latency"]["repeats"]] == [1000] * 3


def test_a_challenger_is_compared_with_what_serves(shared: Team) -> None:
    """First there is nothing to be worse than; then a model of next to no fit, and the same model once more."""
    gates = [
        {"metric": "accuracy", "maxRegression": 0.02},
        {"metric": "roc_auc", "maxRegression": 0.05, "confidence": 0.9},
    ]
    asked = {"evaluation": {"holdoutPercent": 25, "champion": {"deployment": "cancer"}}, "gates": gates}
    first = shared.train("first", **asked)
    assert [gate["verdict"] for gate in first["status"]["gates"]] == ["NoChampion", "NoChampion"]
    best = first["status"]["modelVersion"]
    shared.apply(deployment("cancer", {"version": best}))
    shared.wait(DEPLOYMENTS, "cancer", is_true("Ready"))

    poor = {"sklearn": {"estimator": "sklearn.linear_model.LogisticRegression", "parameters": {"C": 1e-6}}}
    timed = {**asked, "gates": [*gates, {"metric": "sizeBytes", "max": 1_000_000}]}
    shared.apply(training_job("worse", trainer=poor, **asked), training_job("same", **timed))
    worse = shared.wait(JOBS, "worse", is_true("Failed", "GatesNotPassed"), deadline=120)
    assert worse["status"]["resolved"]["champion"]["version"] == best
    assert worse["status"]["gates"][0]["verdict"] == "Failed"
    assert worse["status"]["gates"][0]["observed"] > 0.02
    assert "worse than the champion's, above maxRegression 0.02" in condition(worse, "Failed")["message"]
    assert "modelVersion" not in worse["status"]

    same = shared.wait(JOBS, "same", is_true("Complete", "Reproduced"), deadline=120)
    assert [gate["verdict"] for gate in same["status"]["gates"]] == ["Passed", "Passed", "Passed"]
    assert [gate["observed"] for gate in same["status"]["gates"][:2]] == [0, 0]
    assert "latency" in [stage["name"] for stage in same["status"]["stages"]]
