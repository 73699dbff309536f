"""FastAPI with onnxruntime, as one would write it by hand: pydantic checks requests, answers and shapes.

Runs in an environment of its own: `python fastapi_server.py MODEL.onnx PORT`.
"""

import sys
from typing import Annotated, Any

import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException
from onnx_session import NAME, OUTPUTS, VERSION, load
from pydantic import BaseModel, Field


class Tensor(BaseModel):
    """An input."""

    name: str
    shape: Annotated[list[int], Field(min_length=2, max_length=2)]
    datatype: str
    data: list[float]


class InferRequest(BaseModel):
    """Inference request of the Open Inference Protocol."""

    id: str | None = None
    inputs: list[Tensor]


class Output(BaseModel):
    """An output."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class InferResponse(BaseModel):
    """Inference response of the Open Inference Protocol."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[Output]


def application(model: str) -> FastAPI:
    """Return the application that serves a model."""
    session = load(model)
    app = FastAPI()

    @app.get("/v2/health/ready")
    async def ready() -> dict[str, bool]:
        return {"ready": True}

    @app.post(f"/v2/models/{NAME}/infer", response_model_exclude_none=True)
    async def infer(request: InferRequest) -> InferResponse:
        tensor = request.inputs[0]
        try:
            rows = np.array(tensor.data, np.float32).reshape(tensor.shape)
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        label, probabilities = session.run(OUTPUTS, {tensor.name: rows})
        outputs = [
            Output(name="label", shape=list(label.shape), datatype="INT64", data=label.tolist()),
            Output(
                name="probabilities",
                shape=list(probabilities.shape),
                datatype="FP32",
                data=probabilities.ravel().tolist(),
            ),
        ]
        return InferResponse(model_name=NAME, model_version=VERSION, id=request.id, outputs=outputs)

    return app


if __name__ == "__main__":
    uvicorn.run(
        application(sys.argv[1]),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
