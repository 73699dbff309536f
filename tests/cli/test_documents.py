"""Documents of a version: whole where all is known, honest where nothing is, valid by the formats' own schemas."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.cli import worlds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import FakeApi

Object = dict[str, Any]
NAME = "churn-9f2c41ab07"
DATA = "sha256:" + "da" * 32
IMAGE = "sha256:" + "1a" * 32


def version(**spec: Any) -> Object:
    provenance = {
        "trainingJob": {"name": "nightly", "uid": "u-1"},
        "requestedBy": "tom",
        "source": {"repository": "https://git.example.org/churn", "commit": "c0ffee" + "0" * 34},
        "data": [{"name": "train", "uri": "s3://lake/churn.csv", "digest": DATA, "rows": 500}],
        "prepared": [{"name": "train", "digest": DATA, "rows": 480}],
        "image": "registry/modelwright/training:1",
        "imageDigest": IMAGE,
        "ownImages": [{"stage": "prepare", "image": f"registry/own@{IMAGE}"}],
        "parametersDigest": "sha256:" + "56" * 32,
        "seed": 7,
        "trials": 12,
    }
    return {
        "apiVersion": "modelwright.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": NAME, "namespace": "team", "uid": "v-1", "creationTimestamp": "2026-11-20T08:00:00Z"},
        "spec": {
            "model": "churn",
            "artifact": {"uri": "s3://models/churn/9f", "digest": worlds.DIGEST},
            "schema": {
                "task": "Classification",
                "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 2], "columns": ["age", "plan"]}],
                "outputs": [{"name": "label", "datatype": "INT64", "shape": [-1]}],
            },
            "metrics": [
                {"name": "roc_auc", "value": 0.91, "low": 0.9, "high": 0.92, "dataset": "holdout"},
                {"name": "latencyP99Milliseconds", "value": 0.4, "dataset": "latency"},
            ],
            "provenance": provenance,
            "card": {
                "owner": "risk team",
                "intendedUse": "rank customers for a call",
                "limitations": "not for prices",
                "riskTier": "High",
            },
            "approval": {"state": "Approved", "by": "ana", "reason": "as good as before"},
            **spec,
        },
        "status": {
            "conditions": [worlds.condition("Verified", "True", "PublishedByTrainingJob", "published and checked")],
            "history": [
                {"at": "2026-11-20T08:00:01Z", "event": "PublishedByTrainingJob", "message": "published and checked"},
                {"at": "2026-11-20T09:00:00Z", "event": "Approved", "message": "approved by ana: as good as before"},
            ],
        },
    }


def job() -> Object:
    return {
        "apiVersion": "modelwright.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "nightly", "namespace": "team", "uid": "u-1"},
        "spec": {
            "target": "churned",
            "trainer": {"sklearn": {"estimator": "sklearn.linear_model.LogisticRegression", "parameters": {"C": 0.5}}},
            "evaluation": {"holdoutPercent": 25, "slices": ["region"]},
        },
        "status": {
            "task": "Classification",
            "gates": [
                {"metric": "roc_auc", "min": 0.9, "observed": 0.91, "verdict": "Passed"},
                {
                    "metric": "selection_rate_difference",
                    "max": 0.2,
                    "slice": "region",
                    "group": "north",
                    "observed": 0.12,
                    "verdict": "Passed",
                },
            ],
            "resolved": {"champion": {"version": "churn-77aa01cd3e", "digest": DATA}},
        },
    }


def deployment() -> Object:
    found = worlds.deployment(
        quality={"metric": "accuracy", "version": NAME, "value": 0.89, "low": 0.87, "high": 0.91, "labels": 1200}
    )
    found["spec"] |= {
        "server": {"resources": {"requests": {"cpu": "1"}}, "accessLog": True},
        "rollout": {"steps": [{"weight": 5}, {"weight": 50, "approval": "Required"}]},
        "retraining": {"triggers": ["DataDrift"], "trainingJob": "nightly", "maxPerWeek": 3},
    }
    found["spec"]["monitoring"] |= {
        "window": {"rows": 2000},
        "quality": {"metric": "accuracy", "min": 0.88},
        "maxModelAgeSeconds": 7776000,
        "capture": {"uri": "s3://lake/captured/", "samplePercent": 5},
    }
    found["status"] |= {"stable": {"version": NAME, "revision": "0123456789"}, "url": "http://churn.team.svc:8080"}
    return found


@pytest.fixture
def known(api: FakeApi) -> FakeApi:
    """Give a namespace that has everything about a version."""
    other = version()
    other["metadata"] = {**other["metadata"], "name": "churn-77aa01cd3e", "creationTimestamp": "2026-10-01T08:00:00Z"}
    api.put(version(), other, job(), deployment())
    return api


@pytest.fixture
def bare(api: FakeApi) -> FakeApi:
    """Give one that has an imported version and nothing else."""
    plain = version()
    plain["spec"] = {key: plain["spec"][key] for key in ("model", "artifact")}
    plain["status"] = {}
    api.put(plain)
    for plural in ("modeldeployments",):
        api.answers[f"/apis/modelwright.dev/v1alpha1/namespaces/team/{plural}"] = {"metadata": {}, "items": []}
    return api


def facts(said: str, text: int, number: str) -> dict[str, Object]:
    """Return a section's facts by their label."""
    sections = json.loads(said)["texts"][text]["sections"]
    return {fact["label"]: fact for one in sections if one["number"] == number for fact in one["facts"]}


@pytest.mark.usefixtures("known")
def test_a_dossier_has_every_section_and_what_the_cluster_holds(run: Callable[..., str]) -> None:
    said = run("dossier", NAME, "-o", "json")
    numbers = [[section["number"] for section in one["sections"]] for one in json.loads(said)["texts"]]
    assert numbers == [list("123456789"), list("abcdef")]
    general = facts(said, 0, "1")
    assert general["intended use"]["values"] == ["rank customers for a call"]
    assert general["other versions of the model"]["values"] == [
        "churn-77aa01cd3e, recorded 2026-10-01T08:00:00Z",
    ]
    assert "serves as stable, at http://churn.team.svc:8080" in general["where it serves"]["values"][0]
    assert general["compute that it is served on"]["values"] == ["Deployment churn: requests cpu 1"]
    made = facts(said, 0, "2")
    assert f"train: s3://lake/churn.csv, {DATA}, 500 rows" in made["training, validation and test data"]["values"]
    assert "parameter C=0.5" in made["method and parameters"]["values"]
    assert "trials tried 12" in made["method and parameters"]["values"]
    assert made["groups of people or cases (slices)"]["values"] == [
        "selection_rate_difference of region max 0.2: Passed, observed 0.12 in north"
    ]
    assert "step 2 of a rollout waits for an approval" in made["where people decide"]["values"][0]
    assert facts(said, 0, "4")["gates before it became a version"]["values"] == [
        "roc_auc min 0.9: Passed, observed 0.91"
    ]
    changes = facts(said, 0, "6")["what happened (the last 50 lines of each object)"]["values"]
    assert [item.split()[2] for item in changes] == ["PublishedByTrainingJob:", "Approved:", "Promoted:"]
    after = facts(said, 0, "9")
    assert "accuracy of labelled rows at least 0.88" in after["what is watched of live traffic"]["values"][0]
    assert any("DataDriftDetected True" in item for item in after["what was found of live traffic"]["values"])
    labelled = after["outcomes: predictions against labels that came back"]["values"]
    assert labelled == ["Deployment churn: accuracy 0.89 (0.87 to 0.91) by 1200 labels"]
    validated = facts(said, 1, "d")
    independence = validated["independence of who decided from who developed"]["values"]
    assert independence == ["requested by tom, decided by ana: two persons"]
    empty = {
        fact["label"]
        for one in json.loads(said)["texts"]
        for s in one["sections"]
        for fact in s["facts"]
        if fact["empty"]
    }
    outside = {"instructions for use", "standards", "declaration", "risk management", "post-market monitoring plan"}
    assert outside <= empty
    assert all("attach " in fact["toFill"] for fact in facts(said, 0, "8").values())


@pytest.mark.usefixtures("known")
def test_a_dossier_for_people_names_at_its_end_what_is_empty(run: Callable[..., str]) -> None:
    said = run("dossier", NAME)
    assert said.startswith(f"# Dossier of {NAME}\n")
    assert "### 9. Evaluation after it is placed on the market (Article 72)" in said
    assert "### d. Validation independent of development" in said
    last = said.partition("## What is empty")[2]
    assert "- declaration: attach a copy of the declaration of conformity" in last
    assert "(Annex IV 8)" in last
    assert "- intended use" not in last


@pytest.mark.usefixtures("bare")
def test_what_nobody_said_is_named_with_the_field_to_fill(run: Callable[..., str]) -> None:
    said = run("dossier", NAME)
    last = said.partition("## What is empty")[2]
    assert f"intended use: say it in spec.card.intendedUse of mv/{NAME}" in last
    assert "- risk tier: say it in spec.card.riskTier" in last
    assert "set spec.monitoring of the Deployment that serves it" in last
    assert "- approval: have somebody who may approve say so" in last
    general = facts(run("dossier", NAME, "-o", "json"), 0, "1")
    assert general["intended use"]["empty"]
    assert not general["model and version"]["empty"]


def test_texts_of_others_stay_texts(run: Callable[..., str], api: FakeApi) -> None:
    hostile = "<img src=x onerror=alert(1)> [click](http://evil) \x1b[31m | # head"
    made = version(card={"owner": hostile, "intendedUse": f"two\n\n## Approval\n{hostile}", "riskTier": "Low"})
    api.put(made, job(), deployment())
    for command in (("dossier", NAME), ("export", "model-card", NAME)):
        said = run(*command)
        assert "<img" not in said.partition("\n---\n")[2 if command[0] == "export" else 0]
        assert "\\[click\\](http://evil)" in said
        assert said.count("\n## Approval") == (1 if command[0] == "export" else 0)


@pytest.mark.usefixtures("known")
def test_the_bill_of_materials_is_valid_and_has_all_that_the_model_was_made_of(
    run: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / "churn.cdx.json"
    assert run("export", "cyclonedx", NAME, "-o", str(file)) == f"written: {file}\n"
    said = file.read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(said) is None
    document = json.loads(said)
    model = document["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "churn", "9f2c41ab07")
    assert model["hashes"] == [{"alg": "SHA-256", "content": "9f" * 32}]
    assert model["pedigree"]["commits"][0]["uid"].startswith("c0ffee")
    card = model["modelCard"]
    assert card["modelParameters"]["task"] == "tabular-classification"
    assert card["modelParameters"]["modelArchitecture"] == "sklearn.linear_model.LogisticRegression"
    measured = card["quantitativeAnalysis"]["performanceMetrics"]
    assert measured[0]["confidenceInterval"] == {"lowerBound": "0.9", "upperBound": "0.92"}
    assert measured[-1] == {"type": "selection_rate_difference", "value": "0.12", "slice": "region=north"}
    assert card["considerations"]["technicalLimitations"] == ["not for prices"]
    kinds = {item["bom-ref"]: item["type"] for item in document["components"]}
    assert kinds == {
        "data:train": "data",
        "prepared:train": "data",
        "image:training": "container",
        "image:own:prepare": "container",
    }
    [on] = [item["dependsOn"] for item in document["dependencies"] if item["ref"] == model["bom-ref"]]
    assert on == list(kinds)
    assert {"name": "modelwright:approvedBy", "value": "ana"} in model["properties"]


@pytest.mark.usefixtures("bare")
def test_the_bill_of_an_imported_version_is_valid_and_claims_nothing(run: Callable[..., str]) -> None:
    said = run("export", "cyclonedx", NAME)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(said) is None
    document = json.loads(said)
    assert document["components"] == []
    assert "supplier" not in document["metadata"]["component"]


@pytest.mark.usefixtures("known")
def test_the_model_card_has_front_matter_and_sections(run: Callable[..., str]) -> None:
    _, front, body = run("export", "model-card", NAME).split("---\n", 2)
    told = yaml.safe_load(front)
    assert told["pipeline_tag"] == "tabular-classification"
    results = told["model-index"][0]["results"]
    assert results[0]["metrics"] == [{"type": "roc_auc", "name": "roc_auc", "value": 0.91}]
    assert [item["dataset"]["name"] for item in results] == ["holdout", "latency"]
    assert [line for line in body.splitlines() if line.startswith("## ")] == [
        *("## Model", "## Intended use", "## Training", "## Evaluation", "## Approval", "## In use")
    ]
    assert "- rank customers for a call" in body


@pytest.mark.usefixtures("bare")
def test_the_model_card_of_an_imported_version_says_what_is_not_stated(run: Callable[..., str]) -> None:
    said = run("export", "model-card", NAME)
    assert "pipeline_tag" not in said
    assert "**intended use**\n\nNot stated." in said


def test_a_version_that_is_not_there_is_said_in_one_line(run: Callable[..., str]) -> None:
    for command in (("dossier",), ("export", "cyclonedx"), ("export", "model-card")):
        said = run(*command, "nobody", code=1)
        assert said.startswith("error: ModelVersion nobody is not in namespace team: ")
