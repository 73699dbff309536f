"""The NetworkPolicy of a Deployment: who reaches which port, and when it is written."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from modelwright_operator import api, naming
from modelwright_operator.render import network
from modelwright_server.contract import GRPC_PORT, METRICS_PORT, REST_PORT, capture, monitoring
from tests.support import builders as make
from tests.support.builders import NAMESPACE, SETTINGS
from tests.support.reachability import Endpoint, reaches
from tests.table.planning import network_policy_of, planned, revision_of, service_of, workload_of

Raw = dict[str, Any]

A = make.verified("a")
NAME_A = A.raw["metadata"]["name"]
LABELS = naming.owner_labels(naming.DEPLOYMENT, "churn")
POD = Endpoint(NAMESPACE, {**LABELS, naming.LABEL_REVISION: "1"})
PEERS = {
    "canary": Endpoint(NAMESPACE, {**LABELS, naming.LABEL_REVISION: "2"}),
    "other deployment": Endpoint(NAMESPACE, naming.owner_labels(naming.DEPLOYMENT, "other")),
    "neighbour": Endpoint(NAMESPACE, {"app": "web"}),
    "web elsewhere": Endpoint("shop", {"app": "web"}, namespace_labels={"team": "shop"}),
    "db elsewhere": Endpoint("shop", {"app": "db"}, namespace_labels={"team": "shop"}),
    "prometheus": Endpoint("metrics", {"app": "prometheus"}),
    "look-alike": Endpoint("shop", LABELS, namespace_labels={"team": "shop"}),
    "outside": Endpoint(address="192.0.2.7"),
    "balancer": Endpoint(address="10.9.0.1"),
}
EVERYBODY = set(PEERS)
HERE = {"canary", "other deployment", "neighbour"}
PREDICTIONS, METRICS = (REST_PORT, GRPC_PORT), METRICS_PORT
FEEDBACK, WINDOWS, CAPTURE = monitoring.FEEDBACK_PORT, monitoring.WINDOW_PORT, capture.PORT
QUALITY = {"quality": {"metric": "accuracy", "min": 0.9, "maxLabelDelaySeconds": 86400}}
LOGGED = {"payloadLog": {"url": "http://sink.team.svc"}}
PROMETHEUS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "metrics"}}}


def serving(**spec: Any) -> make.Maker:
    subject = make.deployment(version=NAME_A).spec(**spec)
    return subject.status(stable=revision_of(subject, A)).condition("Ready", reason="Available")


def let_in(port: int, policy: Raw) -> set[str]:
    return {name for name, peer in PEERS.items() if reaches([policy], peer, POD, port)}


WEB = {"podSelector": {"matchLabels": {"app": "web"}}}
SHOP = {"namespaceSelector": {"matchLabels": {"team": "shop"}}}


@pytest.mark.parametrize(
    ("spec", "port", "expected"),
    [
        pytest.param({}, REST_PORT, EVERYBODY, id="predictions are for everybody"),
        pytest.param({}, GRPC_PORT, EVERYBODY, id="by gRPC, too"),
        pytest.param({}, METRICS, EVERYBODY, id="so are metrics"),
        pytest.param({}, FEEDBACK, set[str](), id="no labels are wanted"),
        pytest.param({}, WINDOWS, set[str](), id="nothing is watched"),
        pytest.param({}, CAPTURE, set[str](), id="nothing is captured"),
        pytest.param({}, 22, set[str](), id="another port"),
        pytest.param({"access": {"from": [WEB]}}, REST_PORT, {"neighbour", "canary"}, id="pods of the namespace"),
        pytest.param({"access": {"from": [WEB]}}, GRPC_PORT, {"neighbour", "canary"}, id="pods, by gRPC"),
        pytest.param({"access": {"from": [WEB]}}, METRICS, EVERYBODY, id="metrics stay open"),
        pytest.param(
            {"access": {"from": [SHOP]}},
            REST_PORT,
            {"web elsewhere", "db elsewhere", "look-alike", "canary"},
            id="a namespace",
        ),
        pytest.param(
            {"access": {"from": [{**SHOP, **WEB}]}}, REST_PORT, {"web elsewhere", "canary"}, id="pods of a namespace"
        ),
        pytest.param(
            {"access": {"from": [SHOP, {"ipBlock": {"cidr": "10.0.0.0/8"}}]}},
            REST_PORT,
            {"web elsewhere", "db elsewhere", "look-alike", "balancer", "canary"},
            id="several, one of addresses",
        ),
        pytest.param(
            {"access": {"from": [{"namespaceSelector": {}}]}},
            REST_PORT,
            EVERYBODY - {"outside", "balancer"},
            id="all pods",
        ),
        pytest.param({"monitoring": QUALITY}, FEEDBACK, HERE, id="labels come from the namespace"),
        pytest.param({"monitoring": QUALITY, "access": {"from": [SHOP]}}, FEEDBACK, HERE, id="whoever may predict"),
        pytest.param(
            {"monitoring": QUALITY, "access": {"feedbackFrom": [SHOP]}},
            FEEDBACK,
            {"web elsewhere", "db elsewhere", "look-alike"},
            id="labels from elsewhere",
        ),
        pytest.param(
            {"monitoring": QUALITY, "access": {"feedbackFrom": [SHOP]}}, REST_PORT, EVERYBODY, id="a rule of its own"
        ),
        pytest.param({"access": {"feedbackFrom": [SHOP]}}, FEEDBACK, set[str](), id="nobody listens there"),
        pytest.param({"monitoring": {}}, WINDOWS, {"canary"}, id="sidecars of the same Deployment"),
        pytest.param({"monitoring": {}}, FEEDBACK, set[str](), id="watched without labels"),
        pytest.param({"monitoring": LOGGED}, CAPTURE, EVERYBODY, id="metrics of what is logged"),
    ],
)
def test_who_reaches_what(spec: Raw, port: int, expected: set[str]) -> None:
    assert let_in(port, network_policy_of(serving(**spec))) == expected


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        (METRICS, {"prometheus"}),
        (CAPTURE, {"prometheus"}),
        (WINDOWS, {"prometheus", "canary"}),
        (FEEDBACK, HERE),
        (REST_PORT, EVERYBODY),
    ],
)
def test_metrics_can_be_kept_for_some(port: int, expected: set[str]) -> None:
    settings = replace(SETTINGS, metrics_from=json.dumps([PROMETHEUS]))
    assert let_in(port, network_policy_of(serving(monitoring={**QUALITY, **LOGGED}), settings)) == expected


def test_pods_of_others_are_none_of_its_business() -> None:
    policy = network_policy_of(serving(access={"from": [WEB]}, monitoring=QUALITY))
    for other in ("other deployment", "neighbour", "look-alike"):
        assert reaches([policy], PEERS["outside"], PEERS[other], REST_PORT)


def test_every_port_of_the_pods_is_in_one_rule_at_most() -> None:
    policy = network_policy_of(serving(monitoring={**QUALITY, **LOGGED}))
    subject = api.Deployment.model_validate(serving(monitoring={**QUALITY, **LOGGED}).stored())
    ports = [item["port"] for rule in policy["spec"]["ingress"] for item in rule["ports"]]
    pod = workload_of(serving(monitoring={**QUALITY, **LOGGED}), A)["spec"]["template"]["spec"]
    listening = [
        port["containerPort"]
        for container in (*pod["initContainers"], *pod["containers"])
        for port in container.get("ports", ())
    ]
    assert sorted(ports) == sorted(listening), subject.metadata.name


def test_it_is_there_before_the_first_pod_and_before_anything_answers() -> None:
    plan = planned(make.deployment(version=NAME_A), A, network_policy=False)
    assert plan.kinds == ["NetworkPolicy", "Deployment"]
    assert plan.manifest("NetworkPolicy")["metadata"]["name"] == "churn"


def test_nothing_to_serve_needs_none() -> None:
    assert planned(make.deployment(version="absent"), network_policy=False).kinds == []


def at_rest(subject: make.Maker) -> tuple[Any, ...]:
    return (A, workload_of(subject, A), service_of(subject, A))


def test_a_change_of_the_spec_changes_it_and_no_pod() -> None:
    subject = serving()
    plan = planned(serving(access={"from": [WEB]}), network_policy_of(subject), *at_rest(subject), network_policy=False)
    assert plan.applies == ["NetworkPolicy/churn"]
    [first, *_] = plan.manifest("NetworkPolicy")["spec"]["ingress"]
    assert WEB in first["from"]
    assert plan.conditions == {"Ready": "True/Available", "Available": "True/Available"}


def test_what_is_edited_by_hand_is_put_back() -> None:
    subject = serving(access={"from": [WEB]})
    opened = network_policy_of(subject)
    opened["spec"]["ingress"] = [{}]
    assert planned(subject, opened, *at_rest(subject), network_policy=False).applies == ["NetworkPolicy/churn"]
    assert planned(subject, *at_rest(subject)).applies == []


def test_switched_off_it_goes() -> None:
    subject = serving()
    plan = planned(subject, *at_rest(subject), settings=replace(SETTINGS, network_policies=False))
    assert (plan.applies, plan.deletes) == ([], ["NetworkPolicy/churn"])
    gone = planned(subject, *at_rest(subject), settings=replace(SETTINGS, network_policies=False), network_policy=False)
    assert (gone.applies, gone.deletes) == ([], [])


def test_one_of_somebody_else_by_that_name_is_no_child() -> None:
    subject = serving()
    foreign = network_policy_of(subject)
    del foreign["metadata"]["ownerReferences"]
    plan = planned(subject, foreign, *at_rest(subject), network_policy=False)
    assert plan.applies == ["NetworkPolicy/churn"]
    assert plan.plan.apply[0].observed is None, "so that the API server is asked, and NameConflict said"


def test_the_rules_are_no_part_of_what_pods_run() -> None:
    assert revision_of(serving(access={"from": [WEB]}), A) == revision_of(serving(), A)
    assert network.KIND == "NetworkPolicy"
