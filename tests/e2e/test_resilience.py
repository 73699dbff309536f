"""The operator killed, away or late: the same end, nothing twice, nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
import pytest

from tests.cluster.api import ApiError
from tests.e2e import object_store
from tests.e2e.fixtures import (
    CLAIM,
    DEPLOYMENTS,
    JOBS,
    VERSIONS,
    Object,
    Team,
    claim,
    condition,
    deployment,
    is_true,
    training_job,
)
from tests.support.claims import run_in_claim
from tests.support.installation import NAMESPACE, Installation

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

pytestmark = pytest.mark.cluster

STAGES = ("fetch", "prepare", "split", "train", "evaluate", "latency", "publish")
CHILDREN = (
    "jobs.batch",
    "pods",
    "deployments.apps",
    "replicasets.apps",
    "services",
    "poddisruptionbudgets.policy",
    "networkpolicies.networking.k8s.io",
)


def scale_operator(installation: Installation, replicas: int) -> None:
    """Send the operator of the installation away, or fetch it back."""
    cluster, name = installation.cluster, installation.workload
    cluster.kubectl("scale", f"deployment/{name}", f"--replicas={replicas}", "-n", NAMESPACE)
    cluster.wait(
        *("deployments.apps", name, NAMESPACE),
        lambda seen: seen and seen["status"].get("readyReplicas", 0) == replicas,
        deadline=120,
    )
    if not replicas:
        selector = "app.kubernetes.io/name=modelwright"
        cluster.wait(
            "deployments.apps", name, NAMESPACE, lambda _: not cluster.find("pods", NAMESPACE, selector), deadline=60
        )


@pytest.fixture
def away(installation: Installation) -> Generator[Installation]:
    """Give the installation with its operator away; it comes back afterwards."""
    scale_operator(installation, 0)
    yield installation
    scale_operator(installation, 1)


class Process:
    """The operator as a process of this machine, to be killed at will and started again at once."""

    def __init__(self, installation: Installation, namespace: str, **settings: str) -> None:
        self._environment = installation.cluster.environment | {
            "MODELWRIGHT_SERVING_IMAGE": installation.images["serving"],
            "MODELWRIGHT_TRAINING_IMAGE": installation.images["training"],
            "MODELWRIGHT_FEAST_IMAGE": installation.images["feast"],
            "MODELWRIGHT_WATCH_NAMESPACES": namespace,
            "MODELWRIGHT_HEALTH_PORT": "0",
            "MODELWRIGHT_METRICS_PORT": "0",
            **settings,
        }
        self._log = Path(tempfile.mkdtemp()) / "operator.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.kills = 0

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "modelwright_operator"]
            self._process = subprocess.Popen(command, env=self._environment, stderr=log, cwd=self._log.parent)

    def kill(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        os.kill(self._process.pid, 9)
        self._process.wait()
        self.kills += 1

    def log(self) -> str:
        return self._log.read_text()


def test_of_two_versions_in_a_bucket_one_goes_with_its_objects(away: Installation, team: Team, tmp_path: Path) -> None:
    bucket = object_store.run_store(team, tmp_path)
    team.apply(object_store.secret())
    settings = {
        "RETENTION_VERSIONS_PER_MODEL": "1",
        "RETENTION_GRACE_PERIOD_SECONDS": "2",
        "RETENTION_OBJECT_STORES": "true",
        "RESYNC_SECONDS": "10",
    }
    operator = Process(away, team.namespace, **{f"MODELWRIGHT_{name}": value for name, value in settings.items()})
    operator.start()
    storage: Object = {"uri": f"s3://{object_store.BUCKET}/models", **object_store.ACCESS}
    try:
        first = team.train("first", seed=1, storage=storage)["status"]
        second = team.train("second", seed=2, storage=storage)["status"]
        team.wait(VERSIONS, first["modelVersion"], lambda seen: seen is None, deadline=90)
    finally:
        operator.kill()
    assert [item["metadata"]["name"] for item in team.find(VERSIONS)] == [second["modelVersion"]]
    kept = second["artifact"]["digest"].removeprefix("sha256:")
    paths = [item["path"] for page in obstore.list(bucket) for item in page]
    assert f"models/cancer/{kept}/manifest.json" in paths
    assert all(path.startswith(f"models/cancer/{kept}/") for path in paths), paths
    assert "Traceback" not in operator.log()


def test_of_two_versions_that_nothing_uses_one_goes_with_its_files(away: Installation, team: Team) -> None:
    settings = {"RETENTION_VERSIONS_PER_MODEL": "1", "RETENTION_GRACE_PERIOD_SECONDS": "2", "RESYNC_SECONDS": "10"}
    operator = Process(away, team.namespace, **{f"MODELWRIGHT_{name}": value for name, value in settings.items()})
    operator.start()
    try:
        first = team.train("first", seed=1)["status"]
        second = team.train("second", seed=2)["status"]
        team.wait(VERSIONS, first["modelVersion"], lambda seen: seen is None, deadline=90)
    finally:
        operator.kill()
    assert [item["metadata"]["name"] for item in team.find(VERSIONS)] == [second["modelVersion"]]
    kept = second["artifact"]["digest"].removeprefix("sha256:")
    program = "import os; print(sorted(os.listdir('cancer')), sorted(os.listdir('cancer/" + kept + "')))"
    listed = run_in_claim(team, CLAIM, program)
    assert listed.startswith(f"['{kept}'] ["), listed
    assert "manifest.json" in listed
    assert "model.onnx" in listed
    assert "Traceback" not in operator.log()


@pytest.fixture
def process(away: Installation, namespace: str) -> Generator[Process]:
    """Give the operator as a process that the test may kill."""
    started = Process(away, namespace)
    started.start()
    yield started
    started.kill()


def stage_is(name: str) -> Callable[[Object | None], object]:
    """Tell whether the run has come to that stage, or past it."""

    def holds(seen: Object | None) -> bool:
        stage = ((seen or {}).get("status") or {}).get("stage")
        return stage in STAGES[STAGES.index(name) :]

    return holds


def test_killed_at_each_stage_it_ends_as_if_nothing_had_happened(process: Process, team: Team) -> None:
    copying = "import shutil; shutil.copy('/workspace/data/all.parquet', '/workspace/prepared/all.parquet')"
    all_stages: Object = {
        "prepare": {"image": team.installation.images["training"], "command": ["python", "-c", copying]},
        "evaluation": {"holdoutPercent": 25, "latency": {}},
    }
    team.apply(
        claim(),
        training_job("first", **all_stages),
        deployment("scores", {"name": "cancer", "follow": "Latest"}),
    )
    moments: list[tuple[str, str, Callable[[Object | None], object]]] = [
        (JOBS, "first", lambda seen: seen and seen["status"].get("attempt") == 1),
        *((JOBS, "first", stage_is(stage)) for stage in STAGES),
        (JOBS, "first", is_true("Complete")),
        (DEPLOYMENTS, "scores", lambda seen: seen and seen["status"].get("canary")),
        (DEPLOYMENTS, "scores", lambda seen: seen and seen["status"].get("stable")),
    ]
    for resource, name, moment in moments:
        team.wait(resource, name, moment, deadline=90)
        process.kill()
        process.start()
    team.wait(DEPLOYMENTS, "scores", is_true("Ready"), deadline=60)
    job = team.wait(JOBS, "first", is_true("Complete"))
    assert process.kills == len(moments)
    assert job["status"]["attempt"] == 1
    assert len(team.find("jobs.batch")) == 1
    assert [item["metadata"]["name"] for item in team.find(VERSIONS)] == [job["status"]["modelVersion"]]
    assert [stage["name"] for stage in job["status"]["stages"]] == list(STAGES)
    assert len(team.find("deployments.apps")) == 1

    # What was disturbed at every stage is what an undisturbed run makes.
    again = team.train("again", **all_stages)["status"]
    assert again["reproduced"]
    assert again["modelVersion"] == job["status"]["modelVersion"]
    assert "Traceback" not in process.log()


def test_deleting_leaves_no_child(team: Team) -> None:
    team.train("first")
    team.apply(deployment("scores", {"name": "cancer", "follow": "Latest"}, replicas=2))
    team.wait(DEPLOYMENTS, "scores", is_true("Ready"))
    delete_all(team)
    [version] = [item["metadata"]["name"] for item in team.find(VERSIONS)]
    team.wait(VERSIONS, version, lambda seen: condition(seen, "InUse").get("status") == "False")
    team.cluster.delete(VERSIONS, version, team.namespace)


def test_deleting_leaves_no_child_while_the_operator_is_away(team: Team, away: Installation) -> None:
    assert away.images
    scale_operator(away, 1)
    team.train("first")
    team.apply(deployment("scores", {"name": "cancer", "follow": "Latest"}, replicas=2))
    team.wait(DEPLOYMENTS, "scores", is_true("Ready"))
    scale_operator(away, 0)
    delete_all(team)
    [version] = [item["metadata"]["name"] for item in team.find(VERSIONS)]
    with pytest.raises(ApiError, match="is used by scores"):  # as far as anybody can tell
        team.cluster.delete(VERSIONS, version, team.namespace)


def delete_all(team: Team) -> None:
    """Delete all runs and Deployments, and wait for everything that was made for them to be gone."""
    for resource in (JOBS, DEPLOYMENTS):
        for item in team.find(resource):
            team.cluster.delete(resource, item["metadata"]["name"], team.namespace)
    anything = "app.kubernetes.io/managed-by=modelwright"

    def nothing_left(_: Object | None) -> bool:
        return not any(team.find(resource, anything) for resource in CHILDREN if resource != "replicasets.apps")

    team.cluster.wait("namespaces", team.namespace, None, nothing_left, deadline=60)
    assert not any(team.find(resource) for resource in (JOBS, DEPLOYMENTS))


def test_work_goes_on_where_it_stood_when_the_operator_comes_back(team: Team, away: Installation) -> None:
    team.apply(claim(), training_job("first"), deployment("scores", {"name": "cancer", "follow": "Latest"}))
    assert team.get(JOBS, "first")["status"]["observedGeneration"] == -1
    scale_operator(away, 1)
    team.wait(DEPLOYMENTS, "scores", is_true("Ready"), deadline=120)
    assert team.get(JOBS, "first")["status"]["attempt"] == 1
