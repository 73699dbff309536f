"""Gates on the real cluster: what passes becomes a version, what does not is kept and becomes none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.fixtures import CLAIM, JOBS, VERSIONS, Object, Team, claim, condition, is_true, training_job
from tests.support.claims import run_in_claim

pytestmark = pytest.mark.cluster

SLICE = "mean radius"  # not a feature: the model is judged by it all the same
FAIR = {"metric": "selection_rate_difference", "max": 0.1, "slice": SLICE}
GATES: list[dict[str, Any]] = [
    {"metric": "accuracy", "min": 0.9},
    {"metric": "log_loss", "max": 0.5},
    {"metric": "accuracy", "min": 0.5, "slice": SLICE},
]


def gated(name: str, gates: list[dict[str, Any]]) -> Object:
    evaluation = {"holdoutPercent": 50, "slices": [SLICE], "minSliceRows": 30}
    return training_job(name, gates=gates, evaluation=evaluation, columns={"drop": [SLICE]}, retryLimit=2)


def test_gates_decide_whether_a_model_becomes_a_version(team: Team) -> None:
    """Both runs train the same model; the one that fails goes first, so that its artifact lies there first."""
    team.apply(claim(), gated("unfair", [*GATES, FAIR]))
    failed = team.wait(JOBS, "unfair", is_true("Failed", "GatesNotPassed"), deadline=120)
    status = failed["status"]
    assert [item["verdict"] for item in status["gates"]] == ["Passed", "Passed", "Passed", "Failed"]
    observed = status["gates"][3]["observed"]
    assert observed > 0.1
    message = condition(failed, "Failed")["message"]
    assert f"1 of 4 gates not passed: selection_rate_difference of {SLICE} is {observed:g}, above max 0.1" in message
    assert status["artifact"]["uri"] in message
    assert "modelVersion" not in status
    assert status["attempt"] == 1
    assert team.find(VERSIONS) == []
    path = status["artifact"]["uri"].removeprefix(f"pvc://{CLAIM}/")
    report = json.loads(run_in_claim(team, CLAIM, f"print(open('{path}report.json').read())"))
    assert [item["verdict"] for item in report["gates"]] == ["Passed", "Passed", "Passed", "Failed"]
    assert report["importance"]["columns"][0]["mean"] > 0

    team.apply(gated("good", GATES))
    passed = team.wait(JOBS, "good", is_true("Complete", "Succeeded"), deadline=120)["status"]
    assert passed["artifact"] == status["artifact"]
    for item, gate in zip(passed["gates"], GATES, strict=True):
        assert {**gate, "verdict": "Passed"}.items() <= item.items()
    assert passed["gates"][2]["group"]
    version = team.get(VERSIONS, passed["modelVersion"])["spec"]
    assert version["metrics"] == passed["metrics"]
    for metric in version["metrics"]:
        assert metric["low"] <= metric["value"] <= metric["high"]
        assert metric["low"] < metric["high"]
