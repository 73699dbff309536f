"""The Gateway API in the test cluster: its definitions, and a real gateway behind them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.cluster import load as load_image
from tests.cluster.binaries import GATEWAY, GATEWAY_API, ensure_binaries, module_folder
from tests.cluster.images import write_program_archive
from tests.support.pods import restricted_pod, service

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.cluster.client import Cluster
    from tests.e2e.fixtures import Team

Raw = dict[str, Any]

IMAGE = "localhost/traefik:test"
NAME = "public"
_GROUP = "gateway.networking.k8s.io"
_KINDS = ("gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants", "backendtlspolicies")
_PORT = 8000
_RBAC = "rbac.authorization.k8s.io"


@contextmanager
def definitions(cluster: Cluster) -> Generator[None]:
    """Have the definitions of the Gateway API in the cluster, as its project publishes them."""
    folder = module_folder(GATEWAY_API, "sigs.k8s.io/gateway-api") / "config/crd/standard"
    try:
        for kind in _KINDS:
            cluster.kubectl("apply", "--server-side", "-f", str(folder / f"{_GROUP}_{kind}.yaml"))
        for kind in _KINDS:
            cluster.kubectl("wait", "--for=condition=Established", f"crd/{kind}.{_GROUP}", "--timeout=30s")
        yield
    finally:
        names = [f"crd/{kind}.{_GROUP}" for kind in _KINDS]
        cluster.kubectl("delete", *names, "--ignore-not-found", "--wait=false", check=False)
        cluster.kubectl("wait", "--for=delete", *names, "--timeout=90s", check=False)


@contextmanager
def gateway(team: Team, folder: Path) -> Generator[str]:
    """Have a gateway in the team's namespace; give the address of its Service, port 80."""
    archive = folder / "gateway.tar"
    write_program_archive(ensure_binaries((GATEWAY,), print)[GATEWAY], IMAGE, archive)
    load_image([str(archive)])
    everywhere, here = _rights(team.namespace), _controller(team.namespace)
    team.cluster.apply(everywhere)
    try:
        team.apply(*here)
        yield str(team.get("services", GATEWAY)["spec"]["clusterIP"])
    finally:
        for items, namespace in ((here, team.namespace), (everywhere, None)):
            for item in reversed(items):
                team.cluster.delete(_resource(item), item["metadata"]["name"], namespace)


def _resource(item: Raw) -> str:
    """Return what kubectl calls the kind of an object."""
    plural = f"{item['kind'].lower()}{'es' if item['kind'].endswith('s') else 's'}"
    group = item["apiVersion"].rpartition("/")[0]
    return f"{plural}.{group}" if group else plural


def _controller(namespace: str) -> list[Raw]:
    container: Raw = {
        "image": IMAGE,
        "args": [
            "--providers.kubernetesgateway=true",
            f"--providers.kubernetesgateway.namespaces={namespace}",
            f"--entrypoints.web.address=:{_PORT}",
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
        ],
        "readinessProbe": {"tcpSocket": {"port": _PORT}, "periodSeconds": 1},
    }
    listener: Raw = {
        "name": "web",
        "port": _PORT,
        "protocol": "HTTP",
        "allowedRoutes": {"namespaces": {"from": "Same"}},
    }
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": GATEWAY}},
        restricted_pod(GATEWAY, container, serviceAccountName=GATEWAY),
        service(GATEWAY, GATEWAY, 80, _PORT),
        {
            "apiVersion": f"{_GROUP}/v1",
            "kind": "Gateway",
            "metadata": {"name": NAME},
            "spec": {"gatewayClassName": NAME, "listeners": [listener]},
        },
    ]


def _rights(namespace: str) -> list[Raw]:
    """Return what is not of the namespace: the class, and what the controller may read and report."""
    name = f"{GATEWAY}-of-tests"
    watch = ["get", "list", "watch"]
    rules = [
        {"apiGroups": [""], "resources": ["namespaces", "nodes", "services", "secrets", "configmaps"], "verbs": watch},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": watch},
        {"apiGroups": [_GROUP], "resources": ["*"], "verbs": watch},
        {"apiGroups": [_GROUP], "resources": [f"{kind}/status" for kind in _KINDS], "verbs": ["update", "patch"]},
    ]
    return [
        {
            "apiVersion": f"{_GROUP}/v1",
            "kind": "GatewayClass",
            "metadata": {"name": NAME},
            "spec": {"controllerName": "traefik.io/gateway-controller"},
        },
        {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": GATEWAY, "namespace": namespace}],
        },
    ]


if __name__ == "__main__":  # some ten minutes the first time
    ensure_binaries((GATEWAY,), print)
