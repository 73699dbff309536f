"""The sidecar of serving pods: what it brings, what it survives, and what its token is good for."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from modelwright_operator import naming
from modelwright_operator.render import sidecar
from tests.cluster import lifecycle
from tests.cluster.node import Node
from tests.cluster.processes import Process, find_component, find_init, find_processes, kill_process
from tests.cluster.settings import ClusterError, load_settings
from tests.e2e.fixtures import DEPLOYMENTS, Object, Team, condition, deployment, is_true
from tests.e2e.test_resilience import scale_operator
from tests.support.load import Clients
from tests.support.pods import restricted_pod

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

pytestmark = pytest.mark.cluster

MIB = 1 << 20
TABLE = "/run/modelwright/traffic.json"
MEASURE = """
import json
[worker] = open('/proc/1/task/1/children').read().split()
def number(file, word, place):
    return next(int(line.split()[place]) for line in open(file) if line.startswith(word))
pss = sum(number(f'/proc/{process}/smaps_rollup', 'Pss:', 1) for process in (1, worker)) * 1024
print(json.dumps({'pss': pss, 'data': number(f'/proc/{worker}/limits', 'Max data size', 3)}))
"""
KILL_WORKER = """
import os, signal
[worker] = open('/proc/1/task/1/children').read().split()
os.kill(int(worker), signal.SIGKILL)
"""


def pods(team: Team) -> list[Object]:
    return team.find("pods", "modelwright.dev/kind=Deployment")


def statuses(pod: Object) -> dict[str, Object]:
    found = pod["status"]
    return {item["name"]: item for item in (*found["initContainerStatuses"], *found["containerStatuses"])}


def run_in(team: Team, container: str, *command: str) -> str:
    """Run a command in a container of the one pod; return what it printed."""
    [pod] = pods(team)
    return team.cluster.kubectl("exec", pod["metadata"]["name"], "-n", team.namespace, "-c", container, "--", *command)


def eventually(holds: Callable[[], bool], deadline: float = 30) -> float:
    """Wait until it holds; return after how many seconds it did."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < deadline
        time.sleep(0.05)
    return time.monotonic() - started


def set_weight(team: Team, weight: int) -> None:
    """Write a traffic table into the Deployment's status, as the operator does."""
    revision = team.get(DEPLOYMENTS, "scores")["status"]["stable"]
    table = {
        "stable": {"revision": revision["revision"], "version": revision["version"]},
        "canary": {
            "revision": "0123456789",
            "version": "cancer-0123456789",
            "host": "scores-canary.none.svc",
            "restPort": 80,
            "grpcPort": 8081,
        },
        "weight": weight,
    }
    patch = json.dumps({"status": {"traffic": table}})
    team.cluster.kubectl(
        *("patch", DEPLOYMENTS, "scores", "-n", team.namespace, "--subresource=status", "--type=merge", "-p", patch)
    )


def weight_in_pod(team: Team) -> int:
    return int(json.loads(run_in(team, "server", "cat", TABLE))["weight"])


def brings(team: Team, weight: int) -> Callable[[], bool]:
    def holds() -> bool:
        try:
            return weight_in_pod(team) == weight
        except ClusterError:  # there is no table yet
            return False

    return holds


def api_server() -> Process:
    running = find_processes(load_settings())
    init = find_init(running)
    assert init is not None
    found = find_component(running, init, "kube-apiserver", "kube-apiserver")
    assert found is not None
    return found


@pytest.fixture
def served(team: Team) -> Generator[Team]:
    """Give a Deployment of one pod that nobody but the test writes about: its operator is away."""
    version = team.train("first")["status"]["modelVersion"]
    team.apply(deployment("scores", {"version": version}))
    team.wait(DEPLOYMENTS, "scores", is_true("Ready"))
    scale_operator(team.installation, 0)
    yield team
    scale_operator(team.installation, 1)


def test_the_table_reaches_the_server_whatever_becomes_of_the_worker_and_of_the_api_server(served: Team) -> None:
    [pod] = pods(served)
    assert all(item["ready"] for item in statuses(pod).values() if item["name"] != naming.FETCH_CONTAINER)
    with pytest.raises(ClusterError):
        run_in(served, "server", "ls", "/var/run/secrets/kubernetes.io")
    set_weight(served, 5)
    eventually(brings(served, 5))
    set_weight(served, 25)
    print(f"a change arrives within {eventually(brings(served, 25)):.2f} s, kubectl exec included")

    measured = json.loads(run_in(served, "monitor", "python", "-c", MEASURE))
    print(f"the sidecar takes {measured['pss'] / MIB:.1f} MiB")
    assert measured["pss"] <= 40 * MIB, "what monitoring will count is to fit into 64 as well"
    [limit] = [item for item in pod["spec"]["initContainers"] if item["name"] == naming.MONITOR_CONTAINER]
    assert measured["data"] < int(limit["resources"]["limits"]["memory"].removesuffix("Mi")) * MIB

    with Clients(served.get("services", "scores")["spec"]["clusterIP"]) as load:
        run_in(served, "monitor", "python", "-c", KILL_WORKER)
        set_weight(served, 50)
        eventually(brings(served, 50))

        if not isinstance(lifecycle.engine(load_settings()), Node):
            pytest.skip("the API server is killed as a process of the node that is made of real programs")
        kill_process(api_server())
        answered = sum(load.answers.values())
        eventually(lambda: sum(load.answers.values()) > answered + 200)
        lifecycle.up()
        assert weight_in_pod(served) == 50, "the last table is kept"
        set_weight(served, 0)
        print(f"back after {eventually(brings(served, 0)):.2f} s")
    assert len(load.answers) == 1, load.answers
    [after] = pods(served)
    assert after["metadata"]["uid"] == pod["metadata"]["uid"]
    assert [item["restartCount"] for item in statuses(after).values()] == [0, 0, 0]
    log = served.cluster.kubectl("logs", pod["metadata"]["name"], "-n", served.namespace, "-c", "monitor")
    assert '"status": -9' in log, log


# What the token may do. Whose it is, is in the pod's name; pods are never told apart by what runs in them.

NOWHERE = {"modelwright.dev/test": "no-node-has-this"}


class Sidecars:
    """Sidecars of pods that never run, in a namespace with the Deployments `churn` and `churn-2`."""

    def __init__(self, team: Team, folder: Path) -> None:
        self._team = team
        self._folder = folder

    def make_pod(self, name: str) -> None:
        container = {"image": "example.test/none"}
        self._team.apply(
            restricted_pod(name, container, serviceAccountName=naming.MONITOR_ACCOUNT, nodeSelector=NOWHERE)
        )

    def token(self, pod: str | None) -> str:
        """Return a token of the sidecars' account, bound to a pod as the kubelet asks for it."""
        words = ["create", "token", naming.MONITOR_ACCOUNT, "-n", self._team.namespace]
        if pod is not None:
            uid = self._team.get("pods", pod)["metadata"]["uid"]
            words += ["--bound-object-kind=Pod", f"--bound-object-name={pod}", f"--bound-object-uid={uid}"]
        return self._team.cluster.kubectl(*words).strip()

    def kubectl(self, token: str, *words: str, stdin: str | None = None) -> str:
        """Run kubectl with nothing but a token; return what it said."""
        config = json.loads(self._team.cluster.kubeconfig.read_text(encoding="utf-8"))
        config["users"][0]["user"] = {"token": token}
        file = self._folder / f"{secrets.token_hex(4)}.json"
        file.write_text(json.dumps(config), encoding="utf-8")
        done = subprocess.run(
            ["kubectl", "--kubeconfig", str(file), "-n", self._team.namespace, *words],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env=self._team.cluster.environment,
        )
        return done.stdout + done.stderr

    def apply(self, token: str, status: Object, *, name: str = "churn", manager: str = "modelwright-monitor") -> str:
        """Apply a status; return what kubectl said."""
        body = {
            "apiVersion": "modelwright.dev/v1alpha1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "status": status,
        }
        words = ["apply", "--server-side", "--force-conflicts", "--subresource=status", f"--field-manager={manager}"]
        return self.kubectl(token, *words, "-f", "-", stdin=json.dumps(body))


def finding(kind: str = "DataDriftDetected", **fields: Any) -> Object:
    """Return a status with one condition."""
    time_ = {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {"conditions": [{"type": kind, "status": "True", "reason": "Drifted", "message": "m", **time_, **fields}]}


OWN = "churn-0123456789-7c9d8f6b54-x2k9p"
OTHER = "churn-2-0123456789-7c9d8f6b54-x2k9p"
LOOKALIKE = "churn-0123456789"


@pytest.fixture
def sidecars(team: Team, tmp_path: Path) -> Sidecars:
    for name in ("churn", "churn-2"):
        team.apply(deployment(name, {"version": "none"}))
    for name in ("churn", "churn-2"):
        team.wait(DEPLOYMENTS, name, is_true("Stalled"))
    assert not team.find("rolebindings.rbac.authorization.k8s.io"), "there is no pod yet that needs it"
    team.apply(sidecar.account(team.namespace), sidecar.binding(team.namespace, "modelwright-monitor"))
    found = Sidecars(team, tmp_path)
    for pod in (OWN, OTHER, LOOKALIKE):
        found.make_pod(pod)
    return found


def test_a_sidecars_token_is_good_for_its_own_part_of_its_own_deployment(sidecars: Sidecars, team: Team) -> None:
    own = sidecars.token(OWN)
    assert "serverside-applied" in sidecars.apply(own, finding())
    assert condition(team.get(DEPLOYMENTS, "churn"), "DataDriftDetected")["status"] == "True"
    assert "churn" in sidecars.kubectl(own, "get", DEPLOYMENTS)

    ready = condition(team.get(DEPLOYMENTS, "churn"), "Stalled")
    before = team.get(DEPLOYMENTS, "churn")
    refusals = {
        "another Deployment's pod": (sidecars.apply(sidecars.token(OTHER), finding(status="False")), OTHER),
        "a pod of no Deployment": (sidecars.apply(sidecars.token(LOOKALIKE), finding(status="False")), LOOKALIKE),
        "another Deployment": (
            sidecars.apply(own, finding(), name="churn-2"),
            f"pod {OWN} may not write about churn-2",
        ),
        "a token without a pod": (sidecars.apply(sidecars.token(None), finding(status="False")), "bound to no pod"),
        "another field manager": (sidecars.apply(own, finding(status="False"), manager="modelwright"), "field manager"),
        "a foreign condition": (sidecars.apply(own, finding("Ready")), "may write the conditions"),
        "a foreign condition, unchanged": (sidecars.apply(own, {"conditions": [ready]}), "may own"),
        "a foreign field": (sidecars.apply(own, {"replicas": 7}), "may write status.monitoring"),
        "a foreign field, unchanged": (sidecars.apply(own, {"replicas": before["status"]["replicas"]}), "may own"),
    }
    assert {what: said for what, (said, why) in refusals.items() if why not in said or "denied" not in said} == {}
    spec = json.dumps({"spec": {"replicas": 5}})
    forbidden = [
        sidecars.kubectl(own, "patch", DEPLOYMENTS, "churn", "--type=merge", "-p", spec),
        sidecars.kubectl(own, "annotate", DEPLOYMENTS, "churn", "a=b"),
        sidecars.kubectl(own, "delete", DEPLOYMENTS, "churn"),
        sidecars.kubectl(own, "get", "secrets"),
        sidecars.kubectl(own, "get", "pods"),
        sidecars.kubectl(own, "get", DEPLOYMENTS, "-n", "default"),
    ]
    assert all("Forbidden" in said or "forbidden" in said for said in forbidden), forbidden
    after = team.get(DEPLOYMENTS, "churn")
    assert after["spec"] == before["spec"]
    assert condition(after, "DataDriftDetected") == condition(before, "DataDriftDetected")
    assert condition(after, "Stalled") == ready
