"""Pods that were taken away, never came to be, or were refused: what Kubernetes did to them, told apart.

What Kubernetes takes from a pod for its own reasons (`DisruptionTarget`) is no failure of the attempt: its Job ignores
it and makes another pod. What a pod brought upon itself is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from modelwright_operator.decide.pods import Problem, cut
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelwright_operator.decide.observed import Pod

_DISRUPTION: Final = "DisruptionTarget"
_NODE_GONE: Final = {"DeletionByTaintManager", "DeletionByPodGC"}
_DONE_TO_IT: Final = {
    "PreemptionByScheduler": "was preempted by a pod of a higher priority",
    "EvictionByEvictionAPI": "was evicted, as when its node is drained",
    "TerminationByKubelet": "was ended by its node, which is short of memory or disk or shuts down",
    "DeletionByTaintManager": "was on a node that does not answer or may no longer run it",
    "DeletionByPodGC": "was on a node that is gone",
}
_SIGNALS: Final = {137, 143}  # ended by SIGKILL or SIGTERM
_OVER_A_LIMIT: Final = "exceeds the"
_OVER_QUOTA: Final = "exceeded quota"


@dataclass(frozen=True)
class Loss:
    """Why a pod did not come to its end; `final` when another one would not either."""

    reason: Reason
    message: str
    final: bool = False


def disrupted(pods: Sequence[Pod]) -> Problem | None:
    """Return what Kubernetes has done to the newest of these pods that it took away, if it took any."""
    taken = [pod for pod in pods if pod.has(_DISRUPTION)]
    if not taken:
        return None
    pod = max(taken, key=lambda item: (str(item.metadata.get("creationTimestamp")), item.name))
    condition = pod.condition(_DISRUPTION) or {}
    why = str(condition.get("reason", ""))
    done = _DONE_TO_IT.get(why, "was taken away")
    return Problem(
        Reason.NODE_LOST if why in _NODE_GONE else Reason.DISRUPTED,
        f"pod {pod.name} {done} ({why}); this does not count as an attempt, and its Job makes another pod. "
        f"{cut(str(condition.get('message', '')), 300)}".strip(),
        lasting=False,
    )


def over_quota(text: str) -> bool:
    """Tell whether the API server refused something because a ResourceQuota is used up."""
    return _OVER_QUOTA in text


def uncreated(text: str) -> Problem:
    """Return why the pods of a Job cannot be created, from what the API server told the Job's controller."""
    if over_quota(text):
        return Problem(
            Reason.QUOTA_EXCEEDED,
            f"a ResourceQuota of the namespace leaves no room for the pod; it is tried again: {cut(text)}",
            lasting=False,
        )
    return Problem(Reason.POD_REJECTED, f"the API server refuses the pod: {cut(text)}", lasting=True)


def lost(pod: Pod | None, stage: str | None, exit_code: int | None) -> Loss | None:
    """Return how a failed attempt lost its pod; None: the stage itself failed.

    Args:
        pod: the attempt's pod, if it is still there.
        stage: the stage that ended with a failure, if one did.
        exit_code: its exit code.
    """
    if pod is None:
        return None
    why, text = str(pod.status.get("reason", "")), cut(str(pod.status.get("message", "")), 500)
    if why == "Evicted":
        advice = "its data or artifact are too large for the volumes of the pod" if _OVER_A_LIMIT in text else ""
        words = f"the node evicted the pod: {text}" + (f" ({advice})" if advice else "")
        return Loss(Reason.EVICTED, words, final=bool(advice))
    if pod.deleting and exit_code in _SIGNALS:
        return Loss(Reason.POD_LOST, f"the pod was deleted while stage {stage} ran; suspend a TrainingJob to stop it")
    if pod.phase == "Failed" and not pod.containers:
        return Loss(Reason.POD_REJECTED, f"the node refused pod {pod.name}: {why}: {text}".strip(": "))
    return None
