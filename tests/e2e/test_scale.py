"""An operator restarted among many Deployments finds everything as it should be, and leaves it so."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.operator_process import OperatorProcess
from tests.support.scale import create_deployments, wait_children, wait_ready

if TYPE_CHECKING:
    from tests.e2e.fixtures import Team

pytestmark = pytest.mark.cluster

DEPLOYMENTS = 200
READY_SECONDS = 10.0
WATCHED_SECONDS = 30.0


def wait_alone(team: Team) -> None:
    """Wait until no namespace of an earlier test, which the operator sees too, is on its way out."""

    def settled(_: object) -> bool:
        found = team.cluster.find("namespaces", None, "modelwright.dev/test=true")
        return all(item["status"]["phase"] == "Active" for item in found)

    team.cluster.wait("namespaces", team.namespace, None, settled, deadline=120)


def test_a_restart_with_200_deployments_is_ready_in_10_s_and_writes_nothing(team: Team) -> None:
    version = str(team.train()["status"]["modelVersion"])
    create_deployments(team, version, range(DEPLOYMENTS))
    wait_children(team, DEPLOYMENTS, deadline=120)
    wait_ready(team, DEPLOYMENTS, deadline=60)
    wait_alone(team)
    process = OperatorProcess(team.installation)
    process.wait_settled(team.installation.operator_pod(), deadline=30)
    before = team.own_objects()

    restart = process.restart(deadline=90)
    assert restart.ready <= READY_SECONDS, "seconds since the process began"

    pod = team.installation.operator_pod()
    end = time.monotonic() + WATCHED_SECONDS
    while time.monotonic() < end:
        metrics = process.metrics(pod)
        assert metrics.writes == 0, f"{metrics.writes:.0f} writes after the restart"
        assert team.own_objects() == before
        time.sleep(1)
    passes = metrics.total("modelwright_operator_reconcile_duration_seconds_count", kind="Deployment")
    assert passes >= DEPLOYMENTS, "the new operator has not looked at each Deployment"
    print(f"ready {restart.ready:.1f} s and settled {restart.settled:.1f} s after the process began")
