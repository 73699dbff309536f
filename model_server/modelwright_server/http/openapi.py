"""The OpenAPI 3.1 description of what the REST port serves, with the model's own names, datatypes and shapes.

What JSON Schema cannot say is said in words: that the number of values is the product of the shape, and that all inputs
have the same number of rows.

Sources: OpenAPI 3.1.1; Open Inference Protocol v2 with its binary tensor data extension.
"""

from typing import Any, Final
from urllib.parse import quote

from modelwright_server import contract
from modelwright_server.contract import CANARY, STABLE, TRACK_HEADER, VERSION_HEADER
from modelwright_server.http.compression import CODINGS
from modelwright_server.schema import FLOATS, Datatype, Schema, TensorSpec
from modelwright_server.tensors import PREDICTION_ID_NAME

PATH: Final = "/openapi.json"

_Document = dict[str, Any]

_BINARY: Final = "application/octet-stream"
_JSON: Final = "application/json"
_LENGTH_HEADER: Final = "Inference-Header-Content-Length"
_BITS: dict[Datatype, int] = {
    Datatype.INT8: 8,
    Datatype.INT16: 16,
    Datatype.INT32: 32,
    Datatype.INT64: 64,
    Datatype.UINT8: 8,
    Datatype.UINT16: 16,
    Datatype.UINT32: 32,
    Datatype.UINT64: 64,
}
# The largest finite number, IEEE 754.
_LARGEST: dict[Datatype, float] = {Datatype.FP16: 65504.0, Datatype.FP32: (2 - 2**-23) * 2.0**127}
_EXAMPLES: dict[Datatype, object] = {Datatype.BOOL: False, Datatype.BYTES: "text"}

# What can become of any request, also before its path is known.
_REFUSALS: dict[int, str] = {
    400: "The request is not valid HTTP/1.1, or not one that is served here; `error` names what is wrong.",
    408: "The request took too long to arrive.",
    413: "The body, or what it inflates to, is larger than allowed.",
    414: "The target is too long.",
    417: "The only expectation that can be met is 100-continue.",
    431: "The head has too many or too long headers.",
    500: "The server failed: its log says why.",
    501: "The only transfer coding is `chunked`.",
    503: "Too many connections, or too many large requests at once.",
    505: "Only HTTP/1.1 and HTTP/1.0 are spoken here.",
}


def document(schema: Schema, name: str, version: str, max_rows: int, server_version: str) -> _Document:
    """Return the description.

    Args:
        schema: the model's signature.
        name: the model's name.
        version: the model's version.
        max_rows: most rows in one request.
        server_version: version of this software.
    """
    model = f"/v2/models/{quote(name, safe='')}"
    paths: _Document = {
        PATH: _get("openapi", "This description", {"type": "object"}),
        "/v2": _get("server", "Metadata of the server", _ref("ServerMetadata")),
        contract.LIVE_PATH: _get("live", "Whether the server runs", _ref("Live")),
        contract.READY_PATH: _get("ready", "Whether the server wants traffic", _ref("Ready"), waits=_ref("Ready")),
    }
    for path, suffix in ((model, ""), (f"{model}/versions/{quote(version, safe='')}", "OfVersion")):
        error, ready = _ref("Error"), _ref("ModelReady")
        paths[path] = _get(f"metadata{suffix}", "Metadata of the model", _ref("ModelMetadata"), waits=error)
        paths[f"{path}/ready"] = _get(f"modelReady{suffix}", "Whether the model wants traffic", ready, waits=ready)
        paths[f"{path}/infer"] = {"post": _infer(f"infer{suffix}", schema)}
    return {
        "openapi": "3.1.1",
        "info": {
            "title": f"Model {name}",
            "version": version,
            "summary": f"{schema.task.value} by {name} {version}, in the Open Inference Protocol v2",
            "description": f"Served by Modelwright {server_version}.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(schema, name, version, max_rows),
            "responses": {f"Error{status}": _error(text) for status, text in _REFUSALS.items()},
        },
    }


# Operations


def _get(operation: str, summary: str, body: _Document, waits: _Document | None = None) -> _Document:
    """Return the GET of a path and its HEAD; ``waits`` is the body of its 503, if it has one of its own."""
    responses = _responses({"description": summary, "content": _content(body)})
    if waits is not None:
        responses["503"] = {"description": "Not yet, or no longer: the model is not ready.", "content": _content(waits)}
    head = {
        status: {"description": response["description"]} if "content" in response else response
        for status, response in responses.items()
    }
    return {
        "get": {"operationId": operation, "summary": summary, "responses": responses},
        "head": {"operationId": f"{operation}Head", "summary": f"{summary}: headers only", "responses": head},
    }


def _infer(operation: str, schema: Schema) -> _Document:
    overloaded = {
        "description": "The model is not loaded yet, or too many calls wait for it: try again later.",
        "headers": {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}},
        "content": _content(_ref("Error")),
    }
    own = {
        "415": _error("The body's coding is not supported."),
        "422": _error("The model's answer to these values is not finite, which JSON cannot say."),
        "503": overloaded,
    }
    return {
        "operationId": operation,
        "summary": "Predict",
        "description": (
            "Every input has as many values as its shape says, and all have the same number of rows. "
            f"Binary tensor data follows the JSON: `{_LENGTH_HEADER}` is the JSON's length, and an input that has"
            " `parameters.binary_data_size` in place of `data` takes so many bytes of what follows, in order."
        ),
        "parameters": [_LENGTH_PARAMETER, _CODING_PARAMETER],
        "requestBody": {
            "required": True,
            "content": {
                _JSON: {"schema": _ref("InferRequest"), "example": _example(schema)},
                _BINARY: {},
            },
        },
        "responses": _responses(_PREDICTIONS) | own,
    }


_LENGTH_PARAMETER: _Document = {
    "name": _LENGTH_HEADER,
    "in": "header",
    "description": "Length in bytes of the JSON before binary tensor data; of the body as inflated.",
    "schema": {"type": "integer", "minimum": 0},
}
_CODING_PARAMETER: _Document = {
    "name": "Content-Encoding",
    "in": "header",
    "description": "How the body is compressed; its limits hold for what it inflates to.",
    "schema": {"enum": ["identity", *sorted(coding.decode() for coding in CODINGS)]},
}
_PREDICTIONS: _Document = {
    "description": "The predictions.",
    "headers": {
        "X-Prediction-Id": {
            "description": f"Id of the prediction, if the request had one row; see also output `{PREDICTION_ID_NAME}`.",
            "schema": {"type": "string"},
        },
        VERSION_HEADER: {"description": "The version that answered.", "schema": {"type": "string"}},
        TRACK_HEADER: {"description": "The track that answered.", "schema": {"enum": [STABLE, CANARY]}},
        _LENGTH_HEADER: {
            "description": "Length in bytes of the JSON, if binary tensor data follows it.",
            "schema": {"type": "integer", "minimum": 0},
        },
    },
    "content": {_JSON: {"schema": {"$ref": "#/components/schemas/InferResponse"}}, _BINARY: {}},
}


def _responses(success: _Document) -> _Document:
    """Return all responses of an operation."""
    return {"200": success} | {str(status): {"$ref": f"#/components/responses/Error{status}"} for status in _REFUSALS}


def _error(description: str) -> _Document:
    return {"description": description, "content": _content(_ref("Error"))}


def _content(schema: _Document) -> _Document:
    return {_JSON: {"schema": schema}}


def _ref(name: str) -> _Document:
    return {"$ref": f"#/components/schemas/{name}"}


# Schemas


def _schemas(schema: Schema, name: str, version: str, max_rows: int) -> _Document:
    inputs = [_input(spec, max_rows) for spec in schema.inputs]
    outputs = [_output(spec) for spec in schema.outputs]
    names = [spec.name for spec in schema.outputs]
    if PREDICTION_ID_NAME not in names:
        names.append(PREDICTION_ID_NAME)
        outputs.append(_output(TensorSpec(PREDICTION_ID_NAME, Datatype.BYTES, (-1,))))
    scalars = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
    tensors = {"type": "array", "items": _ref("TensorMetadata")}
    return {
        "Error": _object({"error": {"type": "string"}}),
        "Live": _object({"live": {"type": "boolean"}}),
        "Ready": _object({"ready": {"type": "boolean"}}),
        "ModelReady": _object({"name": {"const": name}, "ready": {"type": "boolean"}}),
        "ServerMetadata": _object(
            {
                "name": {"type": "string"},
                "version": {"type": "string"},
                "extensions": {"type": "array", "items": {"type": "string"}},
            }
        ),
        "ModelMetadata": _object(
            {
                "name": {"const": name},
                "versions": {"type": "array", "items": {"const": version}},
                "platform": {"type": "string"},
                "inputs": tensors,
                "outputs": tensors,
            }
        ),
        "TensorMetadata": _object(
            {
                "name": {"type": "string"},
                "datatype": {"enum": [datatype.value for datatype in Datatype]},
                "shape": {"type": "array", "items": {"type": "integer"}},
            },
            {"parameters": {"type": "object"}},
        ),
        "InferRequest": _object(
            {"inputs": {"type": "array", "minItems": len(inputs), "maxItems": len(inputs), "items": _one_of(inputs)}},
            {
                "id": {"type": "string"},
                "parameters": {**scalars, "properties": {"binary_data_output": {"type": "boolean"}}},
                "outputs": {"type": "array", "maxItems": len(names), "items": _wanted(names)},
            },
        ),
        "InferResponse": _object(
            {
                "model_name": {"const": name},
                "model_version": {"const": version},
                "outputs": {"type": "array", "items": _one_of(outputs)},
            },
            {"id": {"type": "string"}, "parameters": scalars},
        ),
    }


def _object(required: _Document, optional: _Document | None = None) -> _Document:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _one_of(schemas: list[_Document]) -> _Document:
    return schemas[0] if len(schemas) == 1 else {"oneOf": schemas}


def _wanted(names: list[str]) -> _Document:
    """Return the schema of an output that a request names."""
    parameters = {"type": "object", "properties": {"binary_data": {"type": "boolean"}}}
    return _object({"name": {"enum": names}}, {"parameters": parameters})


def _input(spec: TensorSpec, max_rows: int) -> _Document:
    value = _value(spec.datatype)
    if spec.nullable:
        value = {"anyOf": [value, {"type": "null"}]}
    data: _Document = {"type": "array", "minItems": spec.width, "items": value}
    if len(spec.shape) > 1:
        row = {"type": "array", "minItems": spec.width, "maxItems": spec.width, "items": value}
        data = {"anyOf": [data, {"type": "array", "minItems": 1, "items": row}]}
    rows = {"type": "integer", "minimum": 1, "maximum": max_rows}
    shape = {"prefixItems": [rows, *({"const": size} for size in spec.shape[1:])]}
    described = {"description": f"Columns: {', '.join(spec.columns)}."} if spec.columns else {}
    return _tensor(spec, shape, data) | described


def _output(spec: TensorSpec) -> _Document:
    # Not with prefixItems: schemathesis takes these for an error in the description of a response.
    return _tensor(
        spec, {"items": {"type": "integer", "minimum": 1}}, {"type": "array", "items": _value(spec.datatype)}
    )


def _tensor(spec: TensorSpec, sizes: _Document, data: _Document) -> _Document:
    rank = len(spec.shape)
    required: _Document = {
        "name": {"const": spec.name},
        "datatype": {"const": spec.datatype.value},
        "shape": {"type": "array", "minItems": rank, "maxItems": rank, **sizes},
        "data": data,
    }
    return _object(required, {"parameters": {"type": "object"}})


def _value(datatype: Datatype) -> _Document:
    """Return the schema of one value in JSON."""
    if datatype is Datatype.BYTES:
        return {"type": "string"}
    if datatype is Datatype.BOOL:
        return {"type": "boolean"}
    if datatype in FLOATS:
        largest = _LARGEST.get(datatype)
        return {"type": "number"} | ({} if largest is None else {"minimum": -largest, "maximum": largest})
    bits = _BITS[datatype]
    if datatype.value.startswith("U"):
        return {"type": "integer", "minimum": 0, "maximum": 2**bits - 1}
    return {"type": "integer", "minimum": -(2 ** (bits - 1)), "maximum": 2 ** (bits - 1) - 1}


def _example(schema: Schema) -> _Document:
    """Return a request that the server answers."""
    return {
        "inputs": [
            {
                "name": spec.name,
                "datatype": spec.datatype.value,
                "shape": [1, *spec.shape[1:]],
                "data": [_EXAMPLES.get(spec.datatype, 1)] * spec.width,
            }
            for spec in schema.inputs
        ]
    }
