"""Replacing the version that serves: no request may fail, and whatever is wrong with the new one stays away from clients."""

from __future__ import annotations

import http.client
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.e2e.fixtures import DEPLOYMENTS, JOBS, Team, deployment, is_true, rows_body, training_job

if TYPE_CHECKING:
    from types import TracebackType

pytestmark = pytest.mark.cluster

ROW = [[14.0] * 30]
MOST_REQUESTS = 200_000


@dataclass
class Clients:
    """Clients that send one request after the other to one Service, kept connections and fresh ones, until told to stop."""

    address: str
    path: str
    kept: int = 4
    fresh: int = 2
    answers: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._body = json.dumps(rows_body(ROW)).encode()
        keeps = [True] * self.kept + [False] * self.fresh
        self._threads = [threading.Thread(target=self._run, args=(keep,)) for keep in keeps]

    def _run(self, keep: bool) -> None:
        connection = http.client.HTTPConnection(self.address, 80, timeout=10)
        for _ in range(MOST_REQUESTS // (self.kept + self.fresh)):
            if self._stop.is_set():
                break
            try:
                connection.request("POST", self.path, self._body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                said = json.loads(answer.read())
                outcome = str(said.get("model_version") or f"{answer.status} {said}")
            except (OSError, http.client.HTTPException, ValueError) as error:
                outcome = repr(error)
                connection.close()
            with self._lock:
                self.answers[outcome] = self.answers.get(outcome, 0) + 1
            if not keep:
                connection.close()
        connection.close()

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def clients(team: Team, service: str) -> Clients:
    address = team.get("services", service)["spec"]["clusterIP"]
    return Clients(address, "/v2/models/cancer/infer")


def second_version(team: Team) -> str:
    """Train another model of the same name; return its version."""
    team.apply(training_job("second", seed=8))
    return str(team.wait(JOBS, "second", is_true("Complete"), deadline=120)["status"]["modelVersion"])


def serves(version: str) -> object:
    def holds(seen: dict[str, object] | None) -> bool:
        status = (seen or {}).get("status") or {}
        assert isinstance(status, dict)
        return is_true("Ready")(seen) and (status.get("stable") or {}).get("version") == version

    return holds


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
        pods = f"modelwright.dev/revision={old}"
        team.wait(DEPLOYMENTS, "scores", lambda _: not team.find("pods", pods), deadline=60)
        team.patch(DEPLOYMENTS, "scores", {"spec": {"model": {"name": None, "follow": None, "version": first}}})
        team.wait(DEPLOYMENTS, "scores", serves(first), deadline=60)
        new = seen["status"]["stable"]["revision"]
        team.wait(DEPLOYMENTS, "scores", lambda _: not team.find("pods", f"modelwright.dev/revision={new}"), deadline=60)
    assert set(load.answers) == {first, second}, load.answers
    assert min(load.answers.values()) > 100


def test_scaling_down_and_restarting_pods_fails_no_request(team: Team) -> None:
    version = team.train("first")["status"]["modelVersion"]
    team.apply(deployment("scores", {"version": version}, replicas=3))
    team.wait(DEPLOYMENTS, "scores", serves(version))
    with clients(team, "scores") as load:
        team.patch(DEPLOYMENTS, "scores", {"spec": {"replicas": 1}})
        selector = team.get(DEPLOYMENTS, "scores")["status"]["selector"]
        team.wait(DEPLOYMENTS, "scores", lambda _: len(team.find("pods", selector)) == 1, deadline=60)
    assert set(load.answers) == {version}, load.answers


def test_a_change_of_the_server_settings_restarts_without_a_failed_request(team: Team) -> None:
    version = team.train("first")["status"]["modelVersion"]
    team.apply(deployment("scores", {"version": version}))
    before = team.wait(DEPLOYMENTS, "scores", serves(version))["status"]["stable"]["revision"]
    with clients(team, "scores") as load:
        team.patch(DEPLOYMENTS, "scores", {"spec": {"server": {"threads": 2}}})
        team.wait(
            DEPLOYMENTS,
            "scores",
            lambda seen: is_true("Ready")(seen) and seen and seen["status"]["stable"]["revision"] != before,
        )
        team.wait("deployments.apps", f"scores-{before}", lambda found: found is None, deadline=60)
        team.wait(
            DEPLOYMENTS, "scores", lambda _: not team.find("pods", f"modelwright.dev/revision={before}"), deadline=60
        )
    assert set(load.answers) == {version}, load.answers
