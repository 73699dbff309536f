"""What monitoring adds to a Deployment: the headless Service by which the sidecars of its pods find each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubernetes.aio.client import models as k8s

from modelwright_operator import naming
from modelwright_operator.render import common
from modelwright_server.contract import monitoring

if TYPE_CHECKING:
    from modelwright_operator import api


def service(deployment: api.Deployment) -> common.Manifest:
    """Return the Service: of all pods, ready or not, since whoever has answered requests has rows to report."""
    model = k8s.V1Service(
        metadata=common.child_metadata(
            deployment, naming.DEPLOYMENT, monitoring.service_name(deployment.metadata.name)
        ),
        spec=k8s.V1ServiceSpec(
            type="ClusterIP",
            cluster_ip="None",
            publish_not_ready_addresses=True,
            selector=naming.owner_labels(naming.DEPLOYMENT, deployment.metadata.name),
            ports=[
                k8s.V1ServicePort(
                    name="windows",
                    port=monitoring.WINDOW_PORT,
                    target_port=monitoring.WINDOW_PORT,
                    protocol="TCP",
                    app_protocol="http",
                )
            ],
        ),
    )
    return common.manifest(model, "v1", "Service")
