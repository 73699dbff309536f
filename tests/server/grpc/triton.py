"""What runs in a process of its own: tritonclient's messages have the names of ours, so one process cannot have both.

Only plain values go in and out.
"""

from typing import Any

import numpy as np


def infer(
    port: int, model: str, tensors: list[tuple[str, str, np.ndarray[Any, Any]]], outputs: list[str], **options: Any
) -> dict[str, Any]:
    """Infer by tritonclient; return its outputs, and what else it tells of the answer."""
    import tritonclient.grpc as triton  # type: ignore[import-untyped]  # noqa: PLC0415

    inputs = []
    for name, datatype, array in tensors:
        inputs.append(triton.InferInput(name, list(array.shape), datatype))
        inputs[-1].set_data_from_numpy(array)
    wanted = [triton.InferRequestedOutput(name) for name in outputs] or None
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        result = client.infer(model, inputs, outputs=wanted, **options)
    response = result.get_response()
    return {
        "outputs": {output.name: result.as_numpy(output.name) for output in response.outputs},
        "id": response.id,
        "parameters": sorted(response.parameters),
        "model": (response.model_name, response.model_version),
    }


def look_around(port: int, model: str, version: str) -> dict[str, Any]:
    """Ask by tritonclient for all that is not inference."""
    import tritonclient.grpc as triton  # noqa: PLC0415

    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        return {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": [client.is_model_ready(model), client.is_model_ready(model, version)],
            "server": client.get_server_metadata(as_json=True),
            "model": client.get_model_metadata(model, as_json=True),
        }


def failure(port: int, model: str) -> tuple[str, str]:
    """Status and message of a call for a model that is not served, as tritonclient shows them."""
    import tritonclient.grpc as triton  # noqa: PLC0415
    from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]  # noqa: PLC0415

    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        try:
            client.get_model_metadata(model)
        except InferenceServerException as error:
            return error.status(), error.message()
    return "", ""


def fields(messages: list[str]) -> dict[str, dict[str, tuple[int, int, bool]]]:
    """Number, wire type and repetition of each field of tritonclient's messages."""
    from tritonclient.grpc import service_pb2  # noqa: PLC0415

    found = {}
    for name in messages:
        kind = service_pb2
        for part in name.split("."):
            kind = getattr(kind, part)
        found[name] = {field.name: (field.number, field.type, field.is_repeated) for field in kind.DESCRIPTOR.fields}
    return found
