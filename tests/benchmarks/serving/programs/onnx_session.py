"""The same onnxruntime session for every server that is compared: options as our server has them."""

from typing import Any

import onnxruntime  # type: ignore[import-not-found,unused-ignore]

OUTPUTS = ["label", "probabilities"]
DATATYPES = {"label": "INT64", "probabilities": "FP32"}
NAME, VERSION = "bench", "bench-0123456789"


def load(path: str) -> Any:
    """Return a session with one thread that does not spin."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
