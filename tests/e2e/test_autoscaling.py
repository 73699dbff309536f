"""A real autoscaler, by real figures of pods under real requests, before and during a rollout."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from modelwright_operator.raw import part
from tests.e2e.fixtures import DEPLOYMENTS, Object, Team, condition, deployment
from tests.e2e.rollouts import phase, removed_afterwards, serves, want
from tests.e2e.test_serving import clients
from tests.support.metrics_server import running_metrics_server

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

pytestmark = pytest.mark.cluster

WORKLOADS = "deployments.apps"
SCALERS = "horizontalpodautoscalers.autoscaling"
ROLLOUT: Object = {
    "steps": [{"weight": 50, "hold": {"minSeconds": 1, "minRequests": 1}, "approval": "Required"}],
    "postPromotionWatchSeconds": 60,
}


@pytest.fixture
def figures(trials: Team, tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """Have figures of how busy pods are."""
    with running_metrics_server(trials.cluster, trials.namespace, tmp_path_factory.mktemp("metrics")):
        yield


def ready(count: int) -> Callable[[Object | None], bool]:
    """Tell whether a workload is to have so many pods, and has them."""

    def holds(seen: Object | None) -> bool:
        spec, status = part(seen, "spec"), part(seen, "status")
        return bool(spec.get("replicas") == status.get("readyReplicas", 0) == count)

    return holds


def stepping(weight: int) -> Callable[[Object | None], bool]:
    """Tell whether a canary answers that share."""
    return lambda seen: bool(part(seen, "status", "traffic").get("weight") == weight)


def owners_of_the_count(team: Team, workload: str) -> set[str]:
    """Return who owns the number of pods of a workload."""
    shown = team.cluster.kubectl(
        "get", WORKLOADS, workload, "-n", team.namespace, "-o", "json", "--show-managed-fields"
    )
    entries = json.loads(shown)["metadata"]["managedFields"]
    return {item["manager"] for item in entries if "f:replicas" in item.get("fieldsV1", {}).get("f:spec", {})}


def act(team: Team, name: str, action: str) -> None:
    rollout = team.get(DEPLOYMENTS, name)["status"]["rollout"]
    value = f"{rollout['revision']}/{rollout['step']}"
    team.patch(DEPLOYMENTS, name, {"metadata": {"annotations": {f"modelwright.dev/{action}": value}}})


@pytest.mark.usefixtures("figures")
def test_pods_come_with_the_load_and_stay_through_a_rollout(trials: Team, first: str, second: str) -> None:
    with removed_afterwards(trials, "elastic"):
        trials.apply(
            deployment(
                "elastic",
                {"version": first},
                autoscaling={"minReplicas": 1, "maxReplicas": 3, "targetCPUPercent": 50},
                server={"resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}},
                rollout=ROLLOUT,
            )
        )
        seen = trials.wait(DEPLOYMENTS, "elastic", serves(first))
        old = f"elastic-{seen['status']['stable']['revision']}"
        with clients(trials, "elastic") as load:
            trials.wait(WORKLOADS, old, ready(3), deadline=180)
            trials.wait(
                DEPLOYMENTS, "elastic", lambda now: condition(now, "ScalingActive").get("reason") == "Autoscaled"
            )
            assert owners_of_the_count(trials, old) == {"kube-controller-manager"}
            want(trials, "elastic", second)
            seen = trials.wait(DEPLOYMENTS, "elastic", stepping(50), deadline=90)
            new = f"elastic-{seen['status']['canary']['revision']}"
            assert trials.get(WORKLOADS, new)["spec"]["replicas"] == 2
            assert trials.get(SCALERS, "elastic")["spec"]["behavior"]["scaleDown"]["selectPolicy"] == "Disabled"
            assert trials.get(WORKLOADS, old)["spec"]["replicas"] == 3
            assert owners_of_the_count(trials, old) == {"kube-controller-manager"}
            generation = seen["metadata"]["generation"]
            act(trials, "elastic", "promote")
            seen = trials.wait(DEPLOYMENTS, "elastic", phase("Watching"), deadline=90)
            assert trials.get(SCALERS, "elastic")["spec"]["scaleTargetRef"]["name"] == new
            assert trials.get(WORKLOADS, new)["spec"]["replicas"] == trials.get(WORKLOADS, old)["spec"]["replicas"] == 3
            assert seen["metadata"]["generation"] == generation, "an annotation is no change of the spec"
        assert set(load.answers) == set(load.calls) == {first, second}, (load.answers, load.calls)
        assert trials.get(DEPLOYMENTS, "elastic")["spec"]["replicas"] == 1, "the spec stays as it was applied"


def test_the_scale_of_a_deployment_may_be_changed_during_a_step(trials: Team, first: str, second: str) -> None:
    with removed_afterwards(trials, "sized"):
        trials.apply(deployment("sized", {"version": first}, replicas=2, rollout=ROLLOUT))
        seen = trials.wait(DEPLOYMENTS, "sized", serves(first))
        old = seen["status"]["stable"]["revision"]
        want(trials, "sized", second)
        seen = trials.wait(DEPLOYMENTS, "sized", stepping(50), deadline=90)
        new = seen["status"]["canary"]["revision"]
        trials.cluster.kubectl("scale", DEPLOYMENTS, "sized", "--replicas=3", "-n", trials.namespace)
        trials.wait(WORKLOADS, f"sized-{old}", ready(3))
        trials.wait(WORKLOADS, f"sized-{new}", ready(2))
        seen = trials.wait(DEPLOYMENTS, "sized", lambda now: now is not None and now["status"]["replicas"] == 3)
        assert stepping(50)(seen), "neither another step nor another rollout"
        shown = trials.cluster.kubectl(
            "get", DEPLOYMENTS, "sized", "-n", trials.namespace, "--subresource=scale", "-o", "json"
        )
        scale = json.loads(shown)
        assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (3, 3)
        pods = trials.find("pods", quote(scale["status"]["selector"]))
        assert {pod["metadata"]["labels"]["modelwright.dev/revision"] for pod in pods} == {old, new}
        act(trials, "sized", "abort")
        trials.wait(WORKLOADS, f"sized-{new}", lambda found: found is None, deadline=60)
        trials.wait(DEPLOYMENTS, "sized", lambda now: now is not None and old in now["status"]["selector"])
        assert new not in trials.get(DEPLOYMENTS, "sized")["status"]["selector"]
        assert ready(3)(trials.get(WORKLOADS, f"sized-{old}"))
