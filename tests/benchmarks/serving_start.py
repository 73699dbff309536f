"""From `kubectl apply` of a Deployment of an existing ModelVersion to its first prediction.

Beside it, in turn, the same pods without Modelwright: a workload and a Service applied by hand, whose server reads the
model straight from the claim. That is what Kubernetes itself takes here; the rest is the price of verifying the model,
and of moving traffic only to what is ready.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from tests.benchmarks.report import Report, Table, spread
from tests.e2e.fixtures import CLAIM, VERSIONS, Team, deployment, rows_body

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Object = dict[str, Any]
Marks = dict[str, float]

REPETITIONS = 7
GOAL_SECONDS = 10.0
_PAUSE_SECONDS = 0.02
_DEADLINE_SECONDS = 60.0
_OK = 200
_STEPS = ("pod scheduled", "fetch ended", "server runs", "pod ready", "Service there", "first answer")


def run(team: Team) -> Report:
    """Measure in a namespace with Modelwright at work in it."""
    job = team.train("first")
    version = team.get(VERSIONS, job["status"]["modelVersion"])
    columns = version["spec"]["schema"]["inputs"][0]["columns"]
    body = json.dumps(rows_body([[1.0] * len(columns)])).encode()
    template = _template(team, version, body)
    ours: list[Marks] = []
    plain: list[Marks] = []
    for number in range(REPETITIONS):
        name = f"ours-{number}"
        ours.append(_measure(team, name, [deployment(name, {"version": version["metadata"]["name"]})], body))
        _remove(team, "modeldeployments.modelwright.dev", name)
        name = f"plain-{number}"
        plain.append(_measure(team, name, _plain(name, template, version), body))
        _remove(team, "deployments.apps", name)
        team.cluster.delete("services", name, team.namespace)
        print(
            f"{number + 1}/{REPETITIONS}: {ours[-1]['first answer']:.2f} s, plain {plain[-1]['first answer']:.2f} s",
            file=sys.stderr,
        )
    found = {"modelwright": ours, "plain": plain}
    summary = {
        who: {step: spread([marks[step] for marks in all_marks]) for step in _STEPS if step in all_marks[0]}
        for who, all_marks in found.items()
    }
    return Report("serving-start", {"goalSeconds": GOAL_SECONDS, "seconds": summary, "runs": found}, (_table(summary),))


def _table(summary: Mapping[str, Mapping[str, object]]) -> Table:
    rows = [(step, str(summary["modelwright"].get(step, "-")), str(summary["plain"].get(step, "-"))) for step in _STEPS]
    title = f"Seconds since kubectl apply, median (minimum to maximum) of {REPETITIONS}; goal: {GOAL_SECONDS:.0f}"
    return Table(title, ("", "Modelwright", "by hand, without it"), tuple(rows))


def _measure(team: Team, name: str, objects: Sequence[Object], body: bytes) -> Marks:
    """Apply objects whose pods and Service carry the name; return the seconds until each step."""
    started = time.monotonic()
    team.apply(*objects)
    marks: Marks = {"applied": time.monotonic() - started}
    while "first answer" not in marks:
        pods = [pod for pod in team.find("pods") if pod["metadata"]["name"].startswith(f"{name}-")]
        for step, reached in _REACHED.items():
            if step not in marks and any(reached(pod) for pod in pods):
                marks[step] = time.monotonic() - started
        if "Service there" not in marks and team.cluster.get("services", name, team.namespace) is not None:
            marks["Service there"] = time.monotonic() - started
        if "server runs" in marks and "Service there" in marks and _answers(team, name, body):
            marks["first answer"] = time.monotonic() - started
        if time.monotonic() - started > _DEADLINE_SECONDS:
            message = f"{name} did not answer within {_DEADLINE_SECONDS:.0f} s; reached so far: {marks}"
            raise AssertionError(message)
        time.sleep(_PAUSE_SECONDS)
    return marks


def _answers(team: Team, service: str, body: bytes) -> bool:
    try:
        path = "/v2/models/cancer/infer"
        answer = team.cluster.http(service, team.namespace, path, method="POST", body=body, timeout=1)
    except OSError:
        return False
    return answer.status == _OK


def _condition_holds(pod: Object, kind: str) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(item["type"] == kind and item["status"] == "True" for item in conditions)


def _some_container(pod: Object, statuses: str, state: str) -> bool:
    return any(state in item["state"] for item in pod["status"].get(statuses, []))


_REACHED: dict[str, Callable[[Object], bool]] = {
    "pod scheduled": lambda pod: _condition_holds(pod, "PodScheduled"),
    "fetch ended": lambda pod: _some_container(pod, "initContainerStatuses", "terminated"),
    "server runs": lambda pod: _some_container(pod, "containerStatuses", "running"),
    "pod ready": lambda pod: _condition_holds(pod, "Ready"),
}


def _remove(team: Team, resource: str, name: str) -> None:
    """Delete an object and wait for its pods to end, so that the next measurement has the machine to itself."""
    team.cluster.delete(resource, name, team.namespace)
    end = time.monotonic() + _DEADLINE_SECONDS
    while any(pod["metadata"]["name"].startswith(f"{name}-") for pod in team.find("pods")):
        if time.monotonic() > end:
            message = f"the pods of {name} are still there {_DEADLINE_SECONDS:.0f} s after its deletion"
            raise AssertionError(message)
        time.sleep(0.2)


def _template(team: Team, version: Object, body: bytes) -> Object:
    """Return the pod template that the operator renders for the version, from a Deployment made for that alone."""
    name = "warm-up"
    _measure(team, name, [deployment(name, {"version": version["metadata"]["name"]})], body)
    workload = next(item for item in team.find("deployments.apps") if item["metadata"]["name"].startswith(f"{name}-"))
    _remove(team, "modeldeployments.modelwright.dev", name)
    template: Object = workload["spec"]["template"]
    return template


def _plain(name: str, rendered: Object, version: Object) -> list[Object]:
    """Return workload and Service of the same server, the model mounted from the claim instead of fetched."""
    labels = {"app": name}
    folder = str(version["spec"]["artifact"]["uri"]).removeprefix(f"pvc://{CLAIM}/").rstrip("/")
    model = {"name": "model", "mountPath": "/model", "subPath": folder, "readOnly": True}
    claim = {"name": "model", "persistentVolumeClaim": {"claimName": CLAIM}}
    server = rendered["spec"]["containers"][0]
    mounts = [mount for mount in server["volumeMounts"] if mount["name"] != "model"]
    mounted = {mount["name"] for mount in mounts}
    volumes = [volume for volume in rendered["spec"]["volumes"] if volume["name"] in mounted]
    pod = {key: value for key, value in rendered["spec"].items() if key not in {"initContainers", "serviceAccount"}}
    pod["serviceAccountName"] = "default"
    pod |= {"containers": [{**server, "volumeMounts": [model, *mounts]}], "volumes": [claim, *volumes]}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
        },
    ]
