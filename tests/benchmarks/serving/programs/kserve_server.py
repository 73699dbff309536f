"""A KServe model that calls onnxruntime; one worker, no access log, no latency log.

Runs in an environment of its own: `python kserve_server.py MODEL.onnx HTTP_PORT GRPC_PORT METRICS_PORT`.
"""

import sys
from typing import Any

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from onnx_session import DATATYPES, NAME, OUTPUTS, load


class OnnxModel(Model):
    """One model."""

    def __init__(self, path: str) -> None:
        super().__init__(NAME)
        self._session = load(path)
        self.ready = True

    async def predict(self, payload: InferRequest, *_: Any, **__: Any) -> InferResponse:
        """Answer an inference request; REST answers 500 to one without id, so it gets one."""
        tensor = payload.inputs[0]
        answers = self._session.run(OUTPUTS, {tensor.name: tensor.as_numpy()})
        outputs = []
        for name, values in zip(OUTPUTS, answers, strict=True):
            output = InferOutput(name=name, shape=list(values.shape), datatype=DATATYPES[name])
            output.set_data_from_numpy(values, binary_data=payload.use_binary_outputs or payload.from_grpc)
            outputs.append(output)
        return InferResponse(
            response_id=payload.id or "1",
            model_name=NAME,
            infer_outputs=outputs,
            use_binary_outputs=payload.use_binary_outputs,
        )


if __name__ == "__main__":
    server = ModelServer(
        http_port=int(sys.argv[2]), grpc_port=int(sys.argv[3]), workers=1, enable_latency_logging=False
    )
    server.start([OnnxModel(sys.argv[1])])
