"""An MLServer runtime that calls onnxruntime in the serving process: no parallel workers, no debug log, no metrics.

Runs in an environment of its own: `python mlserver_server.py MODEL.onnx HTTP_PORT GRPC_PORT METRICS_PORT`.
"""

import asyncio
import sys
from typing import Any

from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse
from onnx_session import NAME, OUTPUTS, load


class OnnxModel(MLModel):
    """One model."""

    async def load(self) -> bool:
        """Load it."""
        parameters: Any = self.settings.parameters
        self._session = load(parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer an inference request."""
        tensor = payload.inputs[0]
        answers = self._session.run(OUTPUTS, {tensor.name: NumpyCodec.decode_input(tensor)})
        outputs = [NumpyCodec.encode_output(name, values) for name, values in zip(OUTPUTS, answers, strict=True)]
        return InferenceResponse(model_name=NAME, id=payload.id, outputs=outputs)


async def serve(path: str, http: int, grpc: int, metrics: int) -> None:
    """Serve until the process is ended."""
    settings = Settings(
        debug=False,
        parallel_workers=0,
        host="127.0.0.1",
        http_port=http,
        grpc_port=grpc,
        metrics_port=metrics,
        metrics_endpoint=None,
    )
    parameters = ModelParameters(uri=path)
    await MLServer(settings).start([ModelSettings(name=NAME, implementation=OnnxModel, parameters=parameters)])


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], *map(int, sys.argv[2:5])))
