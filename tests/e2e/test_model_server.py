"""The model server in its pods: what a Deployment may set, gRPC, and models that mean harm."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2
from onnx import TensorProto, helper, numpy_helper

from modelwright_operator import naming
from modelwright_server import artifact
from modelwright_server.contract import GRPC_PORT, METRICS_PORT
from tests.cluster import ClusterError
from tests.e2e.fixtures import (
    CLAIM,
    DEPLOYMENTS,
    VERSIONS,
    Object,
    Team,
    condition,
    deployment,
    is_true,
    model_version,
    new_revision,
)
from tests.support.claims import write_files
from tests.support.load import Clients

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnx

pytestmark = pytest.mark.cluster

SOON = 60  # seconds
SCHEMA = {
    "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "prediction", "datatype": "FP32", "shape": [-1, 2]}],
    "task": "Regression",
}


@pytest.fixture(scope="module")
def good(shared: Team) -> str:
    """Train the model that is served while others are refused; return its version."""
    version = str(shared.train("first")["status"]["modelVersion"])
    shared.wait(VERSIONS, version, is_true("Verified"))
    return version


def address(team: Team, service: str) -> str:
    """Return the IP address of a Service."""
    return str(team.get("services", service)["spec"]["clusterIP"])


# Models that mean harm


def model(*nodes: onnx.NodeProto, tensors: tuple[onnx.TensorProto, ...] = (), domain: str = "ai.onnx.ml") -> bytes:
    """Return a model of one input and one output, two floats a row each."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in ("input", "prediction")]
    graph = helper.make_graph(list(nodes), "g", ends[:1], ends[1:], list(tensors))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
    made: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return made


def outside(location: str) -> bytes:
    """Return a model whose weights lie in another file."""
    tensor = numpy_helper.from_array(np.zeros(2, dtype=np.float32), "weights")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return model(helper.make_node("Add", ["input", "weights"], ["prediction"]), tensors=(tensor,))


def memory_bomb() -> bytes:
    """Return a model of a few bytes that takes 32 GB to answer."""
    return model(
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        helper.make_node("Add", ["input", "sum"], ["prediction"]),
        tensors=(numpy_helper.from_array(np.array([2**33], dtype=np.int64), "shape"),),
    )


HOSTILE: Mapping[str, tuple[str, bytes]] = {
    "parent": ("ExternalData", outside("../../stores/modelwright-models/weights")),
    "absolute": ("ExternalData", outside("/proc/self/environ")),
    "no-onnx": ("NotONNX", b"#!/bin/sh\nrm -rf /\n"),
    "operator": (
        "UnsupportedOperator",
        model(helper.make_node("Run", ["input"], ["prediction"], domain="os"), domain="os"),
    ),
    "bomb": ("OutOfMemory", memory_bomb()),
}


def hostile_versions(team: Team, folder: Path, of_model: str) -> list[Object]:
    """Put the hostile models into the claim, with manifests that are right; return a ModelVersion of each."""
    digests: dict[str, str] = {}
    for name, (_, data) in HOSTILE.items():
        (folder / name).mkdir()
        (folder / name / artifact.MODEL).write_bytes(data)
        (folder / name / artifact.SCHEMA).write_text(json.dumps(SCHEMA), encoding="utf-8")
        digests[name] = artifact.write(folder / name).digest
    write_files(
        team, CLAIM, {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    )
    return [model_version(name, name, digest, model=of_model) for name, digest in digests.items()]


def test_a_rejected_model_says_why_and_what_serves_answers_all_the_time(
    shared: Team, good: str, tmp_path: Path
) -> None:
    shared.apply(
        deployment("pinned", {"version": good}), deployment("follower", {"name": "cancer", "follow": "Latest"})
    )
    for name in ("pinned", "follower"):
        shared.wait(DEPLOYMENTS, name, is_true("Ready"), deadline=SOON)
    before = shared.get(DEPLOYMENTS, "pinned")["status"]["stable"]

    def refused(version: Object) -> None:
        name = version["metadata"]["name"]
        shared.apply(version)
        seen = shared.wait(VERSIONS, name, is_true("Stalled", "ModelRejected"), deadline=SOON)
        message = condition(seen, "Stalled")["message"]
        assert message.startswith(f"ModelRejected/{HOSTILE[name][0]}: pvc://{CLAIM}/{name}"), message
        assert condition(seen, "Verified")["status"] == "False"

    with Clients(address(shared, "pinned")) as load:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(refused, hostile_versions(shared, tmp_path, "cancer")))
        for name, (cause, _) in HOSTILE.items():
            shared.patch(DEPLOYMENTS, "pinned", {"spec": {"model": {"version": name}}})
            seen = shared.wait(DEPLOYMENTS, "pinned", is_true("Stalled", "ModelRejected"), deadline=SOON)
            message = condition(seen, "Ready")["message"]
            assert message.startswith(f"ModelVersion {name} was not accepted: ModelRejected/{cause}: "), message
            assert message.endswith(f"; {good} goes on answering")
            assert is_true("Available")(seen)
            assert seen["status"]["stable"] == before
            assert "canary" not in seen["status"]
        shared.patch(DEPLOYMENTS, "pinned", {"spec": {"model": {"version": good}}})
        shared.wait(DEPLOYMENTS, "pinned", is_true("Ready"), deadline=SOON)
    assert set(load.answers) == {good}, load.answers
    assert load.answers[good] > 1000
    seen = shared.wait(DEPLOYMENTS, "follower", names_a_rejection, deadline=SOON)
    assert is_true("Ready", "Available")(seen)
    assert seen["status"]["stable"]["version"] == good


def names_a_rejection(seen: Object | None) -> bool:
    return "was not accepted: ModelRejected/" in condition(seen, "Ready").get("message", "")


# What a Deployment may set


def test_processes_batching_and_the_access_log_reach_the_server(shared: Team, good: str) -> None:
    settings = {"processes": 2, "batching": {"maxRows": 1}, "accessLog": True}
    shared.apply(deployment("tuned", {"version": good}, server=settings))
    seen = shared.wait(DEPLOYMENTS, "tuned", is_true("Ready"), deadline=SOON)
    selector = seen["status"]["selector"]
    [pod] = shared.find("pods", selector)
    name = pod["metadata"]["name"]
    inside = ("exec", name, "-n", shared.namespace, "-c", "server", "--")
    rings = shared.cluster.kubectl(*inside, "ls", "/ring")
    assert len(rings.split()) == 2, rings
    shared.cluster.kubectl(*inside, "python", "-c", "import modelwright_server.tracing")  # the image has what it needs
    with Clients(address(shared, "tuned"), kept=2, fresh=2, channels=2) as load:
        shared.cluster.wait("pods", name, shared.namespace, lambda _: load.answers[good] > 50 and load.calls[good] > 50)
    assert set(load.answers) == set(load.calls) == {good}, (load.answers, load.calls)
    lines = shared.cluster.kubectl("logs", name, "-n", shared.namespace, "-c", "server", "--tail=-1").splitlines()
    answered = [line for line in map(json.loads, lines) if line["event"] == "answered"]
    assert {line["protocol"] for line in answered} == {"rest", "grpc"}


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ({"batching": {"maxRows": 0}}, "spec.server.batching.maxRows"),
        ({"batching": {"maxRows": 4097}}, "spec.server.batching.maxRows"),
        ({"processes": 0}, "spec.server.processes"),
        ({"processes": 65}, "spec.server.processes"),
        ({"accessLog": "yes"}, "spec.server.accessLog"),
        ({"batching": {"rows": 5}}, "spec.server.batching): unknown field rows"),
    ],
    ids=str,
)
def test_what_the_server_cannot_be_set_to_is_refused_by_name(shared: Team, server: Object, words: str) -> None:
    with pytest.raises(ClusterError) as refused:
        shared.apply(deployment("wrong", {"version": "any"}, server=server))
    assert words in str(refused.value).replace('"', "")


def test_grpc_in_the_cluster(shared: Team, good: str) -> None:
    shared.apply(deployment("called", {"version": good}))
    shared.wait(DEPLOYMENTS, "called", is_true("Ready"), deadline=SOON)
    [port] = [item for item in shared.get("services", "called")["spec"]["ports"] if item["name"] == "grpc"]
    assert (port["port"], port["appProtocol"]) == (GRPC_PORT, "kubernetes.io/h2c")
    with grpc.insecure_channel(f"{address(shared, 'called')}:{GRPC_PORT}") as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        answer = check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


# Pods of an operator that knew no gRPC


def without_grpc(workload: Object) -> str:
    """Return the pod template of a workload as the operator of stage 1 rendered it."""
    template = json.loads(workload["metadata"]["annotations"][naming.ANNOTATION_TEMPLATE])
    pod = template["spec"]
    [server] = pod["containers"]
    server["ports"] = [port for port in server["ports"] if port["name"] != "grpc"]
    server["env"] = [item for item in server["env"] if item["name"] != "MODELWRIGHT_RING_DIR"]
    for container in (server, *pod["initContainers"]):
        container["volumeMounts"] = [item for item in container["volumeMounts"] if item["name"] != "ring"]
    pod["volumes"] = [item for item in pod["volumes"] if item["name"] != "ring"]
    return naming.canonical_json(template)


NO_GRPC = json.dumps([{"op": "remove", "path": "/spec/ports/1"}])


def has_grpc(service: Object | None) -> bool:
    """Tell whether a Service leads to gRPC."""
    return any(port["name"] == "grpc" for port in (service or {"spec": {"ports": []}})["spec"]["ports"])


def two_ready(workload: Object | None) -> bool:
    return ((workload or {}).get("status") or {}).get("readyReplicas") == 2


def endpoint_ports(team: Team, service: str) -> set[int]:
    """Return the ports at which a Service has endpoints that are ready."""
    return {
        int(port["port"])
        for item in team.find("endpointslices.discovery.k8s.io", f"kubernetes.io/service-name={service}")
        if any(endpoint["conditions"]["ready"] for endpoint in item.get("endpoints") or ())
        for port in item["ports"]
    }


def test_the_port_of_grpc_does_pods_of_an_older_operator_no_harm(shared: Team, good: str) -> None:
    shared.apply(deployment("older", {"version": good}))
    seen = shared.wait(DEPLOYMENTS, "older", is_true("Ready"), deadline=SOON)
    all_ports = {8080, GRPC_PORT, METRICS_PORT}
    shared.wait("services", "older", lambda _: endpoint_ports(shared, "older") == all_ports, deadline=SOON)
    revision = seen["status"]["stable"]["revision"]
    name = naming.workload_name("older", revision)
    workload = shared.get("deployments.apps", name)
    patch = {"metadata": {"annotations": {naming.ANNOTATION_TEMPLATE: without_grpc(workload)}}}
    shared.patch("deployments.apps", name, patch)
    shared.wait("services", "older", lambda _: endpoint_ports(shared, "older") == {8080, METRICS_PORT}, deadline=SOON)
    shared.wait(DEPLOYMENTS, "older", is_true("Ready"), deadline=SOON)
    with Clients(address(shared, "older")) as load:
        # As an operator does that finds the Service of an older one.
        shared.cluster.kubectl(*("patch", "service", "older", "-n", shared.namespace, "--type=json", "-p"), NO_GRPC)
        shared.wait("services", "older", has_grpc, deadline=SOON)
        shared.patch(DEPLOYMENTS, "older", {"spec": {"replicas": 2}})
        shared.wait("deployments.apps", name, two_ready, deadline=SOON)
        assert endpoint_ports(shared, "older") == {8080, METRICS_PORT}, "pods that run are not rendered anew"
        shared.patch(DEPLOYMENTS, "older", {"spec": {"server": {"accessLog": True}}})
        shared.wait(DEPLOYMENTS, "older", new_revision(revision), deadline=SOON)
        shared.wait("deployments.apps", name, lambda found: found is None, deadline=SOON)
    assert set(load.answers) == {good}, load.answers
    shared.wait("services", "older", lambda _: GRPC_PORT in endpoint_ports(shared, "older"), deadline=SOON)
