"""The autoscaler of a Deployment: a HorizontalPodAutoscaler over the workload that answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubernetes.aio.client import models as k8s

from modelwright_operator import api, naming
from modelwright_operator.render import common

if TYPE_CHECKING:
    from modelwright_operator.api.deployment import Autoscaling


def autoscaler(deployment: api.Deployment, rules: Autoscaling, revision: str, *, grows_only: bool) -> common.Manifest:
    """Return the autoscaler of the workload that runs a revision.

    It watches the server's container alone: a sidecar's work does not grow with the number of requests.

    Args:
        deployment: whose pods they are.
        rules: its `spec.autoscaling`.
        revision: the one that answers.
        grows_only: whether it may add pods, but take none away.
    """
    busy = k8s.V2MetricSpec(
        type="ContainerResource",
        container_resource=k8s.V2ContainerResourceMetricSource(
            container=naming.SERVER_CONTAINER,
            name="cpu",
            target=k8s.V2MetricTarget(type="Utilization", average_utilization=rules.target_cpu_percent),
        ),
    )
    model = k8s.V2HorizontalPodAutoscaler(
        metadata=common.child_metadata(deployment, naming.DEPLOYMENT, deployment.metadata.name),
        spec=k8s.V2HorizontalPodAutoscalerSpec(
            scale_target_ref=k8s.V2CrossVersionObjectReference(
                api_version="apps/v1",
                kind="Deployment",
                name=naming.workload_name(deployment.metadata.name, revision),
            ),
            min_replicas=rules.min_replicas,
            max_replicas=rules.max_replicas,
            metrics=[busy],
            behavior=k8s.V2HorizontalPodAutoscalerBehavior(
                scale_down=k8s.V2HPAScalingRules(select_policy="Disabled" if grows_only else "Max")
            ),
        ),
    )
    return common.manifest(model, "autoscaling/v2", "HorizontalPodAutoscaler")
