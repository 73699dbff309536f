"""What users copy works: every example and every YAML block passes what the API server would check."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from modelwright_cli import structural
from modelwright_operator import api, naming
from modelwright_operator.render import training as render
from modelwright_operator.settings import Settings
from modelwright_training import contract, dataset
from tests.docs import pages

_SPECS: dict[str, type[BaseModel]] = {
    naming.TRAINING_JOB: api.TrainingJobSpec,
    naming.MODEL_VERSION: api.ModelVersionSpec,
    naming.DEPLOYMENT: api.DeploymentSpec,
}
_FILES = sorted(pages.EXAMPLES.rglob("*.yaml"))
_BLOCKS = [
    pytest.param(block.text, id=f"{pages.shown(path)}-{index}")
    for path in pages.PAGES
    for index, block in enumerate(pages.blocks(path, "yaml"))
]
_RBAC = "rbac.authorization.k8s.io/v1"
_FOREIGN = {
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Pod"),
    ("v1", "ServiceAccount"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    (_RBAC, "Role"),
    (_RBAC, "RoleBinding"),
}
_SETTINGS = Settings(serving_image="serving", training_image="training", feast_image="feast")


def _check(document: dict[str, Any]) -> None:
    """Check one object as the API server and the operator would."""
    assert document["metadata"]["name"]
    if document["apiVersion"] != naming.API_VERSION:
        assert (document["apiVersion"], document["kind"]) in _FOREIGN
        return
    kind = document["kind"]
    schema = structural.schema_of(kind)
    assert list(structural.unknown(schema, document)) == []
    assert list(structural.problems(schema, structural.defaulted(schema, document))) == []
    _SPECS[kind].model_validate(document["spec"])


def _embedded(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the objects that a workflow of Argo creates; what they may lack is the name, which is generated."""
    made = [template["resource"]["manifest"] for template in workflow["spec"]["templates"] if "resource" in template]
    found = [document for text in made for document in pages.documents(text)]
    return [{**item, "metadata": {"name": f"{item['metadata']['generateName']}x"}} for item in found]


@pytest.mark.parametrize("path", _FILES, ids=pages.shown)
def test_an_example_is_valid(path: Path) -> None:
    documents = pages.documents(pages.read(path))
    assert documents
    for document in documents:
        for item in _embedded(document) if document["kind"] == "Workflow" else [document]:
            _check(item)


@pytest.mark.parametrize("text", _BLOCKS)
def test_a_yaml_block_is_valid(text: str) -> None:
    documents = pages.documents(text)
    assert documents
    for document in documents:
        _check(document)


@pytest.mark.parametrize("path", pages.PAGES, ids=pages.shown)
def test_json_blocks_are_json(path: Path) -> None:
    for block in pages.blocks(path, "json"):
        json.loads(block.text)


def test_a_wrong_example_would_be_noticed() -> None:
    deployment = pages.documents(pages.read(pages.EXAMPLES / "quickstart" / "deployment.yaml"))[0]
    deployment["spec"]["replicaz"] = 2
    with pytest.raises(AssertionError, match="replicaz"):
        _check(deployment)


def test_objects_of_one_folder_have_names_of_their_own() -> None:
    for folder in {path.parent for path in _FILES}:
        found = [
            (document["kind"], document["metadata"].get("name") or document["metadata"]["generateName"])
            for path in sorted(folder.glob("*.yaml"))
            for document in pages.documents(pages.read(path))
        ]
        assert len(set(found)) == len(found)


def test_the_quickstart_is_what_kubectl_can_apply_as_a_folder() -> None:
    assert {path.name for path in (pages.EXAMPLES / "quickstart").iterdir()} == {
        "storage.yaml",
        "training.yaml",
        "deployment.yaml",
    }


def _job(path: Path) -> contract.JobConfig:
    document = pages.documents(pages.read(path))[0]
    document["metadata"] |= {"namespace": "team", "uid": "1"}
    return render.job_config(api.TrainingJob.model_validate(document), _SETTINGS)


@pytest.mark.parametrize(
    ("folder", "request_name"), [("quickstart", "breast-cancer.json"), ("csv", "churn.json")], ids=["quickstart", "csv"]
)
def test_data_and_request_of_an_example_fit_together(folder: str, request_name: str, tmp_path: Path) -> None:
    (tmp_path / "churn-data").mkdir()
    shutil.copy(pages.EXAMPLES / "csv" / "customers.csv", tmp_path / "churn-data")
    job = _job(pages.EXAMPLES / folder / "training.yaml")
    data = dataset.load(job, contract.Task.CLASSIFICATION, tmp_path)
    assert data.rows.holdout > 100
    sent = {
        tensor["name"]: tensor
        for tensor in json.loads((pages.EXAMPLES / "requests" / request_name).read_text(encoding="utf-8"))["inputs"]
    }
    fed = data.holdout.values.take(data.holdout.target[:0].astype(int)).feed()
    assert list(sent) == [feature.input for feature in data.features.all] or list(sent) == list(fed)
    for name, tensor in sent.items():
        assert tensor["shape"] == [2, fed[name].shape[1]]
    if not data.features.is_matrix:
        assert [tensor["datatype"] for tensor in sent.values()] == [feature.kind.value for feature in data.features.all]
