"""What NetworkPolicies mean: who reaches which port of a pod, as a cluster's network would enforce them.

After the documentation of `networking.k8s.io/v1`: a pod that no policy of its namespace selects is open; one that some
select lets in what a rule of any of them allows, and what comes from its own node.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Raw = dict[str, Any]


@dataclass(frozen=True)
class Endpoint:
    """A pod, or an address that is none."""

    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    address: str = ""
    namespace_labels: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def is_pod(self) -> bool:
        return bool(self.namespace)


def matches(selector: Raw, labels: Mapping[str, str]) -> bool:
    """Tell whether a label selector takes these labels; an empty one takes all."""
    known = {"matchLabels", "matchExpressions"}
    assert selector.keys() <= known, f"no label selector: {selector}"
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        _fulfilled(item, labels) for item in selector.get("matchExpressions", ())
    )


def _fulfilled(requirement: Raw, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(requirement["key"]), requirement.get("values", ())
    return {
        "In": value is not None and value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[requirement["operator"]]


def _is_peer(peer: Raw, source: Endpoint, namespace: str) -> bool:
    assert peer, "the API server refuses an empty peer"
    if "ipBlock" in peer:
        assert peer.keys() == {"ipBlock"}, "the API server refuses an ipBlock with selectors"
        return bool(source.address) and ip_address(source.address) in ip_network(peer["ipBlock"]["cidr"])
    if not source.is_pod:
        return False
    if "namespaceSelector" in peer:
        of_namespace = {"kubernetes.io/metadata.name": source.namespace, **source.namespace_labels}
        if not matches(peer["namespaceSelector"], of_namespace):
            return False
    elif source.namespace != namespace:
        return False
    return matches(peer.get("podSelector", {}), source.labels)


def _allows(rule: Raw, source: Endpoint, port: int, namespace: str) -> bool:
    ports: Iterable[Raw] = rule.get("ports") or ()
    # Numbers alone: a native sidecar's ports have no names for a network.
    if ports and not any(item["protocol"] == "TCP" and item["port"] == port for item in ports):
        return False
    return not rule.get("from") or any(_is_peer(peer, source, namespace) for peer in rule["from"])


def reaches(policies: Iterable[Raw], source: Endpoint, target: Endpoint, port: int) -> bool:
    """Tell whether a connection from one to a port of a pod is let through."""
    selecting = [
        policy["spec"]
        for policy in policies
        if policy["metadata"]["namespace"] == target.namespace
        and matches(policy["spec"]["podSelector"], target.labels)
        and "Ingress" in policy["spec"]["policyTypes"]
    ]
    return not selecting or any(
        _allows(rule, source, port, target.namespace) for spec in selecting for rule in spec.get("ingress") or ()
    )
