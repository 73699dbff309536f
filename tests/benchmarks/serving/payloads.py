"""The same rows as an Open Inference request in each form, and the check that answers are onnxruntime's."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.benchmarks.serving.cores import BenchmarkError
from tests.benchmarks.serving.models import FEATURES, NAME

if TYPE_CHECKING:
    from tests.benchmarks.serving.models import BenchmarkModel

PATH = f"/v2/models/{NAME}/infer"
_OK = 200
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Payload:
    """A request's body; `json_bytes` is the length of the JSON before binary tensors, 0 if there are none."""

    body: bytes
    json_bytes: int = 0

    @property
    def headers(self) -> dict[str, str]:
        """What says how to read the body."""
        if self.json_bytes:
            kind = {"Content-Type": "application/octet-stream"}
            return kind | {"Inference-Header-Content-Length": str(self.json_bytes)}
        return {"Content-Type": "application/json"}


def json_payload(model: BenchmarkModel, rows: int) -> Payload:
    """Return rows as JSON, numbers as short as they are in the data."""
    values = [float(str(value)) for value in model.rows[:rows].ravel()]
    tensor = {"name": "input", "shape": [rows, FEATURES], "datatype": "FP32", "data": values}
    return Payload(json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode())


def binary_payload(model: BenchmarkModel, rows: int) -> Payload:
    """Return rows by the binary tensor extension, asking for binary outputs."""
    raw = model.rows[:rows].astype("<f4").tobytes()
    tensor: dict[str, Any] = {"name": "input", "shape": [rows, FEATURES], "datatype": "FP32"}
    tensor["parameters"] = {"binary_data_size": len(raw)}
    request = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    head = json.dumps(request, separators=(",", ":")).encode()
    return Payload(head + raw, len(head))


PAYLOADS = {"json": json_payload, "binary": binary_payload}


def post(port: int, payload: Payload, path: str = PATH) -> tuple[dict[str, str], bytes]:
    """Send one request; return the answer's headers (names in lower case) and body.

    Raises:
        BenchmarkError: the answer is not 200.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, payload.body, payload.headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != _OK:
        message = f"a request was answered with {response.status}: {body[:300]!r}"
        raise BenchmarkError(message)
    return {name.lower(): value for name, value in response.getheaders()}, body


def check_answers(model: BenchmarkModel, port: int, form: str, rows: int) -> None:
    """Ask a server and compare with onnxruntime.

    Raises:
        BenchmarkError: it answers something else.
    """
    headers, body = post(port, PAYLOADS[form](model, rows))
    compare(model, rows, decoded(headers, body))


def compare(model: BenchmarkModel, rows: int, found: dict[str, Any]) -> None:
    """Compare a server's outputs with onnxruntime's.

    Raises:
        BenchmarkError: they differ.
    """
    label, probabilities = model.expected(rows)
    same = (
        np.array_equal(np.ravel(found["label"]), label)
        and np.size(found["probabilities"]) == probabilities.size
        and np.allclose(np.reshape(found["probabilities"], probabilities.shape), probabilities, atol=_TOLERANCE)
    )
    if not same:
        message = f"{model.name}, {rows} rows: the answer differs from onnxruntime's: {str(found)[:300]}"
        raise BenchmarkError(message)


def decoded(headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """Return an answer's outputs by name, from JSON or binary."""
    length = int(headers.get("inference-header-content-length", len(body)))
    answer, offset = json.loads(body[:length]), length
    outputs: dict[str, Any] = {}
    for item in answer["outputs"]:
        size = (item.get("parameters") or {}).get("binary_data_size")
        if size is None:
            outputs[item["name"]] = np.array(item["data"])
        else:
            kind = {"FP32": "<f4", "INT64": "<i8"}[item["datatype"]]
            outputs[item["name"]] = np.frombuffer(body[offset : offset + size], kind)
            offset += size
    return outputs
