"""The loop that closes by itself: traffic shifts, which is noticed; a new version is trained, tried and promoted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.cluster.settings import REPOSITORY
from tests.demo.customers import Traffic, file_of
from tests.demo.progress import DemoError, follow, object_state
from tests.e2e.fixtures import DEPLOYMENTS, VERSIONS, Object, Team, condition, is_true
from tests.support.claims import write_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.demo.progress import Voice
    from tests.support.installation import Installation

EXAMPLE = REPOSITORY / "examples" / "loop"
NAME = "churn"
LAKE = "lake"
DRIFT = "DataDriftDetected"
_ROWS_BEFORE, _ROWS_AFTER = 3000, 9000
_PAUSE_SECONDS = 0.2
_DEADLINE_SECONDS = 240.0


def close(installation: Installation, namespace: str, say: Voice) -> Object:
    """Apply the example, shift its traffic, and follow it until a new version answers and nothing drifts any more.

    Returns:
        The Deployment, as it is then.

    Raises:
        DemoError: something is stalled or late, or a request was not answered.
    """
    team = Team(installation.cluster, namespace, installation)
    rng = np.random.default_rng(7)
    _apply(team, "storage.yaml")
    write_files(team, LAKE, {"january.parquet": file_of(rng, _ROWS_BEFORE, 0, shifted=False)})
    say("lake", f"has {_ROWS_BEFORE} labelled rows")
    _apply(team, "training.yaml", "deployment.yaml")
    follow(team.cluster, namespace, NAME, say, deadline=_DEADLINE_SECONDS)
    first = _version(team.get(DEPLOYMENTS, NAME))
    address = str(team.get("services", NAME)["spec"]["clusterIP"])
    with Traffic(address, f"/v2/models/{NAME}/infer") as traffic:
        say("traffic", f"400 rows a second, as in training, to {address}")
        _watch(team, say, "a window without drift", _drift_is("False"))
        write_files(team, LAKE, {"february.parquet": file_of(rng, _ROWS_AFTER, _ROWS_BEFORE, shifted=True)})
        traffic.shifted = True
        say("traffic", f"has shifted; the lake has {_ROWS_AFTER} labelled rows of the new kind")
        _watch(team, say, "drift", _drift_is("True"))
        _watch(team, say, "a new version", lambda seen: _version(seen) != first and _retrained(seen))
        calm = _drift_is("False")
        seen = _watch(team, say, "a window without drift", lambda seen: is_true("Ready")(seen) and calm(seen))
    second = _version(seen)
    if strange := traffic.answers.keys() - {first, second}:
        message = f"not every request was answered by a version: {strange}"
        raise DemoError(message)
    _report(team, seen, traffic, (first, second))
    return seen


def _apply(team: Team, *files: str) -> None:
    for file in files:
        team.cluster.kubectl("apply", "-f", str(EXAMPLE / file), "-n", team.namespace)


def _version(seen: Object) -> str:
    return str(seen["status"]["stable"]["version"])


def _drift_is(status: str) -> Callable[[Object], bool]:
    """Return whether the sidecars say so, and the operator has told it: history has it from then on."""

    def holds(seen: Object) -> bool:
        told = {item["type"]: item["status"] for item in seen["status"].get("announced") or ()}
        return condition(seen, DRIFT).get("status") == told.get(DRIFT) == status

    return holds


def _retrained(seen: Object) -> bool:
    return condition(seen, "Retraining").get("reason") == "Retrained"


def _watch(team: Team, say: Voice, what: str, until: Callable[[Object], bool]) -> Object:
    """Tell each new line of the Deployment's history, of its windows and of its rollout, until something holds."""
    end = time.monotonic() + _DEADLINE_SECONDS
    told: set[str] = set()
    begun = False
    while True:
        seen = team.get(DEPLOYMENTS, NAME)
        for subject, line in _lines(seen["status"]):
            if begun and line not in told:
                say(subject, line)
            told.add(line)
        begun = True
        if is_true("Stalled")(seen):
            message = f"Deployment {NAME} is stalled. {object_state(seen)}"
            raise DemoError(message)
        if until(seen):
            say("deployment/churn", f"{DRIFT} is {condition(seen, DRIFT).get('status')}: {_said(seen)}")
            return seen
        if time.monotonic() > end:
            message = f"after {_DEADLINE_SECONDS:.0f} s there is not {what}; see the last lines above"
            raise DemoError(message)
        time.sleep(_PAUSE_SECONDS)


def _said(seen: Object) -> str:
    return str(condition(seen, DRIFT).get("message", ""))


def _lines(status: Object) -> list[tuple[str, str]]:
    """Return what could be told now, each with its subject."""
    lines = [("history", f"{item['event']}: {item['message']}") for item in status.get("history") or ()]
    window: Any = (status.get("monitoring") or {}).get("window")
    if window and window["rows"]:
        lines.append(("monitoring", f"window {window['sequence']} closed with {window['rows']} rows"))
    if rollout := (status.get("rollout") or {}).get("message"):
        lines.append(("rollout", str(rollout)))
    return lines


def _report(team: Team, seen: Object, traffic: Traffic, versions: tuple[str, str]) -> None:
    print(
        f"\n{traffic.rows} rows were asked about, in {sum(traffic.answers.values())} requests, and all were answered:"
    )
    for version in versions:
        recorded = {item["name"]: item["value"] for item in team.get(VERSIONS, version)["spec"]["metrics"]}
        print(f"  {version:24} {traffic.answers[version]:>7} requests, accuracy in training {recorded['accuracy']:.3f}")
    print("\nWhat happened (status.history):")
    for item in seen["status"]["history"]:
        print(f"  {item['at']}  {item['event']:20} {item['message'][:120]}")
    print()
