"""The same over gRPC: shares, labels, failures, limits of what is forwarded."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from modelwright_server.contract.traffic import Match
from modelwright_server.grpc import open_inference_pb2 as pb
from tests.server.grpc.client import request
from tests.server.models import Built
from tests.server.process import DEADLINE
from tests.server.routing.tracks import (
    CANARY_VERSION,
    SHORT_MILLISECONDS,
    STABLE_VERSION,
    Pod,
    eventually,
)

METHOD = "/inference.GRPCInferenceService/ModelInfer"
Behaviour = Any
LABEL = pb.ModelInferResponse.InferOutputTensor(name="label", datatype="INT64", shape=[1])


@pytest.fixture(scope="module")
def message(model: Built) -> bytes:
    return request(model.inputs(model.rows.iloc[:1]), raw=True).SerializeToString()


@contextmanager
def calling(port: int) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel.unary_unary(METHOD)


def ask(method: Any, message: bytes, *metadata: tuple[str, str]) -> tuple[bytes, dict[str, str]]:
    answer, call = method.with_call(message, timeout=DEADLINE, metadata=metadata)
    return answer, dict(call.trailing_metadata())


@contextmanager
def answering(behaviour: Behaviour) -> Iterator[int]:
    """A gRPC canary that does this with each call; its port."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            assert dict(details.invocation_metadata)["modelwright-forwarded"]
            return grpc.unary_unary_rpc_method_handler(behaviour)

    server = grpc.server(ThreadPoolExecutor(8), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


def test_the_share_is_exact(stable: Pod, message: bytes) -> None:
    with calling(stable.server.grpc_port) as method:
        answers = [ask(method, message) for _ in range(300)]
    tracks = Counter(metadata["modelwright-track"] for _, metadata in answers)
    assert tracks == {"stable": 270, "canary": 30}
    step = stable.step()
    assert (step["stable"]["requests"], step["canary"]["requests"], step["canary"]["bad"]) == (270, 30, 0)
    for answer, metadata in answers:
        track, version = metadata["modelwright-track"], metadata["modelwright-version"]
        assert version == (CANARY_VERSION if track == "canary" else STABLE_VERSION)
        assert pb.ModelInferResponse.FromString(answer).model_version == version
        assert metadata["x-prediction-id"].split(".")[2] == track[0]


def test_metadata_choose_as_headers_do(stable: Pod, canary: Pod, message: bytes) -> None:
    stable.next_step(canary, weight=50, match=Match(header="X-Canary", value="always"), sticky_header="X-User")
    with calling(stable.server.grpc_port) as method, stable.server.client() as client:
        for _ in range(20):
            assert ask(method, message, ("x-canary", "always"))[1]["modelwright-track"] == "canary"
            assert ask(method, message, ("modelwright-forwarded", "x"))[1]["modelwright-track"] == "stable"
        step = stable.step()
        assert (step["matched"], step["canary"]["requests"], step["stable"]["requests"]) == (20, 0, 0)
        for user in map(str, range(20)):
            track = ask(method, message, ("x-user", user))[1]["modelwright-track"]
            answer = client.request("POST", "/v2/models/churn/infer", b"{}", {"X-User": user})
            assert answer.headers["modelwright-track"] == track


def test_a_call_that_names_its_version_stays(stable: Pod, canary: Pod, message: bytes) -> None:
    stable.next_step(canary, weight=100)
    named = pb.ModelInferRequest.FromString(message)
    named.model_version = STABLE_VERSION
    with calling(stable.server.grpc_port) as method:
        assert ask(method, named.SerializeToString())[1]["modelwright-track"] == "stable"
        named.model_version = CANARY_VERSION
        with pytest.raises(grpc.RpcError) as caught:
            ask(method, named.SerializeToString())
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert stable.step()["canary"]["requests"] == 0


def test_what_the_client_is_to_blame_for_is_relayed(stable: Pod, canary: Pod) -> None:
    stable.next_step(canary, weight=100)
    with calling(stable.server.grpc_port) as method, pytest.raises(grpc.RpcError) as caught:
        ask(method, pb.ModelInferRequest(model_name="churn").SerializeToString())
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    counts = stable.step()["canary"]
    assert (counts["requests"], counts["bad"]) == (1, 0)


def typed(value: float) -> bytes:
    output = pb.ModelInferResponse.InferOutputTensor(name="p", datatype="FP32", shape=[1])
    output.contents.fp32_contents.append(value)
    return pb.ModelInferResponse(outputs=[output]).SerializeToString()


def failing(code: grpc.StatusCode) -> Behaviour:
    return lambda _, context: context.abort(code, "no")


CASES: dict[str, tuple[Behaviour, str]] = {
    "internal": (failing(grpc.StatusCode.INTERNAL), "refused"),
    "unimplemented": (failing(grpc.StatusCode.UNIMPLEMENTED), "refused"),
    "not found": (failing(grpc.StatusCode.NOT_FOUND), "refused"),
    "unavailable": (failing(grpc.StatusCode.UNAVAILABLE), "unreachable"),
    "no message": (lambda *_: b"\xff\xff\xff", "broken"),
    "empty": (lambda *_: b"", "broken"),
    "no data": (
        lambda *_: pb.ModelInferResponse(outputs=[LABEL, LABEL], raw_output_contents=[b""]).SerializeToString(),
        "broken",
    ),
    "part of a number": (
        lambda *_: pb.ModelInferResponse(
            outputs=[pb.ModelInferResponse.InferOutputTensor(name="p", datatype="FP32", shape=[1])],
            raw_output_contents=[b"abc"],
        ).SerializeToString(),
        "broken",
    ),
    "NaN": (lambda *_: typed(float("nan")), "invalid"),
    "infinity": (lambda *_: typed(float("inf")), "invalid"),
}


@pytest.mark.parametrize("case", CASES)
def test_whatever_the_canary_does_stable_answers(stable: Pod, message: bytes, case: str) -> None:
    behaviour, outcome = CASES[case]
    with answering(behaviour) as port:
        check(stable, message, port, outcome)


def test_a_canary_that_hangs_or_is_not_there(stable: Pod, message: bytes) -> None:
    short = {"canary_timeout_milliseconds": SHORT_MILLISECONDS}
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections, and says nothing
        check(stable, message, deaf.getsockname()[1], "timeout", **short)
    done = threading.Event()
    with answering(lambda *_: done.wait()) as port:
        try:
            check(stable, message, port, "timeout", **short)
        finally:
            done.set()
    check(stable, message, 9, "unreachable")


def check(stable: Pod, message: bytes, port: int, outcome: str, **changes: Any) -> None:
    labels = "modelwright_server_forwarded_requests_total", 'protocol="grpc"', f'outcome="{outcome}"'
    before = stable.metric(*labels)
    stable.next_step(9, grpc_port=port, weight=50, **changes)
    with calling(stable.server.grpc_port) as method, ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: ask(method, message), range(100)))
    assert {metadata["modelwright-track"] for _, metadata in answers} == {"stable"}
    step = stable.step()
    canary = step["canary"]
    assert (step["stable"]["requests"], step["stable"]["bad"]) == (50, 0)
    assert canary["requests"] + step["skipped"] == 50
    assert canary["bad"] == canary["requests"] == stable.metric(*labels) - before >= 20
    assert canary["invalid"] == (canary["bad"] if outcome == "invalid" else 0)
    assert canary["timeouts"] == (canary["bad"] if outcome == "timeout" else 0)


def test_copies_of_calls_are_compared(stable: Pod, canary: Pod, message: bytes) -> None:
    stable.next_step(canary, weight=0, shadow_percent=50)
    with calling(stable.server.grpc_port) as method:
        assert {ask(method, message)[1]["modelwright-track"] for _ in range(100)} == {"stable"}
    eventually(lambda: sum(stable.step()["shadow"]["latencyDifferences"]) == 50)
    shadow = stable.step()["shadow"]
    assert (shadow["sent"], shadow["dropped"], shadow["failed"]) == (50, 0, 0)
    assert (shadow["compared"], shadow["agreed"], shadow["scoreDifferences"][0]) == (50, 50, 50)
