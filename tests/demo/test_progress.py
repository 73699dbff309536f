"""What the demo says of objects and pods, and when it gives up."""

from __future__ import annotations

from typing import Any

import pytest

from tests.demo.predictions import Verdict, judge
from tests.demo.progress import object_state, pod_state, stalled, states

Object = dict[str, Any]


def job(*conditions: tuple[str, str, str, str], generation: int = 1) -> Object:
    return {
        "kind": "TrainingJob",
        "metadata": {"name": "first", "generation": generation},
        "status": {
            "conditions": [
                {"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 1}
                for kind, status, reason, message in conditions
            ]
        },
    }


def pod(*containers: Object, init: tuple[Object, ...] = (), **metadata: str) -> Object:
    return {
        "metadata": {"name": "first-abc", **metadata},
        "status": {"phase": "Pending", "initContainerStatuses": list(init), "containerStatuses": list(containers)},
    }


def container(name: str, state: str, *, ready: bool = False, **details: object) -> Object:
    return {"name": name, "ready": ready, "state": {state: details}}


FETCHED = container("fetch", "terminated", exitCode=0)
SIDECAR = container("monitor", "running", ready=True)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (pod(), "Pending: no container yet"),
        (pod(init=(container("fetch", "waiting", reason="ErrImagePull"),)), "fetch waits: ErrImagePull"),
        (pod(container("server", "running"), init=(FETCHED,)), "server runs"),
        (pod(container("server", "running", ready=True), init=(FETCHED,)), "server is ready"),
        (pod(container("server", "running", ready=True), init=(FETCHED, SIDECAR)), "server is ready"),
        (pod(container("server", "terminated", exitCode=2), init=(FETCHED,)), "server failed with exit code 2"),
        (pod(container("publish", "terminated", exitCode=0), init=(FETCHED,)), "done"),
        (pod(container("server", "running"), deletionTimestamp="2026-01-01T00:00:00Z"), "ending"),
    ],
)
def test_a_pods_line_names_the_container_that_matters(seen: Object, said: str) -> None:
    assert pod_state(seen) == said


def test_an_objects_line_is_the_condition_that_says_most() -> None:
    running = job(("Ready", "False", "Running", "not yet"), ("Reconciling", "True", "Running", "stage\n train"))
    assert object_state(running) == "Running: stage train"
    assert object_state(job(("Ready", "True", "Succeeded", "made it"))) == "Succeeded: made it"
    assert object_state(job()) == "not seen by the operator yet"
    assert states({"trainingjobs.modelwright.dev": [running]}) == {"trainingjob/first": "Running: stage train"}


def test_a_stalled_object_ends_the_demo_with_its_reason_and_message() -> None:
    broken = job(("Ready", "False", "DataInvalid", "m"), ("Stalled", "True", "DataInvalid", "spec.target: no such"))
    found = stalled({"trainingjobs.modelwright.dev": [job(("Ready", "True", "Succeeded", "")), broken]})
    assert found == "TrainingJob first is stalled. DataInvalid: spec.target: no such"


def test_what_was_said_of_an_earlier_generation_does_not_end_it() -> None:
    edited = job(("Stalled", "True", "DataInvalid", "m"), generation=2)
    assert stalled({"trainingjobs.modelwright.dev": [edited]}) is None


@pytest.mark.parametrize(
    ("accuracy", "difference", "wrong"),
    [(0.9, 1e-7, None), (0.91, 1e-7, "accuracy"), (0.9, 1e-3, "scikit-learn")],
)
def test_answers_must_agree_with_record_and_scikit_learn(accuracy: float, difference: float, wrong: str | None) -> None:
    version = {"metadata": {"name": "m-1"}, "spec": {"metrics": [{"name": "accuracy", "value": 0.9}]}}
    problem = judge(Verdict({"accuracy": accuracy}, difference), version)
    assert problem is None if wrong is None else wrong in str(problem)
