"""What monitoring adds to a Deployment: the Service by which its sidecars find each other, and the labels' port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubernetes.aio.client import models as k8s

from modelwright_operator import naming
from modelwright_operator.render import common
from modelwright_server.contract import monitoring

if TYPE_CHECKING:
    from modelwright_operator import api


def feedback_ports(deployment: api.Deployment) -> list[k8s.V1ServicePort]:
    """Return the port of the Deployment's Service at which labels are posted, if any are wanted.

    It leads to the pods' by number: not every Kubernetes finds the name of a port in a native sidecar.
    """
    if deployment.spec.monitoring is None or deployment.spec.monitoring.quality is None:
        return []
    number = monitoring.FEEDBACK_PORT
    return [k8s.V1ServicePort(name="feedback", port=number, target_port=number, protocol="TCP", app_protocol="http")]


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
