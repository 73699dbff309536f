"""What a challenger has to show before it replaces what serves: how fast it is, and that it is no worse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.fixtures import CLAIM, VERSIONS, Team
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
