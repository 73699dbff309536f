"""Everything the operator creates, as YAML to read in a review."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from modelwright_operator import api, naming
from modelwright_operator.decide.training import Trained
from modelwright_operator.render import (
    autoscaler,
    cleanup,
    gateway,
    network,
    search,
    serving,
    sidecar,
    space,
    training,
    verification,
)
from modelwright_operator.render.version import model_version_of
from modelwright_training import contract
from tests.golden.conftest import FOLDER
from tests.support import builders as make
from tests.support import kubelet

if TYPE_CHECKING:
    from collections.abc import Callable

Raw = dict[str, Any]
Check = "Callable[[str, Any], None]"

POD = {
    "labels": {"team": "risk"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "batch", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}],
    "priorityClassName": "low",
    "imagePullSecrets": [{"name": "registry"}],
}
FULL_JOB = make.training_job("full", model="churn").spec(
    source={"repository": "https://git.example.test/churn", "commit": "0123abc"},
    data=[
        {"name": "train", "uri": "pvc://lake/churn/*.parquet", "digest": make.digest("e")},
        {"name": "test", "uri": "pvc://lake/holdout.csv"},
    ],
    target="churned",
    task="Classification",
    positiveLabel="yes",
    schema=[
        {"name": "age", "type": "Integer", "nullable": False, "min": 0, "max": 130},
        {"name": "plan", "type": "Text", "nullable": True, "categories": ["basic", "pro"]},
    ],
    columns={"drop": ["id"], "categorical": ["plan"], "time": "day", "group": "customer", "weight": "w"},
    trainer={
        "sklearn": {
            "estimator": "sklearn.ensemble.HistGradientBoostingClassifier",
            "parameters": {"max_iter": 200, "learning_rate": 0.1},
            "preprocessing": "None",
        }
    },
    evaluation={
        "holdout": "test",
        "latency": {"resources": {"limits": {"cpu": 1, "memory": "1Gi"}}, "threads": 2, "rows": 64},
    },
    gates=[{"metric": "accuracy", "min": 0.9}, {"metric": "log_loss", "max": 0.5}],
    seed=7,
    resources={"requests": {"cpu": "1500m", "memory": "1024Mi"}, "limits": {"memory": "1.5Gi"}},
    pod=POD,
    storage={"uri": "pvc://registry/models"},
    activeDeadlineSeconds=7200,
)


def _job(maker: make.Maker) -> api.TrainingJob:
    return api.TrainingJob.model_validate(maker.stored())


def _version(maker: make.Maker) -> api.ModelVersion:
    return api.ModelVersion.model_validate(maker.stored())


def _deployment(maker: make.Maker) -> api.Deployment:
    return api.Deployment.model_validate(maker.stored())


def _trained() -> Trained:
    said = {
        name: contract.parse_message(naming.canonical_json(text), contract.Stage(name))
        for name, text in kubelet.results().items()
    }
    results: Any = said
    return Trained((), results["fetch"], results["evaluate"], results["publish"], None)


VERSION = _version(make.verified("a"))
SMALL = _deployment(make.deployment(version=VERSION.metadata.name))
FULL = _deployment(
    make.deployment("full", version=VERSION.metadata.name).spec(
        replicas=3,
        server={
            "threads": 2,
            "processes": 4,
            "batching": {"maxRows": 1},
            "accessLog": True,
            "resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}},
        },
        pod=POD,
        progressDeadlineSeconds=120,
    )
)

ROUTED = _deployment(
    make.deployment("routed", version=VERSION.metadata.name).spec(
        traffic={
            "mode": "GatewayAPI",
            "gateway": {
                "parentRefs": [{"name": "public", "namespace": "edge", "sectionName": "https", "port": 443}],
                "hostnames": ["churn.example.test"],
            },
            "match": {"header": "x-canary", "value": "always"},
        }
    )
)


GUARDED = _deployment(
    make.deployment(version=VERSION.metadata.name).spec(
        access={
            "from": [
                {
                    "namespaceSelector": {"matchLabels": {"team": "shop"}},
                    "podSelector": {"matchLabels": {"app": "web"}},
                },
                {"ipBlock": {"cidr": "10.9.0.0/16"}},
            ],
            "feedbackFrom": [{"podSelector": {"matchLabels": {"app": "truth"}}}],
        },
        monitoring={
            "quality": {"metric": "accuracy", "min": 0.9, "maxLabelDelaySeconds": 86400},
            "payloadLog": {"url": "http://sink.team.svc"},
        },
    )
)

TUNING: Raw = {
    "algorithm": "Random",
    "maxTrials": 4,
    "parallelism": 2,
    "maxFailedTrials": 1,
    "metric": "roc_auc",
    "space": [
        {"parameter": "C", "min": 0.01, "max": 10, "scale": "Log"},
        {"parameter": "solver", "values": ["lbfgs", "saga"]},
    ],
}
SEARCH = make.training_job("search").spec(tuning=TUNING)
SEARCHED = (
    make.training_job("search")
    .spec(tuning=TUNING)
    .status(
        tuning={
            "state": "Finished",
            "stopped": "AllTrialsEnded",
            "metric": "roc_auc",
            "dataDigest": make.digest("d"),
            "trials": [{"trial": 0, "state": "Succeeded", "score": 0.9}, {"trial": 1, "state": "Failed"}],
        },
        bestTrial={"trial": 0, "score": 0.9, "metric": "roc_auc", "parameters": {"C": 0.1, "solver": "lbfgs"}},
    )
)


def _search(maker: make.Maker, *, stop: bool) -> Raw:
    job = _job(maker)
    assert job.spec.tuning is not None
    what = space.Round((0, 2, 3))
    return search.batch_job(job, job.spec.tuning, 1, what, make.SETTINGS, seconds=600, failures=1, stop=stop)


AUTOSCALED = _deployment(
    make.deployment(version=VERSION.metadata.name).spec(
        autoscaling={"minReplicas": 2, "maxReplicas": 10, "targetCPUPercent": 60}
    )
)


def _autoscaler(deployment: api.Deployment, *, grows_only: bool) -> Raw:
    rules = deployment.spec.autoscaling
    assert rules is not None
    return autoscaler.autoscaler(deployment, rules, serving.revision_hash(deployment, VERSION), grows_only=grows_only)


CAPTURING = _deployment(
    make.deployment(version=VERSION.metadata.name).spec(
        monitoring={
            "capture": {
                "uri": "s3://lake/captured",
                "endpoint": "https://minio.example.org",
                "region": "eu-test-1",
                "secretName": "lake",
                "samplePercent": 5,
                "redact": ["ssn", "birthday"],
            }
        }
    )
)


def _workload(deployment: api.Deployment) -> Raw:
    return serving.workload(deployment, VERSION, serving.revision_hash(deployment, VERSION), make.SETTINGS)


OWN = {
    "image": "registry.test/churn/prepare@sha256:" + "1" * 64,
    "command": ["python", "/app/prepare.py"],
    "args": ["--clean"],
    "env": [{"name": "LEVEL", "value": "3"}, {"name": "HOME", "value": "/home/own"}],
}
FEATURES_JOB = make.training_job("features", model="churn").spec(
    data=[{"name": "train", "uri": "pvc://lake/churn.parquet"}],
    target="churned",
    features={
        "feast": {
            "uri": "s3://features/shop",
            "endpoint": "https://minio.example.org",
            "secretName": "features",
            "service": "churn",
            "timestamp": "seen",
        }
    },
    prepare={"image": "registry.test/prepare:1"},
)
PREPARED_JOB = make.training_job("prepared", model="churn").spec(
    prepare={**OWN, "resources": {"limits": {"memory": "4Gi"}}}, data=[{"name": "train", "uri": "pvc://lake/churn.csv"}]
)


CONTAINER_JOB = make.training_job("own", model="churn").spec(
    prepare=OWN, task="Classification", trainer={"container": {**OWN, "image": "registry.test/churn/train:2"}}
)


MANIFESTS: dict[str, Callable[[], Raw]] = {
    "monitor-account": lambda: sidecar.account("team"),
    "monitor-binding": lambda: sidecar.binding("team", make.SETTINGS.monitor_role),
    "training-job": lambda: training.batch_job(_job(make.training_job()), 1, make.SETTINGS),
    "training-job-full": lambda: training.batch_job(_job(FULL_JOB), 2, make.SETTINGS),
    "training-job-features": lambda: training.batch_job(_job(FEATURES_JOB), 1, make.SETTINGS),
    "training-job-prepared": lambda: training.batch_job(_job(PREPARED_JOB), 1, make.SETTINGS),
    "training-job-container": lambda: training.batch_job(_job(CONTAINER_JOB), 1, make.SETTINGS),
    "training-job-suspended": lambda: training.batch_job(
        _job(make.training_job().spec(suspend=True)), 1, make.SETTINGS
    ),
    "training-job-search": lambda: _search(SEARCH, stop=False),
    "training-job-search-stopped": lambda: _search(SEARCH, stop=True),
    "training-job-searched": lambda: training.batch_job(_job(SEARCHED), 1, make.SETTINGS),
    "training-job-expiring": lambda: training.batch_job(_job(make.training_job()), 1, make.SETTINGS, expire=True),
    "model-version": lambda: model_version_of(
        _job(make.training_job()), _trained(), make.SETTINGS.training_image, make.SETTINGS
    ),
    "verification-job": lambda: verification.batch_job(_version(make.model_version("a")), "1", make.SETTINGS),
    "cleanup-job": lambda: cleanup.batch_job(_version(make.model_version("a")), "1", make.SETTINGS),
    "workload": lambda: _workload(SMALL),
    "workload-full": lambda: _workload(FULL),
    "workload-capturing": lambda: _workload(CAPTURING),
    "service": lambda: serving.service(SMALL, serving.revision_hash(SMALL, VERSION)),
    "autoscaler": lambda: _autoscaler(AUTOSCALED, grows_only=False),
    "autoscaler-of-a-step": lambda: _autoscaler(AUTOSCALED, grows_only=True),
    "route": lambda: gateway.route(ROUTED, "churn", gateway.Shares(10, 0, ROUTED.spec.traffic.match)),
    "route-mirrored": lambda: gateway.route(ROUTED, "churn", gateway.Shares(copies=20)),
    "network-policy": lambda: network.policy(SMALL, make.SETTINGS),
    "network-policy-full": lambda: network.policy(
        GUARDED, replace(make.SETTINGS, metrics_from='[{"namespaceSelector":{}}]')
    ),
    "disruption-budget": lambda: serving.disruption_budget(FULL, serving.revision_hash(FULL, VERSION)),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifest(name: str, golden: Callable[[str, Raw], None]) -> None:
    golden(name, MANIFESTS[name]())


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(MANIFESTS)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in MANIFESTS
        if not name.startswith(("autoscaler", "route", "network-policy"))
        and name not in {"model-version", "service", "disruption-budget", "monitor-account", "monitor-binding"}
    ],
)
def test_pods_meet_the_restricted_standard(name: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, no writable root.

    No token but the sidecar's, which no other container sees.
    """
    pod = MANIFESTS[name]()["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    kinds = {"name", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
    assert all(not set(volume) - kinds for volume in pod["volumes"])
    tokens = {volume["name"] for volume in pod["volumes"] if "projected" in volume}
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
        assert "valueFrom" not in str(container.get("env"))
        if container["name"] != naming.MONITOR_CONTAINER:
            assert not tokens & {mount["name"] for mount in container["volumeMounts"]}
