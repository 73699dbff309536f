"""Monitoring on a real cluster: sidecars of two replicas count live traffic together and write what it shows."""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import TYPE_CHECKING, Self

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from modelwright_server.contract import monitoring
from tests.cluster.settings import ClusterError
from tests.e2e.fixtures import DEPLOYMENTS, Object, Team, condition, deployment, is_true, rows_body
from tests.e2e.test_resilience import scale_operator
from tests.e2e.test_sidecar import KILL_WORKER, MEASURE, MIB, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

pytestmark = pytest.mark.cluster

RULES = {
    "window": {"rows": 1500, "minSeconds": 5, "maxSeconds": 600},
    "drift": {"minRows": 500, "flagged": 2, "of": 3},
}
ROWS = 50  # of a request
FEATURES, _ = load_breast_cancer(return_X_y=True)
SHIFTED = 1  # "mean texture", which goes with few others
SHIFTED_NAME = "mean texture"
BRIEF = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8084/window?brief=1').read().decode())"
METRICS = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8084/metrics').read().decode())"


class Traffic:
    """Sends rows of the training data, one feature shifted if wanted, until it is left; counts those answered."""

    def __init__(self, address: str, shift: float = 0.0, *, pace: float = 12) -> None:
        self.sent = 0
        self.failures: list[str] = []
        self._address = address
        self._shift = shift
        self._pace = pace
        self._rng = np.random.default_rng(11)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        scale = FEATURES[:, SHIFTED].std()
        while not self._stop.wait(1 / self._pace):
            rows = FEATURES[self._rng.integers(0, len(FEATURES), ROWS)].copy()
            rows[:, SHIFTED] += self._shift * scale
            connection = http.client.HTTPConnection(self._address, 80, timeout=10)
            try:
                body = json.dumps(rows_body(rows.tolist()))
                connection.request("POST", "/v2/models/cancer/infer", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                said = answer.read()
                if answer.status == 200:
                    self.sent += ROWS
                else:
                    self.failures.append(f"{answer.status} {said[:200]!r}")
            finally:
                connection.close()


def described(seen: Object | None) -> Object:
    """Return what a Deployment's status says of its windows, empty where it says nothing."""
    found: Object = ((seen or {}).get("status") or {}).get("monitoring") or {}
    return found


def report(team: Team, name: str = "scores") -> Object:
    return described(team.get(DEPLOYMENTS, name))


def of(seen: Object | None) -> str:
    """Return the version whose windows the status describes."""
    return str(described(seen).get("version"))


def sequence(seen: Object | None) -> int:
    return int((described(seen).get("window") or {}).get("sequence", 0))


def all_report(seen: Object | None) -> bool:
    covered = described(seen).get("coverage") == {"replicas": 2, "reported": 2}
    return covered and is_true("MonitoringHealthy")(seen)


def closed(number: int) -> Callable[[Object | None], bool]:
    return lambda seen: sequence(seen) >= number


def pods(team: Team) -> list[str]:
    found = team.find("pods", "modelwright.dev/kind=Deployment")
    return sorted(item["metadata"]["name"] for item in found if not item["metadata"].get("deletionTimestamp"))


def in_sidecar(team: Team, pod: str, program: str) -> str:
    return team.cluster.kubectl("exec", pod, "-n", team.namespace, "-c", "monitor", "--", "python", "-c", program)


def left(team: Team) -> int:
    """Return the rows that are in no window yet, of all pods."""
    return sum(int(json.loads(in_sidecar(team, pod, BRIEF))["rows"]) for pod in pods(team))


def kill_worker(team: Team, pod: str) -> None:
    """Kill the worker of a sidecar, as soon as there is one."""

    def killed() -> bool:
        try:
            in_sidecar(team, pod, KILL_WORKER)
        except ClusterError:  # between two workers
            return False
        return True

    eventually(killed)


def history(team: Team) -> list[str]:
    return [item["message"] for item in team.get(DEPLOYMENTS, "scores")["status"].get("history") or []]


def events(team: Team, reason: str) -> list[Object]:
    return [item for item in team.find("events") if item.get("reason") == reason]


def test_two_replicas_count_together_and_name_what_drifts(team: Team) -> None:
    version = team.train("first")["status"]["modelVersion"]
    team.apply(deployment("scores", {"version": version}, replicas=2, monitoring=RULES))
    team.wait(DEPLOYMENTS, "scores", is_true("Ready"))
    seen = team.wait(DEPLOYMENTS, "scores", lambda item: condition(item, "DataDriftDetected"))
    assert condition(seen, "DataDriftDetected")["reason"] == "AwaitingFirstWindow"
    address = team.get("services", "scores")["spec"]["clusterIP"]

    # Stationary traffic: no drift, all replicas, one write for each window. A replica that answers late once is told of
    # by the operator, in a line of history.
    versions: dict[int, set[str]] = {}
    lines: dict[int, set[int]] = {}
    with Traffic(address) as traffic:
        team.wait(DEPLOYMENTS, "scores", closed(2), deadline=90)
        end = time.monotonic() + 120
        while sequence(now := team.get(DEPLOYMENTS, "scores")) < 6:
            assert time.monotonic() < end, now["status"].get("monitoring")
            versions.setdefault(sequence(now), set()).add(now["metadata"]["resourceVersion"])
            lines.setdefault(sequence(now), set()).add(len(now["status"].get("history") or []))
            time.sleep(0.1)
        assert all(len(versions[number]) <= len(lines[number]) for number in versions), (versions, lines)
        now = team.wait(DEPLOYMENTS, "scores", all_report, deadline=30)
        assert condition(now, "DataDriftDetected")["status"] == "False", condition(now, "DataDriftDetected")
        assert condition(now, "DataQualityDegraded")["status"] == "False", condition(now, "DataQualityDegraded")
        expected = described(now)["estimatedAccuracy"]
        assert expected["low"] <= expected["value"] <= expected["high"]
        assert expected["value"] == pytest.approx(expected["holdout"], abs=0.02), "nothing has changed"

        # Both sidecars are killed in the middle of a window, one of them twice.
        for pod in (*pods(team), pods(team)[0]):
            kill_worker(team, pod)
        before = sequence(team.get(DEPLOYMENTS, "scores"))
        team.wait(DEPLOYMENTS, "scores", closed(before + 3), deadline=90)
    assert not traffic.failures
    eventually(lambda: _all_counted(team, traffic.sent), deadline=30)
    found = report(team)
    print(f"{found['total']} after {traffic.sent} rows sent")

    # Shifted traffic, with the operator away.
    scale_operator(team.installation, 0)
    first = sequence(team.get(DEPLOYMENTS, "scores"))
    with Traffic(address, shift=0.8) as shifted:
        drifted = team.wait(
            DEPLOYMENTS, "scores", lambda item: condition(item, "DataDriftDetected").get("status") == "True"
        )
    took = sequence(drifted) - first
    told = condition(drifted, "DataDriftDetected")
    print(f"after {took} windows: {told['message']}")
    # The window that was open when the shift began has rows of both kinds.
    assert took <= 3
    assert f"{SHIFTED_NAME} (PSI " in told["message"]
    worst = drifted["status"]["monitoring"]["features"][0]
    assert (worst["name"], worst["flagged"]) == (SHIFTED_NAME, True)
    assert worst["psi"] > 0.1
    assert is_true("Ready")(drifted), "drift says nothing of serving"
    assert not shifted.failures

    # The operator is back: one event and one line of history for it.
    scale_operator(team.installation, 1)
    eventually(lambda: any("DataDriftDetected is True" in line for line in history(team)), deadline=60)
    assert sum("DataDriftDetected is True" in line for line in history(team)) == 1
    eventually(lambda: len(events(team, "DriftDetected")) >= 1)

    _measure(team)
    _switch_off(team)


def test_a_canarys_windows_are_apart_and_a_promotion_begins_anew(team: Team) -> None:
    first = team.train("first")["status"]["modelVersion"]
    second = team.train("second", seed=8)["status"]["modelVersion"]
    steps = [{"weight": 50, "hold": {"minSeconds": 5, "minRequests": 20}, "approval": "Required"}]
    rules = {"window": {**RULES["window"], "rows": 800}, "drift": RULES["drift"]}
    # The verdict is to need few answers, since many come slowly.
    rollout = {"steps": steps, "postPromotionWatchSeconds": 0, "analysis": {"toleratedBadPercent": 20}}
    team.apply(deployment("scores", {"version": first}, monitoring=rules, rollout=rollout))
    team.wait(DEPLOYMENTS, "scores", is_true("Ready"))
    address = team.get("services", "scores")["spec"]["clusterIP"]
    with Traffic(address) as traffic:
        team.wait(DEPLOYMENTS, "scores", closed(1), deadline=90)
        team.patch(DEPLOYMENTS, "scores", {"spec": {"model": {"version": second}}})
        team.wait(DEPLOYMENTS, "scores", lambda seen: sequence(_canary(seen)) >= 2, deadline=180)
        found = report(team)
        assert (found["version"], found["canary"]["version"]) == (first, second)
        assert found["digest"] != found["canary"]["digest"]
        assert {item["type"]: item["status"] for item in found["canary"]["findings"]} == {
            "DataDriftDetected": "False",
            "DataQualityDegraded": "False",
        }
        assert found["coverage"] == found["canary"]["coverage"] == {"replicas": 1, "reported": 1}

        seen = team.wait(DEPLOYMENTS, "scores", is_true("ApprovalRequired"), deadline=120)
        before, revision = sequence(seen), seen["status"]["canary"]["revision"]
        approval = f"modelwright.dev/approve={revision}/1"
        team.cluster.kubectl("annotate", DEPLOYMENTS, "scores", "-n", team.namespace, approval)
        changed = team.wait(
            DEPLOYMENTS,
            "scores",
            lambda seen: condition(seen, "DataDriftDetected").get("reason") == "BaselineChanged" or of(seen) == second,
            deadline=120,
        )
        assert sequence(changed) >= before
        team.wait(DEPLOYMENTS, "scores", lambda seen: of(seen) == second, deadline=90)
        assert sequence(team.get(DEPLOYMENTS, "scores")) > before
    assert not traffic.failures

    # A broken upstream is named as such, and not as drift.
    with Traffic(address, shift=1000):
        broken = team.wait(DEPLOYMENTS, "scores", is_true("DataQualityDegraded", "ValuesOutOfRange"), deadline=120)
    assert SHIFTED_NAME in condition(broken, "DataQualityDegraded")["message"]
    assert condition(broken, "DataDriftDetected")["reason"] == "BrokenData"


def _canary(seen: Object | None) -> Object:
    """Return a Deployment whose report is that of the canary."""
    found = ((seen or {}).get("status") or {}).get("monitoring") or {}
    return {"status": {"monitoring": found.get("canary") or {}}}


def _all_counted(team: Team, sent: int) -> bool:
    """Tell whether each row sent is in a window, open, or known to be lost, and none of them twice.

    While a window is being closed its rows are seen in both places; at rest they are not.
    """
    try:
        before, open_rows, after = report(team)["total"], left(team), report(team)["total"]
    except ClusterError:  # a worker is just coming back
        return False
    return before == after and int(after["rows"] + after["lost"] + open_rows) == sent


def _measure(team: Team) -> None:
    for pod in pods(team):
        measured = json.loads(in_sidecar(team, pod, MEASURE))
        print(f"a monitoring sidecar takes {measured['pss'] / MIB:.1f} MiB")
        assert measured["pss"] <= 64 * MIB
        assert f'name="{SHIFTED_NAME}"' in in_sidecar(team, pod, METRICS)


def _switch_off(team: Team) -> None:
    """Switch monitoring off: nothing of it stays."""
    team.patch(DEPLOYMENTS, "scores", {"spec": {"monitoring": None}})
    team.wait(DEPLOYMENTS, "scores", lambda item: "monitoring" not in (item or {})["status"])
    after = team.wait(DEPLOYMENTS, "scores", lambda item: "announced" not in (item or {})["status"])
    assert {item["type"] for item in after["status"]["conditions"]} & set(monitoring.CONDITIONS) == set()
    eventually(lambda: team.cluster.get("services", "scores-monitor", team.namespace) is None)
