"""Tests side by side: each worker of pytest-xdist has a cluster of its own, and runs whole modules."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tests.cluster import lifecycle

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

    import pytest

APART = 5  # clusters 0, 5 and 10: what a developer runs beside, at 1 or 2, is not in the way


def cluster_of(worker: str, environment: MutableMapping[str, str]) -> None:
    """Point the environment at the cluster of a worker.

    Args:
        worker: what xdist calls it: gw0, gw1, …
        environment: `MODELWRIGHT_CLUSTER_INDEX` and `MODELWRIGHT_CLUSTER_STATE` in it are the first worker's.
    """
    number = int(worker.removeprefix("gw"))
    if number == 0:
        return
    first = int(environment.get("MODELWRIGHT_CLUSTER_INDEX") or "0")
    environment["MODELWRIGHT_CLUSTER_INDEX"] = str(first + number * APART)
    if state := environment.get("MODELWRIGHT_CLUSTER_STATE"):
        environment["MODELWRIGHT_CLUSTER_STATE"] = f"{state}-{number}"


def _main(command: str, arguments: Sequence[str]) -> None:
    """Print which workers have no cluster, or have their clusters gone.

    Args:
        command: `missing` or `down`.
        arguments: of `missing`, how many workers there will be; of `down`, which of them are meant.
    """
    mine = dict(os.environ)
    workers = arguments if command == "down" else [f"gw{number}" for number in range(max(1, int(arguments[0])))]
    for each in workers:
        os.environ |= mine
        cluster_of(each, os.environ)
        if command == "down":
            lifecycle.down()
        elif not lifecycle.is_up():
            print(each)


if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    cluster_of(worker, os.environ)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what waits for a cluster: the short tests then fill what is left of the workers' time."""
    items.sort(key=lambda item: item.get_closest_marker("cluster") is None)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2:])
