"""Triton with its Python backend, by pytriton; requests that wait are put into one call.

Runs in an environment of its own: `python pytriton_server.py MODEL.onnx HTTP_PORT GRPC_PORT METRICS_PORT`.
"""

import sys
from typing import Any

import numpy as np
from onnx_session import NAME, OUTPUTS, load
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

_FEATURES, _MOST_ROWS = 30, 256


def main() -> None:
    """Serve until the process is ended."""
    session = load(sys.argv[1])

    @batch
    def infer(**feeds: Any) -> list[Any]:
        label, probabilities = session.run(OUTPUTS, {"input": feeds["input"]})
        return [label.reshape(-1, 1), probabilities]

    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=int(sys.argv[2]),
        grpc_port=int(sys.argv[3]),
        allow_metrics=False,
        log_verbose=0,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name=NAME,
            infer_func=infer,
            inputs=[Tensor(name="input", dtype=np.float32, shape=(_FEATURES,))],
            outputs=[
                Tensor(name="label", dtype=np.int64, shape=(1,)),
                Tensor(name="probabilities", dtype=np.float32, shape=(2,)),
            ],
            config=ModelConfig(max_batch_size=_MOST_ROWS, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        triton.serve()


if __name__ == "__main__":
    main()
