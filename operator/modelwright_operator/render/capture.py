"""What capture adds to serving pods: a container of its own, which alone has the store's credentials."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from kubernetes.aio.client import models as k8s

from modelwright_operator import api, naming
from modelwright_operator.render import common
from modelwright_server import contract
from modelwright_server.contract import capture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelwright_operator.settings import Settings

_SPOOL: Final = "capture-spool"
_LABELS: Final = "capture-labels"
_SECRET: Final = "capture-secret"  # noqa: S105  # a volume's name
# What the container fills itself is half of these: a volume beyond its limit would cost the pod.
_SPOOL_SIZE, _LABELS_SIZE = "64Mi", "16Mi"
_RESOURCES: Final = api.Resources(
    requests=api.ResourceList(cpu="10m", memory="64Mi"), limits=api.ResourceList(memory="160Mi")
)
# Linear algebra and the store's client would take a thread, and memory for it, for each of the node's cores.
_SMALL: Final = {"OPENBLAS_NUM_THREADS": "1", "TOKIO_WORKER_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


def wanted(deployment: api.Deployment) -> api.Capture | None:
    """Return what is to be captured, if anything is."""
    return deployment.spec.monitoring.capture if deployment.spec.monitoring is not None else None


def _logged(deployment: api.Deployment) -> api.PayloadLog | None:
    return deployment.spec.monitoring.payload_log if deployment.spec.monitoring is not None else None


def _stored(given: api.Capture) -> dict[str, Any]:
    return {
        "uri": given.uri,
        "endpoint": given.endpoint or "",
        "region": given.region or "",
        "secret": given.secret_name or "",
        "sample_percent": given.sample_percent,
        "redact": json.dumps(sorted(given.redact)) if given.redact else "",
        "flush_seconds": given.flush_seconds,
    }


def _sent(logged: api.PayloadLog) -> dict[str, Any]:
    return {
        "log_url": logged.url,
        "log_mode": logged.mode,
        "log_percent": logged.sample_percent,
        "log_redact": json.dumps(sorted(logged.redact)) if logged.redact else "",
    }


def labels_dir(deployment: api.Deployment) -> str:
    """Return the folder in which the sidecar leaves labels; empty: none are wanted."""
    return capture.DEFAULT_LABELS_DIR if wanted(deployment) is not None else ""


def labels_mounts(deployment: api.Deployment) -> list[k8s.V1VolumeMount]:
    """Return the mount of that folder."""
    return [common.mount(_LABELS, capture.DEFAULT_LABELS_DIR)] if wanted(deployment) is not None else []


def containers(deployment: api.Deployment, settings: Settings, reads: Mapping[str, str]) -> list[k8s.V1Container]:
    """Return the native sidecar, if rows are captured or payloads logged.

    It ends after the monitor, whose last labels it sends. Like the monitor it has no probes and a supervisor. The
    Secret is a volume that may be missing, so that without it rows are not stored, and the pod serves all the same.
    """
    given, logged = wanted(deployment), _logged(deployment)
    if given is None and logged is None:
        return []
    environment = capture.CaptureSettings(
        deployment=deployment.metadata.name,
        namespace=deployment.metadata.namespace,
        **(_stored(given) if given is not None else {}),
        **(_sent(logged) if logged is not None else {}),
    ).to_env()
    named = given is not None and given.secret_name
    secret = [common.mount(_SECRET, capture.DEFAULT_SECRET_DIR, read_only=True)] if named else []
    return [
        k8s.V1Container(
            name=naming.CAPTURE_CONTAINER,
            image=settings.serving_image,
            image_pull_policy=settings.image_pull_policy,
            restart_policy="Always",
            command=["python", "-m", contract.CAPTURE_MODULE],
            env=common.variables({**environment, **_SMALL}),
            ports=[k8s.V1ContainerPort(name="capture", container_port=capture.PORT, protocol="TCP")],
            resources=common.resources(None, _RESOURCES),
            security_context=common.container_security(),
            termination_message_policy="FallbackToLogsOnError",
            volume_mounts=[
                common.mount(_SPOOL, capture.DEFAULT_SPOOL_DIR),
                *labels_mounts(deployment),
                *secret,
                *(common.mount(name, path, read_only=True) for name, path in reads.items()),
            ],
        )
    ]


def volumes(deployment: api.Deployment) -> list[k8s.V1Volume]:
    """Return the volumes of the rows and labels that wait, and the Secret, which only this container mounts."""
    given = wanted(deployment)
    if given is None:
        return [common.empty_dir(_SPOOL, _SPOOL_SIZE)] if _logged(deployment) is not None else []
    found = [common.empty_dir(_SPOOL, _SPOOL_SIZE), common.empty_dir(_LABELS, _LABELS_SIZE)]
    if given.secret_name:
        source = k8s.V1SecretVolumeSource(secret_name=given.secret_name, optional=True)
        found.append(k8s.V1Volume(name=_SECRET, secret=source))
    return found
