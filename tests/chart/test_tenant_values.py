"""What the chart makes of `tenants`."""

from typing import Any

import pytest

from modelwright_operator.settings import Store, from_environment
from tests.chart.conftest import CHART, Helm, Manifest, Render, environment

KEPT = {"helm.sh/resource-policy": "keep"}
TENANT_ROLES = ("viewer", "editor", "approver")
TENANT: dict[str, Any] = {
    "namespace": "team-a",
    "create": True,
    "viewers": [{"kind": "User", "name": "vic"}],
    "editors": [
        {"kind": "Group", "name": "engineers"},
        {"kind": "ServiceAccount", "name": "pipeline"},
        {"kind": "ServiceAccount", "name": "builder", "namespace": "ci"},
    ],
    "approvers": [{"kind": "User", "name": "ana"}],
    "serviceAccounts": ["pipeline"],
    "quota": {"pods": 40, "requests.memory": "64Gi", "count/modeldeployments.modelwright.dev": 10},
    "containerDefaults": {"requests": {"cpu": "10m"}, "limits": {"cpu": 1}},
}
DEFAULT_STORE = {
    "defaultUri": "s3://shared/",
    "defaultEndpoint": "",
    "defaultRegion": "eu-2",
    "defaultSecretName": "all",
}


def made(render: Render, *arguments: str, **values: Any) -> dict[tuple[str, str], Manifest]:
    found = render(*arguments, **values)
    mine = [item for item in found if "team-a" in {item["metadata"].get("namespace"), item["metadata"]["name"]}]
    return {(item["kind"], item["metadata"]["name"]): item for item in mine}


def test_an_entry_with_everything(render: Render) -> None:
    found = made(render, tenants=[TENANT])
    prefix = "release-modelwright"
    assert set(found) == {
        ("Namespace", "team-a"),
        ("ResourceQuota", prefix),
        ("LimitRange", prefix),
        ("ServiceAccount", "pipeline"),
        *((kind, f"{prefix}-{role}") for kind in ("Role", "RoleBinding") for role in TENANT_ROLES),
    }
    assert found["Namespace", "team-a"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert found["ResourceQuota", prefix]["spec"]["hard"] == TENANT["quota"]
    assert found["LimitRange", prefix]["spec"]["limits"] == [
        {"type": "Container", "default": {"cpu": 1}, "defaultRequest": {"cpu": "10m"}}
    ]
    assert found["RoleBinding", f"{prefix}-editor"]["subjects"] == [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "engineers"},
        {"kind": "ServiceAccount", "name": "pipeline", "namespace": "team-a"},
        {"kind": "ServiceAccount", "name": "builder", "namespace": "ci"},
    ]


def test_the_namespace_outlives_its_entry(render: Render) -> None:
    found = made(render, tenants=[TENANT])
    kept = {key for key, item in found.items() if item["metadata"].get("annotations") == KEPT}
    assert kept == {("Namespace", "team-a")}


def test_a_name_alone_makes_nothing(render: Render) -> None:
    assert made(render, tenants=[{"namespace": "team-a"}]) == {}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"tenants": [TENANT], "watchNamespaces": ["team-b"]}, "add it to watchNamespaces"),
        ({"tenants": [{}]}, "namespace"),
        ({"tenants": [{"namespace": "Team"}]}, "namespace"),
        ({"tenants": [{"namespace": "a", "editor": []}]}, "editor"),
        ({"tenants": [{"namespace": "a", "editors": ["ana"]}]}, "editors"),
        ({"tenants": [{"namespace": "a", "store": {"secretName": "models"}}]}, "uri"),
        ({"tenants": [{"namespace": "a", "store": {"uri": "ftp://models/"}}]}, "uri"),
        ({"tenants": [{"namespace": "a", "serviceAccounts": ["default"]}]}, "serviceAccounts"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said(helm: Helm, values: dict[str, Any], said: str) -> None:
    done = helm("template", "release", str(CHART), "--kube-version", "1.35.0", **values)
    assert done.returncode != 0
    assert said in done.stderr


def test_a_teams_models_go_where_its_entry_says(render: Render) -> None:
    store = {
        "uri": "s3://team-a/models/",
        "endpoint": "https://minio.example.org",
        "region": "eu-1",
        "secretName": "models",
    }
    settings = from_environment(
        environment(render(tenants=[{**TENANT, "store": store}, {"namespace": "team-b"}], storage=DEFAULT_STORE))
    )
    assert settings.store("team-a") == Store("s3://team-a/models/", "https://minio.example.org", "eu-1", "models")
    assert settings.store("team-b") == settings.store("elsewhere") == Store("s3://shared/", "", "eu-2", "all")


@pytest.mark.parametrize(
    ("entry", "denied"),
    [
        ({"create": True}, True),
        ({"create": True, "denyDefaultToken": False}, False),
        ({"denyDefaultToken": True}, True),
        ({}, False),
    ],
    ids=str,
)
def test_the_default_token_is_denied_where_the_namespace_is_the_charts_or_it_is_said(
    render: Render, entry: dict[str, bool], denied: bool
) -> None:
    found = render(tenants=[{"namespace": "team-a", **entry}, {"namespace": "team-b", "denyDefaultToken": True}])
    name = "release-modelwright-default-token"
    policy, binding = [item for item in found if item["metadata"]["name"] == name]
    (expression,) = policy["spec"]["matchConstraints"]["namespaceSelector"]["matchExpressions"]
    assert expression["values"] == (["team-a", "team-b"] if denied else ["team-b"])
    assert (binding["kind"], binding["spec"]["policyName"]) == ("ValidatingAdmissionPolicyBinding", name)


def test_no_policy_without_a_tenant(render: Render) -> None:
    assert not [item for item in render() if item["metadata"]["name"].endswith("default-token")]
