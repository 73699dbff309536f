"""A cluster and a namespace for as long as a program needs them; what was there before stays."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.cluster import down, is_up, up
from tests.cluster.client import Cluster
from tests.cluster.settings import ClusterError, load_settings

if TYPE_CHECKING:
    from collections.abc import Generator

_OURS = "modelwright.dev/temporary"
_GONE_SECONDS = 120.0


def keep() -> bool:
    """Tell whether the user asked, by KEEP=1, to leave everything running."""
    return os.environ.get("KEEP", "") not in {"", "0"}


def end_tidily() -> None:
    """Let SIGTERM unwind the program as Ctrl-C does, so that it cleans up."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


@contextmanager
def undisturbed() -> Generator[None]:
    """Let an impatient second Ctrl-C not interrupt the cleaning up."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def running_cluster() -> Generator[Cluster]:
    """Give a running cluster; one that did not run before is removed at the end, however that comes, unless KEEP=1."""
    ran_before = is_up()
    try:
        if not ran_before:
            up()
        yield Cluster(load_settings())
    finally:
        if not ran_before and not keep():
            with undisturbed():
                down()


@contextmanager
def fresh_namespace(cluster: Cluster, name: str) -> Generator[str]:
    """Give a new namespace that takes only restricted pods; it is removed at the end unless KEEP=1.

    One that an earlier program left behind is replaced.

    Raises:
        ClusterError: a namespace of that name was made by somebody else.
    """
    found = cluster.get("namespaces", name)
    if found is not None and _OURS not in found["metadata"].get("labels", {}):
        message = f"the namespace {name} exists and was made by somebody else: remove it, or use another cluster"
        raise ClusterError(message)
    if found is not None:
        cluster.delete("namespaces", name)
        cluster.wait("namespaces", name, None, lambda seen: seen is None, deadline=_GONE_SECONDS)
    labels = {"pod-security.kubernetes.io/enforce": "restricted", _OURS: "true"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    try:
        # Pods need both of them.
        cluster.wait("serviceaccounts", "default", name, bool)
        cluster.wait("configmaps", "kube-root-ca.crt", name, bool)
        yield name
    finally:
        if not keep():
            with undisturbed():
                cluster.delete("namespaces", name)
