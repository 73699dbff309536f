"""The tool that makes the cluster: a run of the real thing, faults included.

The faults are done to a second cluster beside the shared one, so that nobody else's work is disturbed.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests.cluster import lifecycle
from tests.cluster.api import Json
from tests.cluster.client import Cluster
from tests.cluster.images import write_program_archive
from tests.cluster.node import Node
from tests.cluster.processes import Process, find_component, find_init, find_processes, kill_process
from tests.cluster.settings import Settings, load_settings

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

IMAGE = "localhost/modelwright-probe:1"
RESTRICTED: Json = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
FAULTY = "15"
"""Index of the cluster that the faults are done to."""


@pytest.fixture
def faulty() -> Generator[Cluster]:
    """Give a cluster that may be hurt."""
    if not isinstance(lifecycle.engine(load_settings()), Node):
        pytest.skip("faults are done to processes of the node that is made of real programs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELWRIGHT_CLUSTER_INDEX", FAULTY)
        patch.delenv("MODELWRIGHT_CLUSTER_STATE", raising=False)
        command("up")
        yield Cluster(load_settings())
        command("down")


def command(*arguments: str) -> str:
    """Run the tool as a person would, and return what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster", *arguments], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def component(settings: Settings, name: str) -> Process:
    processes = find_processes(settings)
    init = find_init(processes)
    found = init and find_component(processes, init, name, name)
    assert found, f"{name} does not run"
    return found


def load_probe(folder: Path) -> None:
    archive = folder / "probe.tar"
    write_program_archive((load_settings().bin / "probe").resolve(), IMAGE, archive)
    command("load", str(archive))


def workload(name: str, replicas: int) -> list[Json]:
    container = {"name": "probe", "image": IMAGE, "args": ["serve"], "securityContext": RESTRICTED}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    selector = {"matchLabels": {"app": name}}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": selector, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
        },
    ]


def job(name: str, *arguments: str, claim: str | None = None) -> Json:
    container: Json = {"name": "probe", "image": IMAGE, "args": list(arguments), "securityContext": RESTRICTED}
    spec: Json = {"restartPolicy": "Never", "containers": [container]}
    if claim:
        container["volumeMounts"] = [{"name": "volume", "mountPath": "/volume"}]
        spec["volumes"] = [{"name": "volume", "persistentVolumeClaim": {"claimName": claim}}]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": spec}},
    }


def reached(field: str, count: int) -> Callable[[Json | None], bool]:
    return lambda seen: seen is not None and seen["status"].get(field, 0) >= count


def test_job_workload_and_service(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    load_probe(tmp_path)
    cluster.apply(workload("web", 2), namespace)
    cluster.wait("deployments.apps", "web", namespace, reached("availableReplicas", 2))
    pods = {pod["metadata"]["name"] for pod in cluster.find("pods", namespace, "app=web")}
    answer = cluster.http("web", namespace)
    assert answer.status == 200
    assert answer.body.decode().strip() in pods

    cluster.apply(job("client", "get", f"http://web.{namespace}.svc.cluster.local/"), namespace)
    cluster.wait("jobs.batch", "client", namespace, reached("succeeded", 1))
    assert cluster.kubectl("logs", "job/client", "-n", namespace).strip() in pods


def test_nothing_leaves_the_machine(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    load_probe(tmp_path)
    for name, target in (("by-name", "http://example.com/"), ("by-address", "http://192.0.2.2/")):
        cluster.apply(job(name, "get", target), namespace)
        cluster.wait("jobs.batch", name, namespace, reached("failed", 1))
    assert "no such host" in cluster.kubectl("logs", "job/by-name", "-n", namespace)
    assert "unreachable" in cluster.kubectl("logs", "job/by-address", "-n", namespace)


def test_claims_are_provisioned_and_cleaned_up(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    load_probe(tmp_path)
    claim: Json = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    cluster.apply([claim, job("first", "write", "/volume/file", "kept", claim="models")], namespace)
    cluster.wait("jobs.batch", "first", namespace, reached("succeeded", 1))
    cluster.apply(job("second", "read", "/volume/file", claim="models"), namespace)
    cluster.wait("jobs.batch", "second", namespace, reached("succeeded", 1))
    assert cluster.kubectl("logs", "job/second", "-n", namespace).strip() == "kept"

    bound = cluster.get("persistentvolumeclaims", "models", namespace)
    assert bound
    volume = bound["spec"]["volumeName"]
    for name in ("first", "second"):
        cluster.delete("jobs.batch", name, namespace)
    cluster.delete("persistentvolumeclaims", "models", namespace)
    cluster.wait("persistentvolumes", volume, None, lambda seen: seen is None)
    assert not (load_settings().volumes / volume).exists()


@pytest.mark.usefixtures("cluster")
def test_a_running_cluster_is_left_alone() -> None:
    before = lifecycle.status()
    assert all(state.problem == "" for state in before)
    command("up")
    assert lifecycle.status() == before
    assert "well" in command("status")


def test_repair(faulty: Cluster, tmp_path: Path) -> None:
    settings = load_settings()
    load_probe(tmp_path)
    faulty.apply(workload("web", 1), "default")
    faulty.wait("deployments.apps", "web", "default", reached("availableReplicas", 1))
    (pod,) = [pod["metadata"]["name"] for pod in faulty.find("pods", "default")]

    for name in ("kube-apiserver", "kubelet", "etcd", "containerd"):
        killed = component(settings, name)
        kill_process(killed)
        assert not lifecycle.is_up()
        command("up")
        assert component(settings, name).pid != killed.pid
        assert lifecycle.is_up()
        assert faulty.http("web", "default").status == 200

    # The whole node at once, as in a crash of the machine: containers start anew, objects and volumes stay.
    init = find_init(find_processes(settings))
    assert init
    kill_process(init)
    command("up")
    faulty.wait("pods", pod, "default", restarted)
    assert faulty.http("web", "default").body.decode().strip() == pod


def restarted(pod: Json | None) -> bool:
    states: list[Json] = pod["status"].get("containerStatuses", []) if pod else []
    return bool(states) and all(state["restartCount"] > 0 and state["ready"] for state in states)


def test_an_interrupted_up_is_resumed(faulty: Cluster) -> None:
    settings = load_settings()
    command("down")
    with subprocess.Popen([sys.executable, "-m", "tests.cluster", "up"], stderr=subprocess.DEVNULL) as interrupted:
        deadline = time.monotonic() + 60
        while not any(process.program == "etcd" for process in find_processes(settings)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        interrupted.send_signal(signal.SIGKILL)
    assert not lifecycle.is_up()
    command("up")
    assert lifecycle.is_up()
    assert faulty.kubectl("get", "nodes", "-o", "name").strip() == f"node/{settings.name}"


def test_down_leaves_nothing(faulty: Cluster) -> None:
    settings = load_settings()
    assert faulty.find("nodes")
    kernel = Path("/proc/sys/vm/overcommit_memory")
    during = kernel.read_text(encoding="utf-8")
    saved = json.loads((settings.state / "kernel.json").read_text(encoding="utf-8"))
    command("down")
    command("down")
    assert not find_processes(settings)
    assert not settings.state.exists()
    # Folders of other clusters' pods come and go meanwhile, which os.walk passes over.
    assert not [folder for folder, names, _ in os.walk("/sys/fs/cgroup") if settings.name in names]
    assert str(settings.state) not in Path("/proc/mounts").read_text(encoding="utf-8")
    for arguments in (["route"], ["route", "show", "type", "unreachable"], ["link"], ["address"]):
        said = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout
        for trace in (settings.name, settings.node_ip, settings.pod_network, settings.service_network):
            assert trace not in said
    assert during
    assert kernel.read_text(encoding="utf-8") == saved["vm/overcommit_memory"]
