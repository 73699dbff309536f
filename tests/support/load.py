"""Clients that keep a Service busy while something happens to it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import grpc

from modelwright_server.contract import GRPC_PORT, TRACK_HEADER
from modelwright_server.grpc import open_inference_pb2 as oip
from tests.e2e.fixtures import rows_body

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

ROW = [[14.0] * 30]
MOST_REQUESTS = 200_000  # of all clients together: a test that hangs comes to an end
_INFER = "/inference.GRPCInferenceService/ModelInfer"
_TRACK = TRACK_HEADER.lower()


@dataclass
class Clients:
    """Clients that send request after request to one Service until told to stop; none of them ever retries.

    Attributes:
        address: IP address of the Service.
        model: name of the model.
        kept: clients that send REST requests over one connection each, as long as it is kept.
        fresh: clients that send each REST request over a new connection.
        channels: clients that call over one gRPC channel and connection each, else with a channel's default settings.
        pace: requests a second of all clients together, if the answers come in time; 0: as many as they can.
        most: requests of all clients together, after which they stop by themselves.
        row: what they ask.
        answers: how often each version answered REST requests; also what else came, which should be nothing.
        calls: the same of gRPC calls.
        tracks: how often each track answered REST requests, and calls.
        took: when each answer came (time.monotonic), and how many seconds it took.
    """

    address: str
    model: str = "cancer"
    kept: int = 8
    fresh: int = 2
    channels: int = 0
    pace: float = 0
    most: int = MOST_REQUESTS
    row: Sequence[Sequence[float]] = field(default_factory=lambda: ROW)
    answers: Counter[str] = field(default_factory=Counter[str])
    calls: Counter[str] = field(default_factory=Counter[str])
    tracks: dict[str, Counter[str]] = field(default_factory=lambda: {"REST": Counter(), "gRPC": Counter()})
    took: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._clients = self.kept + self.fresh + self.channels
        self._each = self.most // self._clients
        runs = [self._keep] * self.kept + [self._connect_anew] * self.fresh + [self._call] * self.channels
        self._threads = [threading.Thread(target=run) for run in runs]

    def slowest(self, share: float, since: float = 0) -> float:
        """Return the seconds within which that share of the answers came, of those that came since a moment."""
        took = sorted(seconds for came, seconds in self.took if came >= since)
        return took[min(int(share * len(took)), len(took) - 1)]

    def _keep(self) -> None:
        self._send(keep=True)

    def _connect_anew(self) -> None:
        self._send(keep=False)

    def _send(self, *, keep: bool) -> None:
        path, row, body = f"/v2/models/{self.model}/infer", None, b""
        connection = http.client.HTTPConnection(self.address, 80, timeout=10)
        for _ in range(self._each):
            if self._stop.is_set():
                break
            if row is not self.row:
                row = self.row
                body = json.dumps(rows_body(row)).encode()
            started, track = time.monotonic(), ""
            try:
                connection.request("POST", path, body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                track = answer.getheader(TRACK_HEADER, "")
                said = json.loads(answer.read())
                outcome = str(said.get("model_version") or f"{answer.status} {said}")
            except (OSError, http.client.HTTPException, ValueError) as error:
                outcome = repr(error)
                connection.close()
            self._took(started, self.answers, outcome, "REST", track)
            if not keep:
                connection.close()
        connection.close()

    def _call(self) -> None:
        own = [("grpc.use_local_subchannel_pool", 1)]  # else the channels of a process share a connection
        with grpc.insecure_channel(f"{self.address}:{GRPC_PORT}", own) as channel:
            infer = channel.unary_unary(
                _INFER,
                request_serializer=oip.ModelInferRequest.SerializeToString,
                response_deserializer=oip.ModelInferResponse.FromString,
            )
            for _ in range(self._each):
                if self._stop.is_set():
                    break
                contents = oip.InferTensorContents(fp32_contents=self.row[0])
                tensor = oip.ModelInferRequest.InferInputTensor(
                    name="input", datatype="FP32", shape=[1, len(self.row[0])], contents=contents
                )
                request = oip.ModelInferRequest(model_name=self.model, inputs=[tensor])
                started, track = time.monotonic(), ""
                try:
                    answer, call = infer.with_call(request, timeout=10)
                    outcome = str(answer.model_version)
                    track = str(dict(call.trailing_metadata()).get(_TRACK, ""))
                except grpc.RpcError as error:
                    outcome = str(error)
                self._took(started, self.calls, outcome, "gRPC", track)

    def _took(self, started: float, outcomes: Counter[str], outcome: str, protocol: str, track: str) -> None:
        """Take note of an answer, and wait as the pace says."""
        now = time.monotonic()
        with self._lock:
            outcomes[outcome] += 1
            self.tracks[protocol][track] += 1
            self.took.append((now, now - started))
        if self.pace:
            self._stop.wait(self._clients / self.pace - (now - started))

    def run(self) -> None:
        """Let them send all they may, and wait until they are done."""
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()

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
