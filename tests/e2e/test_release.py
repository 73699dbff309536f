"""Releases come and go by real Helm while clients send requests: what serves, and a canary under way, do not notice.

The release before is that of the last commit that differs in what is shipped (tests/support/previous.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster import load
from tests.e2e.fixtures import DEPLOYMENTS, OURS, VALUES, Object, Team, condition
from tests.e2e.rollouts import address, phase, pods, restarts, rollout_of, served, want
from tests.support.installation import CHART, NAMESPACE, RELEASE, image_values
from tests.support.load import Clients
from tests.support.previous import Release, previous_release

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tests.support.installation import Installation

pytestmark = pytest.mark.cluster

STEPS = [{"weight": 20, "hold": {"minSeconds": 1, "minRequests": 1}, "approval": "Required"}]
BUDGETS = "poddisruptionbudgets.policy"


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory, installation: Installation) -> Generator[Release]:
    """Give the release before, its images loaded; the checkout's is installed again afterwards."""
    made = previous_release(tmp_path_factory.mktemp("before"))
    load(list(made.images.values()))
    yield made
    installation.upgrade(*VALUES)


def arguments(images: dict[str, str]) -> list[str]:
    """Return helm's arguments for a release with these images."""
    place = ["--namespace", NAMESPACE, "--wait", "--timeout", "3m"]
    chosen = [word for value in image_values(images) for word in ("--set-string", value)]
    return [*place, *chosen, *(word for value in VALUES for word in ("--set", value))]


def budget_is_mended(team: Team, operator_image: str) -> None:
    """Wait until the operator that now runs, of that image, has looked at the Deployment whole.

    A deleted budget harms nobody, and comes back at the end of such a look.
    """
    workload = team.cluster.get("deployments.apps", RELEASE, NAMESPACE)
    assert workload is not None
    assert workload["spec"]["template"]["spec"]["containers"][0]["image"] == operator_image
    old = team.get(BUDGETS, "scores")["metadata"]["uid"]
    team.cluster.delete(BUDGETS, "scores", team.namespace)
    team.wait(BUDGETS, "scores", lambda seen: seen and seen["metadata"]["uid"] != old, deadline=60)


def untouched(team: Team) -> Object:
    """Return what no release may change: pods, their restarts, the workloads' specs, and where the rollout is."""
    seen = team.get(DEPLOYMENTS, "scores")
    workloads = team.find("deployments.apps", "modelwright.dev/name=scores")
    return {
        "tracks": {track: seen["status"][track]["revision"] for track in ("stable", "canary")},
        "pods": restarts(team.find("pods", "modelwright.dev/name=scores")),
        "templates": {item["metadata"]["name"]: item["metadata"]["generation"] for item in workloads},
        "step": (rollout_of(seen)["phase"], rollout_of(seen)["step"], seen["status"]["traffic"]["weight"]),
        "table": seen["status"]["traffic"]["sequence"],
        "history": [entry["event"] for entry in seen["status"]["history"]],
        "generation": seen["metadata"]["generation"],
    }


def answered(clients: Clients, versions: set[str]) -> Callable[[object], bool]:
    """Tell whether each version has answered more often than it had when this was asked for."""
    had = clients.answers.copy()
    return lambda _: all(clients.answers[version] > had[version] + 5 for version in versions)


def test_a_canary_under_way_sees_nothing_of_upgrade_rollback_and_reinstallation(
    trials: Team, first: str, second: str, before: Release
) -> None:
    cluster, new = trials.cluster, dict(trials.installation.images)
    old = {**new, **before.images}
    print(f"from commit {before.commit or 'none: a clone without history'}")
    cluster.helm("uninstall", RELEASE, "--namespace", NAMESPACE, "--wait")
    cluster.helm("install", RELEASE, str(before.chart), *arguments(old))
    with served(trials, "scores", first, steps=STEPS):
        want(trials, "scores", second)
        trials.wait(DEPLOYMENTS, "scores", phase("Stepping", second, 20), deadline=90)
        with Clients(address(trials, "scores"), channels=2, pace=100) as clients:
            trials.wait(
                *(DEPLOYMENTS, "scores"),
                lambda seen: condition(seen, "ApprovalRequired").get("status") == "True",
                deadline=180,
            )
            was = untouched(trials)
            cluster.helm("upgrade", RELEASE, str(CHART), *arguments(new))
            budget_is_mended(trials, new["operator"])
            assert untouched(trials) == was, "after the upgrade"
            cluster.helm("rollback", RELEASE, "1", "--namespace", NAMESPACE, "--wait", "--timeout", "3m")
            budget_is_mended(trials, old["operator"])
            assert untouched(trials) == was, "after the rollback"
            cluster.helm("uninstall", RELEASE, "--namespace", NAMESPACE, "--wait")
            assert all(cluster.get("customresourcedefinitions.apiextensions.k8s.io", kind) for kind in OURS)
            trials.wait(DEPLOYMENTS, "scores", answered(clients, {first, second}))
            assert untouched(trials) == was, "without any release"
            cluster.helm("install", RELEASE, str(CHART), *arguments(new))
            budget_is_mended(trials, new["operator"])
            assert untouched(trials) == was, "after the reinstallation"
            step = f"{was['tracks']['canary']}/{was['step'][1]}"
            trials.patch(DEPLOYMENTS, "scores", {"metadata": {"annotations": {"modelwright.dev/approve": step}}})
            seen = trials.wait(DEPLOYMENTS, "scores", phase("Watching", second), deadline=60)
        assert pods(trials, seen["status"]["stable"]["revision"])
    assert set(clients.answers) == set(clients.calls) == {first, second}, (clients.answers, clients.calls)
    assert min(clients.answers.values()) > 100
