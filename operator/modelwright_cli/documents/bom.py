"""`export cyclonedx`: a machine-learning bill of materials of a version, CycloneDX 1.6; pure.

The model is the subject. What it was made of are components that it depends on: data sets and images by their
digests. What is not known is left out: the format has no word for it.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any, Final

from modelwright_cli.objects import Json, part, parts, text, texts

if TYPE_CHECKING:
    from modelwright_cli.documents.holdings import Holdings

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_SHA1_OR_2 = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NAMESPACE: Final = "modelwright:"


def bill(held: Holdings, made_at: str) -> Json:
    """Return the document.

    Args:
        held: what is known of the version.
        made_at: when it is made, as RFC 3339 has it.
    """
    sources = [*_data(held), *_images(held)]
    subject = _model(held)
    identity = f"modelwright.dev {text(held.version, 'metadata', 'uid')} {_digest_of(held)} {made_at}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, identity)}",
        "version": 1,
        "metadata": {
            "timestamp": made_at,
            "tools": {"components": [{"type": "application", "name": "kubectl-modelwright"}]},
            "component": subject,
        },
        "components": sources,
        "dependencies": [
            {"ref": subject["bom-ref"], "dependsOn": [item["bom-ref"] for item in sources]},
            *({"ref": item["bom-ref"]} for item in sources),
        ],
    }


def _digest_of(held: Holdings) -> str:
    return text(held.version, "spec", "artifact", "digest")


def _model(held: Holdings) -> Json:
    spec = part(held.version, "spec")
    component: Json = {
        "bom-ref": f"model:{held.name}",
        "type": "machine-learning-model",
        "name": text(spec, "model"),
        "version": held.name.removeprefix(f"{text(spec, 'model')}-"),
        "hashes": _hashes(_digest_of(held)),
        "modelCard": _card(held),
        "externalReferences": _references(held),
        "properties": _properties(held),
    }
    if owner := text(spec, "card", "owner"):
        component["supplier"] = {"name": owner}
    if intended := text(spec, "card", "intendedUse"):
        component["description"] = intended
    if pedigree := _pedigree(held):
        component["pedigree"] = pedigree
    return _without_empty(component)


def _card(held: Holdings) -> Json:
    spec = part(held.version, "spec")
    considerations = {
        "useCases": [item] if (item := text(spec, "card", "intendedUse")) else [],
        "technicalLimitations": [item] if (item := text(spec, "card", "limitations")) else [],
    }
    datasets = [{"ref": item["bom-ref"]} for item in _data(held)]
    architecture = text(held.job, "spec", "trainer", "sklearn", "estimator")
    parameters: Json = {
        "approach": {"type": "supervised"},
        "task": f"tabular-{held.task.lower()}" if held.task else "",
        "modelArchitecture": architecture,
        "datasets": datasets,
        "inputs": [{"format": _format(item)} for item in parts(held.schema, "inputs")],
        "outputs": [{"format": _format(item)} for item in parts(held.schema, "outputs")],
    }
    card = {
        "bom-ref": f"card:{held.name}",
        "modelParameters": _without_empty(parameters),
        "quantitativeAnalysis": _without_empty({"performanceMetrics": _metrics(held)}),
        "considerations": _without_empty(considerations),
    }
    return _without_empty(card)


def _format(tensor: Json) -> str:
    columns = texts(tensor, "columns")
    named = f" ({', '.join(columns)})" if columns else ""
    return f"{text(tensor, 'name')}: {text(tensor, 'datatype')} {tensor.get('shape')}{named}"


def _metrics(held: Holdings) -> list[Json]:
    found: list[Json] = []
    for item in parts(held.version, "spec", "metrics"):
        one: Json = {"type": text(item, "name"), "value": text(item, "value"), "slice": text(item, "dataset")}
        if text(item, "low") and text(item, "high"):
            one["confidenceInterval"] = {"lowerBound": text(item, "low"), "upperBound": text(item, "high")}
        found.append(_without_empty(one))
    for gate in parts(held.job, "status", "gates"):
        if text(gate, "slice") and text(gate, "observed"):
            where = f"{text(gate, 'slice')}={text(gate, 'group') or '*'}"
            found.append({"type": text(gate, "metric"), "value": text(gate, "observed"), "slice": where})
    return found


def _pedigree(held: Holdings) -> Json:
    source = part(held.provenance, "source")
    if not _SHA1_OR_2.fullmatch(text(source, "commit")):
        return {}
    return {"commits": [{"uid": text(source, "commit"), "url": text(source, "repository")}]}


def _references(held: Holdings) -> list[Json]:
    found: list[Json] = [{"type": "distribution", "url": text(held.version, "spec", "artifact", "uri")}]
    if repository := text(held.provenance, "source", "repository"):
        comment = f"commit {text(held.provenance, 'source', 'commit')}"
        found.append({"type": "vcs", "url": repository, "comment": comment})
    return found


def _properties(held: Holdings) -> list[Json]:
    provenance, approval = held.provenance, part(held.version, "spec", "approval")
    values = {
        "namespace": text(held.version, "metadata", "namespace"),
        "modelVersion": held.name,
        "digest": _digest_of(held),
        "riskTier": text(held.version, "spec", "card", "riskTier"),
        "trainingJob": text(provenance, "trainingJob", "name"),
        "parametersDigest": text(provenance, "parametersDigest"),
        "seed": text(provenance, "seed"),
        "trials": text(provenance, "trials"),
        "requestedBy": text(provenance, "requestedBy"),
        "approval": text(approval, "state"),
        "approvedBy": text(approval, "by") if text(approval, "state") == "Approved" else "",
    }
    return [{"name": f"{_NAMESPACE}{name}", "value": value} for name, value in values.items() if value]


def _data(held: Holdings) -> list[Json]:
    found: list[Json] = []
    for kind in ("data", "prepared"):
        for item in parts(held.provenance, kind):
            name, uri = text(item, "name"), text(item, "uri")
            rows = text(item, "rows")
            one: Json = {
                "bom-ref": f"{kind}:{name}",
                "type": "data",
                "name": name if kind == "data" else f"{name} (prepared)",
                "hashes": _hashes(text(item, "digest")),
                "data": [_without_empty({"type": "dataset", "name": name, "contents": {"url": uri} if uri else {}})],
                "properties": [{"name": f"{_NAMESPACE}rows", "value": rows}] if rows else [],
            }
            found.append(_without_empty(one))
    return found


def _images(held: Holdings) -> list[Json]:
    provenance = held.provenance
    found: list[Json] = []
    if image := text(provenance, "image"):
        found.append(_image("training", image, text(provenance, "imageDigest")))
    for item in parts(provenance, "ownImages"):
        named = text(item, "image")
        found.append(_image(f"own:{text(item, 'stage')}", named, named.rpartition("@")[2]))
    return found


def _image(role: str, reference: str, digest: str) -> Json:
    return _without_empty(
        {
            "bom-ref": f"image:{role}",
            "type": "container",
            "name": reference.partition("@")[0],
            "version": digest if _DIGEST.fullmatch(digest) else "",
            "hashes": _hashes(digest),
            "properties": [{"name": f"{_NAMESPACE}role", "value": role}],
        }
    )


def _hashes(digest: str) -> list[Json]:
    matched = _DIGEST.fullmatch(digest)
    return [{"alg": "SHA-256", "content": matched[1]}] if matched else []


def _without_empty(values: dict[str, Any]) -> Json:
    return {key: value for key, value in values.items() if value not in ("", [], {})}
