"""What Kubernetes does with the operator's children: pods of Jobs with their stages, pods of workloads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from modelwright_operator import naming
from tests.support.builders import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.fake_cluster import FakeCluster

Raw = dict[str, Any]

SCHEMA: Raw = {
    "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 2], "columns": ["a", "b"], "nullable": True}],
    "outputs": [{"name": "label", "datatype": "INT64", "shape": [-1]}],
}


def results(seed: str = "a", model: str = "churn") -> dict[str, Raw]:
    """Return what the stages of a good run report."""
    rows = {"train": 75, "holdout": 25}
    return {
        "fetch": {"stage": "fetch", "data": [{"name": "train", "digest": digest("d"), "rows": 100}]},
        "train": {"stage": "train", "task": "Classification", "rows": rows},
        "evaluate": {
            "stage": "evaluate",
            "task": "Classification",
            "rows": rows,
            "metrics": [{"name": "accuracy", "value": 0.96, "low": 0.92, "high": 0.98}],
            "parity": {"rows": 25, "maxDifference": 1e-7},
        },
        "latency": {"stage": "latency", "p50Milliseconds": 0.125, "p99Milliseconds": 0.5, "sizeBytes": 1024},
        "publish": {
            "stage": "publish",
            "uri": f"pvc://modelwright-models/{model}/{seed}/",
            "digest": digest(seed),
            "sizeBytes": 2048,
            "reused": False,
            "schema": {**SCHEMA, "task": "Classification"},
        },
    }


STAGES = [name for name in results() if name != "latency"]  # of most jobs


def waiting(name: str, reason: str = "PodInitializing", message: str = "", **extra: Any) -> Raw:
    """Return the status of a container that waits."""
    return {"name": name, "ready": False, "state": {"waiting": {"reason": reason, "message": message}}, **extra}


def running(name: str, at: str = "2026-03-01T12:00:00Z", **extra: Any) -> Raw:
    """Return the status of a container that runs."""
    return {"name": name, "ready": True, "state": {"running": {"startedAt": at}}, **extra}


def terminated(name: str, code: int = 0, message: object = "", at: str = "2026-03-01T12:00:00Z", **extra: Any) -> Raw:
    """Return the status of a container that ended; a message that is no text is written as JSON."""
    text = message if isinstance(message, str) else json.dumps(message)
    reason = extra.pop("reason", "Completed" if code == 0 else "Error")
    ended = {"exitCode": code, "reason": reason, "message": text, "startedAt": at, "finishedAt": at}
    return {"name": name, "ready": code == 0, "state": {"terminated": ended}, **extra}


def stages_of(job: Raw) -> list[str]:
    """Return the names of a training Job's containers."""
    spec = job["spec"]["template"]["spec"]
    return [container["name"] for container in (*spec["initContainers"], *spec["containers"])]


def stage_statuses(
    ended: dict[str, Raw], active: Raw | None = None, stages: Sequence[str] = tuple(STAGES)
) -> list[Raw]:
    """Return the container statuses of a training pod: results of ended stages, one that is active or failed."""
    statuses = [terminated(name, 0, ended[name]) for name in stages if name in ended]
    if active is not None:
        statuses.append(active)
    named = {status["name"] for status in statuses}
    return statuses + [waiting(name) for name in stages if name not in named]


def pod_status(statuses: list[Raw], phase: str = "Running") -> Raw:
    """Return a training pod's status: the last stage is the main container."""
    return {"phase": phase, "initContainerStatuses": statuses[:-1], "containerStatuses": statuses[-1:]}


def pod_of(job: Raw, status: Raw, name: str = "") -> Raw:
    """Return a pod that a Job controls."""
    metadata = job["metadata"]
    labels = {**job["spec"]["template"]["metadata"]["labels"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name or f"{metadata['name']}-x1",
            "namespace": metadata["namespace"],
            "uid": f"uid-of-{name or metadata['name']}-pod",
            "resourceVersion": "30",
            "creationTimestamp": "2026-03-01T12:00:00Z",
            "labels": labels,
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                }
            ],
        },
        "status": status,
    }


def put_pod(cluster: FakeCluster, job: Raw, status: Raw) -> Raw:
    """Let a Job have its pod, with that status."""
    pod = pod_of(job, status)
    name = pod["metadata"]["name"]
    if name not in cluster.names(naming.PODS):
        metadata = {key: value for key, value in pod["metadata"].items() if key not in {"uid", "resourceVersion"}}
        cluster.create({**pod, "metadata": metadata})
    return cluster.set_status(naming.PODS, name, status)


def _finish(cluster: FakeCluster, job: Raw, kind: str, reason: str = "") -> None:
    at = cluster.clock.text()
    condition = {"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": at}
    cluster.set_status(naming.JOBS, job["metadata"]["name"], {"conditions": [condition]})


def run_stage(cluster: FakeCluster, job: Raw, stage: str, said: dict[str, Raw] | None = None) -> None:
    """Let a training pod be in a stage; those before it ended well."""
    good, stages = said or results(), stages_of(job)
    before = {name: good[name] for name in stages[: stages.index(stage)]}
    put_pod(cluster, job, pod_status(stage_statuses(before, running(stage, cluster.clock.text()), stages)))


def succeed(cluster: FakeCluster, job: Raw, said: dict[str, Raw] | None = None) -> None:
    """Let a training Job end well."""
    put_pod(cluster, job, pod_status(stage_statuses(said or results(), stages=stages_of(job)), "Succeeded"))
    _finish(cluster, job, "Complete")


def fail(cluster: FakeCluster, job: Raw, stage: str, code: int = 1, message: object = "boom") -> None:
    """Let a training Job fail in a stage."""
    stages = stages_of(job)
    before = {name: results()[name] for name in stages[: stages.index(stage)]}
    put_pod(cluster, job, pod_status(stage_statuses(before, terminated(stage, code, message), stages), "Failed"))
    _finish(cluster, job, "Failed", "BackoffLimitExceeded")


def verify(cluster: FakeCluster, job: Raw, code: int = 0, message: object = "") -> None:
    """Let a verification Job end."""
    status = {"phase": "Succeeded" if code == 0 else "Failed"}
    ended = terminated(naming.VERIFY_CONTAINER, code, message)
    put_pod(cluster, job, {**status, "containerStatuses": [ended]})
    _finish(cluster, job, "Complete" if code == 0 else "Failed")


def workload_status(workload: Raw, ready: int | None = None) -> Raw:
    """Return a workload's status after its controller saw its spec."""
    replicas = workload["spec"].get("replicas", 1)
    status: Raw = {"observedGeneration": workload["metadata"]["generation"]}
    if replicas:
        status |= {"replicas": replicas, "updatedReplicas": replicas}
    count = replicas if ready is None else min(ready, replicas)
    return {**status, "readyReplicas": count} if count else status


def scale(cluster: FakeCluster, workload: Raw, ready: int | None = None) -> None:
    """Let a workload have that many ready pods; absent: all it wants."""
    cluster.set_status(naming.WORKLOADS, workload["metadata"]["name"], workload_status(workload, ready))


def autoscale(cluster: FakeCluster, name: str, replicas: int, **status: Any) -> None:
    """Let the autoscaler of a Deployment ask for so many pods of the workload that it scales, and say so."""
    scaler = cluster.read(naming.AUTOSCALERS, name)
    editor = {
        "manager": "kube-controller-manager",
        "operation": "Update",
        "subresource": "scale",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
    }
    target = scaler["spec"]["scaleTargetRef"]["name"]
    cluster.edit(naming.WORKLOADS, target, lambda raw: raw["spec"].update(replicas=replicas), editor=editor)
    active = {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound", "message": ""}
    cluster.set_status(
        naming.AUTOSCALERS, name, {"desiredReplicas": replicas, "conditions": [active], "currentReplicas": 1, **status}
    )


def serving_pod(workload: Raw, status: Raw, name: str = "") -> Raw:
    """Return a pod of a workload."""
    metadata = workload["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name or f"{metadata['name']}-abc-x1",
            "namespace": metadata["namespace"],
            "uid": f"uid-of-{name or metadata['name']}-pod",
            "resourceVersion": "30",
            "creationTimestamp": "2026-03-01T12:00:00Z",
            "labels": {**workload["spec"]["template"]["metadata"]["labels"]},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": "rs",
                    "uid": f"rs-{metadata['uid']}",
                    "controller": True,
                }
            ],
        },
        "status": status,
    }
