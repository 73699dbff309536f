"""Clients that keep a Service busy while something happens to it."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import grpc

from modelwright_server.contract import GRPC_PORT
from modelwright_server.grpc import open_inference_pb2 as oip
from tests.e2e.fixtures import rows_body

if TYPE_CHECKING:
    from types import TracebackType

ROW = [[14.0] * 30]
MOST_REQUESTS = 200_000  # of all clients together: a test that hangs comes to an end
_INFER = "/inference.GRPCInferenceService/ModelInfer"


@dataclass
class Clients:
    """Clients that send request after request to one Service until told to stop; none of them ever retries.

    Attributes:
        address: IP address of the Service.
        model: name of the model.
        kept: clients that send REST requests over one connection each, as long as it is kept.
        fresh: clients that send each REST request over a new connection.
        channels: clients that call over one gRPC channel and connection each, else with a channel's default settings.
        answers: how often each version answered REST requests; also what else came, which should be nothing.
        calls: the same of gRPC calls.
    """

    address: str
    model: str = "cancer"
    kept: int = 8
    fresh: int = 2
    channels: int = 0
    answers: Counter[str] = field(default_factory=Counter[str])
    calls: Counter[str] = field(default_factory=Counter[str])

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._most = MOST_REQUESTS // (self.kept + self.fresh + self.channels)
        runs = [self._keep] * self.kept + [self._connect_anew] * self.fresh + [self._call] * self.channels
        self._threads = [threading.Thread(target=run) for run in runs]

    def _keep(self) -> None:
        self._send(keep=True)

    def _connect_anew(self) -> None:
        self._send(keep=False)

    def _send(self, *, keep: bool) -> None:
        path, body = f"/v2/models/{self.model}/infer", json.dumps(rows_body(ROW)).encode()
        connection = http.client.HTTPConnection(self.address, 80, timeout=10)
        for _ in range(self._most):
            if self._stop.is_set():
                break
            try:
                connection.request("POST", path, body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                said = json.loads(answer.read())
                outcome = str(said.get("model_version") or f"{answer.status} {said}")
            except (OSError, http.client.HTTPException, ValueError) as error:
                outcome = repr(error)
                connection.close()
            with self._lock:
                self.answers[outcome] += 1
            if not keep:
                connection.close()
        connection.close()

    def _call(self) -> None:
        contents = oip.InferTensorContents(fp32_contents=ROW[0])
        tensor = oip.ModelInferRequest.InferInputTensor(
            name="input", datatype="FP32", shape=[1, len(ROW[0])], contents=contents
        )
        request = oip.ModelInferRequest(model_name=self.model, inputs=[tensor])
        own = [("grpc.use_local_subchannel_pool", 1)]  # else the channels of a process share a connection
        with grpc.insecure_channel(f"{self.address}:{GRPC_PORT}", own) as channel:
            infer = channel.unary_unary(
                _INFER,
                request_serializer=oip.ModelInferRequest.SerializeToString,
                response_deserializer=oip.ModelInferResponse.FromString,
            )
            for _ in range(self._most):
                if self._stop.is_set():
                    break
                try:
                    outcome = str(infer(request, timeout=10).model_version)
                except grpc.RpcError as error:
                    outcome = str(error)
                with self._lock:
                    self.calls[outcome] += 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
