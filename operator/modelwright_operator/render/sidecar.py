"""The sidecar of serving pods: its container, the volumes it shares, and the identity it has in a namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubernetes.aio.client import models as k8s

from modelwright_operator import api, naming
from modelwright_operator.render import capture, common
from modelwright_server import contract
from modelwright_server.contract import monitoring

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelwright_operator.settings import Settings

TOKEN_SECONDS: Final = 3600
_CONTROL: Final = "control"
_TOKEN: Final = "monitor-token"  # noqa: S105  # a volume's name
_ROOT_CERTIFICATE: Final = "kube-root-ca.crt"  # a ConfigMap that Kubernetes puts into each namespace

_WINDOWS: Final = "windows"

# Measured: 18 MiB, and some 45 MiB while it monitors. NumPy reserves as much again, which its own limit counts.
_RESOURCES: Final = api.Resources(
    requests=api.ResourceList(cpu="10m", memory="48Mi"), limits=api.ResourceList(memory="128Mi")
)


def container(
    deployment: api.Deployment, revision: str, settings: Settings, reads: Mapping[str, str]
) -> k8s.V1Container:
    """Return the native sidecar, which starts before the server and ends after it.

    It has no probes: whatever becomes of it, the server goes on answering, and its supervisor starts it again.

    Args:
        deployment: whose pods it is in.
        revision: that they run.
        settings: of the operator.
        reads: where the server's volumes are for it, by their names: the model, and what was answered.
    """
    environment = contract.MonitorSettings(
        deployment=deployment.metadata.name,
        namespace=deployment.metadata.namespace,
        revision=revision,
        labels_dir=capture.labels_dir(deployment),
    ).to_env()
    return k8s.V1Container(
        name=naming.MONITOR_CONTAINER,
        image=settings.serving_image,
        image_pull_policy=settings.image_pull_policy,
        restart_policy="Always",
        command=["python", "-m", contract.MONITOR_MODULE],
        env=common.variables(environment),
        ports=[
            k8s.V1ContainerPort(name="windows", container_port=monitoring.WINDOW_PORT, protocol="TCP"),
            k8s.V1ContainerPort(name="feedback", container_port=monitoring.FEEDBACK_PORT, protocol="TCP"),
        ],
        resources=common.resources(None, _RESOURCES),
        security_context=common.container_security(),
        termination_message_policy="FallbackToLogsOnError",
        volume_mounts=[
            common.mount(_CONTROL, contract.DEFAULT_CONTROL_DIR),
            common.mount(_TOKEN, contract.DEFAULT_CREDENTIALS_DIR, read_only=True),
            common.mount(_WINDOWS, contract.DEFAULT_WINDOWS_DIR),
            *capture.labels_mounts(deployment),
            *(common.mount(name, path, read_only=True) for name, path in reads.items()),
        ],
    )


def server_mount() -> k8s.V1VolumeMount:
    """Return where the server reads what the sidecar leaves for it."""
    return common.mount(_CONTROL, contract.DEFAULT_CONTROL_DIR, read_only=True)


def volumes() -> list[k8s.V1Volume]:
    """Return the control folder and the sidecar's counts, in memory, and the token, which only the sidecar mounts.

    The token is bound to the pod and renewed by the kubelet; by the pod's name in it the API server can tell which
    Deployment its holder may write about.
    """
    token = k8s.V1ServiceAccountTokenProjection(path="token", expiration_seconds=TOKEN_SECONDS)
    certificate = k8s.V1ConfigMapProjection(
        name=_ROOT_CERTIFICATE, items=[k8s.V1KeyToPath(key="ca.crt", path="ca.crt")]
    )
    sources = [
        k8s.V1VolumeProjection(service_account_token=token),
        k8s.V1VolumeProjection(config_map=certificate),
    ]
    return [
        common.empty_dir(_CONTROL, "1Mi", in_memory=True),
        common.empty_dir(_WINDOWS, "8Mi", in_memory=True),
        k8s.V1Volume(name=_TOKEN, projected=k8s.V1ProjectedVolumeSource(sources=sources)),
    ]


def _metadata(name: str, namespace: str) -> common.Manifest:
    """Return the metadata of what belongs to a namespace and so to none of its Deployments."""
    return {"name": name, "namespace": namespace, "labels": {naming.LABEL_MANAGED_BY: naming.MANAGED_BY}}


def account(namespace: str) -> common.Manifest:
    """Return the ServiceAccount of a namespace's serving pods."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": _metadata(naming.MONITOR_ACCOUNT, namespace),
        "automountServiceAccountToken": False,
    }


def binding(namespace: str, role: str) -> common.Manifest:
    """Return the RoleBinding that lets the sidecars of a namespace read its Deployments; named as the role."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": _metadata(role, namespace),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": naming.MONITOR_ACCOUNT, "namespace": namespace}],
    }
