"""Delayed labels: what the operator renders for them, and what becomes of their figures where no sidecar writes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from modelwright_operator.decide.monitoring import ruling
from modelwright_server.contract import monitoring
from tests.support import builders as make
from tests.support.clock import START
from tests.table.planning import planned, service_of, workload_of
from tests.table.test_monitoring import (
    QUIET,
    RULES,
    A,
    B,
    deployment_of,
    found,
    passed,
    rfc3339,
    serving,
    window,
    written,
)

Raw = dict[str, Any]

DELAY = 86_400
ASKED: Raw = {**RULES, "quality": {"metric": "accuracy", "min": 0.9, "maxLabelDelaySeconds": DELAY}}
UPDATED_AT = START - timedelta(seconds=20)
FIGURES: Raw = {
    "metric": "accuracy",
    "version": "churn-a",
    "updatedAt": rfc3339(UPDATED_AT),
    "value": 0.95,
    "labels": 200,
    "predictions": 400,
    "coverage": 0.5,
    "cohorts": [
        {
            "version": "a" * 10,
            "day": "2026-11-22",
            "labels": 200,
            "predictions": 400,
            "counts": {"correct": 190, "delaySeconds": 1000},
            "positives": [3] * monitoring.SCORE_BINS,
        }
    ],
    "pods": [{"pod": "0123456789ab", "part": 3, "at": 1_800_000_000}],
}
GOOD = (monitoring.MODEL_QUALITY, "False", "QualitySufficient")


def judged(*, rules: Raw = ASKED, digest: str = "a", **fields: Any) -> Any:
    report = {**window(), "digest": make.digest(digest), "quality": {**FIGURES, **fields}}
    return found(serving(rules=rules, monitoring=report), *QUIET, GOOD)


def figures_are_kept(part: Any) -> bool:
    """Tell whether a sidecar would read what it wrote."""
    kept = part["monitoring"]["quality"]
    [cohort], [given] = kept["cohorts"], FIGURES["cohorts"]
    same = all(cohort[name] == value for name, value in given.items())
    return same and kept["pods"] == FIGURES["pods"] and kept["updatedAt"] == FIGURES["updatedAt"]


@pytest.mark.parametrize(("rules", "open_"), [(ASKED, True), (RULES, False), (None, False)])
def test_the_port_is_open_where_labels_are_wanted(rules: Raw | None, *, open_: bool) -> None:
    subject = serving(rules=rules).spec(rollout={"steps": [{"weight": 50}]})
    plan = planned(subject, A, B, workload_of(subject, A), service_of(serving(rules=None), A))
    services = {item.name: item.manifest for item in plan.plan.apply if item.manifest["kind"] == "Service"}
    assert ("churn" in services) is open_, "else it is as it was"
    if open_:
        ports = {item["name"]: item["port"] for item in services["churn"]["spec"]["ports"]}
        assert ports == {"http": 80, "grpc": 8081, "metrics": 8082, "feedback": monitoring.FEEDBACK_PORT}
    assert "feedback" not in {item["name"] for item in services["churn-canary"]["spec"]["ports"]}


def test_at_the_beginning_nothing_is_known() -> None:
    told = written(passed(serving(rules=ASKED)))
    assert told[monitoring.MODEL_QUALITY] == "Unknown/AwaitingFirstWindow"


def test_what_labels_say_is_left_alone() -> None:
    assert ruling(deployment_of(judged()), START).part is None


def test_figures_outlive_a_promotion_and_the_verdict_does_not() -> None:
    part = ruling(deployment_of(judged(digest="b")), START).part
    assert part is not None
    assert figures_are_kept(part)
    told = {item["type"]: f"{item['status']}/{item['reason']}" for item in part["conditions"]}
    assert told[monitoring.MODEL_QUALITY] == "Unknown/BaselineChanged"


def test_a_verdict_by_labels_grows_old_with_its_predictions_not_with_windows() -> None:
    idle = START + timedelta(seconds=3600)
    part = ruling(deployment_of(judged()), idle).part
    assert part is not None
    assert figures_are_kept(part)
    told = {item["type"]: item for item in part["conditions"]}
    assert told[monitoring.DATA_DRIFT]["reason"] == "ReportStale"
    assert (told[monitoring.MODEL_QUALITY]["status"], told[monitoring.MODEL_QUALITY]["reason"]) == GOOD[1:]

    aged = serving(rules=ASKED, monitoring=part["monitoring"])
    for item in part["conditions"]:
        aged = aged.condition(item["type"], item["status"], item["reason"])
    later = ruling(deployment_of(aged), idle)
    assert later.part is None
    end = UPDATED_AT + timedelta(seconds=DELAY + 120)
    assert later.look_seconds == (end - idle).total_seconds()
    part = ruling(deployment_of(aged), end).part
    assert part is not None
    assert {item["reason"] for item in part["conditions"]} == {"ReportStale"}
    for item in part["conditions"]:
        aged = aged.condition(item["type"], item["status"], item["reason"])
    assert ruling(deployment_of(aged), end).part is None, "it is said once"


def test_no_longer_wanted_the_figures_go_and_all_else_stays() -> None:
    part = ruling(deployment_of(judged(rules=RULES)), START).part
    assert part is not None
    assert "quality" not in part["monitoring"]
    assert part["monitoring"]["total"] == window()["total"]
    told = {item["type"]: (item["status"], item["reason"]) for item in part["conditions"]}
    assert told == {kind: (status, reason) for kind, status, reason in QUIET}
    gone = found(serving(rules=RULES, monitoring=part["monitoring"]), *QUIET)
    assert ruling(deployment_of(gone), START).part is None
