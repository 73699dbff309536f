"""TrainingJob with evaluation.latency: what its pass does."""

from __future__ import annotations

from typing import Any

from tests.support import builders as make
from tests.support import kubelet
from tests.table.planning import attempt_job, ended, planned

Raw = dict[str, Any]


def timed() -> make.Maker:
    return make.training_job().spec(evaluation={"holdoutPercent": 25, "latency": {"rows": 8}}).status(attempt=1)


def test_what_was_timed_is_in_the_status_and_in_the_version() -> None:
    job = attempt_job(timed(), conditions=ended("Complete"))
    statuses = kubelet.stage_statuses(kubelet.results(), stages=kubelet.stages_of(job))
    plan = planned(timed(), job, kubelet.pod_of(job, kubelet.pod_status(statuses, "Succeeded")))
    expected = [
        {"name": "accuracy", "value": 0.96, "low": 0.92, "high": 0.98, "dataset": "holdout"},
        {"name": "latencyP50Milliseconds", "value": 0.125, "dataset": "latency"},
        {"name": "latencyP99Milliseconds", "value": 0.5, "dataset": "latency"},
        {"name": "sizeBytes", "value": 1024.0, "dataset": "latency"},
    ]
    assert plan.status["metrics"] == expected
    assert plan.manifest("ModelVersion")["spec"]["metrics"] == expected
    assert [stage["name"] for stage in plan.status["stages"]] == ["fetch", "train", "evaluate", "latency", "publish"]


def test_the_stage_is_named_while_it_runs() -> None:
    job = attempt_job(timed())
    before = {name: kubelet.results()[name] for name in ("fetch", "train", "evaluate")}
    statuses = kubelet.stage_statuses(before, kubelet.running("latency"), kubelet.stages_of(job))
    plan = planned(timed(), job, kubelet.pod_of(job, kubelet.pod_status(statuses)))
    assert plan.status["stage"] == "latency"


def test_the_container_that_times_the_model_has_the_resources_of_a_server() -> None:
    spec = attempt_job(timed())["spec"]["template"]["spec"]
    [container] = [item for item in spec["initContainers"] if item["name"] == "latency"]
    assert container["resources"] == {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
    assert [(mount["name"], mount.get("readOnly", False)) for mount in container["volumeMounts"]] == [
        ("artifact", True), ("measures", False), ("tmp", False)
    ]  # fmt: skip
