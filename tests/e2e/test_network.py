"""The NetworkPolicy of a Deployment on a real API server; what such objects mean is in tests/table/test_access.py.

The tests' own network enforces none of them (docs/known-limits.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.fixtures import DEPLOYMENTS, Object, Team, deployment, is_true
from tests.support.reachability import Endpoint, reaches

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.cluster

POLICIES = "networkpolicies.networking.k8s.io"
LATEST = {"name": "cancer", "follow": "Latest"}
QUALITY = {"quality": {"metric": "accuracy", "min": 0.9, "maxLabelDelaySeconds": 86400}}
WEB = {"podSelector": {"matchLabels": {"app": "web"}}}
SHOP = {"namespaceSelector": {"matchLabels": {"team": "shop"}}}
LEDGER = Endpoint("ledger", namespace_labels={"team": "shop"})


def lets_in(team: Team, source: Endpoint, *ports: int) -> Callable[[Object | None], bool]:
    """Tell whether the policy, as the API server has it, lets a peer reach these ports of the pods, and no other."""
    pod = team.find("pods", "modelwright.dev/kind=Deployment")[0]["metadata"]
    target = Endpoint(team.namespace, pod["labels"])

    def holds(seen: Object | None) -> bool:
        open_to = [port for port in range(8080, 8086) if seen and reaches([seen], source, target, port)]
        return open_to == list(ports)

    return holds


def test_a_policy_goes_with_a_deployment_and_follows_its_spec(team: Team) -> None:
    def follows(source: Endpoint, *ports: int) -> Object:
        return team.wait(POLICIES, "scores", lets_in(team, source, *ports), deadline=15)

    def asks(**access: Any) -> None:
        team.patch(DEPLOYMENTS, "scores", {"spec": {"access": access or None}})

    web, other = Endpoint(team.namespace, {"app": "web"}), Endpoint(team.namespace, {"app": "else"})
    team.train("first")
    team.apply(deployment("scores", LATEST, monitoring=QUALITY))
    before = team.wait(DEPLOYMENTS, "scores", is_true("Ready"))
    pods = {item["metadata"]["uid"] for item in team.find("pods", "modelwright.dev/kind=Deployment")}
    made = team.get(POLICIES, "scores")
    assert made["metadata"]["ownerReferences"][0]["uid"] == before["metadata"]["uid"]
    assert made["metadata"]["creationTimestamp"] <= team.find("pods")[-1]["metadata"]["creationTimestamp"]
    follows(LEDGER, 8080, 8081, 8082)
    follows(web, 8080, 8081, 8082, 8083)

    asks(**{"from": [WEB]}, feedbackFrom=[SHOP])
    follows(web, 8080, 8081, 8082)
    follows(LEDGER, 8082, 8083)
    follows(other, 8082)

    team.patch(POLICIES, "scores", {"spec": {"ingress": [{}]}})
    follows(other, 8082)
    team.cluster.delete(POLICIES, "scores", team.namespace)
    follows(other, 8082)

    asks(**{"from": [{"ipBlock": {"cidr": "10.9.0.0/99"}}]})  # passes the schema, and the API server refuses it
    said = team.wait(DEPLOYMENTS, "scores", is_true("Stalled", "ChildRejected"), deadline=15)
    assert "10.9.0.0/99" in str(said["status"]["conditions"])
    assert team.infer("scores", {"inputs": [{"name": "input", "shape": [1, 30], "datatype": "FP32", "data": [1] * 30}]})
    asks()
    after = team.wait(DEPLOYMENTS, "scores", is_true("Ready", "Available"), deadline=30)
    follows(LEDGER, 8080, 8081, 8082)
    assert after["status"]["stable"] == before["status"]["stable"]
    assert {item["metadata"]["uid"] for item in team.find("pods", "modelwright.dev/kind=Deployment")} == pods

    team.cluster.delete(DEPLOYMENTS, "scores", team.namespace)
    team.wait(POLICIES, "scores", lambda seen: seen is None, deadline=60)


def test_a_peer_is_either_selected_or_an_address(team: Team) -> None:
    both = {**WEB, "ipBlock": {"cidr": "10.0.0.0/8"}}
    for wrong in (both, {}, {"ipBlock": {"cidr": "here"}}):
        with pytest.raises(Exception, match=r"ipBlock|cidr"):
            team.apply(deployment("scores", LATEST, access={"from": [wrong]}))
    with pytest.raises(Exception, match="from"):
        team.apply(deployment("scores", LATEST, access={"from": []}))  # to NetworkPolicies, everybody
