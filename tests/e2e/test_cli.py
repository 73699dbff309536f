"""`kubectl modelwright` on a real cluster, as kubectl finds it: a program in the path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.e2e.fixtures import DEPLOYMENTS, Object, Team, condition, deployment, is_true
from tests.e2e.test_monitoring import RULES, SHIFTED_NAME, Traffic, closed

pytestmark = pytest.mark.cluster

PROGRAMS = Path(sys.executable).parent


def run(team: Team, *arguments: str, code: int = 0, timeout: float = 60) -> str:
    """Run a command of the plugin in the team's namespace; return what it printed."""
    environment = team.cluster.environment
    environment["PATH"] = f"{PROGRAMS}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["kubectl", "modelwright", *arguments, "-n", team.namespace],
        capture_output=True,
        text=True,
        env=environment,
        timeout=timeout,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said
    return said


def served(team: Team, **spec: Object | int) -> str:
    """Have a version trained and served as `scores`; return its name."""
    version = str(team.train("first")["status"]["modelVersion"])
    team.apply(deployment("scores", {"version": version}, **spec))
    team.wait(DEPLOYMENTS, "scores", is_true("Ready"))
    return version


def viewer(team: Team, folder: Path) -> Path:
    """Return the kubeconfig of somebody who may look at objects, and no more."""
    kubectl, space = team.cluster.kubectl, ("-n", team.namespace)
    kubectl("create", "serviceaccount", "viewer", *space)
    kubectl(
        "create", "rolebinding", "viewer", "--clusterrole=view", f"--serviceaccount={team.namespace}:viewer", *space
    )
    token = kubectl("create", "token", "viewer", *space).strip()
    file = folder / "viewer"
    file.write_bytes(team.cluster.kubeconfig.read_bytes())
    config = ("config", f"--kubeconfig={file}")
    kubectl(*config, "set-credentials", "viewer", f"--token={token}")
    kubectl(*config, "set-context", "--current", "--user=viewer")
    return file


def words(file: Path) -> str:
    document = file.read_text(encoding="utf-8")
    return " ".join(ET.fromstring(document.removeprefix("<!doctype html>\n")).itertext())  # noqa: S314 - our own


@pytest.mark.timeout(300)
def test_the_report_shows_what_drifted_and_what_it_could_not_have(team: Team, tmp_path: Path) -> None:
    version = served(team, replicas=2, monitoring=RULES)
    address = team.get("services", "scores")["spec"]["clusterIP"]
    file = tmp_path / "scores.html"
    assert "not enough evidence" in run(team, "report", "scores", "-o", str(file))
    with Traffic(address, shift=0.8, pace=25) as traffic:
        team.wait(DEPLOYMENTS, "scores", lambda seen: condition(seen, "DataDriftDetected").get("status") == "True")
        seen = team.wait(DEPLOYMENTS, "scores", closed(2))
        said = run(team, "report", "scores", "-o", str(file))
    assert not traffic.failures
    assert "Live traffic is no longer what the model was trained on." in said
    assert "not at hand" not in said
    told = words(file)
    assert f"stable {version}" in told
    assert condition(seen, "DataDriftDetected")["reason"] in told
    worst = team.get(DEPLOYMENTS, "scores")["status"]["monitoring"]["features"][0]
    assert worst["name"] == SHIFTED_NAME
    assert f"{SHIFTED_NAME}: PSI " in told
    assert "live rows, " in told, "the distribution itself is from a sidecar"
    assert "replicas that reported 2 of 2" in told
    assert "window 1, " in told, "the timeline has the windows before"
    if keep := os.environ.get("MODELWRIGHT_REPORT"):
        Path(keep).write_bytes(file.read_bytes())

    # Whoever may not ask the pods gets what the status has, and is told.
    kubeconfig = viewer(team, tmp_path)
    said = run(team, "report", "scores", "-o", str(file), "--kubeconfig", str(kubeconfig))
    assert "pods/proxy" in said
    assert "ask an administrator for that right" in said
    assert f"{SHIFTED_NAME}: PSI " in words(file)
    assert "its distributions are not at hand" in words(file)

    # And what goes wrong is one line that says what to do.
    said = run(team, "report", "nobody", code=1)
    assert said == (
        f"error: Deployment nobody is not in namespace {team.namespace}: "
        f"`kubectl get mdep -n {team.namespace}` lists those that are\n"
    )
    team.patch(DEPLOYMENTS, "scores", {"spec": {"monitoring": None}})
    assert "is not monitored" in run(team, "report", "scores", code=1)
