"""What the API server adds to built-in objects, and what it lets nobody change."""

from __future__ import annotations

from typing import Any

from modelwright_operator import naming
from tests.support import merging
from tests.support.copying import copied

Raw = dict[str, Any]

_CONTAINER: Raw = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
_POD: Raw = {"dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "restartPolicy": "Always"}
_SPECS: dict[str, Raw] = {
    naming.WORKLOADS: {"replicas": 1, "strategy": {"type": "RollingUpdate"}, "minReadySeconds": 0},
    naming.JOBS: {"completionMode": "NonIndexed", "manualSelector": False, "podReplacementPolicy": "Failed"},
    naming.AUTOSCALERS: {"minReplicas": 1},
    naming.SERVICES: {"clusterIP": "10.96.0.7", "type": "ClusterIP", "sessionAffinity": "None"},
}
_IMMUTABLE: dict[str, tuple[str, ...]] = {
    naming.WORKLOADS: ("selector",),
    naming.JOBS: ("template", "selector", "completions", "podFailurePolicy", "completionMode"),
}


def _under(value: Raw, defaults: Raw) -> Raw:
    return {**copied(defaults), **value}


def _template(template: Raw) -> Raw:
    spec = _under(template["spec"], _POD)
    for field in ("initContainers", "containers"):
        if field in spec:
            spec[field] = [_under(container, _CONTAINER) for container in spec[field]]
    return {**template, "spec": spec}


def fill(resource: str, raw: Raw) -> Raw:
    """Return the object as it is stored."""
    filled = copied(raw)
    if "spec" not in filled or resource == naming.PODS:
        return filled
    spec = _under(filled["spec"], _SPECS.get(resource, {}))
    if "template" in spec:
        spec["template"] = _template(spec["template"])
    if resource == naming.JOBS:
        uid = filled["metadata"]["uid"]
        spec.setdefault("selector", {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}})
        labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
        labels["batch.kubernetes.io/controller-uid"] = uid
        labels["batch.kubernetes.io/job-name"] = filled["metadata"]["name"]
    if resource == naming.SERVICES:
        spec["ports"] = [_under(port, {"protocol": "TCP"}) for port in spec.get("ports", ())]
    filled["spec"] = spec
    return filled


def changed_immutable(resource: str, current: Raw, new: Raw) -> str | None:
    """Return a field that may not be changed and was, or None."""
    for field in _IMMUTABLE.get(resource, ()):
        if not merging.equal(current["spec"].get(field), new["spec"].get(field)):
            return f"spec.{field}"
    return None
