"""A Deployment whose requests a real gateway spreads by the HTTPRoute that the operator keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.binaries import GATEWAY, is_built
from tests.e2e.fixtures import DEPLOYMENTS, Object, Team, condition, deployment
from tests.e2e.rollouts import ROLLOUT, phase, removed_afterwards, serves, want
from tests.support import gateway
from tests.support.load import Clients

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.behaving import Behaviour

pytestmark = pytest.mark.cluster

NAME = "outside"
ROUTES = "httproutes.gateway.networking.k8s.io"
MOST_WRITES = 8  # made, 10, 50, promoted, the watch; 10 and back
TRAFFIC: Object = {"mode": "GatewayAPI", "gateway": {"parentRefs": [{"name": gateway.NAME}]}}


def stalled(reason: str) -> Callable[[Object | None], bool]:
    """Tell whether it is stuck for that reason."""
    return lambda seen: condition(seen, "Stalled").get("reason") == reason


def awaits_gateway(seen: Object | None) -> bool:
    """Tell whether its route is there and no gateway has taken it; before, it waits for the route itself."""
    ready = condition(seen, "Ready")
    return ready.get("reason") == "RoutePending" and "Gateway" in ready["message"]


def backends(team: Team) -> dict[str, int]:
    """Return the weights of the route's last rule, by Service."""
    rule = team.get(ROUTES, NAME)["spec"]["rules"][-1]
    return {item["name"]: item["weight"] for item in rule["backendRefs"]}


def test_without_the_definitions_it_says_so_and_goes_on_when_they_come(trials: Team, first: str) -> None:
    with removed_afterwards(trials, "waits"):
        trials.apply(deployment("waits", {"version": first}, traffic=TRAFFIC))
        trials.wait(DEPLOYMENTS, "waits", stalled("GatewayAPIMissing"))
        with gateway.definitions(trials.cluster):
            seen = trials.wait(ROUTES, "waits", lambda found: found is not None, deadline=90)
            assert [item["name"] for item in seen["spec"]["rules"][-1]["backendRefs"]] == ["waits"]
            trials.wait(DEPLOYMENTS, "waits", awaits_gateway)
            trials.patch(DEPLOYMENTS, "waits", {"spec": {"traffic": {"mode": "InServer", "gateway": None}}})
            trials.wait(ROUTES, "waits", lambda found: found is None)
            trials.wait(DEPLOYMENTS, "waits", serves(first))


@pytest.mark.skipif(
    not is_built(GATEWAY), reason="Traefik is not built here: make gateway does it, in some ten minutes"
)
@pytest.mark.timeout(900)
def test_a_gateway_spreads_the_requests_of_a_rollout(
    trials: Team, first: str, second: str, bad: Mapping[Behaviour, str], tmp_path: Path
) -> None:
    spec: Object = {"replicas": 2, "rollout": ROLLOUT, "traffic": TRAFFIC}
    with (
        gateway.definitions(trials.cluster),
        gateway.gateway(trials, tmp_path) as address,
        removed_afterwards(trials, NAME),
    ):
        trials.apply(deployment(NAME, {"version": first}, **spec))
        trials.wait(DEPLOYMENTS, NAME, serves(first), deadline=120)
        assert backends(trials) == {NAME: 100}
        with Clients(address, kept=8, fresh=2, pace=200) as load:
            want(trials, NAME, second)
            trials.wait(DEPLOYMENTS, NAME, phase("Stepping", second, 10), deadline=120)
            trials.wait(ROUTES, NAME, lambda _: backends(trials) == {NAME: 90, f"{NAME}-canary": 10})
            seen = trials.wait(DEPLOYMENTS, NAME, phase("Watching", second), deadline=180)
            steps = {item["weight"]: item for item in seen["status"]["rollout"]["evidence"]["steps"] if item["step"]}
            for weight, item in steps.items():
                canary, stable = item["canary"]["requests"], item["stable"]["requests"]
                assert abs(canary / (canary + stable) - weight / 100) < 0.05, steps
            assert set(steps) == {10, 50}
            trials.wait(DEPLOYMENTS, NAME, phase("Complete", second), deadline=90)
        assert set(load.answers) == {first, second}, load.answers
        with Clients(address, kept=8, fresh=2, pace=200) as load:
            want(trials, NAME, bad["fails"])
            seen = trials.wait(DEPLOYMENTS, NAME, phase("RolledBack", bad["fails"]), deadline=120)
        assert condition(seen, "RolledBack")["reason"] in {"CanaryBroken", "CanaryWorse"}, seen["status"]
        assert load.answers[second] > 0
        trials.wait(ROUTES, NAME, lambda _: backends(trials) == {NAME: 100})
        written = trials.get(ROUTES, NAME)["metadata"]["generation"]
        assert written <= MOST_WRITES, "a route is written where its weights change, and not else"
