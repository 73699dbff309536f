"""The CRDs: generated, equal wherever they lie, structural, bounded, described."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from modelwright_operator import naming
from modelwright_operator.api import crd  # noqa: ICN003  # a module of its own, not a kind

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
DEFINITIONS = crd.definitions()
NAMES = sorted(DEFINITIONS)
_SCHEMA_KEYS = {
    "type",
    "description",
    "properties",
    "required",
    "items",
    "additionalProperties",
    "enum",
    "oneOf",
    "pattern",
    "format",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "x-kubernetes-validations",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
}


def schema(name: str) -> Json:
    root: Json = DEFINITIONS[name]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return root


def nodes(node: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Yield every schema below a schema."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if isinstance(values := node.get("additionalProperties"), dict):
        yield from nodes(values, f"{path}[*]")
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")


def defaults(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from defaults(item)
    yield value


@pytest.mark.parametrize("folder", ["crds", "charts/modelwright/files/crds"])
@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_as_generated(name: str, folder: str) -> None:
    assert (ROOT / folder / name).read_text(encoding="utf-8") == crd.text(DEFINITIONS[name]), "run `make crds`"


@pytest.mark.parametrize("folder", ["crds", "charts/modelwright/files/crds"])
def test_no_file_is_left_over(folder: str) -> None:
    assert sorted(path.name for path in (ROOT / folder).iterdir()) == NAMES


def test_generating_writes_the_same_files(tmp_path: Path) -> None:
    crd.main([str(tmp_path)])
    assert sorted(path.name for path in tmp_path.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_crd_is_small_enough_and_reads_back(name: str) -> None:
    text = crd.text(DEFINITIONS[name])
    assert len(text.encode()) <= 100_000
    assert yaml.safe_load(text) == DEFINITIONS[name]


def _not_structural(node: Json) -> bool:
    return bool(
        set(node) - _SCHEMA_KEYS
        or not {"type", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"} & set(node)
        or ("properties" in node and "additionalProperties" in node)
        or ("default" in node and None in list(defaults(node["default"])))
        or (node.get("type") == "array" and "items" not in node)
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_schema_is_structural(name: str) -> None:
    assert [path for path, node in nodes(schema(name)) if _not_structural(node)] == []


_MEASURED = (".spec.metrics", ".spec.provenance", ".spec.schema")
"""Written by the operator from what a run measured."""


def _unbounded(path: str, node: Json) -> bool:
    if path in {".apiVersion", ".kind", ".metadata"}:
        return False
    match node.get("type"):
        case "string":
            return not ("maxLength" in node or "enum" in node or node.get("format") == "date-time")
        case "array":
            return "maxItems" not in node
        case "object" if "properties" not in node:
            return "maxProperties" not in node
        case "integer" | "number" if path.startswith(".spec") and not path.startswith(_MEASURED):
            return not {"minimum", "maximum"} <= set(node)
        case _:
            return False


@pytest.mark.parametrize("name", NAMES)
def test_every_text_list_map_and_number_is_bounded(name: str) -> None:
    """Without bounds the cost of CEL rules has none, and objects become too large for the API server to store."""
    assert [path for path, node in nodes(schema(name)) if _unbounded(path, node)] == []


def _undescribed(path: str, node: Json) -> bool:
    return (
        path not in {"", ".metadata"}
        and not path.endswith(("[]", "[*]"))
        and not node.get("description", "").endswith(".")
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_field_is_described_in_a_sentence(name: str) -> None:
    assert [path for path, node in nodes(schema(name)) if _undescribed(path, node)] == []


@pytest.mark.parametrize("name", NAMES)
def test_no_key_is_read_as_a_boolean_by_yaml(name: str) -> None:
    booleans = {"on", "off", "yes", "no", "y", "n", "true", "false"}
    assert [path for path, node in nodes(schema(name)) if booleans & set(node.get("properties", {}))] == []


@pytest.mark.parametrize("name", NAMES)
def test_durations_say_their_unit(name: str) -> None:
    times = [
        path
        for path, _ in nodes(schema(name))
        if any(word in path.lower() for word in ("timeout", "deadline", "duration", "ttl"))
    ]
    assert [path for path in times if not path.endswith(("Seconds", "Milliseconds", "SecondsAfterFinished"))] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_checks_above_look_at_every_field(name: str) -> None:
    text = crd.text(DEFINITIONS[name])
    assert sum(1 for path, _ in nodes(schema(name)) if path) > 40
    assert text.count("description:") <= len(list(nodes(schema(name)))) + 8


@pytest.mark.parametrize("kind", naming.PLURALS)
def test_names_and_subresources(kind: str) -> None:
    definition = DEFINITIONS[f"{naming.PLURALS[kind]}.yaml"]
    names = definition["spec"]["names"]
    version = definition["spec"]["versions"][0]
    assert definition["metadata"]["name"] == f"{naming.PLURALS[kind]}.modelwright.dev"
    assert names["kind"] == kind
    assert names["categories"] == ["mlops"]
    assert names["shortNames"] == [{"TrainingJob": "tj", "ModelVersion": "mv", "Deployment": "mdep"}[kind]]
    assert definition["spec"]["scope"] == "Namespaced"
    assert version["subresources"]["status"] == {}
    assert ("scale" in version["subresources"]) == (kind == "Deployment")
    status = version["schema"]["openAPIV3Schema"]["properties"]["status"]
    assert status["default"] == {}
    assert status["properties"]["observedGeneration"]["default"] == -1
    assert status["properties"]["conditions"]["x-kubernetes-list-map-keys"] == ["type"]
    for column in version["additionalPrinterColumns"]:
        root = column["jsonPath"].split(".")[1]
        assert root in {"spec", "status", "metadata"}


def test_kubectl_get_deployment_still_means_kubernetes_own() -> None:
    names = DEFINITIONS["modeldeployments.yaml"]["spec"]["names"]
    assert not {"deployment", "deployments", "deploy"} & {names["plural"], names["singular"], *names["shortNames"]}
