"""`kubectl modelwright` on a real cluster, as kubectl finds it: a program in the path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.cluster.settings import ClusterError
from tests.e2e.fixtures import DEPLOYMENTS, JOBS, VERSIONS, Object, Team, claim, condition, deployment, is_true
from tests.e2e.rollouts import address, phase, served, want
from tests.e2e.test_monitoring import RULES, SHIFTED_NAME, Traffic, all_report, closed
from tests.support.claims import write_files
from tests.support.load import Clients

pytestmark = pytest.mark.cluster

PROGRAMS = Path(sys.executable).parent
OFFLINE = {"audit", "init", "validate"}
CUSTOMERS = Path(__file__).parents[2] / "examples" / "csv" / "customers.csv"


def start(team: Team, *arguments: str) -> subprocess.Popen[str]:
    """Start a command of the plugin in the team's namespace."""
    environment = team.cluster.environment
    environment["PATH"] = f"{PROGRAMS}{os.pathsep}{environment['PATH']}"
    where = () if arguments[0] in OFFLINE else ("-n", team.namespace)
    command = ["kubectl", "modelwright", *arguments, *where]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def ended(process: subprocess.Popen[str], code: int = 0, timeout: float = 180) -> str:
    """Wait for a command; return what it printed."""
    said, _ = process.communicate(timeout=timeout)
    assert process.returncode == code, said
    assert "Traceback" not in said
    return said


def printed(process: subprocess.Popen[str]) -> str:
    """Wait for a command to print a line; return it."""
    assert process.stdout is not None
    return process.stdout.readline()


def run(team: Team, *arguments: str, code: int = 0) -> str:
    """Run a command to its end; return what it printed."""
    return ended(start(team, *arguments), code)


def monitored(team: Team, **spec: Object | int) -> str:
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


def test_the_report_shows_what_drifted_and_what_it_could_not_have(team: Team, tmp_path: Path) -> None:
    version = monitored(team, replicas=2, monitoring=RULES)
    file = tmp_path / "scores.html"
    assert "not enough evidence" in run(team, "report", "scores", "-o", str(file))
    with Traffic(address(team, "scores"), shift=0.8, pace=25) as traffic:
        team.wait(DEPLOYMENTS, "scores", lambda seen: condition(seen, "DataDriftDetected").get("status") == "True")
        seen = team.wait(DEPLOYMENTS, "scores", lambda seen: closed(2)(seen) and all_report(seen))
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


def test_a_rollout_is_watched_and_steered_and_its_origin_told(trials: Team, first: str, second: str) -> None:
    steps: list[Object] = [{"weight": 50, "hold": {"minSeconds": 1, "minRequests": 20}, "approval": "Required"}]
    with served(trials, "steered", first, steps=steps), Clients(address(trials, "steered"), pace=100) as load:
        assert run(trials, "watch", "steered") == f"nothing is being rolled out: {first} answers\n"
        want(trials, "steered", second)
        trials.wait(DEPLOYMENTS, "steered", phase("Stepping"), deadline=90)
        watching = start(trials, "watch", "steered", "--timeout", "90")
        first_look = printed(watching)
        run(trials, "abort", "steered")
        said = first_look + ended(watching, code=1, timeout=100)
        assert "step 1/1, weight 50 %" in said
        assert "RolledBack: " in said
        assert "error: steered was not promoted" in said

        assert "/1 asked of steered" in run(trials, "retry", "steered")
        trials.wait(DEPLOYMENTS, "steered", phase("Stepping"), deadline=90)
        watching = start(trials, "watch", "steered", "--timeout", "90")
        assert "canary: workload steered-" in (drawn := run(trials, "tree", "steered"))
        assert f"{second} (1/1 ready)" in drawn
        run(trials, "approve", "steered")
        assert f"promoted: {second} answers" in ended(watching, timeout=100)

        assert f"ModelVersion {second} is approved by " in run(trials, "approve", f"mv/{second}", "--reason", "tried")
        told = run(trials, "lineage", "steered")
        assert ": tried" in told
        assert f"ModelVersion {second}, verified (PublishedByTrainingJob)" in told
        assert "train" in told
        assert "sklearn://breast_cancer sha256:" in told
        assert "approved by annotation: " in told
        data = trials.get(VERSIONS, second)["spec"]["provenance"]["data"][0]
        assert f"{data['digest']}, {data['rows']} rows" in told
        stable = trials.get(DEPLOYMENTS, "steered")["status"]["stable"]["revision"]
        [pod, *_] = trials.find("pods", f"modelwright.dev/name=steered,modelwright.dev/revision={stable}")
        assert f"ModelVersion {second}" in run(trials, "lineage", f"pod/{pod['metadata']['name']}")

        reasons = run(trials, "events", "steered")
        assert "Aborted" in reasons or "RolledBack" in reasons
        assert "Promoted" in reasons
        assert "Pod/steered-" in reasons
        assert "differs" in run(trials, "compare", first, second)
        assert second in run(trials, "get", "steered")
        trials.patch(VERSIONS, second, {"spec": {"approval": None}})  # other tests have it, too
    assert set(load.answers) == {first, second}, load.answers


def test_a_table_becomes_a_model_that_serves(team: Team, tmp_path: Path) -> None:
    """As a new user does: draft, look, apply; nothing is changed by hand."""
    file = tmp_path / "customers.yaml"
    assert "'churned' is predicted: classification" in run(team, "init", str(CUSTOMERS), "-o", str(file))
    assert "2 objects of Modelwright are valid" in run(team, "validate", str(file))
    team.apply(claim("customers-data"))
    write_files(team, "customers-data", {"customers.csv": CUSTOMERS.read_bytes()})
    team.cluster.apply(file.read_text(encoding="utf-8"), team.namespace)
    made = team.wait(JOBS, "customers-1", is_true("Complete"), deadline=120)["status"]["modelVersion"]
    assert f"{made} answers" in run(team, "watch", "customers", "--timeout", "60")

    lines = run(team, "predict", "customers", "--csv", str(CUSTOMERS)).splitlines()
    assert len(lines) == len(CUSTOMERS.read_text(encoding="utf-8").splitlines())
    assert lines[0].split() == ["ROW", "LABEL", "PROBABILITIES[NO]", "PROBABILITIES[YES]"]
    assert {line.split()[1] for line in lines[1:]} == {"no", "yes"}
    rows = tmp_path / "rows.json"
    rows.write_text('[{"plan": "basic"}]', encoding="utf-8")
    assert "error: row 1, column 'region'" in run(team, "predict", "customers", "--json", str(rows), code=1)

    # The same once more, digest for digest.
    assert f"reproduced: {team.get(VERSIONS, made)['spec']['artifact']['digest']}" in run(team, "reproduce", made)

    # kubectl completes names by the program beside the command.
    environment = team.cluster.environment
    environment["PATH"] = f"{PROGRAMS}{os.pathsep}{environment['PATH']}"
    words = ["kubectl", "__complete", "modelwright", "get", "-n", team.namespace, "cust"]
    completed = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
    assert completed.stdout.splitlines()[0] == "customers"

    # What is refused offline is what the API server refuses.
    wrong = file.read_text(encoding="utf-8").replace("replicas: 1", "replicaz: 1")
    file.write_text(wrong, encoding="utf-8")
    assert ".spec.replicaz: is not known: did you mean replicas?" in run(team, "validate", str(file), code=1)
    with pytest.raises(ClusterError, match=r'unknown field "spec\.replicaz"'):
        team.cluster.apply(wrong, team.namespace)
