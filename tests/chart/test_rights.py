"""The rights the chart gives: least for the operator, no status for users."""

import json
from typing import Any

import pytest

from modelwright_operator.render import sidecar
from modelwright_operator.settings import from_environment
from tests.chart.conftest import NAMESPACE, Manifest, Render, environment, of_kind
from tests.chart.test_tenant_values import TENANT

ACCOUNT = {"kind": "ServiceAccount", "name": "release-modelwright", "namespace": NAMESPACE}
KINDS = ("trainingjobs", "modelversions", "modeldeployments")
CHILD = {"get", "list", "watch", "create", "patch", "delete"}
OPERATOR = {
    **{("modelwright.dev", kind): {"get", "list", "watch"} for kind in KINDS},
    ("modelwright.dev", "trainingjobs"): CHILD,
    ("modelwright.dev", "modelversions"): CHILD,
    **{("modelwright.dev", f"{kind}/status"): {"get", "patch"} for kind in KINDS},
    **{("modelwright.dev", f"{kind}/finalizers"): {"update"} for kind in KINDS},
    ("batch", "jobs"): CHILD,
    ("apps", "deployments"): CHILD,
    ("", "services"): CHILD,
    ("policy", "poddisruptionbudgets"): CHILD,
    ("autoscaling", "horizontalpodautoscalers"): CHILD,
    ("networking.k8s.io", "networkpolicies"): CHILD,
    ("gateway.networking.k8s.io", "httproutes"): CHILD - {"watch"},
    ("", "pods"): {"get", "list", "watch"},
    ("", "pods/log"): {"get"},
    ("", "events"): {"create", "patch", "list"},
    ("events.k8s.io", "events"): {"create", "patch"},
}
# By name: the identity of serving pods' sidecars.
MAKER = {
    ("", "serviceaccounts", "modelwright-monitor"): {"get", "create", "patch"},
    ("rbac.authorization.k8s.io", "rolebindings", "release-modelwright-monitor"): {"get", "create", "patch"},
    ("rbac.authorization.k8s.io", "clusterroles", "release-modelwright-monitor"): {"bind"},
}
READER = {key: {"get"} for key in MAKER if key[1] != "clusterroles"}
SIDECAR = {
    ("modelwright.dev", "modeldeployments"): {"get", "list", "watch"},
    ("modelwright.dev", "modeldeployments/status"): {"patch"},
}
Rights = dict[tuple[str, str], set[str]]


def rights(role: Manifest) -> Rights:
    """Return what a role allows for all objects of a resource."""
    found: Rights = {}
    for rule in role["rules"]:
        if "resourceNames" in rule:
            continue
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


def named(role: Manifest) -> dict[tuple[str, str, str], set[str]]:
    """Return what a role allows for objects of one name."""
    return {
        (group, resource, name): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", ())
    }


def bound(manifests: list[Manifest], binding_kind: str) -> list[Manifest]:
    """Return the roles that the operator's account gets through bindings of that kind."""
    roles = {(m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"]): m for m in manifests}
    found = []
    for binding in of_kind(manifests, binding_kind):
        if binding["metadata"]["name"].endswith("-monitor"):
            continue
        assert binding["subjects"] == [ACCOUNT]
        reference = binding["roleRef"]
        found.append(roles[reference["kind"], binding["metadata"].get("namespace"), reference["name"]])
    return found


def test_in_all_namespaces_the_operator_gets_just_this(render: Render) -> None:
    (role,) = bound(render(), "ClusterRoleBinding")
    assert rights(role) == OPERATOR
    assert named(role) == MAKER


def test_in_chosen_namespaces_it_gets_the_same_there_and_nothing_elsewhere(render: Render) -> None:
    manifests = render(watchNamespaces=["a", "b"])
    assert not of_kind(manifests, "ClusterRoleBinding")
    roles = {role["metadata"]["namespace"]: role for role in bound(manifests, "RoleBinding")}
    assert roles.keys() == {"a", "b", NAMESPACE}
    assert rights(roles["a"]) == rights(roles["b"]) == OPERATOR
    assert named(roles["a"]) == named(roles["b"]) == READER
    assert {key[:2] for key in named(roles[NAMESPACE])} == {("coordination.k8s.io", "leases")}


def test_in_all_namespaces_a_role_waits_for_the_sidecars(render: Render) -> None:
    (role,) = [item for item in of_kind(render(), "ClusterRole") if item["metadata"]["name"].endswith("-monitor")]
    assert role["metadata"]["name"] == from_environment(environment(render())).monitor_role
    assert rights(role) == SIDECAR


def test_in_chosen_namespaces_the_chart_gives_the_sidecars_their_identity(render: Render) -> None:
    manifests = render(watchNamespaces=["a", "b"])
    role = from_environment(environment(manifests)).monitor_role
    for namespace in ("a", "b"):
        own = {(m["kind"], m["metadata"]["name"]): m for m in manifests if m["metadata"].get("namespace") == namespace}
        account = own["ServiceAccount", sidecar.account(namespace)["metadata"]["name"]]
        assert account["automountServiceAccountToken"] is False
        assert rights(own["Role", role]) == SIDECAR
        # As the operator would make it, so that it finds nothing to do.
        assert own["RoleBinding", role]["subjects"] == sidecar.binding(namespace, role)["subjects"]
        assert own["RoleBinding", role]["roleRef"]["name"] == role


STRICT = {"approval": {"requiredFrom": "High", "fourEyes": True}}
POLICIES = {"approve-steps", "approve-versions", "children", "four-eyes", "in-use", "monitor", "operator", "references"}


def policies(manifests: list[Manifest]) -> dict[str, Manifest]:
    found = of_kind(manifests, "ValidatingAdmissionPolicy")
    return {item["metadata"]["name"].removeprefix("release-modelwright-"): item["spec"] for item in found}


def test_the_policies_are_for_the_namespaces_of_the_release(render: Render) -> None:
    found = policies(render(**STRICT, watchNamespaces=["a", "b"]))
    assert found.keys() == POLICIES
    assert "matchConditions" in found["operator"], "which is held to it everywhere"
    for spec in (found[name] for name in POLICIES - {"operator"}):
        assert 'request.namespace in ["a","b"]' in [item["expression"] for item in spec["matchConditions"]]
    assert not any("request.namespace in" in json.dumps(spec) for spec in policies(render(**STRICT)).values())


def test_each_policy_can_be_left_to_somebody_else(render: Render) -> None:
    assert policies(render()).keys() == POLICIES - {"children", "four-eyes"}
    without = render(
        monitor={"admissionPolicy": False},
        approval={"policy": False},
        references={"policy": False, "protectVersionsInUse": False},
        operatorPolicy=False,
    )
    assert not [m for m in without if m["kind"].startswith("ValidatingAdmissionPolicy")]


def test_the_policies_bindings_deny(render: Render) -> None:
    manifests = render(**STRICT)
    assert {spec["failurePolicy"] for spec in policies(manifests).values()} == {"Fail"}
    bound = {m["metadata"]["name"]: m["spec"] for m in of_kind(manifests, "ValidatingAdmissionPolicyBinding")}
    assert bound == {
        f"release-modelwright-{name}": {
            "policyName": f"release-modelwright-{name}",
            "validationActions": ["Deny", "Audit"],
        }
        for name in POLICIES
    }


def test_in_chosen_namespaces_without_user_roles_there_is_no_cluster_role_at_all(render: Render) -> None:
    manifests = render(watchNamespaces=["a"], rbac={"aggregateToUsers": False})
    assert not of_kind(manifests, "ClusterRole")


def test_the_release_namespace_can_be_one_of_the_chosen(render: Render) -> None:
    manifests = render(watchNamespaces=[NAMESPACE])
    names = [(m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"]) for m in manifests]
    assert len(names) == len(set(names))
    assert len(bound(manifests, "RoleBinding")) == 2


def test_its_own_lease_by_name_and_made_beforehand(render: Render) -> None:
    manifests = render()
    (lease,) = of_kind(manifests, "Lease")
    assert "spec" not in lease, "a spec here would take leadership away at each upgrade"
    (role,) = bound(manifests, "RoleBinding")
    assert role["rules"] == [
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": [lease["metadata"]["name"]],
            "verbs": ["get", "update"],
        }
    ]


@pytest.mark.parametrize(
    "values", [{}, {"watchNamespaces": ["a"]}, {"tenants": [TENANT]}], ids=["all", "chosen", "tenants"]
)
def test_no_role_has_wildcards_secrets_or_ways_up(render: Render, values: dict[str, Any]) -> None:
    manifests = render(**values)
    for role in of_kind(manifests, "ClusterRole") + of_kind(manifests, "Role"):
        assert named(role).keys() <= MAKER.keys() or set(named(role)) <= {
            ("coordination.k8s.io", "leases", name) for _, _, name in named(role)
        }
        for (group, resource), verbs in rights(role).items():
            assert "*" not in {group, resource, *verbs}
            assert group not in {"rbac.authorization.k8s.io", "admissionregistration.k8s.io", "authentication.k8s.io"}
            assert resource not in {"secrets", "serviceaccounts", "serviceaccounts/token", "nodes", "pods/exec"}
            assert not verbs & {"bind", "escalate", "impersonate"}


SEEN = {"get", "list", "watch"}
TENANT_VIEWER = {
    **{("modelwright.dev", kind): SEEN for kind in KINDS},
    ("modelwright.dev", "modeldeployments/scale"): {"get"},
    **{
        ("", what): SEEN
        for what in ("pods", "pods/log", "services", "events", "persistentvolumeclaims", "resourcequotas")
    },
    ("", "limitranges"): SEEN,
    ("events.k8s.io", "events"): SEEN,
    ("batch", "jobs"): SEEN,
    ("apps", "deployments"): SEEN,
    ("apps", "replicasets"): SEEN,
    ("networking.k8s.io", "networkpolicies"): SEEN,
}
CHANGES = {"create", "update", "patch", "delete", "deletecollection"}
TENANT_EDITOR = {
    **TENANT_VIEWER,
    **{("modelwright.dev", kind): SEEN | CHANGES for kind in KINDS},
    ("modelwright.dev", "modeldeployments/scale"): {"get", "update", "patch"},
    ("", "persistentvolumeclaims"): SEEN | {"create", "update", "patch"},
    ("", "pods/portforward"): {"create"},
    ("", "pods/proxy"): {"get"},
}
TENANT_APPROVER = {
    **TENANT_VIEWER,
    ("modelwright.dev", "modelversions"): SEEN | {"update", "patch", "approve"},
    ("modelwright.dev", "modeldeployments"): SEEN | {"update", "patch", "approve"},
}


@pytest.mark.parametrize("values", [{}, {"watchNamespaces": ["team-a"]}], ids=["all", "chosen"])
def test_members_of_a_tenant_get_just_this_in_its_namespace_alone(render: Render, values: dict[str, Any]) -> None:
    manifests = render(tenants=[TENANT], rbac={"aggregateToUsers": False}, **values)
    plain = render(rbac={"aggregateToUsers": False}, **values)
    assert len(of_kind(manifests, "ClusterRole")) == len(of_kind(plain, "ClusterRole"))
    assert len(of_kind(manifests, "ClusterRoleBinding")) == len(of_kind(plain, "ClusterRoleBinding"))
    roles = {role["metadata"]["name"]: role for role in of_kind(manifests, "Role")}
    for kind, expected in (("viewer", TENANT_VIEWER), ("editor", TENANT_EDITOR), ("approver", TENANT_APPROVER)):
        role = roles[f"release-modelwright-{kind}"]
        assert role["metadata"]["namespace"] == "team-a"
        assert rights(role) == expected
        assert not named(role)


def test_users_get_the_kinds_and_never_a_status(render: Render) -> None:
    roles = {role["metadata"]["name"]: role for role in of_kind(render(), "ClusterRole")}
    view, edit = rights(roles["release-modelwright-view"]), rights(roles["release-modelwright-edit"])
    changes = {"create", "update", "patch", "delete", "deletecollection"}
    scale = ("modelwright.dev", "modeldeployments/scale")
    assert view == {("modelwright.dev", kind): {"get", "list", "watch"} for kind in KINDS} | {scale: {"get"}}
    assert edit == {("modelwright.dev", kind): changes for kind in KINDS} | {scale: {"update", "patch"}}
    decided = {"get", "list", "watch", "update", "patch", "approve"}
    assert rights(roles["release-modelwright-approve"]) == {
        ("modelwright.dev", "trainingjobs"): {"get", "list", "watch"},
        ("modelwright.dev", "modelversions"): decided,
        ("modelwright.dev", "modeldeployments"): decided,
    }


def test_user_roles_extend_the_usual_ones(render: Render) -> None:
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    extended = {
        role["metadata"]["name"]: {
            label.removeprefix(prefix) for label in role["metadata"]["labels"] if prefix in label
        }
        for role in of_kind(render(), "ClusterRole")
    }
    assert extended == {
        "release-modelwright": set(),
        "release-modelwright-monitor": set(),
        "release-modelwright-view": {"view", "edit", "admin"},
        "release-modelwright-edit": {"edit", "admin"},
        "release-modelwright-approve": {"admin"},
    }


EXPORTED = {("modelwright.dev", "modelversions"): {"list"}, ("modelwright.dev", "modeldeployments"): {"list"}}
AUDITED = {"audit": {"export": {"uri": "s3://log/audit/", "secretName": "bucket"}}}


@pytest.mark.parametrize("namespaces", [[], ["a", "b"]], ids=["all", "chosen"])
def test_the_audit_export_reads_two_kinds_and_writes_one_config_map(render: Render, namespaces: list[str]) -> None:
    manifests = render(**AUDITED, watchNamespaces=namespaces)
    roles = [
        item
        for kind in ("ClusterRole", "Role")
        for item in of_kind(manifests, kind)
        if item["metadata"]["name"].startswith("release-modelwright-audit")
    ]
    readers = [item for item in roles if item["metadata"]["name"] == "release-modelwright-audit"]
    assert [rights(item) for item in readers] == [EXPORTED] * max(1, len(namespaces))
    assert [item["metadata"].get("namespace", "") for item in readers] == (namespaces or [""])
    (writer,) = [item for item in roles if item not in readers]
    assert rights(writer) == {}
    assert named(writer) == {("", "configmaps", "release-modelwright-audit-head"): {"get", "patch"}}
    (head,) = of_kind(manifests, "ConfigMap")
    assert head["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert "data" not in head, "an upgrade would put it back"


def test_the_audit_export_is_restricted_and_gets_the_secret_under_a_prefix(render: Render) -> None:
    (job,) = of_kind(render(**AUDITED), "CronJob")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["envFrom"] == [{"prefix": "MODELWRIGHT_AUDIT_STORE_", "secretRef": {"name": "bucket"}}]
    assert not [item for item in render() if "audit" in item["metadata"]["name"]], "off by default"
