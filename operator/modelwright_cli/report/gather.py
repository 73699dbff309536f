"""What a report is made of: the Deployment, and what the sidecars of its pods counted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from modelwright_cli.errors import Fault
from modelwright_cli.objects import Json, name_of, part, text
from modelwright_cli.references import children
from modelwright_cli.report.counts import Answer, CountsError, read
from modelwright_server.contract.monitoring import COUNTS_PATH, WINDOW_PORT

if TYPE_CHECKING:
    from modelwright_cli.access import Cluster

_MOST_PODS = 20
_AT_ONCE = 8
_SECONDS = 8.0
_MOST_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Gathered:
    """All of it.

    Attributes:
        deployment: as the API server has it.
        answers: of the sidecars that could be reached.
        problems: with the others.
    """

    deployment: Json
    answers: tuple[Answer, ...]
    problems: tuple[str, ...]


def gather(cluster: Cluster, name: str) -> Gathered:
    """Read it; sidecars that do not answer are a problem and no failure.

    Raises:
        Fault: the Deployment cannot be had.
    """
    deployment = cluster.get("Deployment", name)
    if "monitoring" not in part(deployment, "spec"):
        message = f"Deployment {name} is not monitored: add `monitoring: {{}}` to its spec (docs/monitoring.md)"
        raise Fault(message)
    try:
        pods = [pod for pod in cluster.list("Pod", labels=children(name)) if _lives(pod)]
    except Fault as fault:
        return Gathered(deployment, (), (f"the pods cannot be listed: {fault}",))
    problems: list[str] = [] if pods else ["no pod runs: these are the figures of the last one that did"]
    closers = {text(item, "window", "closedBy") for item in _tracks(deployment)}
    names = sorted(map(name_of, pods), key=lambda pod: (pod not in closers, pod))
    if len(names) > _MOST_PODS:
        problems.append(f"{len(names) - _MOST_PODS} of {len(names)} pods were not asked")
    answers: list[Answer] = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for found in pool.map(partial(_ask, cluster), names[:_MOST_PODS]):
            if isinstance(found, Answer):
                answers.append(found)
            else:
                problems.append(found)
    return Gathered(deployment, tuple(answers), tuple(problems))


def _tracks(deployment: Json) -> list[Json]:
    found = part(deployment, "status", "monitoring")
    return [found, part(found, "canary")]


def _lives(pod: Json) -> bool:
    return text(pod, "status", "phase") == "Running" and not part(pod, "metadata").get("deletionTimestamp")


def _ask(cluster: Cluster, pod: str) -> Answer | str:
    try:
        return read(pod, cluster.of_pod(pod, WINDOW_PORT, COUNTS_PATH, most_bytes=_MOST_BYTES, seconds=_SECONDS))
    except (Fault, CountsError) as error:
        return f"the sidecar of pod {pod} did not say what it counted: {error}"
