"""Rendering: what the golden files do not show."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from modelwright_operator import api, naming
from modelwright_operator.decide.observed import Job, Workload
from modelwright_operator.render import cleanup, common, network, serving, training, verification
from modelwright_operator.render.common import variables
from modelwright_operator.render.quantities import canonical
from modelwright_operator.settings import Store
from modelwright_server import contract
from modelwright_training.contract import StoreAccess
from tests.support import builders as make
from tests.support.builders import stored

Raw = dict[str, Any]


def job(**spec: Any) -> api.TrainingJob:
    return api.TrainingJob.model_validate(make.training_job().spec(**spec).stored())


VERSION = api.ModelVersion.model_validate(make.verified("a").stored())
DEPLOYMENT = api.Deployment.model_validate(make.deployment().stored())


def test_an_older_template_is_kept_whatever_is_rendered_now() -> None:
    older = make.SETTINGS.__class__(serving_image="s:old", training_image="t:old", feast_image="f:old")
    observed = Job(stored(training.batch_job(job(), 1, older)))
    again = training.batch_job(job(), 1, make.SETTINGS, observed)
    assert again["spec"]["template"] == training.batch_job(job(), 1, older)["spec"]["template"]
    assert again["metadata"]["annotations"] == observed.annotations


def test_pods_made_before_there_was_a_sidecar_get_none_by_an_upgrade() -> None:
    raw = stored(serving.workload(DEPLOYMENT, VERSION, "0123456789", make.SETTINGS))
    before = json.loads(raw["metadata"]["annotations"][naming.ANNOTATION_TEMPLATE])
    del before["spec"]["serviceAccountName"]
    before["spec"]["initContainers"].pop()
    raw["metadata"]["annotations"][naming.ANNOTATION_TEMPLATE] = naming.canonical_json(before)
    again = serving.workload(DEPLOYMENT, VERSION, "0123456789", make.SETTINGS, Workload(raw))
    assert again["spec"]["template"] == before
    assert again["metadata"]["annotations"][naming.ANNOTATION_TEMPLATE] == naming.canonical_json(before)


@pytest.mark.parametrize("spoilt", ["", "{", "[]", "null", '"text"'])
def test_a_spoilt_template_is_rendered_anew(spoilt: str) -> None:
    fresh = serving.workload(DEPLOYMENT, VERSION, "0123456789", make.SETTINGS)
    raw = stored(fresh)
    raw["metadata"]["annotations"] = {**raw["metadata"]["annotations"], naming.ANNOTATION_TEMPLATE: spoilt}
    assert serving.workload(DEPLOYMENT, VERSION, "0123456789", make.SETTINGS, Workload(raw)) == fresh


def test_the_template_in_the_annotation_is_the_one_applied() -> None:
    manifest = serving.workload(DEPLOYMENT, VERSION, "0123456789", make.SETTINGS)
    assert json.loads(manifest["metadata"]["annotations"][naming.ANNOTATION_TEMPLATE]) == manifest["spec"]["template"]


def test_the_parameters_digest_is_of_what_decides_the_model() -> None:
    digest = training.parameters_digest(job())
    assert digest == training.parameters_digest(job(suspend=True, retryLimit=0, resources={"limits": {"cpu": 1}}))
    assert digest == training.parameters_digest(job(evaluation={"holdoutPercent": 25, "latency": {"threads": 2}}))
    assert digest != training.parameters_digest(job(evaluation={"holdoutPercent": 20}))
    assert digest != training.parameters_digest(job(seed=1))
    assert digest != training.parameters_digest(job(target="other"))


@pytest.mark.parametrize(
    ("storage", "uri"), [(None, "pvc://modelwright-models/"), ({"uri": "pvc://mine/x"}, "pvc://mine/x")]
)
def test_models_go_where_the_job_or_the_settings_say(storage: Raw | None, uri: str) -> None:
    assert training.storage(job(storage=storage), make.SETTINGS).uri == uri


def test_models_go_to_the_store_of_the_settings() -> None:
    settings = replace(
        make.SETTINGS,
        default_storage_uri="s3://models/team",
        default_storage_endpoint="https://minio.example.test",
        default_storage_region="eu-test-1",
        default_storage_secret_name="models",  # noqa: S106  # a name
    )
    said = training.storage(job(), settings)
    assert training.storage(job(storage=said.model_dump(by_alias=True)), make.SETTINGS) == said
    assert training.job_config(job(), settings).storage.access == StoreAccess(said.endpoint, said.region, "models")
    pod = training.batch_job(job(), 1, settings)["spec"]["template"]["spec"]
    seen = {each["name"]: each["envFrom"] for each in (*pod["initContainers"], *pod["containers"]) if "envFrom" in each}
    assert seen == {"publish": [{"prefix": contract.secret_prefix("models"), "secretRef": {"name": "models"}}]}


def test_models_go_to_the_store_of_their_namespace() -> None:
    settings = replace(
        make.SETTINGS, namespace_stores={job().metadata.namespace: Store("s3://team/"), "b": Store("s3://b/")}
    )
    assert training.storage(job(), settings).uri == "s3://team/"
    assert training.storage(job(storage={"uri": "pvc://mine/x"}), settings).uri == "pvc://mine/x"


def test_one_claim_for_data_and_models_is_one_volume() -> None:
    subject = job(data=[{"name": "train", "uri": "pvc://lake/a.csv"}], storage={"uri": "pvc://lake/models"})
    pod = training.batch_job(subject, 1, make.SETTINGS)["spec"]["template"]["spec"]
    assert [volume["name"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume] == ["store-0"]


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        pytest.param({}, "5249ba0978", id="nothing said"),
        pytest.param({"batching": {}}, "5249ba0978", id="an empty part"),
        pytest.param(
            {"batching": {"maxRows": 512}, "processes": 1, "accessLog": False, "threads": 1},
            "5249ba0978",
            id="defaults",
        ),
        pytest.param(
            {"threads": 2, "resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}}},
            "8d52aca5ff",
            id="all of the first release",
        ),
    ],
)
def test_fields_added_since_the_first_release_restart_no_pods(server: Raw, expected: str) -> None:
    deployment = api.Deployment.model_validate(make.deployment().spec(server=server).stored())
    assert serving.revision_hash(deployment, VERSION) == expected


@pytest.mark.parametrize("server", [{"batching": {"maxRows": 1}}, {"processes": 2}, {"accessLog": True}], ids=str)
def test_server_settings_make_a_new_revision(server: Raw) -> None:
    deployment = api.Deployment.model_validate(make.deployment().spec(server=server).stored())
    assert serving.revision_hash(deployment, VERSION) != serving.revision_hash(DEPLOYMENT, VERSION)


@pytest.mark.parametrize("processes", [1, 4, 64])
def test_rings_and_compute_grow_with_the_processes(processes: int) -> None:
    deployment = api.Deployment.model_validate(make.deployment().spec(server={"processes": processes}).stored())
    pod = serving.workload(deployment, VERSION, "0123456789", make.SETTINGS)["spec"]["template"]["spec"]
    [ring] = [volume["emptyDir"] for volume in pod["volumes"] if volume["name"] == "ring"]
    assert ring["medium"] == "Memory"
    assert int(ring["sizeLimit"].removesuffix("Mi")) > processes
    resources = pod["containers"][0]["resources"]
    assert resources["limits"]["memory"] == canonical(f"{512 * processes}Mi")
    cpu, memory = canonical(f"{50 * processes}m"), canonical(f"{128 * processes}Mi")
    assert resources["requests"] == {"cpu": cpu, "memory": memory}


def test_empty_variables_are_left_out_as_the_api_server_would() -> None:
    assert [item.name for item in variables({"B": "1", "A": "2", "C": ""})] == ["A", "B"]


def test_a_users_labels_never_replace_ours() -> None:
    pod = {"labels": {"team": "risk"}}
    deployment = api.Deployment.model_validate(make.deployment().spec(pod=pod).stored())
    labels = serving.workload(deployment, VERSION, "0123456789", make.SETTINGS)["spec"]["template"]["metadata"][
        "labels"
    ]
    assert labels["team"] == "risk"
    assert labels[naming.LABEL_REVISION] == "0123456789"


def test_what_is_not_given_comes_from_the_default() -> None:
    default = api.Resources(requests=api.ResourceList(cpu="1500m"))
    assert common.resources(None, default).requests == {"cpu": "1500m"}
    given = api.Resources(limits=api.ResourceList(memory="2048Mi"))
    rendered = common.resources(given, default)
    assert (rendered.requests, rendered.limits) == (None, {"memory": "2Gi"})


@pytest.mark.parametrize("name", ["churn", "a" * 35])
def test_every_name_of_a_deployments_children_is_a_label(name: str) -> None:
    deployment = api.Deployment.model_validate(make.deployment(name).stored())
    revision = serving.revision_hash(deployment, VERSION)
    for manifest in (
        serving.workload(deployment, VERSION, revision, make.SETTINGS),
        serving.service(deployment, revision),
        serving.disruption_budget(deployment, revision),
        network.policy(deployment, make.SETTINGS),
    ):
        assert len(manifest["metadata"]["name"]) <= 47
        assert all(len(value) <= 63 for value in manifest["metadata"]["labels"].values())


def test_credentials_reach_the_stages_that_need_them_alone() -> None:
    subject = job(
        data=[
            {"name": "a", "uri": "s3://lake/a.csv", "secretName": "lake", "region": "eu-test-1"},
            {"name": "b", "uri": "s3://lake/b.csv", "secretName": "lake"},
            {"name": "c", "uri": "https://example.test/c.csv", "secretName": "web"},
        ]
    )
    pod = training.batch_job(subject, 1, make.SETTINGS)["spec"]["template"]["spec"]
    seen = {each["name"]: each["envFrom"] for each in (*pod["initContainers"], *pod["containers"]) if "envFrom" in each}
    assert seen == {
        "fetch": [{"prefix": contract.secret_prefix(name), "secretRef": {"name": name}} for name in ("lake", "web")]
    }


def test_every_pod_pulls_its_images_with_the_installations_secrets_too() -> None:
    settings = replace(make.SETTINGS, image_pull_secrets=("mirror", "own"))
    pod = {"imagePullSecrets": [{"name": "own"}]}
    deployment = api.Deployment.model_validate(make.deployment().spec(pod=pod).stored())
    version = api.ModelVersion.model_validate(make.model_version("a").stored())
    training_job = api.TrainingJob.model_validate(make.training_job().stored())
    made = {
        "serving": serving.workload(deployment, VERSION, serving.revision_hash(deployment, VERSION), settings),
        "training": training.batch_job(training_job, 1, settings),
        "verification": verification.batch_job(version, "1", settings),
        "cleanup": cleanup.batch_job(version, "1", settings),
    }
    pulled = {
        name: [secret["name"] for secret in manifest["spec"]["template"]["spec"]["imagePullSecrets"]]
        for name, manifest in made.items()
    }
    everywhere = {name: ["mirror", "own"] for name in made}
    assert pulled == {**everywhere, "serving": ["own", "mirror"]}
