"""The description is valid, true of the server's answers, and finds no request that the server fails on."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from openapi_spec_validator import validate

from modelwright_server import schema
from modelwright_server.http import openapi
from modelwright_server.schema import Datatype, Schema, Task, TensorSpec
from tests.server.models import BUILDERS, Built
from tests.server.process import INFER, NAME, VERSION, Server

Builder = Callable[[str], Built]
Serving = Callable[[str], Server]


def described(model: Schema) -> dict[str, Any]:
    return openapi.document(model, NAME, VERSION, 100, "1.2.3")


def of_type(document: dict[str, Any], name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**document, "$ref": f"#/components/schemas/{name}"})


@pytest.mark.parametrize("name", list(BUILDERS))
def test_it_is_valid_and_its_example_is_answered_as_described(name: str, serving: Serving) -> None:
    server = serving(name)
    document = server.request("GET", "/openapi.json").json
    validate(document)
    body = document["paths"][INFER]["post"]["requestBody"]["content"]["application/json"]["example"]
    of_type(document, "InferRequest").validate(body)
    answer = server.infer(body)
    assert answer.status == 200, answer.body
    of_type(document, "InferResponse").validate(answer.json)
    of_type(document, "ModelMetadata").validate(server.request("GET", f"/v2/models/{NAME}").json)
    of_type(document, "ServerMetadata").validate(server.request("GET", "/v2").json)


def test_every_path_is_described(logistic: Server) -> None:
    document = logistic.request("GET", "/openapi.json").json
    for path, operations in document["paths"].items():
        for method in ("get", "post"):
            expected = 200 if method in operations else 405
            body = None if method == "get" else document["paths"][INFER]["post"]["requestBody"]["content"]
            answer = logistic.request(method.upper(), path, body and body["application/json"]["example"])
            assert answer.status == expected, (method, path)


@pytest.mark.parametrize("datatype", list(Datatype))
@pytest.mark.parametrize("width", [None, 1, 3])
@pytest.mark.parametrize("nullable", [False, True])
def test_every_kind_of_input(datatype: Datatype, width: int | None, nullable: bool) -> None:
    if nullable and datatype not in schema.FLOATS:
        return
    spec = TensorSpec("a b", datatype, (-1,) if width is None else (-1, width), nullable=nullable)
    document = described(Schema((spec,), (TensorSpec("prediction_id", datatype, (-1,)),), Task.REGRESSION))
    validate(document)
    request = of_type(document, "InferRequest")
    example = document["paths"][INFER]["post"]["requestBody"]["content"]["application/json"]["example"]
    request.validate(example)
    (tensor,) = example["inputs"]
    wrong: list[dict[str, Any]] = [
        {"name": "a"},
        {"datatype": "FP8"},
        {"shape": [0, *tensor["shape"][1:]]},
        {"shape": [101, *tensor["shape"][1:]]},
        {"shape": [1, 2, 3]},
        {"shape": []},
        {"data": []},
        {"data": [{}] * len(tensor["data"])},
    ]
    if not nullable:
        wrong.append({"data": [None] * len(tensor["data"])})
    for change in wrong:
        assert not request.is_valid({"inputs": [{**tensor, **change}]}), change
    assert not request.is_valid({"inputs": []})
    assert not request.is_valid({"inputs": [tensor, tensor]})


def test_names_are_escaped_in_paths() -> None:
    spec = TensorSpec("x", Datatype.FP32, (-1,))
    document = openapi.document(Schema((spec,), (spec,), Task.REGRESSION), "a/b {c}", "é", 1, "1")
    assert "/v2/models/a%2Fb%20%7Bc%7D/versions/%C3%A9/infer" in document["paths"]
    validate(document)


CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
CHECKS += "response_schema_conformance,negative_data_rejection,unsupported_method"


@pytest.mark.parametrize("name", ["logistic", "mixed", "columns-with-gaps"])
def test_schemathesis_finds_nothing(name: str, serving: Serving, tmp_path: Path) -> None:
    """Requests that keep to the description and such that do not; what is answered must be described.

    A request may keep to the description and be refused all the same: see the module on what JSON Schema cannot say.
    """
    address = f"http://127.0.0.1:{serving(name).port}"
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{address}/openapi.json"),
        *("--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--mode", "all", "--max-examples", "25"),
        *("--seed", "7", "--generation-deterministic", "--workers", "1"),
        *("--request-timeout", "30", "--no-color"),
    ]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert serving(name).request("GET", "/v2/health/ready").status == 200
