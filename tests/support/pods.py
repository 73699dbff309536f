"""Pods of the tests' own that a namespace of the restricted profile takes, and Services before them."""

from __future__ import annotations

from typing import Any

Raw = dict[str, Any]

_USER = 65532


def restricted_pod(name: str, container: Raw, **spec: Any) -> Raw:
    """Return a pod of one container, with the label `app`; `spec` adds fields of the pod's spec."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "containers": [
                {
                    "name": name,
                    "imagePullPolicy": "IfNotPresent",
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    **container,
                }
            ],
            "automountServiceAccountToken": "serviceAccountName" in spec,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "fsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            **spec,
        },
    }


def service(name: str, app: str, port: int, target: int | None = None) -> Raw:
    """Return a Service before the pods with a label `app`; `target` is their port, if it is another one."""
    spec = {"selector": {"app": app}, "ports": [{"port": port, "targetPort": target or port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
