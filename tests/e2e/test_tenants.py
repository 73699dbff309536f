"""A team in a namespace of its own that the chart made: it trains and serves there, and is nobody elsewhere.

The release has Roles alone: it looks after that namespace and has no cluster-wide right.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.settings import ClusterError
from tests.e2e.fixtures import (
    CLAIM,
    DEPLOYMENTS,
    JOBS,
    VALUES,
    VERSIONS,
    Object,
    Team,
    claim,
    deployment,
    is_true,
    rows_body,
    training_job,
)
from tests.e2e.test_sidecar import eventually
from tests.support.installation import NAMESPACE, RELEASE
from tests.support.pods import restricted_pod

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.support.installation import Installation

pytestmark = pytest.mark.cluster

EDITOR, VIEWER, APPROVER, ROBOT = "eve", "vic", "ana", "pipeline"
OPERATOR = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
LATEST = {"name": "cancer", "follow": "Latest"}
STORE = f"{CLAIM}/risk"
TENANT = {
    "create": "true",
    "store.uri": f"pvc://{STORE}/",
    "editors[0].kind": "User",
    "editors[0].name": EDITOR,
    "editors[1].kind": "ServiceAccount",
    "editors[1].name": ROBOT,
    "viewers[0].kind": "User",
    "viewers[0].name": VIEWER,
    "approvers[0].kind": "User",
    "approvers[0].name": APPROVER,
    "serviceAccounts[0]": ROBOT,
    "quota.pods": "6",
    r"quota.limits\.cpu": "16",
    r"quota.count/modeldeployments\.modelwright\.dev": "1",
    "containerDefaults.limits.cpu": "1",
    "containerDefaults.requests.cpu": "10m",
}


@pytest.fixture(scope="module")
def tenant(installation: Installation) -> Generator[Team]:
    """Have the release look after one team alone, whose namespace the chart makes."""
    cluster, name = installation.cluster, f"tenant-{secrets.token_hex(3)}"
    eventually(lambda: kind_is_counted(Team(cluster, "default", installation)), deadline=90)
    values = [f"tenants[0].namespace={name}", *(f"tenants[0].{key}={value}" for key, value in TENANT.items())]
    try:
        installation.upgrade(*VALUES, *values, f"watchNamespaces={{{name}}}", "rbac.aggregateToUsers=false")
        team = Team(cluster, name, installation)
        team.wait("resourcequotas", RELEASE, is_counted)
        yield team
    finally:
        installation.upgrade(*VALUES)
        cluster.delete("namespaces", name)


def is_counted(quota: Object | None) -> bool:
    """Tell whether Kubernetes knows how much of a quota is used; until then nothing may be made that it counts."""
    return quota is not None and quota.get("status", {}).get("used", {}).keys() >= quota["spec"]["hard"].keys()


def kind_is_counted(team: Team) -> bool:
    """Tell whether a quota on our kinds works yet.

    In a cluster that has just got them, the controller of quotas finds them within half a minute, and looks at the
    quotas that were there before only minutes later.
    """
    hard = {"count/modeldeployments.modelwright.dev": "1000"}
    probe = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "probe"}, "spec": {"hard": hard}}
    team.apply(probe)
    try:
        team.wait("resourcequotas", "probe", is_counted, deadline=3)
    except AssertionError:
        return False
    finally:
        team.cluster.delete("resourcequotas", "probe", team.namespace)
    return True


def act(team: Team, user: str, *arguments: str, body: Object | None = None, namespace: str = "") -> str:
    """Do something as a user, in the team's namespace if no other is given."""
    stdin = json.dumps(body) if body is not None else None
    return team.cluster.kubectl("--as", user, *arguments, "-n", namespace or team.namespace, stdin=stdin)


def may(team: Team, user: str, question: str, namespace: str = "") -> bool:
    """Ask the API server `verb resource`, or `verb resource/subresource`."""
    verb, _, resource = question.partition(" ")
    resource, _, subresource = resource.partition("/")  # to kubectl, what follows a slash is a name
    words = [
        "auth",
        "can-i",
        verb,
        resource,
        f"--subresource={subresource}",
        "-n",
        namespace or team.namespace,
        "--as",
        user,
    ]
    return team.cluster.kubectl(*words, check=False).strip().endswith("yes")


def test_a_member_trains_and_serves_in_the_teams_namespace_and_nowhere_else(tenant: Team, namespace: str) -> None:
    found = tenant.cluster.get("namespaces", tenant.namespace)
    assert found is not None
    assert found["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for body in (claim(), training_job("first"), deployment("scores", LATEST)):
        act(tenant, EDITOR, "apply", "-f", "-", body=body)
        with pytest.raises(ClusterError, match="forbidden"):
            act(tenant, EDITOR, "apply", "-f", "-", body=body, namespace=namespace)
    made = tenant.wait(JOBS, "first", is_true("Complete"), deadline=150)
    version = made["status"]["modelVersion"]
    assert tenant.get(VERSIONS, version)["spec"]["artifact"]["uri"].startswith(f"pvc://{STORE}/")
    tenant.wait(DEPLOYMENTS, "scores", is_true("Ready", "Available"))
    assert tenant.infer("scores", rows_body([[0.5] * 30]))["model_version"] == version
    used = tenant.get("resourcequotas", RELEASE)["status"]["used"]
    assert int(used["pods"]) >= 1
    with pytest.raises(ClusterError, match="exceeded quota"):
        act(tenant, EDITOR, "apply", "-f", "-", body=deployment("more", LATEST))


def test_no_pod_gets_the_token_of_an_account_that_nobody_chose(tenant: Team, namespace: str) -> None:
    image = tenant.installation.images["serving"]

    def start(where: str, **spec: Any) -> str:
        container = {"image": image, "command": ["python", "--version"]}
        pod = restricted_pod("other", container, **{"automountServiceAccountToken": True, **spec})
        return tenant.cluster.kubectl("create", "--dry-run=server", "-n", where, "-f", "-", stdin=json.dumps(pod))

    def refused() -> bool:
        try:
            start(tenant.namespace)
        except ClusterError as error:
            return "pods here get no token of the service account 'default'" in str(error)
        return False

    eventually(refused)  # the API server reads policies now and then
    assert "created" in start(tenant.namespace, automountServiceAccountToken=False)
    assert "created" in start(tenant.namespace, serviceAccountName=ROBOT)
    assert "created" in start(namespace)


@pytest.mark.parametrize(
    ("user", "may_do", "may_not"),
    [
        pytest.param(
            EDITOR,
            ("create trainingjobs.modelwright.dev", "get pods/log", "create pods/portforward"),
            (
                *("create pods", "get secrets", "delete resourcequotas", "create jobs"),
                *("patch modeldeployments.modelwright.dev/status", "approve modelversions.modelwright.dev"),
                "create rolebindings.rbac.authorization.k8s.io",
            ),
            id="editor",
        ),
        pytest.param(
            VIEWER,
            ("get modeldeployments.modelwright.dev", "list events", "watch pods"),
            (
                *("create trainingjobs.modelwright.dev", "delete modelversions.modelwright.dev"),
                *("get secrets", "create pods/portforward", "approve modelversions.modelwright.dev"),
            ),
            id="viewer",
        ),
        pytest.param(
            APPROVER,
            ("approve modelversions.modelwright.dev", "patch modelversions.modelwright.dev", "get pods"),
            ("create modelversions.modelwright.dev", "delete modeldeployments.modelwright.dev", "get secrets"),
            id="approver",
        ),
        pytest.param(
            OPERATOR,
            ("create jobs.batch", "patch modelversions.modelwright.dev/status", "create networkpolicies"),
            ("get secrets", "create pods", "create serviceaccounts", "patch namespaces"),
            id="operator",
        ),
    ],
)
def test_each_may_do_what_it_is_there_for(
    tenant: Team, user: str, may_do: tuple[str, ...], may_not: tuple[str, ...], namespace: str
) -> None:
    assert {question: may(tenant, user, question) for question in may_do} == dict.fromkeys(may_do, True)
    assert {question: may(tenant, user, question) for question in may_not} == dict.fromkeys(may_not, False)
    elsewhere = {question: may(tenant, user, question, namespace) for question in may_do}
    assert elsewhere == dict.fromkeys(may_do, False), "in another namespace"


def test_a_pipelines_account_may_do_as_much_as_its_people(tenant: Team) -> None:
    account = f"system:serviceaccount:{tenant.namespace}:{ROBOT}"
    assert may(tenant, account, "create trainingjobs.modelwright.dev")
    assert tenant.get("serviceaccounts", ROBOT)["automountServiceAccountToken"] is False


def test_a_team_that_is_taken_out_keeps_its_models_and_loses_its_rights(tenant: Team) -> None:
    """The last of the module: the release looks after everything again."""
    tenant.installation.upgrade(*VALUES)
    assert not may(tenant, EDITOR, "create trainingjobs.modelwright.dev")
    assert not may(tenant, VIEWER, "get modeldeployments.modelwright.dev")
    assert tenant.cluster.get("resourcequotas", RELEASE, tenant.namespace) is None
    assert tenant.get("persistentvolumeclaims", CLAIM)["status"]["phase"] == "Bound"
    assert tenant.infer("scores", rows_body([[0.5] * 30]))["model_name"] == "cancer"
