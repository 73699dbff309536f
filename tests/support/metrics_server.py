"""A real metrics-server in the test cluster: it tells autoscalers how busy pods are."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.cluster import load as load_image
from tests.cluster.binaries import METRICS, ensure_binaries
from tests.cluster.images import write_program_archive
from tests.e2e.fixtures import condition
from tests.support.pods import restricted_pod, service

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.cluster.client import Cluster

Raw = dict[str, Any]

IMAGE = "localhost/metrics-server:test"
API = "v1beta1.metrics.k8s.io"
_SERVICES = "apiservices.apiregistration.k8s.io"
_RBAC = "rbac.authorization.k8s.io"
_PORT = 4443
_ARGUMENTS = (
    f"--secure-port={_PORT}",
    "--cert-dir=/tmp",
    "--kubelet-preferred-address-types=InternalIP",
    "--kubelet-insecure-tls",  # the nodes of test clusters have certificates of their own
    "--metric-resolution=10s",
    "--kubelet-request-timeout=5s",  # must be less
)


def _available(seen: Raw | None) -> bool:
    return condition(seen, "Available").get("status") == "True"


@contextmanager
def running_metrics_server(cluster: Cluster, namespace: str, folder: Path) -> Generator[None]:
    """Have figures of pods in the cluster: as it has them already, or from a server in this namespace."""
    if _available(cluster.get(_SERVICES, API)):
        yield
        return
    archive = folder / "metrics-server.tar"
    write_program_archive(ensure_binaries((METRICS,), print)[METRICS], IMAGE, archive)
    load_image([str(archive)])
    everywhere = _rights(namespace)
    cluster.apply(_server(), namespace)
    try:
        cluster.apply(everywhere)
        cluster.wait(_SERVICES, API, None, _available, deadline=90)
        yield
    finally:  # what is left of it would keep every namespace from being deleted
        for item in reversed(everywhere):
            group = item["apiVersion"].rpartition("/")[0]
            cluster.delete(
                f"{item['kind'].lower()}s.{group}", item["metadata"]["name"], item["metadata"].get("namespace")
            )


def _server() -> list[Raw]:
    container: Raw = {
        "image": IMAGE,
        "args": list(_ARGUMENTS),
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": _PORT, "scheme": "HTTPS"}, "periodSeconds": 1},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108  # the pod's own
    }
    volumes = [{"name": "tmp", "emptyDir": {}}]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": METRICS}},
        restricted_pod(METRICS, container, serviceAccountName=METRICS, volumes=volumes),
        service(METRICS, METRICS, 443, _PORT),
    ]


def _rights(namespace: str) -> list[Raw]:
    """Return what is not of the namespace: it may read kubelets' figures, and the API server asks it for them."""
    name = f"{METRICS}-of-tests"
    subject = {"kind": "ServiceAccount", "name": METRICS, "namespace": namespace}
    rules = [
        {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]},
    ]

    def binding(called: str, role: str, kind: str = "ClusterRole", **metadata: str) -> Raw:
        return {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "RoleBinding" if metadata else "ClusterRoleBinding",
            "metadata": {"name": called, **metadata},
            "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": role},
            "subjects": [subject],
        }

    return [
        {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
        binding(name, name),
        binding(f"{name}-delegates", "system:auth-delegator"),
        binding(name, "extension-apiserver-authentication-reader", "Role", namespace="kube-system"),
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": API},
            "spec": {
                "group": "metrics.k8s.io",
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {"name": METRICS, "namespace": namespace, "port": 443},
            },
        },
    ]


if __name__ == "__main__":  # building the server takes minutes the first time: outside any test's time limit
    ensure_binaries((METRICS,), print)
