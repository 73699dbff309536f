"""What the operator renders is what servers and stages read; what they report is what the operator understands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from modelwright_operator import api, naming
from modelwright_operator.decide.observed import Job
from modelwright_operator.reasons import Reason
from modelwright_operator.render import search, serving, space, training, verification
from modelwright_server import contract as server_contract
from modelwright_server import schema
from modelwright_training import contract as training_contract
from modelwright_training import termination
from modelwright_training.feature_store import notes
from tests.golden.test_manifests import (
    CONTAINER_JOB,
    FEATURES_JOB,
    FULL,
    FULL_JOB,
    PREPARED_JOB,
    SEARCH,
    SMALL,
    VERSION,
)
from tests.support import builders as make
from tests.support import kubelet

Raw = dict[str, Any]


def _environment(container: Raw) -> dict[str, str]:
    return {item["name"]: item["value"] for item in container["env"]}


def _containers(manifest: Raw) -> dict[str, Raw]:
    pod = manifest["spec"]["template"]["spec"]
    return {container["name"]: container for container in (*pod.get("initContainers", ()), *pod["containers"])}


@pytest.mark.parametrize("deployment", [SMALL, FULL], ids=["small", "full"])
def test_the_server_reads_what_the_workload_sets(deployment: api.Deployment) -> None:
    manifest = serving.workload(deployment, VERSION, "0123456789", make.SETTINGS)
    containers = _containers(manifest)
    settings = server_contract.ServerSettings.from_env(_environment(containers["server"]))
    assert (settings.model_name, settings.model_version) == ("churn", VERSION.metadata.name)
    assert (settings.deployment, settings.namespace) == (deployment.metadata.name, "team")
    server = deployment.spec.server
    assert (settings.threads, settings.processes) == (server.threads, server.processes)
    assert (settings.batch_max_rows, settings.access_log) == (server.batching.max_rows, server.access_log)
    assert settings.ring_dir in {mount["mountPath"] for mount in containers["server"]["volumeMounts"]}
    fetch = server_contract.FetchSettings.from_env(_environment(containers["fetch"]))
    assert (fetch.artifact_uri, fetch.artifact_digest) == (VERSION.spec.artifact.uri, VERSION.spec.artifact.digest)
    assert settings.revision == manifest["metadata"]["labels"][naming.LABEL_REVISION]
    ports = {port["name"]: port["containerPort"] for port in containers["server"]["ports"]}
    assert ports == {"http": settings.rest_port, "grpc": settings.grpc_port, "metrics": settings.metrics_port}
    assert manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > settings.drain_seconds


def test_the_sidecar_follows_its_own_deployment_and_leaves_its_table_to_the_server() -> None:
    containers = _containers(serving.workload(SMALL, VERSION, "0123456789", make.SETTINGS))
    monitor, server = containers[naming.MONITOR_CONTAINER], containers["server"]
    settings = server_contract.MonitorSettings.from_env(_environment(monitor))
    assert (settings.deployment, settings.namespace) == (SMALL.metadata.name, "team")
    assert monitor["command"] == ["python", "-m", server_contract.MONITOR_MODULE]
    assert (monitor["restartPolicy"], [name for name in monitor if name.endswith("Probe")]) == ("Always", [])
    mounts = {
        (where, mount["mountPath"]): (mount["name"], mount.get("readOnly", False))
        for where, container in (("monitor", monitor), ("server", server))
        for mount in container["volumeMounts"]
    }
    read_by = server_contract.ServerSettings.from_env(_environment(server)).control_dir
    volume, read_only = mounts["monitor", settings.control_dir]
    assert not read_only
    assert mounts["server", read_by] == (volume, True)
    assert mounts["monitor", settings.credentials_dir][1]


@pytest.mark.parametrize("name", ["fetch", "server"])
def test_paths_a_serving_container_reads_are_mounted(name: str) -> None:
    container = _containers(serving.workload(SMALL, VERSION, "0123456789", make.SETTINGS))[name]
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert server_contract.DEFAULT_MODEL_DIR in mounted
    if name == "fetch":
        assert f"{server_contract.DEFAULT_STORES_DIR}/modelwright-models" in mounted


def test_the_service_leads_to_the_servers_ports() -> None:
    container = _containers(serving.workload(SMALL, VERSION, "0123456789", make.SETTINGS))["server"]
    names = {item["name"]: item["containerPort"] for item in container["ports"]}
    ports = {item["port"]: names[item["targetPort"]] for item in serving.service(SMALL, "0123456789")["spec"]["ports"]}
    settings = server_contract.ServerSettings.from_env(_environment(container))
    assert ports == {
        serving.SERVICE_PORT: settings.rest_port,
        server_contract.GRPC_PORT: settings.grpc_port,
        server_contract.METRICS_PORT: settings.metrics_port,
    }


def test_spans_go_where_the_operator_is_told() -> None:
    told = replace(make.SETTINGS, tracing_endpoint="http://collector:4318")
    container = _containers(serving.workload(SMALL, VERSION, "0123456789", told))["server"]
    settings = server_contract.ServerSettings.from_env(_environment(container))
    assert settings.tracing_endpoint == "http://collector:4318"


def test_probes_ask_the_servers_paths() -> None:
    container = _containers(serving.workload(SMALL, VERSION, "0123456789", make.SETTINGS))["server"]
    assert container["readinessProbe"]["httpGet"] == {
        "path": server_contract.READY_PATH,
        "port": server_contract.REST_PORT,
    }
    assert container["livenessProbe"]["httpGet"] == {
        "path": server_contract.LIVE_PATH,
        "port": server_contract.REST_PORT,
    }


def test_the_verification_reads_what_its_job_sets() -> None:
    manifest = verification.batch_job(VERSION, "1", make.SETTINGS)
    container = _containers(manifest)[naming.VERIFY_CONTAINER]
    settings = server_contract.FetchSettings.from_env(_environment(container))
    assert settings.artifact_digest == VERSION.spec.artifact.digest
    assert container["command"] == ["python", "-m", server_contract.FETCH_MODULE, server_contract.VERIFY_FLAG]
    [rule] = [rule for rule in manifest["spec"]["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"]
    assert rule["onExitCodes"]["values"] == [server_contract.ExitCode.PERMANENT]


@pytest.mark.parametrize("maker", [make.training_job(), FULL_JOB, PREPARED_JOB, CONTAINER_JOB, FEATURES_JOB])
def test_every_stage_reads_the_config_its_job_sets(maker: make.Maker) -> None:
    job = api.TrainingJob.model_validate(maker.stored())
    containers = _containers(training.batch_job(job, 1, make.SETTINGS))
    assert list(containers) == [stage.value for stage in training.job_config(job, make.SETTINGS).stages]
    for stage, container in containers.items():
        if container["image"].startswith("registry.test/"):
            assert stage in {"prepare", "train"}
            continue
        own = make.SETTINGS.feast_image if stage == "features" else make.SETTINGS.training_image
        assert container["image"] == own
        config = training_contract.JobConfig.from_json(_environment(container)[training_contract.ENV_JOB])
        assert config == training.job_config(job, make.SETTINGS)
        assert container["command"] == ["python", "-m", "modelwright_training", stage]
    assert (config.model, config.target, config.seed) == ("churn", job.spec.target, job.spec.seed)
    assert [source.uri for source in config.data] == [data.uri for data in job.spec.data]


def test_features_are_asked_for_as_the_spec_says_and_their_secret_is_for_fetch_alone() -> None:
    job = api.TrainingJob.model_validate(FEATURES_JOB.stored())
    config = training.job_config(job, make.SETTINGS)
    access = training_contract.StoreAccess(endpoint="https://minio.example.org", secret="features")  # noqa: S106
    feast = training_contract.Feast("s3://features/shop", "seen", service="churn", access=access)
    assert config.features == training_contract.FeatureSource(feast)
    containers = _containers(training.batch_job(job, 1, make.SETTINGS))
    secrets = {name: bool(container.get("envFrom")) for name, container in containers.items()}
    assert {name for name, has in secrets.items() if has} == {"fetch"}
    mounts = {name: {mount["mountPath"] for mount in item["volumeMounts"]} for name, item in containers.items()}
    assert mounts["features"] == {"/handover/to-features", "/handover/from-features", "/tmp"}  # noqa: S108


@pytest.mark.parametrize("name", ["f{}", "view__feature_{}", '"{}"' * 20, "ä{}" * 100])
def test_any_number_of_features_fits_into_message_and_status(name: str) -> None:
    names = [name.replace("{}", str(index)) for index in range(1000)]
    said = training_contract.FeaturesResult(notes.shown(names), 1000, make.digest("1"), make.digest("2"), "0.67.0")
    text = termination.result_text(said)
    assert training_contract.parse_message(text, training_contract.Stage.FEATURES) == said
    found = api.JoinedFeatures(
        names=list(said.names),
        count=said.count,
        registry_digest=said.registry,
        sources_digest=said.sources,
        feast_version=said.feast,
    )
    assert found.names == names[: len(found.names)]
    assert found.names


def test_a_full_config_carries_every_choice() -> None:
    config = training.job_config(api.TrainingJob.model_validate(FULL_JOB.stored()), make.SETTINGS)
    assert config.evaluation.holdout == "test"
    assert config.latency == training_contract.Latency(threads=2, rows=64)
    assert config.columns == training_contract.Columns(("id",), ("plan",), time="day", group="customer", weight="w")
    assert config.positive_label == "yes"
    assert config.schema == (
        training_contract.ColumnSchema("age", training_contract.ColumnType.INTEGER, nullable=False, min=0, max=130),
        training_contract.ColumnSchema(
            "plan", training_contract.ColumnType.TEXT, nullable=True, categories=("basic", "pro")
        ),
    )
    assert config.sklearn.parameters == {"max_iter": 200, "learning_rate": 0.1}
    assert config.sklearn.preprocessing is training_contract.Preprocessing.NONE
    assert config.storage.uri == "pvc://registry/models"
    assert config.task is training_contract.Task.CLASSIFICATION
    assert config.source.commit == "0123abc"
    assert config.gates == (training_contract.Gate("accuracy", min=0.9), training_contract.Gate("log_loss", max=0.5))
    assert config.data[0].digest == make.digest("e")


@pytest.mark.parametrize("reason", [*training_contract.Reason, *server_contract.Reason], ids=str)
def test_every_reason_a_pod_reports_is_one_of_ours(reason: str) -> None:
    assert Reason(reason).value == reason


def test_every_trial_reads_the_config_its_job_sets() -> None:
    job = api.TrainingJob.model_validate(SEARCH.stored())
    assert job.spec.tuning is not None
    manifest = search.batch_job(job, job.spec.tuning, 1, space.Round((0, 3), 2), make.SETTINGS, seconds=60)
    containers = _containers(manifest)
    assert list(containers) == [training_contract.Stage.FETCH, training_contract.Stage.TRIAL]
    for stage, container in containers.items():
        config = training_contract.JobConfig.from_json(_environment(container)[training_contract.ENV_JOB])
        assert container["command"] == ["python", "-m", "modelwright_training", stage]
        assert config.tuning is not None
        assert config.tuning.trials == (0, 3)
        plans = training_contract.trials(space.search_space(job, job.spec.tuning), job.spec.seed)
        assert training_contract.trials(config.tuning, config.seed) == plans
    assert search.round_of(Job(manifest)) == space.Round((0, 3), 2)
    codes = [rule["onExitCodes"]["values"] for rule in manifest["spec"]["podFailurePolicy"]["rules"][1:]]
    assert codes == [[training_contract.ExitCode.PERMANENT], [training_contract.ExitCode.TRIAL_FAILED]]


@pytest.mark.parametrize("stage", [training_contract.Stage(name) for name in kubelet.results()])
def test_results_as_the_tests_write_them_are_as_stages_do(stage: training_contract.Stage) -> None:
    message = training_contract.parse_message(naming.canonical_json(kubelet.results()[stage]), stage)
    assert message is not None
    assert not isinstance(message, training_contract.Failure)


def test_both_sides_agree_on_exit_codes() -> None:
    assert int(training_contract.ExitCode.PERMANENT) == int(server_contract.ExitCode.PERMANENT) == 2
    assert training_contract.DEFAULT_STORES_DIR == server_contract.DEFAULT_STORES_DIR


def test_what_a_verification_reports_of_a_schema_is_a_schema_of_ours() -> None:
    text = naming.canonical_json({**kubelet.SCHEMA, "outputs": [*kubelet.SCHEMA["outputs"]], "task": "Classification"})
    document = schema.parse(text.encode()).to_document()
    assert api.Schema.model_validate(document).inputs[0].columns == ["a", "b"]
