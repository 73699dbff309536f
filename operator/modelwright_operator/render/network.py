"""The NetworkPolicy of a Deployment: each port of its pods has a rule of its own, and no other port has any.

It is about connections to the pods, not from them. The kubelet's probes need no rule: what comes from a pod's own node
is always let in, and so is a port-forward, which ends inside the pod.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kubernetes.aio.client import models as k8s

from modelwright_operator import api, naming
from modelwright_operator.render import common
from modelwright_server import contract
from modelwright_server.contract import capture, monitoring

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelwright_operator.settings import Settings

KIND = "NetworkPolicy"


def policy(deployment: api.Deployment, settings: Settings) -> common.Manifest:
    """Return the rules for all pods of a Deployment, those of every revision.

    Stable pods pass requests on to the canary's, and sidecars read each other's counts: so pods of one Deployment are
    let in there, whoever else is.
    """
    access, watched = deployment.spec.access or api.Access(), deployment.spec.monitoring
    own = naming.owner_labels(naming.DEPLOYMENT, deployment.metadata.name)
    pods = k8s.V1LabelSelector(match_labels=own)
    siblings = [k8s.V1NetworkPolicyPeer(pod_selector=pods)]
    scraping = [_peer(item) for item in json.loads(settings.metrics_from or "[]")]
    rules = [
        _rule((contract.REST_PORT, contract.GRPC_PORT), [*_peers(access.from_), *siblings] if access.from_ else ()),
        _rule(_metrics_ports(watched), scraping),
    ]
    if watched is not None and watched.quality is not None:
        neighbours = k8s.V1NetworkPolicyPeer(pod_selector=k8s.V1LabelSelector())
        rules.append(_rule((monitoring.FEEDBACK_PORT,), _peers(access.feedback_from) or [neighbours]))
    if watched is not None:
        rules.append(_rule((monitoring.WINDOW_PORT,), [*siblings, *scraping]))
    model = k8s.V1NetworkPolicy(
        metadata=common.child_metadata(deployment, naming.DEPLOYMENT, deployment.metadata.name),
        spec=k8s.V1NetworkPolicySpec(pod_selector=pods, policy_types=["Ingress"], ingress=rules),
    )
    return common.manifest(model, "networking.k8s.io/v1", KIND)


def _metrics_ports(watched: api.Monitoring | None) -> tuple[int, ...]:
    captures = watched is not None and (watched.capture is not None or watched.payload_log is not None)
    return (contract.METRICS_PORT, capture.PORT) if captures else (contract.METRICS_PORT,)


def _rule(ports: Sequence[int], peers: Sequence[k8s.V1NetworkPolicyPeer]) -> k8s.V1NetworkPolicyIngressRule:
    """Return a rule; without peers it lets everybody in."""
    opened = [k8s.V1NetworkPolicyPort(port=port, protocol="TCP") for port in ports]
    # The client's model takes `from`, a word of Python's own, by no keyword.
    return k8s.V1NetworkPolicyIngressRule.model_validate({"ports": opened, "from": list(peers) or None})


def _peers(given: Sequence[api.Peer] | None) -> list[k8s.V1NetworkPolicyPeer]:
    return [_peer(item.model_dump(mode="json", by_alias=True, exclude_none=True)) for item in given or ()]


def _peer(given: dict[str, Any]) -> k8s.V1NetworkPolicyPeer:
    return k8s.V1NetworkPolicyPeer.model_validate(given)
