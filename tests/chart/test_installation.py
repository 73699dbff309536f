"""The chart on a real API server: it installs, upgrades without a change, gives just its rights, leaves nothing."""

import json
import time
from collections.abc import Generator
from typing import Any

import pytest

from tests.chart.conftest import CHART
from tests.cluster.client import Cluster

pytestmark = pytest.mark.cluster

# The operator itself and the CRDs, which all releases on a cluster share, are installed by the end-to-end tests.
VALUES = ("--set", "crds.enabled=false,replicas=0")


@pytest.fixture
def release(cluster: Cluster, namespace: str) -> Generator[str]:
    """Install a release named as the test's namespace, which makes its cluster-wide objects the test's own too."""
    cluster.helm("install", namespace, str(CHART), "--namespace", namespace, "--wait", *VALUES)
    yield namespace
    cluster.helm("uninstall", namespace, "--namespace", namespace, "--ignore-not-found")


def owned(cluster: Cluster, release: str) -> dict[str, Any]:
    kinds = "deploy,svc,sa,lease,role,rolebinding,clusterrole,clusterrolebinding"
    kinds += ",validatingadmissionpolicy,validatingadmissionpolicybinding"
    selector = f"app.kubernetes.io/instance={release}"
    found = json.loads(cluster.kubectl("get", kinds, "-n", release, "-l", selector, "-o", "json"))["items"]
    return {f"{item['kind']}/{item['metadata']['name']}": item for item in found}


def allowed(cluster: Cluster, account: str, question: str, namespace: str) -> bool:
    words = ["auth", "can-i", *question.split(), "-n", namespace, "--as", account]
    return cluster.kubectl(*words, check=False).strip().endswith("yes")


def reviewed(cluster: Cluster, account: str, **attributes: str) -> bool:
    """Ask the API server what an account may do with a resource that need not exist yet."""
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": account, "resourceAttributes": attributes},
    }
    answer = cluster.api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
    return bool(answer["status"]["allowed"])


def test_an_upgrade_with_the_same_values_changes_nothing(cluster: Cluster, release: str) -> None:
    def versions() -> dict[str, Any]:
        # Kubernetes itself writes the status of a policy, some time after it was made.
        field = {"ValidatingAdmissionPolicy": "generation"}
        found = owned(cluster, release)
        return {name: item["metadata"][field.get(item["kind"], "resourceVersion")] for name, item in found.items()}

    before = versions()
    cluster.helm("upgrade", release, str(CHART), "--namespace", release, "--wait", *VALUES)
    assert versions() == before


def test_an_upgrade_leaves_the_leader_in_office(cluster: Cluster, release: str) -> None:
    name = next(item["metadata"]["name"] for key, item in owned(cluster, release).items() if key.startswith("Lease/"))
    holder = json.dumps({"spec": {"holderIdentity": "leader", "leaseDurationSeconds": 30}})
    cluster.kubectl("patch", "lease", name, "-n", release, "--type=merge", "-p", holder)
    cluster.helm("upgrade", release, str(CHART), "--namespace", release, *VALUES, "--set", "workers=3")
    assert owned(cluster, release)[f"Lease/{name}"]["spec"]["holderIdentity"] == "leader"


def test_uninstalling_leaves_nothing(cluster: Cluster, release: str) -> None:
    assert owned(cluster, release)
    cluster.helm("uninstall", release, "--namespace", release, "--wait")
    assert owned(cluster, release) == {}


def test_the_operators_pod_is_admitted_where_the_restricted_profile_is_enforced(cluster: Cluster, release: str) -> None:
    workload = next(item for key, item in owned(cluster, release).items() if key.startswith("Deployment/"))
    template = workload["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"}, "spec": template["spec"]}
    said = cluster.kubectl("create", "--dry-run=server", "-n", release, "-f", "-", stdin=json.dumps(pod))
    assert "created" in said


def test_in_chosen_namespaces_the_chart_itself_gives_the_sidecars_their_rights(cluster: Cluster, release: str) -> None:
    chosen = ("--set", f"watchNamespaces={{{release}}}")
    cluster.helm("upgrade", release, str(CHART), "--namespace", release, "--wait", *VALUES, *chosen)
    accounts = {key.removeprefix("ServiceAccount/") for key in owned(cluster, release) if key.startswith("ServiceAcc")}
    [operator] = accounts - {"modelwright-monitor"}
    role = next(key for key in owned(cluster, release) if key.startswith("Role/") and key.endswith("-monitor"))
    sidecar = f"system:serviceaccount:{release}:modelwright-monitor"
    deployments = {"group": "modelwright.dev", "resource": "modeldeployments"}
    assert reviewed(cluster, sidecar, verb="watch", namespace=release, **deployments)
    assert reviewed(cluster, sidecar, verb="patch", namespace=release, subresource="status", **deployments)
    assert not reviewed(cluster, sidecar, verb="patch", namespace=release, **deployments)
    assert not reviewed(cluster, sidecar, verb="watch", namespace="default", **deployments)
    account, name = f"system:serviceaccount:{release}:{operator}", role.removeprefix("Role/")
    for what in ("serviceaccounts/modelwright-monitor", f"rolebindings.rbac.authorization.k8s.io/{name}"):
        assert allowed(cluster, account, f"get {what}", release)
        assert not allowed(cluster, account, f"patch {what}", release)
    assert not allowed(cluster, account, f"bind clusterroles.rbac.authorization.k8s.io/{name}", release)


def test_the_operator_may_do_its_work_and_nothing_else(cluster: Cluster, release: str) -> None:
    name = next(item["metadata"]["name"] for key, item in owned(cluster, release).items() if key.startswith("Service"))
    account = f"system:serviceaccount:{release}:{name.removesuffix('-metrics')}"
    lease = next(item["metadata"]["name"] for key, item in owned(cluster, release).items() if key.startswith("Lease/"))
    answers = {
        question: allowed(cluster, account, question, release)
        for question in (
            "create jobs.batch",
            "delete deployments.apps",
            "patch services",
            "list pods",
            "patch events.events.k8s.io",
            f"update leases.coordination.k8s.io/{lease}",
            "create serviceaccounts/modelwright-monitor",
            f"patch rolebindings.rbac.authorization.k8s.io/{name.removesuffix('-metrics')}-monitor",
            f"bind clusterroles.rbac.authorization.k8s.io/{name.removesuffix('-metrics')}-monitor",
        )
    }
    assert answers == dict.fromkeys(answers, True)
    refused = {
        question: allowed(cluster, account, question, release)
        for question in (
            "get secrets",
            "create pods",
            "create pods/exec",
            "create serviceaccounts/token",
            "update deployments.apps",
            "create leases.coordination.k8s.io",
            "update leases.coordination.k8s.io/another",
            "create rolebindings.rbac.authorization.k8s.io",
            "patch rolebindings.rbac.authorization.k8s.io/another",
            "bind clusterroles.rbac.authorization.k8s.io/cluster-admin",
            "create serviceaccounts",
            "patch serviceaccounts/default",
            "delete serviceaccounts/modelwright-monitor",
        )
    }
    assert refused == dict.fromkeys(refused, False)


def test_the_operator_cannot_open_or_close_pods_of_others(cluster: Cluster, release: str) -> None:
    name = next(item["metadata"]["name"] for key, item in owned(cluster, release).items() if key.startswith("Service"))
    account = f"system:serviceaccount:{release}:{name.removesuffix('-metrics')}"
    owner = {"apiVersion": "modelwright.dev/v1alpha1", "kind": "Deployment", "name": "scores", "uid": "1"}

    def attempt(selector: dict[str, Any], *owners: dict[str, Any]) -> str:
        policy = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "scores", "ownerReferences": list(owners)},
            "spec": {"podSelector": selector, "policyTypes": ["Ingress"]},
        }
        words = ["create", "--dry-run=server", "--as", account, "-n", release, "-f", "-"]
        return cluster.kubectl(*words, stdin=json.dumps(policy), check=False)

    ours = {"matchLabels": {"modelwright.dev/name": "scores", "modelwright.dev/kind": "Deployment"}}
    child = {**owner, "controller": True}
    deadline = time.monotonic() + 30  # the API server takes a new policy up after a moment
    while "are about the pods of Modelwright's objects alone" not in (said := attempt({}, child)):
        assert time.monotonic() < deadline, said
    assert "alone" in attempt({"matchLabels": {"app": "web"}}, child)
    assert "as its controller" in attempt(ours)
    assert "created" in attempt(ours, child)
