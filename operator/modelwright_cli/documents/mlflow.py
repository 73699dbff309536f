"""`export mlflow`: the files around a version's ONNX file that make a model of it that MLflow loads; pure.

MLflow has a format of folders with a file `MLmodel`; nothing of it is needed to write one. The signature is of tensors,
as the model takes them: arrays by the names of its inputs.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, Final

import yaml

from modelwright_cli.objects import Json, number, part, parts, text

if TYPE_CHECKING:
    from modelwright_cli.documents.holdings import Holdings

MODEL: Final = "model.onnx"
_REQUIREMENTS: Final = ("mlflow", "onnx", "onnxruntime", "numpy", "pandas")
_PYTHON: Final = "3.11"
_TYPES: Final = {
    "BOOL": "bool",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "str",
    **{
        f"{sign}{bits}": f"{word}{bits}"
        for sign, word in (("INT", "int"), ("UINT", "uint"))
        for bits in (8, 16, 32, 64)
    },
}


def files(held: Holdings, made_at: str) -> dict[str, str]:
    """Return the texts of all files but the model, by their names.

    Args:
        held: what is known of the version.
        made_at: when it is made, as RFC 3339 has it.
    """
    requirements = "".join(f"{name}\n" for name in _REQUIREMENTS)
    conda = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={_PYTHON}", "pip", {"pip": list(_REQUIREMENTS)}],
    }
    python = {"python": _PYTHON, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
    return {
        "MLmodel": _yaml(_ml_model(held, made_at)),
        "requirements.txt": requirements,
        "conda.yaml": _yaml(conda),
        "python_env.yaml": _yaml(python),
    }


def _yaml(document: Json) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _ml_model(held: Holdings, made_at: str) -> Json:
    environment = {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}
    digest = text(held.version, "spec", "artifact", "digest")
    onnx: Json = {"code": None, "data": MODEL, "providers": ["CPUExecutionProvider"], "onnx_session_options": None}
    document: Json = {
        "flavors": {
            "onnx": onnx,
            "python_function": {
                "data": MODEL,
                "env": environment,
                "loader_module": "mlflow.onnx",
                "python_version": _PYTHON,
            },
        },
        "metadata": {"modelwright": _origin(held)},
        "model_uuid": uuid.uuid5(uuid.NAMESPACE_URL, f"modelwright.dev {held.name} {digest}").hex,
        "utc_time_created": made_at.replace("T", " ").removesuffix("Z"),
    }
    if parts(held.schema, "inputs"):
        document["signature"] = {
            "inputs": _specification(parts(held.schema, "inputs")),
            "outputs": _specification(parts(held.schema, "outputs")),
            "params": None,
        }
    return document


def _specification(tensors: list[Json]) -> str:
    found = [
        {
            "type": "tensor",
            "tensor-spec": {"dtype": _TYPES.get(text(item, "datatype"), "object"), "shape": item.get("shape")},
            "name": text(item, "name"),
        }
        for item in tensors
    ]
    return json.dumps(found)


def _origin(held: Holdings) -> Json:
    spec, provenance = part(held.version, "spec"), held.provenance
    found: dict[str, Any] = {
        "version": held.name,
        "model": text(spec, "model"),
        "digest": text(spec, "artifact", "digest"),
        "metrics": {
            f"{text(item, 'dataset')}.{text(item, 'name')}": number(item, "value") for item in parts(spec, "metrics")
        },
        "parameters": part(held.job, "spec", "trainer", "sklearn"),
        "data": [{key: text(item, key) for key in ("name", "uri", "digest")} for item in parts(provenance, "data")],
        "trainingJob": text(provenance, "trainingJob", "name"),
        "image": text(provenance, "imageDigest"),
        "seed": text(provenance, "seed"),
        "approval": part(spec, "approval"),
        "card": part(spec, "card"),
    }
    return {key: value for key, value in found.items() if value}
