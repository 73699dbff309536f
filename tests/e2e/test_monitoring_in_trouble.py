"""Monitoring on a real cluster when things go wrong, and what it costs: writes, memory, and nothing that is served."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelwright_server.contract import DEFAULT_RING_DIR
from tests.cluster import lifecycle
from tests.cluster.node import Node
from tests.cluster.processes import kill_process
from tests.cluster.settings import ClusterError, load_settings
from tests.e2e.fixtures import DEPLOYMENTS, JOBS, Object, Team, claim, condition, deployment, is_true, rows_body
from tests.e2e.fixtures import training_job as job_of
from tests.e2e.test_monitoring import (
    BRIEF,
    FEATURES,
    Traffic,
    closed,
    history,
    in_sidecar,
    left,
    pods,
    report,
    sequence,
)
from tests.e2e.test_sidecar import MEASURE, MIB, api_server, eventually, statuses
from tests.support.claims import run_in_claim

if TYPE_CHECKING:
    from tests.cluster.client import Cluster

pytestmark = pytest.mark.cluster

RULES = {
    "window": {"rows": 500, "minSeconds": 5, "maxSeconds": 600},
    "drift": {"minRows": 500, "flagged": 2, "of": 3},
}
WINDOWS = 3
"""That stationary traffic fills here; `make soak-monitoring` fills 200."""
LAKE = "lake"
WIDE = 1000
_WIDE_ROWS = 700
_TABLE = f"""
import numpy as np
rng = np.random.default_rng(1)
values = rng.integers(0, 1000, ({_WIDE_ROWS}, {WIDE}))
names = ",".join(f"x{{at}}" for at in range({WIDE}))
np.savetxt("wide.csv", np.c_[values, values[:, 0] > 500], "%d", ",", header=names + ",target", comments="")
"""
_SPOIL = f"""
import os
os.chdir({DEFAULT_RING_DIR!r})
with open(".spoilt", "wb") as file:
    file.write(open("ring-0", "rb").read(3000))
os.rename(".spoilt", "ring-0")
"""


def status_writes(cluster: Cluster) -> int:
    """Return how many writes of a Deployment's status the API server has taken, whoever wrote."""
    found = 0.0
    for family in text_string_to_metric_families(cluster.kubectl("get", "--raw", "/metrics")):
        if family.name == "apiserver_request":
            for sample in family.samples:
                labels = sample.labels
                ours = (labels["resource"], labels["subresource"]) == ("modeldeployments", "status")
                if ours and labels["verb"] not in {"GET", "WATCH", "LIST"} and labels["code"].startswith("2"):
                    found += sample.value
    return int(found)


def flagged(seen: Object) -> list[str]:
    """Return what the last windows found of stationary traffic, where nothing is to be found."""
    entries = seen["status"]["monitoring"].get("recent") or []
    return [str(entry) for entry in entries if entry["drift"] or entry["prediction"] or entry["quality"]]


def counts_all(team: Team, sent: int) -> bool:
    """Tell whether all rows that were sent, and no more, are in a window, open or lost."""
    try:
        total, open_rows = report(team)["total"], left(team)
    except ClusterError:  # a pod is just coming
        return False
    return int(total["rows"] + total["lost"] + open_rows) == sent and report(team)["total"] == total


def test_one_write_a_window_and_no_row_is_lost_with_the_api_server_or_a_pod(team: Team) -> None:
    version = team.train("first")["status"]["modelVersion"]
    team.apply(deployment("scores", {"version": version}, replicas=2, monitoring=RULES))
    team.wait(DEPLOYMENTS, "scores", is_true("Ready"))
    address = team.get("services", "scores")["spec"]["clusterIP"]
    with Traffic(address) as traffic:
        first = sequence(team.wait(DEPLOYMENTS, "scores", closed(2), deadline=90))
        writes, told = status_writes(team.cluster), len(history(team))
        for number in range(first + 1, first + WINDOWS + 1):
            seen = team.wait(DEPLOYMENTS, "scores", closed(number), deadline=30)
            assert flagged(seen) == []
        written = status_writes(team.cluster) - writes
        windows = sequence(team.get(DEPLOYMENTS, "scores")) - first  # with those that closed while this was asked
        turns = len(history(team)) - told  # a replica that answers late once is told of, by the operator
        print(f"{written} writes for {windows} windows of two replicas, {turns} turns")
        assert written <= windows + turns
        team.wait(DEPLOYMENTS, "scores", is_true("MonitoringHealthy"), deadline=30)

        if isinstance(lifecycle.engine(load_settings()), Node):
            _away(team, traffic)
    assert not traffic.failures
    sent = traffic.sent
    eventually(lambda: counts_all(team, sent), deadline=30)

    # A pod goes, with rows that are in no window yet.
    for _ in range(8):
        team.infer("scores", rows_body(FEATURES[:50].tolist()))
    sent += 400
    eventually(lambda: counts_all(team, sent), deadline=30)
    [gone, _] = pods(team)
    brief = json.loads(in_sidecar(team, gone, BRIEF))
    print(f"{gone} goes with {brief['rows']} rows")
    team.cluster.kubectl("delete", "pod", gone, "-n", team.namespace, "--wait=true")
    eventually(lambda: gone not in pods(team) and counts_all(team, sent), deadline=30)
    eventually(lambda: len(pods(team)) == 2 and counts_all(team, sent), deadline=60)
    assert report(team)["total"]["lost"] == 0

    _spoilt(team, address)


def _away(team: Team, traffic: Traffic) -> None:
    """Take the API server away for longer than a window lasts."""
    before = sequence(team.get(DEPLOYMENTS, "scores"))
    kill_process(api_server())
    sent, until = traffic.sent, time.monotonic() + 2 * RULES["window"]["minSeconds"]
    eventually(lambda: time.monotonic() > until and traffic.sent > sent + 1000, deadline=60)
    lifecycle.up()
    seen = team.wait(DEPLOYMENTS, "scores", closed(before + 2), deadline=60)
    assert flagged(seen) == []
    # A replica that has not yet read what was closed meanwhile is missing from the next one, and this is said.
    team.wait(DEPLOYMENTS, "scores", is_true("MonitoringHealthy"), deadline=30)


def _spoilt(team: Team, address: str) -> None:
    """Put a ring that ends too early where a server's was: it is said, the others are counted, and all are served."""
    [spoilt, _] = pods(team)
    team.cluster.kubectl("exec", spoilt, "-n", team.namespace, "-c", "server", "--", "python", "-c", _SPOIL)
    with Traffic(address) as traffic:
        seen = team.wait(
            DEPLOYMENTS,
            "scores",
            lambda item: condition(item, "MonitoringHealthy").get("reason") == "RingInvalid",
            deadline=60,
        )
        assert spoilt in condition(seen, "MonitoringHealthy")["message"]
        team.wait(DEPLOYMENTS, "scores", closed(sequence(seen) + 1))
    assert not traffic.failures
    found = [statuses(pod) for pod in team.find("pods", "modelwright.dev/kind=Deployment")]
    assert {item["restartCount"] for pod in found for item in pod.values()} == {0}


def test_a_thousand_features_fit_and_a_schedule_trains(team: Team) -> None:
    spec: Object = {"model": "wide", "data": [{"name": "all", "uri": f"pvc://{LAKE}/wide.csv"}]}
    team.apply(claim(), claim(LAKE))
    run_in_claim(team, LAKE, _TABLE)
    team.apply(job_of("first", **spec), job_of("template", suspend=True, **spec))
    version = team.wait(JOBS, "first", is_true("Complete"), deadline=180)["status"]["modelVersion"]
    rules = {"window": {"rows": 200, "minSeconds": 5, "maxSeconds": 600}, "drift": {"minRows": 200}}
    team.apply(deployment("scores", {"version": version}, monitoring=rules))
    team.wait(DEPLOYMENTS, "scores", is_true("Ready"))
    scheduled = datetime.now(UTC)  # noqa: TID251 - of a real cluster
    retraining = {"trainingJob": "template", "schedule": "* * * * *", "cooldownSeconds": 3600}
    team.patch(DEPLOYMENTS, "scores", {"spec": {"retraining": retraining}})

    rng = np.random.default_rng(3)

    for number in (1, 2, 3):
        for _ in range(5):  # as many as a window needs: the ring holds some twenty of these
            body = rows_body(rng.integers(0, 1000, (50, WIDE)).tolist())
            team.infer("scores", body, path="/v2/models/wide/infer")
        team.wait(DEPLOYMENTS, "scores", closed(number), deadline=60)
    [pod] = pods(team)
    measured = json.loads(in_sidecar(team, pod, MEASURE))
    print(f"the sidecar of {WIDE} features takes {measured['pss'] / MIB:.1f} MiB")
    assert measured["pss"] <= 64 * MIB
    assert report(team)["lost"] == 0
    [found] = team.find("pods", "modelwright.dev/kind=Deployment")
    assert {item["restartCount"] for item in statuses(found).values()} == {0}

    ran = team.wait(
        DEPLOYMENTS, "scores", lambda item: (item or {})["status"].get("retraining", {}).get("lastRun"), deadline=75
    )
    last = ran["status"]["retraining"]["lastRun"]
    print(f"scheduled after {datetime.fromisoformat(last['startedAt']) - scheduled}: {last['name']}")
    assert last["triggers"] == ["Schedule"]
    runs = [item["metadata"]["name"] for item in team.find(JOBS) if "-retrain-" in item["metadata"]["name"]]
    assert runs == [last["name"]]
