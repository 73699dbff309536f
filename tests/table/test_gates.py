"""TrainingJob: what its gates make of a trained model."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import builders as make
from tests.support import kubelet
from tests.table.planning import Planned, attempt_job, ended, planned

Raw = dict[str, Any]

GATES = [{"metric": "accuracy", "min": 0.9}, {"metric": "log_loss", "max": 0.5}]
PASSED = [{"gate": 0, "verdict": "Passed", "observed": 0.96}, {"gate": 1, "verdict": "Passed", "observed": 0.1}]
FAILED = [{"gate": 0, "verdict": "Failed", "observed": 0.873}, {"gate": 1, "verdict": "NotMeasured"}]


def trained(results: list[Raw], *others: make.Maker, gates: list[Raw] | None = None) -> Planned:
    subject = make.training_job().spec(gates=GATES if gates is None else gates)
    subject = subject.spec(evaluation={"holdoutPercent": 25, "slices": ["region"]})
    subject = subject.status(attempt=1, job="x", startedAt="2026-03-01T12:00:00Z")
    job = attempt_job(subject, conditions=ended("Complete"))
    said = kubelet.results()
    said["evaluate"]["gates"] = results
    pod = kubelet.pod_of(job, kubelet.pod_status(kubelet.stage_statuses(said), "Succeeded"))
    return planned(subject, job, pod, *others)


def test_a_model_that_passes_its_gates_becomes_a_version() -> None:
    plan = trained(PASSED)
    assert plan.kinds == ["ModelVersion"]
    assert plan.conditions["Complete"] == "True/Succeeded"
    assert plan.status["gates"] == [
        {"metric": "accuracy", "min": 0.9, "observed": 0.96, "verdict": "Passed"},
        {"metric": "log_loss", "max": 0.5, "observed": 0.1, "verdict": "Passed"},
    ]


def test_a_model_that_does_not_is_kept_and_makes_none() -> None:
    plan = trained(FAILED)
    assert plan.applies == []
    assert plan.conditions == {
        "Ready": "False/GatesNotPassed",
        "Stalled": "True/GatesNotPassed",
        "Failed": "True/GatesNotPassed",
    }
    assert plan.plan.requeue_after is None
    assert plan.events == ["Warning/GatesNotPassed"]
    assert "2 of 2 gates not passed: accuracy is 0.873, below min 0.9; log_loss (max 0.5) could not" in plan.messages
    assert "kept for inspection at pvc://modelwright-models/churn/a/" in plan.messages
    assert plan.status["artifact"]["digest"] == make.digest("a")
    assert "modelVersion" not in plan.status
    assert plan.status["metrics"][0]["name"] == "accuracy"
    assert plan.status["gates"][1] == {"metric": "log_loss", "max": 0.5, "verdict": "NotMeasured"}
    assert plan.status["finishedAt"]


def test_one_gate_of_many_is_enough() -> None:
    plan = trained([PASSED[0], {**PASSED[1], "verdict": "Failed", "observed": 0.7}])
    assert "1 of 2 gates not passed: log_loss is 0.7, above max 0.5." in plan.messages


def test_a_version_that_exists_is_not_linked_by_a_run_that_failed_its_gates() -> None:
    plan = trained(FAILED, make.model_version("a"))
    assert plan.conditions["Failed"] == "True/GatesNotPassed"
    assert "modelVersion" not in plan.status


@pytest.mark.parametrize(
    "results",
    [
        [],
        PASSED[:1],
        [*PASSED, {**PASSED[1], "gate": 2}],
        [PASSED[0], PASSED[0]],
        [PASSED[1], {**PASSED[1], "gate": 2}],
    ],
    ids=["none", "one", "one more", "one twice", "others"],
)
def test_nothing_passes_by_silence(results: list[Raw]) -> None:
    plan = trained(results)
    assert plan.applies == []
    assert plan.conditions["Failed"] == "True/ResultMissing"
    assert "spec.gates" in plan.messages


def test_a_gate_of_groups_names_the_worst_one() -> None:
    gates = [
        {"metric": "accuracy", "min": 0.8, "slice": "region"},
        {"metric": "selection_rate_difference", "max": 0.1, "slice": "region"},
    ]
    results = [
        {"gate": 0, "verdict": "Failed", "observed": 0.71, "group": "north"},
        {"gate": 1, "verdict": "Failed", "observed": 0.3},
    ]
    plan = trained(results, gates=gates)
    assert (
        "accuracy of region 'north' is 0.71, below min 0.8; selection_rate_difference of region is 0.3" in plan.messages
    )
    assert plan.status["gates"][0] == {**gates[0], "observed": 0.71, "group": "north", "verdict": "Failed"}
    assert "group" not in plan.status["gates"][1]


def test_a_job_without_gates_has_no_verdicts() -> None:
    plan = trained([], gates=[])
    assert plan.kinds == ["ModelVersion"]
    assert plan.status["gates"] == []
