"""The store finds what decisions ask for."""

from __future__ import annotations

from typing import Any

import pytest

from modelwright_operator import naming
from modelwright_operator.cluster.store import Owner, Store, owner_of, trim
from tests.support import builders as make
from tests.support import kubelet
from tests.table.planning import attempt_job


def version(name: str, model: str) -> dict[str, Any]:
    metadata = {"namespace": "team", "name": name, "uid": name, "resourceVersion": "1"}
    return {"metadata": metadata, "spec": {"model": model}}


def names(store: Store, model: str) -> list[str]:
    return [raw["metadata"]["name"] for raw in store.versions_of("team", model)]


def test_a_version_is_found_by_its_model_and_by_the_model_its_name_claims() -> None:
    store = Store()
    store.put(naming.MODEL_VERSIONS, version("churn-0123456789", "churn"))
    store.put(naming.MODEL_VERSIONS, version("churn-9876543210", "another"))
    store.put(naming.MODEL_VERSIONS, version("brought", "churn"))
    assert names(store, "churn") == ["brought", "churn-0123456789", "churn-9876543210"]
    assert names(store, "another") == ["churn-9876543210"]
    store.remove(naming.MODEL_VERSIONS, "team", "churn-9876543210")
    assert names(store, "churn") == ["brought", "churn-0123456789"]
    assert names(store, "another") == []


def test_children_are_found_by_their_controller_and_its_pods_by_their_labels() -> None:
    store = Store()
    job = attempt_job(make.training_job())
    owner = Owner(naming.TRAINING_JOB, "team", "churn-train")
    store.put(naming.JOBS, job)
    assert [raw["metadata"]["name"] for raw in store.owned(naming.JOBS, owner)] == [job["metadata"]["name"]]
    assert store.owned(naming.PODS, owner) == ()
    store.put(naming.JOBS, {**job, "metadata": {**job["metadata"], "labels": {}}})
    assert len(store.owned(naming.JOBS, owner)) == 1
    store.put(naming.JOBS, {**job, "metadata": {**job["metadata"], "labels": {}, "ownerReferences": []}})
    assert store.owned(naming.JOBS, owner) == ()
    pod = kubelet.pod_of(job, {})
    store.put(naming.PODS, pod)
    assert [raw["metadata"]["name"] for raw in store.owned(naming.PODS, owner)] == [pod["metadata"]["name"]]
    assert store.size(naming.JOBS) == 1


@pytest.mark.parametrize(
    ("uid", "resource_version", "news"),
    [("u", "9", False), ("u", "10", True), ("u", "11", True), ("another", "9", True), ("u", "opaque", True)],
)
def test_only_a_later_object_of_the_same_uid_replaces_one(uid: str, resource_version: str, *, news: bool) -> None:
    store = Store()
    store.put(naming.TRAINING_JOBS, make.training_job().metadata(uid="u", resourceVersion="10").raw)
    arrived = make.training_job().metadata(uid=uid, resourceVersion=resource_version).raw
    assert store.put(naming.TRAINING_JOBS, arrived) is news


def test_what_came_while_a_list_was_read_is_no_ghost() -> None:
    store = Store()
    store.put(naming.TRAINING_JOBS, make.training_job("old").raw)
    known = set(store.names(naming.TRAINING_JOBS))
    store.put(naming.TRAINING_JOBS, make.training_job("new").raw)
    store.replace(naming.TRAINING_JOBS, [], None, known)
    assert [name.name for name in store.names(naming.TRAINING_JOBS)] == ["new"]


def test_a_list_of_one_namespace_leaves_the_others_alone() -> None:
    store = Store()
    store.put(naming.TRAINING_JOBS, make.training_job().metadata(namespace="other").raw)
    store.replace(naming.TRAINING_JOBS, [], "team", set(store.names(naming.TRAINING_JOBS)))
    assert store.size(naming.TRAINING_JOBS) == 1


def test_what_nobody_reads_is_not_kept() -> None:
    managed = [
        {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {}}},
        {"manager": "x", "operation": "Apply"},
    ]
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "1"}
    raw = make.training_job().metadata(managedFields=managed, annotations=annotations).raw
    kept = trim(naming.TRAINING_JOBS, raw)
    assert "managedFields" not in kept["metadata"]
    assert kept["metadata"]["annotations"] == {"mine": "1"}
    assert kept["managers"] == ["kubectl/Update"]
    assert "managedFields" in raw["metadata"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {},
        "status": {"phase": "Running", "podIP": "1", "hostIP": "2"},
    }
    assert "spec" not in trim(naming.PODS, pod)
    assert trim(naming.PODS, pod)["status"] == {"phase": "Running", "podIP": "1"}


@pytest.mark.parametrize(
    ("fields", "counts"),
    [({"f:replicas": {}}, False), ({"f:replicas": {}, "f:paused": {}}, True), ({"f:template": {}}, True)],
)
def test_who_only_scales_has_edited_nothing(fields: dict[str, Any], *, counts: bool) -> None:
    entry = {"manager": "m", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": fields}}
    raw = make.training_job().metadata(managedFields=[entry]).raw
    assert trim(naming.WORKLOADS, raw)["managers"] == (["m/Update"] if counts else [])


def test_an_object_without_labels_is_nobodys() -> None:
    assert owner_of({"metadata": {"name": "a", "namespace": "team"}}) is None
