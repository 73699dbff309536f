"""A second run: the same model, or what differs from the one before."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_operator.render.training import parameters_digest
from tests.support import builders as make
from tests.support import kubelet
from tests.table.planning import Planned, attempt_job, ended, planned, training_job_of

Raw = dict[str, Any]
SOURCE = {"repository": "https://git.example.test/churn", "commit": "0123abc"}
IMAGE = "registry.test/training@sha256:" + "c" * 64
DATA = [{"name": "train", "uri": "sklearn://breast_cancer", "digest": make.digest("d"), "rows": 100}]


def subject() -> make.Maker:
    made = make.training_job().spec(source=SOURCE).status(attempt=1, job="x", startedAt="2026-03-01T12:00:00Z")
    return made.condition("Ready", "False", "Running")


def before(seed: str = "b", *, age_seconds: int = 60, **provenance: Any) -> make.Maker:
    """Return a version made earlier of just the same, but for what is given."""
    same = {
        "trainingJob": {"name": "earlier", "uid": "uid-of-earlier"},
        "source": SOURCE,
        "data": DATA,
        "image": make.SETTINGS.training_image,
        "imageDigest": "sha256:" + "c" * 64,
        "parametersDigest": parameters_digest(training_job_of(subject())),
        "seed": 0,
    }
    found = {key: value for key, value in (same | provenance).items() if value is not None}
    return make.verified(seed, age_seconds=age_seconds).spec(provenance=found)


def finished(*versions: make.Maker, image_id: str = IMAGE) -> Planned:
    """Return the pass that sees the run at its end; it made model a."""
    job = attempt_job(subject(), conditions=ended("Complete"))
    statuses = [{**status, "imageID": image_id} for status in kubelet.stage_statuses(kubelet.results())]
    pod = kubelet.pod_of(job, kubelet.pod_status(statuses, "Succeeded"))
    return planned(subject(), job, pod, *versions)


def test_what_the_model_was_made_of_is_recorded() -> None:
    plan = finished()
    made_of = plan.manifest("ModelVersion")["spec"]["provenance"]
    assert made_of["imageDigest"] == "sha256:" + "c" * 64
    assert made_of["source"] == SOURCE
    assert made_of["data"] == DATA
    assert made_of["seed"] == 0
    assert made_of["parametersDigest"] == plan.status["resolved"]["parametersDigest"]
    assert plan.status["resolved"]["imageDigest"] == made_of["imageDigest"]
    assert "differs" not in plan.status


FEATURES = {
    "names": ["spent"],
    "count": 1,
    "registryDigest": make.digest("1"),
    "sourcesDigest": make.digest("2"),
    "feastVersion": "0.67.0",
}
OTHER_DATA = [{**DATA[0], "digest": make.digest("e")}]


@pytest.mark.parametrize(
    ("provenance", "what"),
    [
        pytest.param({"data": OTHER_DATA}, ["data/train"], id="data"),
        pytest.param({"data": [*DATA, {**DATA[0], "name": "more"}]}, ["data/more"], id="a data set less"),
        pytest.param({"features": FEATURES}, ["features"], id="features"),
        pytest.param({"imageDigest": "sha256:" + "f" * 64}, ["image"], id="image"),
        pytest.param({"imageDigest": None, "image": "other:1"}, ["image"], id="image, its digest unknown"),
        pytest.param({"imageDigest": None}, [], id="the same name of an image, digest unknown"),
        pytest.param({"image": "mirror/training:1"}, [], id="the same image by another name"),
        pytest.param({"source": {**SOURCE, "commit": "fedcba9"}}, ["source"], id="source"),
        pytest.param({"source": None}, ["source"], id="no source"),
        pytest.param({"data": OTHER_DATA, "source": None}, ["data/train", "source"], id="several"),
        pytest.param({}, [], id="nothing that is recorded"),
    ],
)
def test_another_digest_says_what_differs(provenance: Raw, what: list[str]) -> None:
    plan = finished(before(**provenance))
    assert plan.conditions["Complete"] == "True/Succeeded"
    assert plan.status["differs"] == {"version": "churn-bbbbbbbbbb", "what": what}
    assert "churn-bbbbbbbbbb" in plan.messages
    assert all(item in plan.messages for item in what or ["threads or processor"])


@pytest.mark.parametrize(
    "version",
    [
        pytest.param(before(parametersDigest=make.digest("0")), id="other parameters"),
        pytest.param(before(parametersDigest=None), id="parameters unknown"),
        pytest.param(make.verified("b"), id="imported"),
    ],
)
def test_what_was_not_meant_to_be_the_same_is_not_compared(version: make.Maker) -> None:
    assert "differs" not in finished(version).status


def test_the_newest_of_several_is_compared() -> None:
    plan = finished(before("b", age_seconds=600, data=OTHER_DATA), before("c", age_seconds=60, source=None))
    assert plan.status["differs"] == {"version": "churn-cccccccccc", "what": ["source"]}


def test_the_same_digest_is_reproduced_and_differs_in_nothing() -> None:
    plan = finished(before("a"), before("b"))
    assert plan.conditions["Complete"] == "True/Reproduced"
    assert plan.status["reproduced"] is True
    assert "differs" not in plan.status


def test_after_a_crash_the_same_is_said() -> None:
    """The version was created, the status not written; a later version changes nothing."""
    own = {"trainingJob": {"name": "churn-train", "uid": "uid-of-churn-train"}}
    plan = finished(before("a", age_seconds=30, **own), before("b"), before("c", age_seconds=0, data=OTHER_DATA))
    assert plan.applies == []
    assert plan.status["differs"] == {"version": "churn-bbbbbbbbbb", "what": []}


@pytest.mark.parametrize("image_id", ["", "sha256:abc", "registry.test/training:1"])
def test_an_image_without_a_digest_has_none(image_id: str) -> None:
    assert "imageDigest" not in finished(image_id=image_id).status["resolved"]
