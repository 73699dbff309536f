"""Nobody but those who may approve brings a version to traffic, whatever else they are allowed to edit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.settings import ClusterError
from tests.e2e.fixtures import (
    DEPLOYMENTS,
    JOBS,
    NO_DIGEST,
    VALUES,
    VERSIONS,
    Object,
    Team,
    claim,
    condition,
    deployment,
    is_true,
    model_version,
    rows_body,
    training_job,
)
from tests.e2e.rollouts import serves
from tests.support.installation import NAMESPACE, install
from tests.support.pods import restricted_pod

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tests.support.installation import Installation

pytestmark = pytest.mark.cluster

ROLE = "rbac.authorization.k8s.io/v1"
EDITOR, APPROVER, TRAINER, STRANGER = "eve", "ana", "tom", "mallory"
ROWS = rows_body([[0.5] * 30])


def binding(user: str, role: str) -> Object:
    return {
        "apiVersion": ROLE,
        "kind": "RoleBinding",
        "metadata": {"name": f"{user}-{role}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }


@pytest.fixture(scope="module")
def governed(installation: Installation) -> Generator[Installation]:
    """Install with approvals required of every version, and of another person than who trained."""
    cluster = installation.cluster
    yield install(cluster, *VALUES, "approval.requiredFrom=Low", "approval.fourEyes=true")
    install(cluster, *VALUES)


@pytest.fixture
def people(governed: Installation, namespace: str) -> Team:
    """Give a namespace with an editor, an approver (its admin), a trainer, and somebody with our kinds alone."""
    team = Team(governed.cluster, namespace, governed)
    team.apply(
        claim(),
        binding(EDITOR, "edit"),
        binding(TRAINER, "edit"),
        binding(APPROVER, "admin"),
        binding(STRANGER, "modelwright-edit"),
        binding(STRANGER, "modelwright-view"),
    )
    return team


def act(team: Team, user: str, *arguments: str, body: Object | None = None) -> str:
    """Do something as a user."""
    stdin = json.dumps(body) if body is not None else None
    return team.cluster.kubectl("--as", user, *arguments, "-n", team.namespace, stdin=stdin)


def apply_as(team: Team, user: str, body: Object) -> str:
    return act(team, user, "apply", "-f", "-", body=body)


def refused(team: Team, user: str, *arguments: str, body: Object | None = None) -> str:
    """Try something that must be refused; return what is said."""
    with pytest.raises(ClusterError) as caught:
        act(team, user, *arguments, body=body)
    return str(caught.value)


def asks_approval(name: str) -> Callable[[Object | None], bool]:
    def holds(seen: Object | None) -> bool:
        found = condition(seen, "ApprovalRequired")
        return found.get("status") == "True" and name in found.get("message", "")

    return holds


def approve(team: Team, version: str, state: str = "Approved", user: str = APPROVER) -> None:
    approval = {"state": state, "by": user, "reason": "looked at the figures"}
    patch = json.dumps({"spec": {"approval": approval}})
    act(team, user, "patch", VERSIONS, version, "--type=merge", "-p", patch)


def test_a_version_serves_once_somebody_else_has_approved_it(people: Team) -> None:
    job = training_job("first", card={"owner": "risk team", "riskTier": "High"}, requestedBy=TRAINER)
    assert "must be who asks" in refused(people, EDITOR, "apply", "-f", "-", body=job)
    apply_as(people, TRAINER, job)
    apply_as(people, EDITOR, deployment("scores", {"name": "cancer", "follow": "LatestApproved"}))
    done = people.wait(JOBS, "first", is_true("Complete"), deadline=120)
    version = done["status"]["modelVersion"]
    waiting = people.wait(DEPLOYMENTS, "scores", asks_approval(version))
    assert condition(waiting, "Ready")["reason"] == "ApprovalRequired"
    assert not condition(waiting, "Stalled"), "nothing is wrong: somebody is waited for"
    assert not people.find("pods", "modelwright.dev/kind=Deployment")
    made = people.wait(VERSIONS, version, lambda seen: condition(seen, "Approved"))
    assert condition(made, "Approved")["reason"] == "ApprovalRequired"
    assert made["spec"]["card"] == {"owner": "risk team", "riskTier": "High"}
    assert made["spec"]["provenance"]["requestedBy"] == TRAINER

    _tries_every_way_round(people, version)

    approve(people, version)
    people.wait(DEPLOYMENTS, "scores", is_true("Ready", "Available"), deadline=90)
    assert people.infer("scores", ROWS)["model_name"] == "cancer"
    history = [item["event"] for item in people.get(VERSIONS, version)["status"]["history"]]
    verdicts = [item for item in history if not item.endswith("InUse")]
    assert sorted(verdicts[:-1]) == ["ApprovalRequired", "PublishedByTrainingJob"], "whichever is known first"
    assert verdicts[-1] == "Approved"

    _cannot_replace_what_serves(people, version)
    _tells_of_a_lost_approval(people, version)


def _tries_every_way_round(team: Team, version: str) -> None:
    """As somebody who may edit everything in the namespace, try to have the version serve."""
    for name in (EDITOR, APPROVER):
        patch = json.dumps({"spec": {"approval": {"state": "Approved", "by": name}}})
        said = refused(team, EDITOR, "patch", VERSIONS, version, "--type=merge", "-p", patch)
        assert "takes the verb approve" in said
    forged = json.dumps({"spec": {"approval": {"state": "Approved", "by": TRAINER}}})
    assert "must be who decides" in refused(team, APPROVER, "patch", VERSIONS, version, "--type=merge", "-p", forged)
    own = model_version("own", model="cancer", approval={"state": "Approved", "by": EDITOR})
    assert "takes the verb approve" in refused(team, EDITOR, "apply", "-f", "-", body=own)
    status = json.dumps({"status": {"conditions": []}})
    for resource, name in ((VERSIONS, version), (DEPLOYMENTS, "scores")):
        said = refused(team, EDITOR, "patch", resource, name, "--subresource=status", "--type=merge", "-p", status)
        assert "forbidden" in said.lower()
    # Another reference asks for the same approval.
    apply_as(team, EDITOR, deployment("pinned", {"version": version}))
    apply_as(team, EDITOR, deployment("latest", {"name": "cancer", "follow": "Latest"}))
    for name in ("pinned", "latest"):
        team.wait(DEPLOYMENTS, name, asks_approval(version))
        act(team, EDITOR, "delete", DEPLOYMENTS, name)


def _cannot_replace_what_serves(team: Team, version: str) -> None:
    """As the same, try to put something else behind the Service."""
    [serving] = team.find("pods", "modelwright.dev/kind=Deployment")
    labels = {**serving["metadata"]["labels"], "app": "x"}
    sleeper = {"image": team.installation.images["serving"], "command": ["sleep", "60"]}
    pod = restricted_pod("lookalike", sleeper)
    pod["metadata"]["labels"] = labels
    assert "are the operator's" in refused(team, EDITOR, "apply", "-f", "-", body=pod)
    apply_as(team, EDITOR, restricted_pod("plain", sleeper))
    pairs = [f"{key}={value}" for key, value in labels.items() if key.startswith("modelwright.dev/")]
    assert "are the operator's" in refused(team, EDITOR, "label", "pod", "plain", *pairs)
    workload: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "lookalikes"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod["spec"]},
        },
    }
    assert "are the operator's" in refused(team, EDITOR, "apply", "-f", "-", body=workload)
    selector = json.dumps({"spec": {"selector": {"app": "x"}}})
    assert "are the operator's" in refused(team, EDITOR, "patch", "service", "scores", "-p", selector)
    assert "are the operator's" in refused(team, EDITOR, "delete", "service", "scores")
    [child] = team.find("deployments.apps", "modelwright.dev/name=scores")
    image = json.dumps({"spec": {"template": {"spec": {"containers": [{"name": "server", "image": "other"}]}}}})
    said = refused(team, EDITOR, "patch", "deployments.apps", child["metadata"]["name"], "-p", image)
    assert "are the operator's" in said
    act(team, EDITOR, "delete", "pod", "plain", "--grace-period=0", "--force")
    assert "is used by scores" in refused(team, EDITOR, "delete", VERSIONS, version)


def _tells_of_a_lost_approval(team: Team, version: str) -> None:
    """Withdrawing is an approver's, too; what serves goes on, and says so."""
    withdrawn = json.dumps({"spec": {"approval": None}})
    said = refused(team, EDITOR, "patch", VERSIONS, version, "--type=merge", "-p", withdrawn)
    assert "takes the verb approve" in said
    approve(team, version, "Rejected")
    told = team.wait(DEPLOYMENTS, "scores", is_true("ApprovalRequired", "ApprovalRevoked"))
    assert condition(told, "Ready")["status"] == "True"
    assert told["status"]["history"][-1]["event"] == "ApprovalRevoked"
    assert team.infer("scores", ROWS)["model_name"] == "cancer"
    events = team.cluster.kubectl("get", "events", "-n", team.namespace, "-o", "name", check=False)
    assert events.count("scores") >= 1
    approve(team, version)
    team.wait(DEPLOYMENTS, "scores", lambda seen: not condition(seen, "ApprovalRequired"))


def test_whoever_names_a_secret_or_a_claim_must_be_allowed_to_read_it(people: Team) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "lake"}, "stringData": {"key": "value"}}
    apply_as(people, EDITOR, secret)
    data = [{"name": "train", "uri": "s3://lake/rows.csv", "secretName": "lake"}]
    job = training_job("named", data=data, requestedBy=STRANGER, suspend=True)
    assert "may not read a Secret that this names: lake" in refused(people, STRANGER, "apply", "-f", "-", body=job)
    signed = training_job("signed", signing={"secretName": "lake"}, requestedBy=STRANGER, suspend=True)
    assert "may not read a Secret that this names: lake" in refused(people, STRANGER, "apply", "-f", "-", body=signed)
    imported = model_version("imported-0000000000", provenance={"requestedBy": STRANGER})
    assert "may not read a claim" in refused(people, STRANGER, "apply", "-f", "-", body=imported)
    apply_as(people, EDITOR, training_job("named", data=data, requestedBy=EDITOR, suspend=True))
    plain = training_job("plain", requestedBy=STRANGER, suspend=True)
    apply_as(people, STRANGER, plain)
    wanted = deployment("pulled", {"version": "none"}, pod={"imagePullSecrets": [{"name": "lake"}]})
    assert "may not read" in refused(people, STRANGER, "apply", "-f", "-", body=wanted)
    capture = {"uri": "s3://lake/captured", "secretName": "lake"}
    capturing = deployment("captured", {"version": "none"}, monitoring={"capture": capture})
    assert "may not read" in refused(people, STRANGER, "apply", "-f", "-", body=capturing)
    apply_as(people, EDITOR, wanted)
    # What others named before is not asked again.
    act(people, STRANGER, "patch", DEPLOYMENTS, "pulled", "--type=merge", "-p", '{"spec":{"replicas":2}}')


def test_a_step_is_approved_by_those_who_may(people: Team) -> None:
    steps = [{"weight": 10, "approval": "Required"}]
    apply_as(people, EDITOR, deployment("stepped", {"version": "none"}, rollout={"steps": steps}))
    for name in ("approve", "skip", "promote", "retry"):
        said = refused(people, EDITOR, "annotate", DEPLOYMENTS, "stepped", f"modelwright.dev/{name}=0123456789/1")
        assert f"may not set modelwright.dev/{name}" in said
    act(people, EDITOR, "annotate", DEPLOYMENTS, "stepped", "modelwright.dev/abort=0123456789/1")
    approved = '{"spec":{"rollout":{"approved":{"version":"x","step":1}}}}'
    assert "spec.rollout.approved" in refused(
        people, EDITOR, "patch", DEPLOYMENTS, "stepped", "--type=merge", "-p", approved
    )
    without = '{"spec":{"rollout":{"steps":[{"weight":10,"hold":{"minSeconds":1}}]}}}'
    assert "take an approval out" in refused(
        people, EDITOR, "patch", DEPLOYMENTS, "stepped", "--type=merge", "-p", without
    )
    assert "take an approval out" in refused(
        people, EDITOR, "patch", DEPLOYMENTS, "stepped", "--type=merge", "-p", '{"spec":{"rollout":null}}'
    )
    act(people, APPROVER, "annotate", DEPLOYMENTS, "stepped", "modelwright.dev/approve=0123456789/1")
    act(people, APPROVER, "patch", DEPLOYMENTS, "stepped", "--type=merge", "-p", without)


def test_the_operators_own_account_makes_children_only(people: Team) -> None:
    operator = f"system:serviceaccount:{NAMESPACE}:modelwright"
    labels = {"app": "own"}
    sleeper = {"image": people.installation.images["serving"], "command": ["sleep", "60"]}
    template = {"metadata": {"labels": labels}, "spec": restricted_pod("own", sleeper)["spec"]}
    spec: dict[str, Any] = {"selector": {"matchLabels": labels}, "template": template}
    own: dict[str, Any] = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "own"}, "spec": spec}
    assert "as its controller" in refused(people, operator, "apply", "-f", "-", body=own)
    apply_as(people, EDITOR, own)
    assert "may not touch what is not its own" in refused(people, operator, "delete", "deployments.apps", "own")
    act(people, EDITOR, "delete", "deployments.apps", "own")

    apply_as(people, EDITOR, deployment("parent", {"version": "none"}))
    uid = people.get(DEPLOYMENTS, "parent")["metadata"]["uid"]
    owner = {"apiVersion": "modelwright.dev/v1alpha1", "kind": "Deployment", "name": "parent", "uid": uid}
    own["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
    for change, said in (
        ({"hostNetwork": True}, "namespaces of the node"),
        ({"serviceAccountName": "admin"}, "default account"),
        ({"automountServiceAccountToken": True}, "no token"),
        ({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}, "volumes of the kinds"),
        ({"containers": [{"name": "own", "image": "any", "securityContext": {"privileged": True}}]}, "no privileges"),
    ):
        spec["template"] = {**template, "spec": {**template["spec"], **change}}
        assert said in refused(people, operator, "apply", "-f", "-", body=own)


def test_nobody_approves_what_they_asked_for(people: Team) -> None:
    imported = model_version("own-0000000000", digest=NO_DIGEST, provenance={"requestedBy": TRAINER})
    assert "must be who imports" in refused(people, APPROVER, "apply", "-f", "-", body=imported)
    imported["spec"]["provenance"]["requestedBy"] = APPROVER
    apply_as(people, APPROVER, imported)
    patch = json.dumps({"spec": {"approval": {"state": "Approved", "by": APPROVER}}})
    said = refused(people, APPROVER, "patch", VERSIONS, "own-0000000000", "--type=merge", "-p", patch)
    assert "somebody else has to approve" in said
    imported["metadata"]["name"] = "born-approved"
    imported["spec"]["approval"] = {"state": "Approved", "by": APPROVER}
    assert "somebody else has to approve" in refused(people, APPROVER, "apply", "-f", "-", body=imported)


def answers(team: Team, name: str, version: str) -> Callable[[Object | None], bool]:
    """Tell whether that version answers clients."""
    return lambda _: bool(team.infer(name, ROWS)["model_version"] == version)


@pytest.fixture
def rolling_back(governed: Installation) -> Generator[Installation]:
    """Have what loses its approval rolled back; afterwards it is as for the other tests again."""
    values = (*VALUES, "approval.requiredFrom=Low", "approval.fourEyes=true")
    yield install(governed.cluster, *values, "approval.onRevocation=RollBack")
    install(governed.cluster, *values)


def test_what_loses_its_approval_is_rolled_back_where_the_policy_says_so(
    people: Team, rolling_back: Installation
) -> None:
    assert rolling_back.images
    for name, seed in (("first", 7), ("second", 8)):
        apply_as(people, TRAINER, training_job(name, seed=seed, requestedBy=TRAINER))
    made = [
        str(people.wait(JOBS, name, is_true("Complete"), deadline=120)["status"]["modelVersion"])
        for name in ("first", "second")
    ]
    older, newer = sorted(made, key=lambda name: (people.get(VERSIONS, name)["metadata"]["creationTimestamp"], name))
    for version in (older, newer):
        approve(people, version)
    # The follower serves the newest; the pinned one served the older before.
    apply_as(people, EDITOR, deployment("follows", {"name": "cancer", "follow": "LatestApproved"}))
    apply_as(people, EDITOR, deployment("pinned", {"version": older}))
    people.wait(DEPLOYMENTS, "follows", serves(newer))
    people.wait(DEPLOYMENTS, "pinned", serves(older))
    apply_as(people, EDITOR, deployment("pinned", {"version": newer}))
    people.wait(DEPLOYMENTS, "pinned", serves(newer))

    approve(people, newer, "Rejected")
    for name in ("follows", "pinned"):
        seen = people.wait(
            DEPLOYMENTS, name, lambda seen: seen and seen["status"].get("stable", {}).get("version") == older
        )
        # The Service has moved; the node's routes follow it a moment later.
        people.wait(DEPLOYMENTS, name, answers(people, name, older))
        assert "ApprovalRevoked" in [item["event"] for item in seen["status"]["history"]]
    people.wait(DEPLOYMENTS, "follows", serves(older))
    # What names the version by itself says that it is not served, and goes on with the other.
    seen = people.wait(DEPLOYMENTS, "pinned", is_true("Stalled", "ApprovalRejected"))
    assert condition(seen, "Available")["status"] == "True"
    assert seen["status"]["stable"]["version"] == older
