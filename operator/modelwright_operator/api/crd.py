"""CustomResourceDefinitions generated from the models: `python -m modelwright_operator.api.crd [DIRECTORY]`.

pydantic's JSON schema is not a structural schema (https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/
custom-resource-definitions/#specifying-a-structural-schema): the generator below leaves out what the API server
refuses or would prune wrongly, and inlines what it cannot follow.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import yaml
from pydantic.json_schema import GenerateJsonSchema

from modelwright_operator import naming
from modelwright_operator.api.deployment import Deployment
from modelwright_operator.api.meta import Resource, rules
from modelwright_operator.api.model_version import ModelVersion
from modelwright_operator.api.training_job import TrainingJob
from modelwright_operator.raw import is_list, is_map

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

Json = dict[str, Any]
_LABEL: Final = "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')"


class StructuralSchema(GenerateJsonSchema):
    """JSON schema as a Kubernetes API server takes it."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Absent and null are the same to the API server: only the inner schema counts."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Leave out `default: null`, which would have to be nullable."""
        result = super().default_schema(schema)
        if result.get("default", ...) is None:
            del result["default"]
        return result

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002, ANN401  # pydantic's own signature
        """Titles repeat the names."""
        return False


def _inline(node: Any, definitions: Json) -> Any:  # noqa: ANN401  # any JSON
    """Replace references by what they name, and the shapes a structural schema does not have by those it has."""
    if is_list(node):
        return [_inline(item, definitions) for item in node]
    if not is_map(node):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        return _inline({**target, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    result = {key: _inline(value, definitions) for key, value in node.items() if key not in {"title", "$defs"}}
    if {option.get("type") for option in node.get("anyOf", []) if is_map(option)} == {"integer", "string"}:
        del result["anyOf"]
        result["x-kubernetes-int-or-string"] = True
    if "const" in result:
        result["enum"] = [result.pop("const")]
    if result.get("additionalProperties") is True:  # free-form values
        del result["additionalProperties"]
        result["x-kubernetes-preserve-unknown-fields"] = True
    elif result.get("additionalProperties") is False:
        del result["additionalProperties"]
    result.pop("propertyNames", None)
    least = result.get("minimum")
    if result.get("type") == "number" and isinstance(least, float) and not least.is_integer():
        # The API server cuts the bound to a whole number where the value is one, and would take 0 for at least 0.5.
        result["x-kubernetes-validations"] = [{"rule": f"self >= {least}", "message": f"must be at least {least}"}]
    return result


def schema(model: type[BaseModel]) -> Json:
    """Return the structural schema of a model."""
    raw = model.model_json_schema(by_alias=True, schema_generator=StructuralSchema, mode="validation")
    inlined: Json = _inline(raw, raw.get("$defs", {}))
    return inlined


def _column(name: str, path: str, kind: str = "string", priority: int = 0, description: str = "") -> Json:
    column: Json = {"name": name, "jsonPath": path, "type": kind}
    if description:
        column["description"] = description
    if priority:
        column["priority"] = priority
    return column


def _condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


_AGE: Final = _column("Age", ".metadata.creationTimestamp", "date")


def _crd(  # noqa: PLR0913  # the parts of a definition
    kind: str,
    names: tuple[str, str],
    resource: type[Resource],
    *,
    root: tuple[tuple[str, str], ...],
    columns: list[Json],
    scale: Json | None = None,
) -> Json:
    plural = naming.PLURALS[kind]
    singular, short = names
    spec, status = (resource.model_fields[part].annotation for part in ("spec", "status"))
    subresources: Json = {"status": {}}
    if scale:
        subresources["scale"] = scale
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{naming.GROUP}"},
        "spec": {
            "group": naming.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": singular,
                "shortNames": [short],
                "categories": [naming.CATEGORY],
            },
            "versions": [
                {
                    "name": naming.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": subresources,
                    "additionalPrinterColumns": columns,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "description": (resource.__doc__ or "").strip(),
                            "required": ["spec"],
                            **rules(*root),
                            "properties": {
                                "apiVersion": {"type": "string", "description": f"{naming.API_VERSION}."},
                                "kind": {"type": "string", "description": f"{kind}."},
                                "metadata": {"type": "object"},
                                "spec": schema(cast("type[BaseModel]", spec)),
                                "status": {**schema(cast("type[BaseModel]", status)), "default": {}},
                            },
                        }
                    },
                }
            ],
        },
    }


def definitions() -> dict[str, Json]:
    """Return the three CRDs by file name."""
    training_job = _crd(
        naming.TRAINING_JOB,
        ("trainingjob", "tj"),
        TrainingJob,
        root=(
            ("self.metadata.name.size() <= 57", "the name of a TrainingJob may have 57 characters at most"),
            (_LABEL, "the name of a TrainingJob must be lower-case letters, digits and -"),
        ),
        columns=[
            _column("Model", ".spec.model"),
            _column("Stage", ".status.stage"),
            _column("Percent", ".status.progress.percent", "integer", description="How far the attempt is."),
            _column("Complete", _condition("Complete", "status")),
            _column("Version", ".status.modelVersion"),
            _column("Reason", _condition("Ready", "reason")),
            _AGE,
            _column("Left", ".status.progress.etaSeconds", "integer", 1, "Seconds it may still take."),
            _column("Message", _condition("Ready", "message"), priority=1),
        ],
    )
    model_version = _crd(
        naming.MODEL_VERSION,
        ("modelversion", "mv"),
        ModelVersion,
        root=(
            ("self.metadata.name.size() <= 57", "the name of a ModelVersion may have 57 characters at most"),
            (_LABEL, "the name of a ModelVersion must be lower-case letters, digits and -"),
        ),
        columns=[
            _column("Model", ".spec.model"),
            _column("Verified", _condition("Verified", "status")),
            _column("InUse", _condition("InUse", "status")),
            _column("Reason", _condition("Ready", "reason")),
            _AGE,
            _column("Digest", ".spec.artifact.digest", priority=1),
            _column("Message", _condition("Ready", "message"), priority=1),
        ],
    )
    deployment = _crd(
        naming.DEPLOYMENT,
        ("modeldeployment", "mdep"),
        Deployment,
        root=(
            ("self.metadata.name.size() <= 35", "the name of a Deployment may have 35 characters at most"),
            (
                "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                "the name of a Deployment must start with a letter and be lower-case letters, digits and -",
            ),
            (
                "!self.metadata.name.endsWith('-canary') && !self.metadata.name.endsWith('-monitor')",
                "the name of a Deployment may not end in -canary or -monitor, which name its Services",
            ),
        ),
        columns=[
            _column("Ready", _condition("Ready", "status")),
            _column("Version", ".status.stable.version"),
            _column("Canary", ".status.canary.version"),
            _column(
                "Step", ".status.rollout.step", "integer", description="Step of the rollout under way, or the last."
            ),
            _column("Weight", ".status.rollout.weight", "integer", description="Percent of requests for the canary."),
            _column("Drift", _condition("DataDriftDetected", "status"), description="Whether live data differs."),
            _column("Replicas", ".status.readyReplicas", "integer", description="Ready pods of the stable track."),
            _column("Reason", _condition("Ready", "reason")),
            _AGE,
            _column("URL", ".status.url", priority=1),
            _column("Message", _condition("Ready", "message"), priority=1),
        ],
        scale={
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    )
    return {f"{crd['spec']['names']['plural']}.yaml": crd for crd in (training_job, model_version, deployment)}


def text(crd: Json) -> str:
    """Return a CRD as YAML."""
    body: str = yaml.safe_dump(crd, sort_keys=False, default_flow_style=None, width=160, allow_unicode=True)
    return f"# Generated by `make crds` from operator/modelwright_operator/api; do not edit.\n{body}"


def main(arguments: list[str]) -> None:
    """Write the CRDs into a directory (`crds` by default)."""
    directory = Path(arguments[0] if arguments else "crds")
    directory.mkdir(parents=True, exist_ok=True)
    for name, crd in definitions().items():
        (directory / name).write_text(text(crd), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
