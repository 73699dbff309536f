"""Rollouts by steps on the real cluster: real pods spread real requests, exactly as the steps say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from modelwright_server import contract
from tests.e2e.fixtures import DEPLOYMENTS, Object, Team
from tests.e2e.rollouts import HOLD, address, counted, phase, pods, rollout_of, served, want
from tests.support.load import Clients

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.cluster

BLOCK = 100
REQUESTS = 10_000


def test_a_version_as_good_takes_over_step_by_step(trials: Team, first: str, second: str) -> None:
    with served(trials, "steps", first), Clients(address(trials, "steps"), channels=2) as load:
        want(trials, "steps", second)
        seen = trials.wait(DEPLOYMENTS, "steps", phase("Watching"), deadline=180)
        assert seen["status"]["stable"]["version"] == second
        shares = {item["weight"]: item for item in rollout_of(seen)["evidence"]["steps"] if item["step"]}
        assert set(shares) == {10, 50}
        for weight, item in shares.items():
            canary, stable = item["canary"]["requests"], item["stable"]["requests"]
            assert abs(canary / (canary + stable) - weight / 100) < 0.05, shares
        trials.wait(DEPLOYMENTS, "steps", phase("Complete"), deadline=90)
        history = [entry["event"] for entry in trials.get(DEPLOYMENTS, "steps")["status"]["history"]]
    assert set(load.answers) == set(load.calls) == {first, second}, (load.answers, load.calls)
    assert history == ["RolloutStarted", "StepStarted", "StepStarted", "Promoted"]


def knows(team: Team, found: list[Object], sequence: int) -> Callable[[object], bool]:
    """Tell whether all these pods spread requests by the table of that sequence."""
    return lambda _: len(counted(team, found, sequence)) == len(found)


def test_ten_percent_of_ten_thousand_requests_are_a_thousand(trials: Team, first: str, second: str) -> None:
    steps = [{"weight": 10, "hold": HOLD, "approval": "Required"}]
    with served(trials, "share", first, steps=steps, canaryTimeoutMilliseconds=10_000):
        stable = pods(trials, trials.get(DEPLOYMENTS, "share")["status"]["stable"]["revision"])
        want(trials, "share", second)
        sequence = trials.wait(DEPLOYMENTS, "share", phase("Stepping"))["status"]["traffic"]["sequence"]
        trials.wait(DEPLOYMENTS, "share", knows(trials, stable, sequence))
        rest = Clients(address(trials, "share"), kept=16, fresh=0, most=REQUESTS)
        grpc = Clients(address(trials, "share"), kept=0, fresh=0, channels=16, most=REQUESTS)
        for load, protocol, before in ((rest, "REST", 0), (grpc, "gRPC", REQUESTS)):
            load.run()
            tracks = load.tracks[protocol]
            assert set(tracks) == {contract.STABLE, contract.CANARY}, (load.answers, load.calls)
            assert tracks.total() == REQUESTS
            assert abs(tracks[contract.CANARY] / REQUESTS - 0.1) <= 0.001, tracks
            each = counted(trials, stable, sequence)
            for pod in each:
                requests = pod["canary"]["requests"] + pod["stable"]["requests"]
                blocks, rest_of = divmod(requests, BLOCK)
                least, most = 10 * blocks + max(0, rest_of - 90), 10 * blocks + min(10, rest_of)
                assert least <= pod["canary"]["requests"] <= most, each
            assert sum(pod["canary"]["requests"] + pod["stable"]["requests"] for pod in each) == before + REQUESTS
            assert min(pod["stable"]["requests"] for pod in each) > 0, each
        print({"REST": rest.tracks["REST"], "gRPC": grpc.tracks["gRPC"], "each": each})
        forwarded = rest.tracks["REST"][contract.CANARY] + grpc.tracks["gRPC"][contract.CANARY]
        assert sum(pod["canary"]["requests"] for pod in each) == forwarded
        assert sum(pod["canary"]["bad"] for pod in each) == 0, each
