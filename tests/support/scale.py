"""Many Deployments that need no pods, and when all of their children are there."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.e2e.fixtures import DEPLOYMENTS, deployment, is_true

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.e2e.fixtures import Team

_CLIENTS = 4
_PAUSE_SECONDS = 0.25


def create_deployments(team: Team, version: str, numbers: Iterable[int]) -> None:
    """Create Deployments of a version with no replicas, several at a time."""
    path = f"/apis/modelwright.dev/v1alpha1/namespaces/{team.namespace}/modeldeployments"

    def create(number: int) -> None:
        team.cluster.api.request("POST", path, deployment(f"many-{number:04}", {"version": version}, replicas=0))

    with ThreadPoolExecutor(_CLIENTS) as pool:
        list(pool.map(create, numbers))


def count(team: Team, collection: str) -> int:
    """Return how many objects a collection of the namespace has, such as `/api/v1` and `services`; reads only one."""
    root, _, resource = collection.rpartition("/")
    page = team.cluster.api.request("GET", f"{root}/namespaces/{team.namespace}/{resource}?limit=1")
    return len(page["items"]) + int(page["metadata"].get("remainingItemCount") or 0)


def wait_children(team: Team, number: int, *, deadline: float) -> None:
    """Wait until there are as many workloads and Services as Deployments.

    Raises:
        AssertionError: not so at the deadline, in seconds.
    """
    end = time.monotonic() + deadline
    while True:
        found = {name: count(team, name) for name in ("/apis/apps/v1/deployments", "/api/v1/services")}
        if min(found.values()) >= number:
            return
        if time.monotonic() > end:
            message = f"of {number} Deployments' children there are only {found} after {deadline} s"
            raise AssertionError(message)
        time.sleep(_PAUSE_SECONDS)


def wait_ready(team: Team, number: int, *, deadline: float) -> None:
    """Wait until that many Deployments are ready.

    Raises:
        AssertionError: not so at the deadline, in seconds.
    """
    end = time.monotonic() + deadline
    while True:
        ready = sum(is_true("Ready")(item) for item in team.find(DEPLOYMENTS))
        if ready >= number:
            return
        if time.monotonic() > end:
            message = f"of {number} Deployments only {ready} are ready after {deadline} s"
            raise AssertionError(message)
        time.sleep(_PAUSE_SECONDS)
