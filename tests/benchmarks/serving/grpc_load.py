"""Load by gRPC: h2load posts a ready frame, one stream for each connection."""

from __future__ import annotations

import re
import statistics
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np

from modelwright_server.grpc import open_inference_pb2 as pb
from tests.benchmarks.serving.cores import LOAD_CORES, BenchmarkError, pinned, required
from tests.benchmarks.serving.load import STEP_SECONDS, Answered
from tests.benchmarks.serving.models import FEATURES, NAME
from tests.benchmarks.serving.payloads import compare

if TYPE_CHECKING:
    from tests.benchmarks.serving.models import BenchmarkModel
    from tests.benchmarks.serving.servers import Running

METHOD = "/inference.GRPCInferenceService/ModelInfer"
_STATUS_COLUMN, _LATENCY_COLUMN = 1, 2
_FRAME = struct.Struct(">BI")


def request(model: BenchmarkModel, rows: int) -> bytes:
    """Return a ModelInferRequest with raw contents."""
    tensor = pb.ModelInferRequest.InferInputTensor(name="input", datatype="FP32", shape=[rows, FEATURES])
    raw = model.rows[:rows].astype("<f4").tobytes()
    return pb.ModelInferRequest(model_name=NAME, inputs=[tensor], raw_input_contents=[raw]).SerializeToString()


def call(port: int, message: bytes) -> bytes:
    """Send one request; return the serialised answer.

    Raises:
        BenchmarkError: the call failed.
    """
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            invoke: Any = channel.unary_unary(METHOD)
            answer: bytes = invoke(message, timeout=30, wait_for_ready=True)
        except grpc.RpcError as error:
            problem = f"a gRPC call failed: {error}"
            raise BenchmarkError(problem) from error
    return answer


def check_answers(model: BenchmarkModel, port: int, rows: int) -> None:
    """Ask a server and compare with onnxruntime.

    Raises:
        BenchmarkError: it answers something else.
    """
    answer = pb.ModelInferResponse.FromString(call(port, request(model, rows)))
    compare(model, rows, outputs(answer))


def outputs(answer: pb.ModelInferResponse) -> dict[str, Any]:
    """Return an answer's outputs by name, from raw or typed contents."""
    found: dict[str, Any] = {}
    for place, tensor in enumerate(answer.outputs):
        if answer.raw_output_contents:
            kind = {"FP32": "<f4", "INT64": "<i8"}[tensor.datatype]
            found[tensor.name] = np.frombuffer(answer.raw_output_contents[place], kind)
        else:
            found[tensor.name] = np.array(tensor.contents.fp32_contents or tensor.contents.int64_contents)
    return found


@dataclass(frozen=True)
class GrpcLoad:
    """Calls with one message over so many connections, each sending the next when it has the answer.

    h2load does not read the trailers that say whether a call succeeded; but a call that failed has no message,
    so what came is compared with the size of the message that a call gave.
    """

    message: bytes
    answer_bytes: int
    connections: int

    def run(self, running: Running, seconds: int = STEP_SECONDS) -> Answered:
        """Load a server.

        Raises:
            BenchmarkError: a call was not answered, or with no message.
        """
        h2load = required("h2load", "nghttp2-client")
        with tempfile.TemporaryDirectory() as folder:
            body, log = Path(folder) / "frame", Path(folder) / "log"
            body.write_bytes(_FRAME.pack(0, len(self.message)) + self.message)
            options = [f"--clients={self.connections}", "--max-concurrent-streams=1", f"--duration={seconds}"]
            headers = ["--header=content-type: application/grpc", "--header=te: trailers"]
            done = subprocess.run(
                [
                    *(*pinned(LOAD_CORES), h2load, *options, *headers, f"--data={body}", f"--log-file={log}"),
                    f"http://127.0.0.1:{running.grpc_port}{METHOD}",
                ],
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds + 60,
            )
            lines = log.read_text(encoding="ascii").splitlines() if log.exists() else []
        latencies = [int(line.split("\t")[_LATENCY_COLUMN]) for line in lines]
        refused = [line for line in lines if line.split("\t")[_STATUS_COLUMN] != "200"]
        found = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", done.stdout)
        data = re.search(r"\((\d+)\) data", done.stdout)
        if found is None or data is None or not latencies:
            message = (
                f"h2load ended with {done.returncode} and no result: {(done.stderr or done.stdout).strip()[-300:]}"
            )
            raise BenchmarkError(message)
        succeeded, *failed = map(int, found.groups())
        if any(failed) or refused or int(data[1]) < succeeded * (self.answer_bytes + _FRAME.size):
            message = f"{succeeded} gRPC calls over {self.connections} connections: {found[0]}, {data[0]} for answers "
            message += f"of {self.answer_bytes} bytes, {len(refused)} not 200"
            raise BenchmarkError(message)
        return Answered(succeeded, float(seconds), statistics.median(latencies), _percentile(latencies, 99))


def _percentile(values: list[int], percent: float) -> float:
    return float(np.percentile(values, percent))
