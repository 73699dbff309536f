"""Fixtures of the end-to-end tests: Modelwright installed once, and words for what tests do over and over."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.fixtures import describe, make_namespace
from tests.support.installation import Installation, install

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from tests.cluster.client import Cluster

JOBS = "trainingjobs.modelwright.dev"
VERSIONS = "modelversions.modelwright.dev"
DEPLOYMENTS = "modeldeployments.modelwright.dev"
OURS = (JOBS, VERSIONS, DEPLOYMENTS)
CLAIM = "modelwright-models"
VALUES = ("progressSeconds=2", r"prometheus.url=http://prometheus.\{namespace\}.svc:9090")
"""What the tests' installation sets."""
NO_DIGEST = "sha256:" + "0" * 64
_ROUTED_SECONDS = 30.0

Object = dict[str, Any]


def condition(seen: Object | None, kind: str) -> Object:
    """Return a condition of an object, or an empty one."""
    conditions = ((seen or {}).get("status") or {}).get("conditions") or []
    return next((item for item in conditions if item["type"] == kind), {})


def is_true(kind: str, reason: str | None = None) -> Callable[[Object | None], bool]:
    """Return a predicate: the condition is True, decided on the present generation, with that reason."""

    def holds(seen: Object | None) -> bool:
        found = condition(seen, kind)
        return (
            seen is not None
            and found.get("status") == "True"
            and found.get("observedGeneration") == seen["metadata"].get("generation")
            and (reason is None or found.get("reason") == reason)
        )

    return holds


def new_revision(before: str) -> Callable[[Object | None], bool]:
    """Tell whether another revision than this one answers, and all is well."""

    def holds(seen: Object | None) -> bool:
        stable = ((seen or {}).get("status") or {}).get("stable") or {}
        return is_true("Ready")(seen) and stable.get("revision") != before

    return holds


def claim(name: str = CLAIM) -> Object:
    """Return a PersistentVolumeClaim of the default storage class."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }


def training_job(name: str, **spec: Any) -> Object:
    """Return a TrainingJob of the breast-cancer data; `spec` replaces fields."""
    return {
        "apiVersion": "modelwright.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name},
        "spec": {
            "model": "cancer",
            "data": [{"name": "all", "uri": "sklearn://breast_cancer"}],
            "target": "target",
            "trainer": {
                "sklearn": {
                    "estimator": "sklearn.linear_model.LogisticRegression",
                    "parameters": {"max_iter": 500},
                }
            },
            "seed": 7,
            **spec,
        },
    }


def deployment(name: str, model: Object, **spec: Any) -> Object:
    """Return a Deployment."""
    return {
        "apiVersion": "modelwright.dev/v1alpha1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"model": model, **spec},
    }


def model_version(name: str, path: str = "nothing", digest: str = NO_DIGEST, store: str = CLAIM, **spec: Any) -> Object:
    """Return a ModelVersion of what lies at a path of a claim; `spec` adds fields."""
    artifact = {"uri": f"pvc://{store}/{path}", "digest": digest}
    return {
        "apiVersion": "modelwright.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": name},
        "spec": {"model": "imported", "artifact": artifact, **spec},
    }


@dataclass(frozen=True)
class Team:
    """A namespace with Modelwright at work in it."""

    cluster: Cluster
    namespace: str
    installation: Installation

    def apply(self, *objects: Object) -> None:
        """Apply objects as a user does."""
        self.cluster.apply(list(objects), self.namespace)

    def wait(
        self, resource: str, name: str, predicate: Callable[[Object | None], object], *, deadline: float = 60
    ) -> Object:
        """Wait for an object to satisfy the predicate."""
        return self.cluster.wait(resource, name, self.namespace, predicate, deadline=deadline)

    def get(self, resource: str, name: str) -> Object:
        """Return an object that must exist."""
        found = self.cluster.get(resource, name, self.namespace)
        assert found is not None, f"{resource} {name} does not exist"
        return found

    def find(self, resource: str, selector: str = "") -> list[Object]:
        """Return the namespace's objects."""
        return self.cluster.find(resource, self.namespace, selector)

    def patch(self, resource: str, name: str, patch: Object) -> None:
        """Merge a patch into an object, as a user's edit does."""
        self.cluster.kubectl("patch", resource, name, "-n", self.namespace, "--type=merge", "-p", json.dumps(patch))

    def train(self, name: str = "first", **spec: Any) -> Object:
        """Run a TrainingJob to its end; return it."""
        self.apply(claim(), training_job(name, **spec))
        return self.wait(JOBS, name, is_true("Complete"), deadline=120)

    def infer(self, service: str, body: Object, path: str = "/v2/models/cancer/infer", timeout: float = 10) -> Object:
        """Send one request to a Deployment's Service; return the answer's object.

        Nodes follow a Service that has just been made within a second or two: until then nobody answers there.
        """
        end = time.monotonic() + _ROUTED_SECONDS
        while True:
            try:
                answer = self.cluster.http(
                    service,
                    self.namespace,
                    path,
                    method="POST",
                    body=json.dumps(body).encode(),
                    headers={"Content-Type": "application/json"},
                    timeout=timeout,
                )
            except ConnectionRefusedError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
            else:
                assert answer.status == 200, answer.body
                return answer.json()

    def own_objects(self) -> dict[str, str]:
        """Return the resourceVersions of all our objects and their children."""
        resources = (
            *OURS,
            "jobs.batch",
            "deployments.apps",
            "services",
            "poddisruptionbudgets.policy",
            "networkpolicies.networking.k8s.io",
        )
        return {
            f"{resource}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
            for resource in resources
            for item in self.find(resource)
        }


def rows_body(rows: Sequence[Sequence[float]]) -> Object:
    """Return an inference request of one float32 matrix."""
    flat = [float(value) for row in rows for value in row]
    return {
        "inputs": [{"name": "input", "shape": [len(rows), len(rows[0])], "datatype": "FP32", "data": flat}],
    }


@pytest.fixture(scope="session")
def installation(cluster: Cluster) -> Installation:
    """Install Modelwright from the checkout."""
    return install(cluster, *VALUES)


@pytest.fixture
def team(installation: Installation, namespace: str) -> Team:
    """Give a namespace with Modelwright at work in it."""
    return Team(installation.cluster, namespace, installation)


@pytest.fixture(scope="module")
def shared(installation: Installation, request: pytest.FixtureRequest) -> Generator[Team]:
    """Give one namespace to all tests of a module: what they need and never change is made once."""
    cluster = installation.cluster
    name = make_namespace(cluster, request.node.name.rpartition("/")[2].removesuffix(".py"))
    failed = request.session.testsfailed
    yield Team(cluster, name, installation)
    if request.session.testsfailed > failed:
        print(describe(cluster, name))
        if os.environ.get("KEEP") == "1":
            return
    cluster.delete("namespaces", name)
