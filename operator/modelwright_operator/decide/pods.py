"""What keeps a pod from doing its work, in a reason and words for people; shared by all kinds."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from modelwright_operator.raw import is_map
from modelwright_operator.reasons import Reason, reported
from modelwright_server.contract import Cause, ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelwright_operator.decide.observed import Container, Pod

_PULL: Final = {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable"}
_CONFIG: Final = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_CLAIM: Final = re.compile(r'persistentvolumeclaim "(?P<name>[^"]+)" (is being deleted|not found)')
_SECRET: Final = re.compile(r'^secret "(?P<name>[^"]+)" not found')
_LIMIT: Final = 700


@dataclass(frozen=True)
class Problem:
    """Why a pod does not get on.

    Attributes:
        lasting: only a human can mend it; the others may pass by themselves.
    """

    reason: Reason
    message: str
    lasting: bool


def cut(text: str, limit: int = _LIMIT) -> str:
    """Return the end of a text too long for a condition, which is where a log says what went wrong.

    >>> cut("abcdef", 4)
    '…def'
    """
    text = text.strip()
    return text if len(text) <= limit else "…" + text[-(limit - 1) :]


def told(said: Mapping[str, Any], otherwise: Reason) -> tuple[Reason, str]:
    """Return reason and words of a container's last message; why a model was rejected comes first in the words.

    >>> told({"reason": "ModelRejected", "cause": "NotONNX", "message": "m"}, Reason.CRASH_LOOPING)[1]
    'ModelRejected/NotONNX: m'
    """
    reason, text = reported(str(said.get("reason", "")), otherwise), cut(str(said.get("message", "")))
    try:
        return reason, rejected(Cause(str(said.get("cause", ""))), text) if reason is Reason.MODEL_REJECTED else text
    except ValueError:  # a cause of a later version's
        return reason, text


def rejected(cause: Cause, text: str) -> str:
    """Return why a model was rejected, as conditions say it: their reasons take no slash, so it is in the message."""
    return f"{Reason.MODEL_REJECTED}/{cause}: {text}"


def _unscheduled(pod: Pod) -> Problem | None:
    condition = pod.condition("PodScheduled")
    if condition is None or condition.get("status") != "False":
        return None
    text = cut(str(condition.get("message", "")))
    if claim := _CLAIM.search(text):
        name = claim["name"]
        return Problem(
            Reason.VOLUME_CLAIM_NOT_FOUND,
            f"PersistentVolumeClaim {name} does not exist in this namespace: create it, and the pod goes on by itself",
            lasting=True,
        )
    if "volume node affinity conflict" in text:
        return Problem(
            Reason.STORAGE_NOT_SHARED,
            f"the storage cannot be mounted where the pod may run; use a ReadWriteMany claim: {text}",
            lasting=True,
        )
    return Problem(Reason.UNSCHEDULABLE, f"no node can run the pod: {text}", lasting=False)


def _container(container: Container) -> Problem | None:  # noqa: PLR0911  # one for each thing that may be wrong
    waiting = container.waiting_reason
    if waiting in _PULL:
        image = container.raw.get("image", "")
        return Problem(
            Reason.IMAGE_PULL_FAILED,
            f"image {image} of container {container.name} cannot be pulled ({waiting}); check the image's name and "
            f"spec.pod.imagePullSecrets. {cut(container.waiting_message, 300)}",
            lasting=True,
        )
    if secret := _SECRET.match(container.waiting_message):
        name = secret["name"]
        return Problem(
            Reason.SECRET_NOT_FOUND,
            f"Secret {name}, which container {container.name} needs, does not exist in this namespace: create it, and "
            "the pod goes on by itself",
            lasting=True,
        )
    if waiting in _CONFIG:
        return Problem(
            Reason.CONTAINER_CONFIG_INVALID,
            f"container {container.name} cannot be created: {cut(container.waiting_message)}",
            lasting=True,
        )
    if container.ready:  # whatever happened before
        return None
    if (said := _reported(container.terminated or container.previous)) is not None:
        return said
    before = container.previous
    if before is not None and before.get("reason") == "OOMKilled":
        return _out_of_memory(container)
    if waiting == "CrashLoopBackOff" and before is not None:
        return Problem(
            Reason.CRASH_LOOPING,
            f"container {container.name} keeps ending with exit code {before.get('exitCode')}: "
            f"{cut(str(before.get('message', '')))}",
            lasting=True,
        )
    return None


def _out_of_memory(container: Container) -> Problem:
    return Problem(
        Reason.OUT_OF_MEMORY,
        f"container {container.name} was killed at its memory limit; raise it in the spec's resources",
        lasting=True,
    )


def _reported(ended: Mapping[str, Any] | None) -> Problem | None:
    """Return what a container said at its end; None where it is no message of ours."""
    if ended is None or ended.get("exitCode") == ExitCode.DONE:
        return None
    try:
        said = json.loads(str(ended.get("message", "")))
    except ValueError:
        return None
    if not is_map(said) or "reason" not in said:
        return None
    reason, text = told(said, Reason.CRASH_LOOPING)
    return Problem(reason, text, lasting=ended.get("exitCode") == ExitCode.PERMANENT)


def killed(pods: Sequence[Pod]) -> bool:
    """Tell whether one of the pods ended, for good, at its memory limit."""
    ended = (container.terminated for pod in pods for container in pod.containers)
    return any(end is not None and end.get("reason") == "OOMKilled" for end in ended)


def problem(pods: Sequence[Pod]) -> Problem | None:
    """Return the worst of what keeps these pods from running: lasting problems before passing ones."""
    found: list[Problem] = []
    for pod in pods:
        if pod.deleting:
            continue
        if pod.phase == "Failed" and not pod.containers:
            text = cut(str(pod.status.get("message", pod.status.get("reason", ""))))
            found.append(Problem(Reason.POD_REJECTED, f"the node refused pod {pod.name}: {text}", lasting=False))
        candidates = (_unscheduled(pod), *(_container(container) for container in pod.containers))
        found.extend(candidate for candidate in candidates if candidate is not None)
    return min(found, key=lambda item: not item.lasting, default=None)
