"""Replacing the version that serves: no request may fail, and a bad new version stays away from clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.fixtures import DEPLOYMENTS, JOBS, Object, Team, deployment, is_true, new_revision, training_job
from tests.support.load import Clients

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.cluster


def clients(team: Team, service: str) -> Clients:
    address = team.get("services", service)["spec"]["clusterIP"]
    return Clients(address, channels=2)


def second_version(team: Team) -> str:
    """Train another model of the same name; return its version."""
    team.apply(training_job("second", seed=8))
    return str(team.wait(JOBS, "second", is_true("Complete"), deadline=120)["status"]["modelVersion"])


def serves(version: str) -> Callable[[Object | None], bool]:
    """Tell whether all is well and this version answers."""

    def holds(seen: Object | None) -> bool:
        stable = ((seen or {}).get("status") or {}).get("stable") or {}
        return is_true("Ready")(seen) and stable.get("version") == version

    return holds


def wait_for_no_pod(team: Team, revision: str) -> None:
    """Wait until the last pod of a revision has ended."""
    selector = f"modelwright.dev/revision={revision}"
    team.wait(DEPLOYMENTS, "scores", lambda _: not team.find("pods", selector), deadline=60)


def test_a_followed_version_takes_over_and_an_earlier_one_comes_back_without_a_failed_request(team: Team) -> None:
    first = team.train("first")["status"]["modelVersion"]
    team.apply(deployment("scores", {"name": "cancer", "follow": "Latest"}, replicas=2))
    team.wait(DEPLOYMENTS, "scores", serves(first))
    with clients(team, "scores") as load:
        second = second_version(team)
        seen = team.wait(DEPLOYMENTS, "scores", serves(second), deadline=120)
        assert seen["status"]["previous"]["version"] == first
        old = seen["status"]["previous"]["revision"]
        gone = team.wait("deployments.apps", f"scores-{old}", lambda found: found is None, deadline=60)
        assert gone == {}
        wait_for_no_pod(team, old)
        team.patch(DEPLOYMENTS, "scores", {"spec": {"model": {"name": None, "follow": None, "version": first}}})
        team.wait(DEPLOYMENTS, "scores", serves(first), deadline=60)
        wait_for_no_pod(team, seen["status"]["stable"]["revision"])
    for answers in (load.answers, load.calls):
        assert set(answers) == {first, second}, answers
        assert min(answers.values()) > 100


def test_scaling_down_and_restarting_pods_fails_no_request(team: Team) -> None:
    version = team.train("first")["status"]["modelVersion"]
    team.apply(deployment("scores", {"version": version}, replicas=3))
    team.wait(DEPLOYMENTS, "scores", serves(version))
    with clients(team, "scores") as load:
        team.patch(DEPLOYMENTS, "scores", {"spec": {"replicas": 1}})
        selector = team.get(DEPLOYMENTS, "scores")["status"]["selector"]
        team.wait(DEPLOYMENTS, "scores", lambda _: len(team.find("pods", selector)) == 1, deadline=60)
    assert set(load.answers) == set(load.calls) == {version}, (load.answers, load.calls)


def test_a_change_of_the_server_settings_restarts_without_a_failed_request(team: Team) -> None:
    version = team.train("first")["status"]["modelVersion"]
    team.apply(deployment("scores", {"version": version}))
    before = team.wait(DEPLOYMENTS, "scores", serves(version))["status"]["stable"]["revision"]
    with clients(team, "scores") as load:
        for processes in (2, 1):  # to pods of several processes, and away from them
            team.patch(DEPLOYMENTS, "scores", {"spec": {"server": {"processes": processes}}})
            seen = team.wait(DEPLOYMENTS, "scores", new_revision(before))
            team.wait("deployments.apps", f"scores-{before}", lambda found: found is None, deadline=60)
            wait_for_no_pod(team, before)
            before = seen["status"]["stable"]["revision"]
    assert set(load.answers) == set(load.calls) == {version}, (load.answers, load.calls)
