"""`reproduce` asks for the same job on the same data, and says whether the same model came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from modelwright_cli import structural
from tests.cli import worlds
from tests.cli.conftest import OURS, FakeApi

if TYPE_CHECKING:
    from collections.abc import Callable

Object = dict[str, Any]
DIGEST = "sha256:" + "da" * 32


def world(api: FakeApi, **status: Any) -> list[Object]:
    """Have a version and its job; return what will be created, which then has that status."""
    spec = {
        "model": "churn",
        "data": [{"name": "all", "uri": "pvc://lake/*.csv"}],
        "target": "y",
        "trainer": {"sklearn": {"estimator": "sklearn.linear_model.LogisticRegression"}},
        "evaluation": {"holdoutPercent": 25, "champion": {"deployment": "churn"}},
        "gates": [{"metric": "accuracy", "maxRegression": 0.1}],
        "suspend": False,
        "requestedBy": "bob",
    }
    kind = {"apiVersion": "modelwright.dev/v1alpha1"}
    api.put({**kind, "kind": "TrainingJob", "metadata": {"name": "nightly", "uid": "u-1"}, "spec": spec})
    provenance = {"trainingJob": {"name": "nightly", "uid": "u-1"}, "data": [{"name": "all", "digest": DIGEST}]}
    version = {"artifact": {"digest": worlds.DIGEST}, "provenance": provenance}
    api.put({**kind, "kind": "ModelVersion", "metadata": {"name": "churn-9f"}, "spec": version})
    me = {"status": {"userInfo": {"username": "ana"}}}
    api.answers["/apis/authentication.k8s.io/v1/selfsubjectreviews"] = me
    created: list[Object] = []

    def create(request: Object) -> Object:
        created.append(request["body"])
        run = request["body"]["metadata"]["name"]
        api.answers[f"{OURS}/trainingjobs/{run}"] = {**request["body"], "status": status}
        return created[-1]

    api.answers[f"{OURS}/trainingjobs"] = create
    return created


def test_the_same_model_is_reproduced(run: Callable[..., str], api: FakeApi) -> None:
    done = [worlds.condition("Complete", "True", "Published", "")]
    created = world(api, conditions=done, reproduced=True, modelVersion="churn-9f")
    assert run("reproduce", "churn-9f").endswith(f"reproduced: {worlds.DIGEST}\n")
    [made] = created
    assert made["spec"]["data"] == [{"name": "all", "uri": "pvc://lake/*.csv", "digest": DIGEST}]
    assert made["spec"]["evaluation"] == {"holdoutPercent": 25}
    assert made["spec"]["requestedBy"] == "ana"
    assert "gates" not in made["spec"]
    schema = structural.schema_of("TrainingJob")
    assert list(structural.unknown(schema, made)) == []
    assert list(structural.problems(schema, structural.defaulted(schema, made))) == []


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            {
                "conditions": [worlds.condition("Complete", "True", "Published", "")],
                "modelVersion": "churn-77",
                "differs": {"version": "churn-9f", "what": ["image"]},
            },
            "churn-77 came of it, not churn-9f: what differs is image",
        ),
        (
            {"conditions": [worlds.condition("Failed", "True", "DataInvalid", "changed")]},
            "failed: DataInvalid: changed",
        ),
        ({}, "has not ended within 1 s"),
    ],
)
def test_what_is_not_the_same_is_said(run: Callable[..., str], api: FakeApi, status: Object, words: str) -> None:
    world(api, **status)
    assert words in run("reproduce", "churn-9f", "--timeout", "1", code=1)


def test_a_job_that_is_gone_cannot_be_run_again(run: Callable[..., str], api: FakeApi) -> None:
    created = world(api)
    del api.answers[f"{OURS}/trainingjobs/nightly"]
    assert "is no longer there: apply it again from git" in run("reproduce", "churn-9f", code=1)
    assert created == []
