"""The cluster as one thing, whichever way it is made: up, down, status, load."""

import fcntl
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import Protocol

from tests.cluster.kind import Kind, find_engine
from tests.cluster.node import Node
from tests.cluster.processes import find_init, find_processes
from tests.cluster.settings import ClusterError, Settings, load_settings
from tests.cluster.states import State


class Engine(Protocol):
    """What makes and keeps a cluster."""

    def up(self) -> None:
        """Bring the cluster up or repair it."""

    def down(self) -> None:
        """Remove the cluster."""

    def status(self) -> list[State]:
        """Return the state of its parts."""
        ...

    def load(self, sources: list[str]) -> None:
        """Bring images into it."""


def report(line: str) -> None:
    """Tell the user how far things are."""
    print(f"cluster: {line}", file=sys.stderr, flush=True)


@cache
def engine(settings: Settings) -> Engine:
    """Return what makes the cluster: kind where a container engine answers, else the node of real programs.

    Raises:
        ClusterError: `MODELWRIGHT_CLUSTER_ENGINE` asks for something else, or for kind where no engine answers.
    """
    wanted = os.environ.get("MODELWRIGHT_CLUSTER_ENGINE") or "auto"
    if wanted not in {"auto", "kind", "node"}:
        message = f"MODELWRIGHT_CLUSTER_ENGINE is {wanted!r}: set auto, kind or node"
        raise ClusterError(message)
    runs = wanted == "auto" and find_init(find_processes(settings)) is not None  # one made before the engine answered
    found = None if runs or wanted == "node" else find_engine()
    if found is not None:
        return Kind(settings, found, report)
    if wanted == "kind":
        message = "kind was asked for, but neither Docker nor Podman answers: start one"
        raise ClusterError(message)
    return Node(settings, report)


def up() -> None:
    """Bring the cluster up, or repair it; return when pods can run and names resolve."""
    settings = load_settings()
    with _locked(settings):
        engine(settings).up()


def down() -> None:
    """Remove the cluster: every process, mount, link, route, cgroup and file of its state."""
    settings = load_settings()
    with _locked(settings):
        engine(settings).down()


def load(images: list[str]) -> None:
    """Bring images into the cluster. Pods use the very names given here.

    Args:
        images: names of images in the local buildah, podman or docker store, or paths of docker or OCI archives.

    Raises:
        ClusterError: there is no such image, or the cluster is not up.
    """
    settings = load_settings()
    with _locked(settings):
        engine(settings).load(images)


def status() -> list[State]:
    """Return the state of each part."""
    return engine(load_settings()).status()


def is_up() -> bool:
    """Tell whether the cluster is there and well."""
    return load_settings().kubeconfig.exists() and not any(state.problem for state in status())


@contextmanager
def _locked(settings: Settings) -> Generator[None]:
    """Let one command at a time change the cluster."""
    settings.cache.mkdir(parents=True, exist_ok=True)
    with (settings.cache / f"{settings.name}.lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another command to end")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
