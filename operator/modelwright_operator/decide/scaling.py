"""How many pods serve: as the spec says, or as an autoscaler has it. Its count is followed, and never written anew.

The autoscaler's target is the workload that answers. While a canary answers a share, that workload is less busy than
all requests would make it: taking pods away would leave too few for a rollback, and size the canary by them. So the
autoscaler may only add pods then, and for some minutes longer: it looks back on what it would have done five minutes
ago (its default stabilisation window), and its figures lag behind by a minute at most.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from modelwright_operator.decide import conditions, tracks
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from datetime import datetime

    from modelwright_operator import api
    from modelwright_operator.decide.conditions import Mark
    from modelwright_operator.decide.observed import Child, Workload
    from modelwright_operator.decide.snapshot import DeploymentSnapshot

AUTOSCALER: Final = "HorizontalPodAutoscaler"
QUIET: Final = timedelta(seconds=360)
_AMBIGUOUS: Final = "AmbiguousSelector"
_DISABLED: Final = "ScalingDisabled"  # of no pods; there are some again at the next look


def full_size(snapshot: DeploymentSnapshot) -> int:
    """Return how many pods a track needs for all requests: of an autoscaled Deployment, as many as answer now."""
    spec, stable = snapshot.deployment.spec, snapshot.deployment.status.stable
    if spec.autoscaling is None:
        return spec.replicas
    workload = tracks.workload_of(snapshot, stable) if stable is not None else None
    return size_now(snapshot, spec.autoscaling, workload)


def size_now(snapshot: DeploymentSnapshot, rules: api.Autoscaling, workload: Workload | None) -> int:
    """Return the size that an autoscaled workload has; without one, or at none, what the autoscaler last asked for."""
    if workload is not None and workload.wanted > 0:  # at none, no autoscaler works
        return workload.wanted
    scaler = autoscaler(snapshot)
    asked = int(scaler.status.get("desiredReplicas") or 0) if scaler is not None else 0
    return max(rules.min_replicas, min(asked, rules.max_replicas))


def most(deployment: api.Deployment) -> int:
    """Return the largest number of pods that a track may have."""
    rules = deployment.spec.autoscaling
    return rules.max_replicas if rules is not None else deployment.spec.replicas


def autoscaler(snapshot: DeploymentSnapshot) -> Child | None:
    """Return the autoscaler that is there, unless it is going."""
    found = (item for item in snapshot.children if item.kind == AUTOSCALER and not item.deleting)
    return next(found, None)


def quiet_seconds(weight: int, changed_at: datetime | None, now: datetime) -> float | None:
    """Return for how many seconds yet no pods may be taken away; infinite while a canary answers, None: they may.

    Args:
        weight: percent of the requests that a canary answers.
        changed_at: when the spread of the requests last changed.
        now: the time.
    """
    if weight > 0:
        return float("inf")
    left = (changed_at + QUIET - now).total_seconds() if changed_at is not None else 0.0
    return left if left > 0 else None


def marks(snapshot: DeploymentSnapshot) -> tuple[Mark, ...]:
    """Return what the condition ScalingActive says; nothing without an autoscaler."""
    rules = snapshot.deployment.spec.autoscaling
    if rules is None:
        return ()
    scaler, name = autoscaler(snapshot), snapshot.deployment.metadata.name
    said = scaler.condition(conditions.SCALING_ACTIVE) if scaler is not None else None
    if said is not None and said.get("status") == "True":
        message = (
            f"{rules.min_replicas} to {rules.max_replicas} pods, busy for {rules.target_cpu_percent} % of the CPU they "
            "request"
        )
        return (conditions.true(conditions.SCALING_ACTIVE, Reason.AUTOSCALED, message),)
    if not _requests_cpu(snapshot.deployment.spec.server.resources):
        message = (
            "spec.autoscaling.targetCPUPercent is a share of the CPU that the server requests, and it requests none: "
            "set spec.server.resources.requests.cpu"
        )
        return (conditions.false(conditions.SCALING_ACTIVE, Reason.CPU_REQUEST_MISSING, message),)
    why = str(said.get("reason", "")) if said is not None else ""
    if said is None or said.get("status") != "False" or why == _DISABLED:
        message = "the autoscaler has not looked at the pods yet"
        return (conditions.unknown(conditions.SCALING_ACTIVE, Reason.AUTOSCALER_PENDING, message),)
    if why == _AMBIGUOUS:
        message = "another HorizontalPodAutoscaler scales these pods, too: delete it, or spec.autoscaling"
        return (conditions.false(conditions.SCALING_ACTIVE, Reason.AUTOSCALER_CONFLICT, message),)
    message = (
        f"the number of pods stays as it is, since the autoscaler gets no CPU figures of them ({why}): is "
        f"metrics-server installed and ready? See kubectl describe horizontalpodautoscaler {name}"
    )
    return (conditions.false(conditions.SCALING_ACTIVE, Reason.METRICS_UNAVAILABLE, message),)


def _requests_cpu(resources: api.Resources | None) -> bool:
    """Tell whether a server of these resources requests CPU: by default it does, and a limit stands for a request."""
    if resources is None or not (resources.requests or resources.limits):
        return True
    return any(part is not None and part.cpu is not None for part in (resources.requests, resources.limits))
