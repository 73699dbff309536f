"""The store finds what decisions ask for."""

from __future__ import annotations

from typing import Any

from modelwright_operator import naming
from modelwright_operator.cluster.store import Store


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
