"""Rollouts by steps on the real cluster: real pods spread real requests, and no client notices a bad version."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import onnx
import pytest
from onnx import TensorProto, helper

from modelwright_server import artifact
from tests.e2e.fixtures import CLAIM, DEPLOYMENTS, VERSIONS, Object, Team, condition, deployment, is_true, model_version
from tests.e2e.test_serving import clients, second_version, serves
from tests.support.claims import run_in_claim, write_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.cluster

HOLD: Object = {"minSeconds": 5, "minRequests": 100}
ROLLOUT: Object = {
    "steps": [{"weight": 10, "hold": HOLD}, {"weight": 50, "hold": HOLD}],
    "canaryTimeoutMilliseconds": 500,
    "postPromotionWatchSeconds": 20,
}


@pytest.fixture(scope="module")
def first(shared: Team) -> str:
    """Train the version that answers at first."""
    return str(shared.train("first")["status"]["modelVersion"])


@pytest.fixture(scope="module")
def second(shared: Team, first: str) -> str:  # noqa: ARG001  # the claim is there by then
    """Train another version, as good."""
    return second_version(shared)


def _behaving(kind: str) -> bytes:
    """Return a model that answers rows of zeros, which is what a verification asks, and nothing else.

    Args:
        kind: `fails`: it ends in an error; `nan`: its scores are no numbers.
    """
    nodes = [
        helper.make_node("Abs", ["input"], ["positive"]),
        helper.make_node("ReduceSum", ["positive", "axis"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Cast", ["nothing"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Squeeze", ["whole", "axis"], ["label"]),
    ]
    if kind == "nan":
        nodes += [helper.make_node("Neg", ["sum"], ["negative"]), helper.make_node("Sqrt", ["negative"], ["score"])]
    else:
        nodes += [
            helper.make_node("ReduceMax", ["sum"], ["largest"], keepdims=0),
            helper.make_node("Ceil", ["largest"], ["index"]),
            helper.make_node("Cast", ["index"], ["at"], to=TensorProto.INT64),
            helper.make_node("Gather", ["single", "at"], ["found"]),
            helper.make_node("Add", ["nothing", "found"], ["score"]),
        ]
    nodes.append(helper.make_node("Concat", ["score", "score"], ["probabilities"], axis=1))
    graph = helper.make_graph(
        nodes,
        "behaving",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 30])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2]),
        ],
        [
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
            helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
            helper.make_tensor("single", TensorProto.FLOAT, [1], [0.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def bad_version(team: Team, good: str, kind: str, folder: Path) -> str:
    """Import a version with the good one's schema that behaves badly; return its name."""
    uri = team.get(VERSIONS, good)["spec"]["artifact"]["uri"]
    path = uri.removeprefix(f"pvc://{CLAIM}/").rstrip("/")
    schema = run_in_claim(team, CLAIM, f"print(open({f'{path}/{artifact.SCHEMA}'!r}).read())")
    (folder / artifact.MODEL).write_bytes(_behaving(kind))
    (folder / artifact.SCHEMA).write_text(json.dumps(json.loads(schema)), encoding="utf-8")
    digest = artifact.write(folder).digest
    write_files(team, CLAIM, {f"{kind}/{item.name}": item.read_bytes() for item in folder.iterdir()})
    team.apply(model_version(f"cancer-{kind}", kind, digest, model="cancer"))
    team.wait(VERSIONS, f"cancer-{kind}", is_true("Verified"), deadline=60)
    return f"cancer-{kind}"


def phase(wanted: str) -> Callable[[Object | None], bool]:
    """Tell whether the rollout is in a phase."""
    return lambda seen: ((seen or {}).get("status", {}).get("rollout") or {}).get("phase") == wanted


def start(team: Team, name: str, version: str, **spec: Any) -> None:
    team.apply(deployment(name, {"version": version}, replicas=2, rollout={**ROLLOUT, **spec}))
    team.wait(DEPLOYMENTS, name, serves(version))


def want(team: Team, name: str, version: str) -> None:
    team.patch(DEPLOYMENTS, name, {"spec": {"model": {"version": version}}})


def restarts(team: Team, revision: str) -> int:
    pods = team.find("pods", f"modelwright.dev/revision={revision}")
    return sum(item["restartCount"] for pod in pods for item in pod["status"]["containerStatuses"])


def test_a_version_as_good_takes_over_step_by_step(shared: Team, first: str, second: str) -> None:
    start(shared, "steps", first)
    with clients(shared, "steps") as load:
        want(shared, "steps", second)
        seen = shared.wait(DEPLOYMENTS, "steps", phase("Watching"), deadline=180)
        assert seen["status"]["stable"]["version"] == second
        counted = {item["weight"]: item for item in seen["status"]["rollout"]["evidence"]["steps"] if item["step"]}
        assert set(counted) == {10, 50}
        for weight, item in counted.items():
            canary, stable = item["canary"]["requests"], item["stable"]["requests"]
            assert abs(canary / (canary + stable) - weight / 100) < 0.05, counted
        shared.wait(DEPLOYMENTS, "steps", phase("Complete"), deadline=90)
    assert set(load.answers) == set(load.calls) == {first, second}, (load.answers, load.calls)
    history = [entry["event"] for entry in shared.get(DEPLOYMENTS, "steps")["status"]["history"]]
    assert history == ["RolloutStarted", "StepStarted", "StepStarted", "Promoted"]


@pytest.mark.parametrize("kind", ["fails", "nan"])
def test_a_bad_version_is_rolled_back_and_no_client_notices(
    shared: Team, first: str, kind: str, tmp_path: Path
) -> None:
    version = bad_version(shared, first, kind, tmp_path)
    start(shared, kind, first)
    before = shared.get(DEPLOYMENTS, kind)["status"]["stable"]["revision"]
    with clients(shared, kind) as load:
        want(shared, kind, version)
        seen = shared.wait(DEPLOYMENTS, kind, phase("RolledBack"), deadline=120)
        assert condition(seen, "RolledBack")["reason"] in {"CanaryBroken", "CanaryWorse"}, seen["status"]
        assert condition(seen, "Available")["status"] == "True"
        gone = seen["status"]["rejected"][0]["revision"]
        shared.wait("deployments.apps", f"{kind}-{gone}", lambda found: found is None, deadline=60)
    counted = seen["status"]["rollout"]["evidence"]["steps"][0]["canary"]
    assert counted["bad"] == counted["requests"] > 0, counted
    answered = set(load.answers) | set(load.calls)
    assert answered <= ({first} if kind == "fails" else {first, version}), (load.answers, load.calls)
    assert restarts(shared, before) == 0


def test_a_version_that_cannot_start_is_rolled_back(shared: Team, first: str) -> None:
    start(shared, "crash", first)
    with clients(shared, "crash") as load:
        limit = {"limits": {"memory": "24Mi"}, "requests": {"memory": "24Mi"}}
        shared.patch(DEPLOYMENTS, "crash", {"spec": {"server": {"resources": limit}}})
        seen = shared.wait(DEPLOYMENTS, "crash", phase("RolledBack"), deadline=120)
    assert condition(seen, "RolledBack")["reason"] in {"OutOfMemory", "CanaryCrashed", "CrashLooping"}, seen["status"]
    assert set(load.answers) == set(load.calls) == {first}, (load.answers, load.calls)
