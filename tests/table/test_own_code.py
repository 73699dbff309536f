"""Stages in the user's own image: how they end, and what is recorded of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import builders as make
from tests.support import kubelet
from tests.table.planning import Planned, attempt_job, ended, planned

Raw = dict[str, Any]

PREPARED = {"stage": "split", "data": [{"name": "train", "digest": make.digest("e"), "rows": 90}]}
STAGES = ["fetch", "prepare", "split", "train", "evaluate", "publish"]


def subject() -> make.Maker:
    return make.training_job().spec(prepare={"image": "registry.test/prepare:1"})


def running() -> make.Maker:
    return subject().status(attempt=1, job="x", startedAt="2026-03-01T12:00:00Z").condition("Ready", "False", "Running")


def said() -> dict[str, Raw]:
    """Return what all stages leave; the user's may leave anything."""
    return {**kubelet.results(), "split": PREPARED}


def statuses(until: str = "", last: Raw | None = None) -> list[Raw]:
    found: list[Raw] = []
    for stage in STAGES:
        if stage == until:
            return [*found, *([last] if last else [])]
        image = {"imageID": f"registry.test/{stage}@{make.digest('9')}"}
        found.append(kubelet.terminated(stage, 0, said().get(stage, "all rows cleaned"), **image))
    return found


def ended_with(condition: Raw, found: list[Raw]) -> Planned:
    job = attempt_job(running(), conditions=[condition])
    return planned(running(), job, kubelet.pod_of(job, kubelet.pod_status(found, "Failed")))


def failed(stage: str, code: int, message: object, **extra: Any) -> Planned:
    found = statuses(stage, kubelet.terminated(stage, code, message, **extra))
    return ended_with(ended("Failed", reason="BackoffLimitExceeded")[0], found)


def test_what_was_prepared_and_by_which_image_is_in_status_and_version() -> None:
    plan = ended_with(ended("Complete")[0], statuses())
    assert plan.conditions["Complete"] == "True/Succeeded"
    resolved = plan.status["resolved"]
    assert resolved["prepared"] == [{"name": "train", "digest": make.digest("e"), "rows": 90}]
    assert resolved["ownImages"] == [{"stage": "prepare", "image": f"registry.test/prepare@{make.digest('9')}"}]
    assert resolved["data"][0]["digest"] == make.digest("d")
    provenance = plan.manifest("ModelVersion")["spec"]["provenance"]
    assert (provenance["prepared"], provenance["ownImages"]) == (resolved["prepared"], resolved["ownImages"])
    assert [stage["name"] for stage in plan.status["stages"]] == STAGES


def test_a_run_without_own_code_says_nothing_of_it() -> None:
    before = make.training_job().status(attempt=1, startedAt="2026-03-01T12:00:00Z")
    job = attempt_job(before, conditions=ended("Complete"))
    pod = kubelet.pod_of(job, kubelet.pod_status(kubelet.stage_statuses(kubelet.results()), "Succeeded"))
    plan = planned(before, job, pod)
    assert plan.conditions["Complete"] == "True/Succeeded"
    assert not {"prepared", "ownImages"} & set(plan.status["resolved"])
    assert not {"prepared", "ownImages"} & set(plan.manifest("ModelVersion")["spec"]["provenance"])


JOINED = {
    "stage": "features",
    "names": ["spent", "plan"],
    "count": 2,
    "registry": make.digest("1"),
    "sources": make.digest("2"),
    "feast": "0.67.0",
}


def with_features(said: Raw, code: int = 0) -> Planned:
    """Return the plan after a run whose stage features ended so; what came after it went well."""
    feast = {"uri": "pvc://lake/shop", "timestamp": "seen", "service": "churn"}
    before = make.training_job().spec(features={"feast": feast}).status(attempt=1, startedAt="2026-03-01T12:00:00Z")
    conditions = ended("Failed", reason="BackoffLimitExceeded") if code else ended("Complete")
    job = attempt_job(before, conditions=conditions)
    texts = {**kubelet.results(), "split": PREPARED, "features": said}
    names = kubelet.stages_of(job)
    done = names[: names.index("features")] if code else names
    found = [kubelet.terminated(name, 0, texts[name]) for name in done]
    found += [kubelet.terminated("features", code, said)] if code else []
    return planned(before, job, kubelet.pod_of(job, kubelet.pod_status(found, "Failed" if code else "Succeeded")))


def test_what_a_feature_store_added_is_in_status_and_version() -> None:
    plan = with_features(JOINED)
    assert plan.conditions["Complete"] == "True/Succeeded"
    assert [stage["name"] for stage in plan.status["stages"]][:3] == ["fetch", "features", "split"]
    expected = {
        "names": ["spent", "plan"],
        "count": 2,
        "registryDigest": make.digest("1"),
        "sourcesDigest": make.digest("2"),
        "feastVersion": "0.67.0",
    }
    resolved = plan.status["resolved"]
    assert (resolved["features"], resolved["prepared"][0]["digest"]) == (expected, make.digest("e"))
    assert plan.manifest("ModelVersion")["spec"]["provenance"]["features"] == expected
    assert "ownImages" not in resolved


def test_features_that_do_not_fit_end_the_run() -> None:
    plan = with_features({"stage": "features", "reason": "FeaturesInvalid", "message": "there is no view 'x'"}, 2)
    assert plan.conditions["Failed"] == "True/FeaturesInvalid"
    assert "there is no view 'x'" in plan.messages


@pytest.mark.parametrize(
    ("code", "conditions"),
    [
        (1, {"Ready": "False/Retrying", "Reconciling": "True/Retrying"}),
        (137, {"Ready": "False/Retrying", "Reconciling": "True/Retrying"}),
        (
            2,
            {
                "Ready": "False/PrepareFailed",
                "Stalled": "True/PrepareFailed",
                "Failed": "True/PrepareFailed",
            },
        ),
    ],
)
def test_exit_code_2_is_for_good_and_every_other_is_tried_again(code: int, conditions: dict[str, str]) -> None:
    plan = failed("prepare", code, "KeyError: 'spent'")
    assert plan.conditions == conditions
    assert f"your image of stage prepare ended with exit code {code}: KeyError: 'spent'" in plan.messages
    stage = next(stage for stage in plan.status["stages"] if stage["name"] == "prepare")
    assert (stage["state"], stage["exitCode"]) == ("Failed", code)
    assert "KeyError" in stage["message"]


def test_own_code_cannot_speak_for_a_stage_of_ours() -> None:
    plan = failed("prepare", 2, {"stage": "prepare", "reason": "StorageUnavailable", "message": "believe me"})
    assert plan.conditions["Failed"] == "True/PrepareFailed"


def test_own_code_out_of_memory_names_its_own_limit() -> None:
    plan = failed("prepare", 137, "", reason="OOMKilled")
    assert "spec.prepare.resources.limits.memory" in plan.messages


TRAINED = ["fetch", "split", "train", "evaluate", "publish"]


def own_trainer() -> make.Maker:
    spec = {"task": "Classification", "trainer": {"container": {"image": "registry.test/train:1"}}}
    return make.training_job().spec(**spec).status(attempt=1, job="x", startedAt="2026-03-01T12:00:00Z")


def trained(condition: str, train: Raw, **conditions: Any) -> Planned:
    """Plan for an attempt whose user's own train stage ended like this, all others well."""
    said = {**kubelet.results(), "split": {"stage": "split", "data": [], "warnings": ["the column 'a' is odd"]}}
    job = attempt_job(own_trainer(), conditions=ended(condition, **conditions))
    found: list[Raw] = []
    for stage in TRAINED:
        image = {"imageID": f"registry.test/{stage}@{make.digest('9')}"}
        found.append(train if stage == "train" else kubelet.terminated(stage, 0, said[stage], **image))
        if stage == "train" and train["state"]["terminated"]["exitCode"]:
            break
    return planned(own_trainer(), job, kubelet.pod_of(job, kubelet.pod_status(found, "Failed")))


def test_an_own_trainer_is_recorded_by_its_image_and_may_say_anything() -> None:
    image = {"imageID": f"registry.test/train@{make.digest('8')}"}
    plan = trained("Complete", kubelet.terminated("train", 0, {"stage": "train", "task": "Regression"}, **image))
    assert plan.conditions["Complete"] == "True/Succeeded"
    assert plan.status["resolved"]["ownImages"] == [
        {"stage": "train", "image": f"registry.test/train@{make.digest('8')}"}
    ]
    assert "prepared" not in plan.status["resolved"]
    assert plan.status["warnings"] == ["the column 'a' is odd"]


@pytest.mark.parametrize(
    ("code", "extra", "reason", "says"),
    [
        (1, {}, "Retrying", "your image of stage train ended with exit code 1: no convergence"),
        (2, {}, "TrainingFailed", "your image of stage train ended with exit code 2: no convergence"),
        (137, {"reason": "OOMKilled"}, "OutOfMemory", "raise spec.trainer.container.resources.limits.memory"),
    ],
)
def test_how_an_own_trainer_ends_is_said(code: int, extra: Raw, reason: str, says: str) -> None:
    plan = trained(
        "Failed", kubelet.terminated("train", code, "no convergence", **extra), reason="BackoffLimitExceeded"
    )
    assert plan.conditions["Ready"] == f"False/{reason}"
    assert says in plan.messages


def test_output_that_cannot_be_taken_in_ends_the_run() -> None:
    message = {"stage": "split", "reason": "PreparedDataInvalid", "message": "prepare left no train.parquet"}
    plan = failed("split", 2, message)
    assert plan.conditions["Failed"] == "True/PreparedDataInvalid"
