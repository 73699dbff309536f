"""Rollouts for the end-to-end tests: two good versions for the whole run, bad ones, and words for what is watched."""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import pytest

from modelwright_operator import naming
from modelwright_server import artifact, contract
from tests.cluster.fixtures import describe, make_namespace
from tests.e2e.fixtures import (
    CLAIM,
    DEPLOYMENTS,
    JOBS,
    VERSIONS,
    Object,
    Team,
    claim,
    deployment,
    is_true,
    model_version,
    training_job,
)
from tests.support.behaving import Behaviour, model
from tests.support.claims import run_in_claim, write_files

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path

    from tests.support.installation import Installation

Name = TypeVar("Name", bound=str)
HOLD: Object = {"minSeconds": 5, "minRequests": 100}
ROLLOUT: Object = {
    "steps": [{"weight": 10, "hold": HOLD}, {"weight": 50, "hold": HOLD}],
    "canaryTimeoutMilliseconds": 5_000,  # a busy machine may stop for seconds: no fault of a good version
    "postPromotionWatchSeconds": 20,
}


@pytest.fixture(scope="session")
def trials(installation: Installation) -> Generator[Team]:
    """Give one namespace to all tests of rollouts, with the good versions in it."""
    cluster = installation.cluster
    name = make_namespace(cluster, "rollouts")
    team = Team(cluster, name, installation)
    team.apply(claim(), training_job("first"), training_job("second", seed=8))
    yield team
    cluster.delete("namespaces", name)


def _trained(team: Team, job: str) -> str:
    made = str(team.wait(JOBS, job, is_true("Complete"), deadline=180)["status"]["modelVersion"])
    team.wait(VERSIONS, made, is_true("Verified"))
    return made


@pytest.fixture(scope="session")
def first(trials: Team) -> str:
    """Give the version that answers at first."""
    return _trained(trials, "first")


@pytest.fixture(scope="session")
def second(trials: Team) -> str:
    """Give another version, as good."""
    return _trained(trials, "second")


@pytest.fixture(scope="session")
def bad(trials: Team, first: str, tmp_path_factory: pytest.TempPathFactory) -> Mapping[Behaviour, str]:
    """Import a version of each bad behaviour, with the good one's schema."""
    models: dict[Behaviour, bytes] = {kind: model(kind) for kind in get_args(Behaviour)}
    return import_versions(trials, models, schema_of(trials, first), tmp_path_factory.mktemp("bad"))


def path_of(team: Team, version: str) -> str:
    """Return where a version's artifact lies in the claim."""
    uri = str(team.get(VERSIONS, version)["spec"]["artifact"]["uri"])
    return uri.removeprefix(f"pvc://{CLAIM}/").rstrip("/")


def schema_of(team: Team, version: str) -> Object:
    """Return the schema in a version's artifact."""
    file = f"{path_of(team, version)}/{artifact.SCHEMA}"
    schema: Object = json.loads(run_in_claim(team, CLAIM, f"print(open({file!r}).read())"))
    return schema


def import_versions(team: Team, models: Mapping[Name, bytes], schema: Object, folder: Path) -> dict[Name, str]:
    """Import ONNX files as versions of the model `cancer`; return the versions' names by kind."""
    files: dict[str, bytes] = {}
    versions: list[Object] = []
    for kind, content in models.items():
        own = folder / kind
        own.mkdir()
        (own / artifact.MODEL).write_bytes(content)
        (own / artifact.SCHEMA).write_text(json.dumps(schema), encoding="utf-8")
        digest = artifact.write(own).digest
        files |= {f"{kind}/{item.name}": item.read_bytes() for item in own.iterdir()}
        versions.append(model_version(f"cancer-{kind}", kind, digest, model="cancer"))
    write_files(team, CLAIM, files)
    team.apply(*versions)
    for version in versions:
        team.wait(VERSIONS, version["metadata"]["name"], is_true("Verified"), deadline=90)
    return {kind: f"cancer-{kind}" for kind in models}


def serves(version: str) -> Callable[[Object | None], bool]:
    """Tell whether all is well and this version answers."""

    def holds(seen: Object | None) -> bool:
        stable = ((seen or {}).get("status") or {}).get("stable") or {}
        return is_true("Ready")(seen) and stable.get("version") == version

    return holds


def rollout_of(seen: Object | None) -> Object:
    """Return what a Deployment's status says of its rollout."""
    return ((seen or {}).get("status") or {}).get("rollout") or {}


def phase(wanted: str, version: str | None = None, weight: int | None = None) -> Callable[[Object | None], bool]:
    """Tell whether the rollout, of that version, is in a phase, with that weight."""

    def holds(seen: Object | None) -> bool:
        rollout = rollout_of(seen)
        return (
            rollout.get("phase") == wanted
            and version in {None, rollout["version"]}
            and weight in {None, rollout.get("weight", 0)}
        )

    return holds


@contextmanager
def removed_afterwards(team: Team, *names: str) -> Generator[None]:
    """Have Deployments go with their pods whatever happens, so that no test is in the way of the next one."""
    try:
        yield
    except BaseException:
        print(describe(team.cluster, team.namespace))
        raise
    finally:
        for name in names:
            team.cluster.delete(DEPLOYMENTS, name, team.namespace)
            team.wait(DEPLOYMENTS, name, partial(_without_pods, team, name))


def _without_pods(team: Team, name: str, seen: Object | None) -> bool:
    return seen is None and not team.find("pods", f"{naming.LABEL_OWNER_NAME}={name}")


@contextmanager
def served(team: Team, name: str, version: str, *, replicas: int = 2, **rollout: Any) -> Generator[None]:
    """Have a Deployment that serves a version and tries the next by steps; it goes afterwards."""
    with removed_afterwards(team, name):
        team.apply(deployment(name, {"version": version}, replicas=replicas, rollout={**ROLLOUT, **rollout}))
        team.wait(DEPLOYMENTS, name, serves(version))
        yield


def want(team: Team, name: str, version: str) -> None:
    """Ask for another version."""
    team.patch(DEPLOYMENTS, name, {"spec": {"model": {"version": version}}})


def address(team: Team, name: str) -> str:
    """Return the IP address at which a Deployment's clients reach it."""
    return str(team.get("services", name)["spec"]["clusterIP"])


def pods(team: Team, revision: str) -> list[Object]:
    """Return the pods of a revision that are not about to end."""
    found = team.find("pods", f"modelwright.dev/revision={revision}")
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def restarts(found: Sequence[Object]) -> dict[str, int]:
    """Return how often containers of pods were started again, by the pods' uids."""
    return {pod["metadata"]["uid"]: sum(item["restartCount"] for item in _containers(pod)) for pod in found}


def _containers(pod: Object) -> list[Object]:
    return [*pod["status"].get("initContainerStatuses", []), *pod["status"].get("containerStatuses", [])]


def counted(team: Team, found: Sequence[Object], sequence: int) -> list[Object]:
    """Return what each pod counted in a step, as the operator reads it; pods that do not know it yet are left out."""
    pages = [
        json.loads(
            team.cluster.api.read(
                f"/api/v1/namespaces/{team.namespace}/pods/{pod['metadata']['name']}:{contract.METRICS_PORT}"
                f"/proxy{contract.EVIDENCE_PATH}"
            )
        )
        for pod in found
    ]
    return [step for page in pages for step in page["steps"] if step["sequence"] == sequence]
