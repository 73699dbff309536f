"""Capture: what a Deployment's pods get for it, and where a TrainingJob finds the rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import builders as make
from tests.table.planning import Planned, planned, revision_of

Raw = dict[str, Any]

CAPTURE = {"uri": "s3://lake/captured/", "endpoint": "https://minio.example.org", "secretName": "lake"}
VERSION = make.verified("b")
NAME = VERSION.raw["metadata"]["name"]


def capturing(**changed: Any) -> make.Maker:
    return make.deployment("churn", version=NAME).spec(monitoring={"capture": {**CAPTURE, **changed}})


def template(plan: Planned) -> Raw:
    found: Raw = plan.manifest("Deployment")["spec"]["template"]["spec"]
    return found


def test_the_stores_secret_is_in_one_container_and_may_be_missing() -> None:
    pod = template(planned(capturing(), VERSION))
    holders = {
        container["name"]
        for container in [*pod["initContainers"], *pod["containers"]]
        if any(mount["name"] == "capture-secret" for mount in container["volumeMounts"])
    }
    assert holders == {"capture"}
    [volume] = [item for item in pod["volumes"] if item["name"] == "capture-secret"]
    assert volume["secret"] == {"secretName": "lake", "optional": True}
    assert [item["name"] for item in pod["initContainers"]] == ["fetch", "capture", "monitor"]
    capture = pod["initContainers"][1]
    assert not {"livenessProbe", "readinessProbe", "startupProbe", "envFrom"} & capture.keys()


def test_without_capture_nothing_changes() -> None:
    plain = make.deployment("churn", version=NAME)
    watched = plain.spec(monitoring={})
    assert revision_of(watched, VERSION) == revision_of(plain, VERSION)
    assert template(planned(watched, VERSION)) == template(planned(plain, VERSION))


@pytest.mark.parametrize("changed", [{"samplePercent": 5}, {"redact": ["age"]}, {"uri": "s3://other"}])
def test_what_is_captured_is_part_of_what_pods_run(changed: Raw) -> None:
    assert revision_of(capturing(**changed), VERSION) != revision_of(capturing(), VERSION)


def with_schema() -> make.Maker:
    columns = {"name": "input", "datatype": "FP32", "shape": [-1, 2], "columns": ["age", "ssn"]}
    label = {"name": "label", "datatype": "INT64", "shape": [-1]}
    return VERSION.spec(schema={"inputs": [columns], "outputs": [label]})


def test_a_name_to_be_redacted_that_is_no_feature_stops_the_rollout() -> None:
    plan = planned(capturing(redact=["snn"]), with_schema())
    [stalled] = [item for item in plan.status["conditions"] if item["type"] == "Stalled"]
    assert stalled["reason"] == "RedactUnknown"
    assert "names 'snn', which is no feature" in stalled["message"]
    assert "(age, ssn)" in stalled["message"]
    assert "Deployment" not in plan.kinds
    assert "Deployment" in planned(capturing(redact=["ssn"]), with_schema()).kinds


def learner() -> make.Maker:
    return make.training_job().spec(
        data=[{"name": "live", "captured": {"deployment": "churn"}}],
        target="churned",
        columns={"time": "prediction_time"},
    )


def test_a_job_is_told_where_the_rows_are_and_given_the_secret() -> None:
    plan = planned(learner(), capturing(), VERSION)
    pod = plan.manifest("Job")["spec"]["template"]["spec"]
    fetch = pod["initContainers"][0]
    config = json.loads(next(item["value"] for item in fetch["env"] if item["name"] == "MODELWRIGHT_TRAINING_JOB"))
    assert config["data"] == [
        {
            "name": "live",
            "uri": f"s3://lake/captured/{make.NAMESPACE}/churn",
            "digest": None,
            "access": {"endpoint": "https://minio.example.org", "secret": "lake"},
            "captured": {"label": "churned", "time": "prediction_time"},
        }
    ]
    assert [item["secretRef"]["name"] for item in fetch["envFrom"]] == ["lake"]


@pytest.mark.parametrize("others", [[], [make.deployment("churn", version=NAME).spec(monitoring={})]])
def test_a_job_waits_for_a_deployment_that_captures(others: list[make.Maker]) -> None:
    plan = planned(learner(), *others, VERSION)
    [stalled] = [item for item in plan.status["conditions"] if item["type"] == "Stalled"]
    assert stalled["reason"] == "CaptureNotFound"
    assert plan.applies == []
    assert plan.plan.requeue_after


LOG = {"url": "http://sink.tools.svc/", "samplePercent": 10, "redact": ["ssn"]}


def logging(**changed: Any) -> make.Maker:
    return make.deployment("churn", version=NAME).spec(monitoring={"payloadLog": {**LOG, **changed}})


def test_payloads_are_logged_with_or_without_capture() -> None:
    pod = template(planned(logging(), with_schema()))
    [container] = [item for item in pod["initContainers"] if item["name"] == "capture"]
    told = {item["name"]: item["value"] for item in container["env"]}
    assert told["MODELWRIGHT_PAYLOAD_LOG_URL"] == "http://sink.tools.svc/"
    assert told["MODELWRIGHT_PAYLOAD_LOG_PERCENT"] == "10"
    assert json.loads(told["MODELWRIGHT_PAYLOAD_LOG_REDACT"]) == ["ssn"]
    assert not told.get("MODELWRIGHT_CAPTURE_URI")
    assert "capture-labels" not in {mount["name"] for item in pod["initContainers"] for mount in item["volumeMounts"]}
    both = make.deployment("churn", version=NAME).spec(monitoring={"capture": CAPTURE, "payloadLog": LOG})
    [container] = [
        item for item in template(planned(both, with_schema()))["initContainers"] if item["name"] == "capture"
    ]
    assert {"MODELWRIGHT_CAPTURE_URI", "MODELWRIGHT_PAYLOAD_LOG_URL"} <= {item["name"] for item in container["env"]}


def test_where_payloads_go_is_part_of_what_pods_run() -> None:
    assert revision_of(logging(mode="Request"), VERSION) != revision_of(logging(), VERSION)
    assert revision_of(logging(), VERSION) != revision_of(make.deployment("churn", version=NAME), VERSION)


def test_a_name_that_is_no_feature_keeps_payloads_in() -> None:
    plan = planned(logging(redact=["snn"]), with_schema())
    assert plan.conditions["Stalled"] == "True/RedactUnknown"
    assert "spec.monitoring.payloadLog.redact names 'snn'" in plan.messages
