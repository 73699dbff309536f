"""pytest fixtures: one cluster for the whole run, a namespace for each test.

Load it with `pytest_plugins = ["tests.cluster.fixtures"]`. A cluster that ran before stays up; one
that the run brought up is removed at its end, unless KEEP=1 is set.
"""

import os
import re
import secrets
from collections.abc import Generator

import pytest

from tests.cluster import lifecycle
from tests.cluster.api import Json
from tests.cluster.client import Cluster
from tests.cluster.settings import load_settings

_FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def cluster() -> Generator[Cluster]:
    """Give the running cluster, brought up or repaired where needed."""
    ran_before = lifecycle.is_up()
    if not ran_before:
        lifecycle.up()
    found = Cluster(load_settings())
    yield found
    if not ran_before and os.environ.get("KEEP") != "1":
        lifecycle.down()


def make_namespace(cluster: Cluster, title: str) -> str:
    """Make a namespace that takes only pods of the restricted profile, ready for pods; return its name."""
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-")
    name = f"{words}-{secrets.token_hex(3)}"
    cluster.api.request("POST", "/api/v1/namespaces", _namespace(name))
    # Pods need both of them.
    cluster.wait("serviceaccounts", "default", name, bool)
    cluster.wait("configmaps", "kube-root-ca.crt", name, bool)
    return name


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Generator[str]:
    """Give a namespace of the test's own that takes only pods of the restricted profile, ready for pods."""
    name = make_namespace(cluster, request.node.name)
    yield name
    if request.node.stash.get(_FAILED, default=False):
        print(describe(cluster, name))
        if os.environ.get("KEEP") == "1":
            return
    cluster.delete("namespaces", name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether the test itself failed, for the namespace's teardown."""
    report = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    return report


def describe(cluster: Cluster, namespace: str) -> str:
    """Return what a person would look at first in a namespace: its objects, its events, the ends of its pods' logs."""
    parts = [
        cluster.kubectl("get", "all,pvc", "-n", namespace, "-o", "wide", check=False),
        cluster.kubectl("get", "events", "-n", namespace, "--sort-by=.lastTimestamp", check=False),
    ]
    for pod in cluster.find("pods", namespace):
        name = pod["metadata"]["name"]
        parts.append(f"--- logs of {name}")
        tail = ["--all-containers", "--prefix", "--tail=20"]
        parts.append(cluster.kubectl("logs", name, "-n", namespace, *tail, check=False))
    return "\n".join(parts)


def _namespace(name: str) -> Json:
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "modelwright.dev/test": "true"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
