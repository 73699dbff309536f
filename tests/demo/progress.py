"""What people see while they wait: one line for each change, and an end as soon as only a human can go on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from tests.e2e.fixtures import DEPLOYMENTS, JOBS, OURS, condition, is_true

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.cluster.client import Cluster

Object = dict[str, Any]

_PAUSE_SECONDS = 0.2
_TEXT_LIMIT = 300


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


class Voice(Protocol):
    """Takes one line of progress: what it is about, and what is new of it."""

    def __call__(self, subject: str, news: str) -> None:
        """Tell it."""


class Narrator:
    """Prints lines with the seconds since the start."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._started

    def __call__(self, subject: str, news: str) -> None:
        """Print one line."""
        print(f"{self.seconds:6.1f} s  {subject:<46} {news}", flush=True)


def object_state(item: Object) -> str:
    """Return reason and message of the condition that says most about one of our objects."""
    for kind in ("Stalled", "Reconciling", "Ready", "Suspended"):
        found = condition(item, kind)
        if found and (kind == "Ready" or found["status"] == "True"):
            message = " ".join(str(found.get("message", "")).split())
            return f"{found['reason']}: {message}"[:_TEXT_LIMIT]
    return "not seen by the operator yet"


def pod_state(pod: Object) -> str:
    """Return how far a pod is: the container that works, or what it waits for."""
    status: Object = pod.get("status", {})
    if pod["metadata"].get("deletionTimestamp"):
        return "ending"
    before, main = status.get("initContainerStatuses", []), status.get("containerStatuses", [])
    sidecars = [item for item in before if "running" in item["state"] and item.get("ready")]
    containers: list[Object] = [*(item for item in before if item not in sidecars), *main]
    for container in containers:
        name, state = container["name"], container["state"]
        if "terminated" in state and state["terminated"]["exitCode"] == 0:
            continue
        if "terminated" in state:
            return f"{name} failed with exit code {state['terminated']['exitCode']}"
        if "running" in state:
            return f"{name} is ready" if container.get("ready") else f"{name} runs"
        if "waiting" in state:
            return f"{name} waits: {state['waiting'].get('reason', 'no reason given')}"
    return "done" if containers else f"{status.get('phase', 'Pending')}: no container yet"


def states(items: Mapping[str, Iterable[Object]]) -> dict[str, str]:
    """Return the state of each object, by `kind/name`."""
    found: dict[str, str] = {}
    for resource, objects in items.items():
        singular = resource.partition(".")[0].removesuffix("s")
        tell = pod_state if resource == "pods" else object_state
        found |= {f"{singular}/{item['metadata']['name']}": tell(item) for item in objects}
    return found


def stalled(items: Mapping[str, Iterable[Object]]) -> str | None:
    """Return which of our objects need a human and why, None if none does."""
    wrong = [
        f"{item['kind']} {item['metadata']['name']} is stalled. {object_state(item)}"
        for resource, objects in items.items()
        if resource in OURS
        for item in objects
        if is_true("Stalled")(item)
    ]
    return "; ".join(wrong) or None


def follow(cluster: Cluster, namespace: str, name: str, say: Voice, *, deadline: float) -> None:
    """Tell every change in a namespace until its TrainingJob is complete and its Deployment ready, both named `name`.

    Raises:
        DemoError: an object is stalled, or the deadline, in seconds, passed.
    """
    end = time.monotonic() + deadline
    told: dict[str, str] = {}
    while True:
        items = {resource: cluster.find(resource, namespace) for resource in (*OURS, "pods")}
        now = states(items)
        for subject, state in now.items():
            if told.get(subject) != state:
                say(subject, state)
        for subject in told.keys() - now.keys():
            say(subject, "gone")
        told = now
        if (problem := stalled(items)) is not None:
            raise DemoError(problem)
        goals = ((JOBS, "Complete"), (DEPLOYMENTS, "Ready"))
        missing = [
            f"{resource.partition('.')[0]}/{name} is not {kind}"
            for resource, kind in goals
            if not any(is_true(kind)(item) for item in items[resource] if item["metadata"]["name"] == name)
        ]
        if not missing:
            return
        if time.monotonic() > end:
            message = f"after {deadline:.0f} s {' and '.join(missing)}; see the last lines above"
            raise DemoError(message)
        time.sleep(_PAUSE_SECONDS)
