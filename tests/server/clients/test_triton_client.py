"""NVIDIA's client for the protocol, unmodified: JSON and binary tensor data, both ways."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import tritonclient.http as triton  # type: ignore[import-untyped]
import tritonclient.http.aio as triton_aio  # type: ignore[import-untyped]

from tests.server.clients.expected import Case, case
from tests.server.models import Built
from tests.server.process import NAME, VERSION, Server

Builder = Callable[[str], Built]
Serving = Callable[[str], Server]
MODELS = ["logistic", "boosted", "regressor", "mixed"]


@pytest.fixture
def client(request: pytest.FixtureRequest, serving: Serving) -> Iterator[Any]:
    """A client of the server of the model the test names, or of `logistic`."""
    name = request.getfixturevalue("name") if "name" in request.fixturenames else "logistic"
    with triton.InferenceServerClient(f"127.0.0.1:{serving(name).port}") as made:
        yield made


def inputs_of(wanted: Case, binary: bool) -> list[Any]:
    tensors = []
    for spec in wanted.document["inputs"]:
        tensor = triton.InferInput(spec["name"], spec["shape"], spec["datatype"])
        tensor.set_data_from_numpy(wanted.inputs[spec["name"]], binary_data=binary)
        tensors.append(tensor)
    return tensors


def outputs_of(wanted: Case, binary: bool) -> list[Any]:
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in wanted.outputs]


def check(wanted: Case, result: Any, tolerance: float = 0.0) -> None:
    wanted.check({name: result.as_numpy(name) for name in wanted.outputs}, tolerance)


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(NAME)
    assert client.is_model_ready(NAME, VERSION)
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    model = client.get_model_metadata(NAME, VERSION)
    assert [item["name"] for item in model["outputs"]] == ["label", "probabilities"]
    with pytest.raises(triton.InferenceServerException, match="unknown model 'other'"):
        client.get_model_metadata("other")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("rows", [1, 70])
@pytest.mark.parametrize("sent", [False, True], ids=["json in", "binary in"])
@pytest.mark.parametrize("got", [False, True], ids=["json out", "binary out"])
def test_values(  # noqa: PLR0917 - a table of cases
    name: str, rows: int, sent: bool, got: bool, built: Builder, client: Any
) -> None:
    wanted = case(built(name), 20, rows)
    inputs = inputs_of(wanted, sent)
    check(wanted, client.infer(NAME, inputs, outputs=outputs_of(wanted, got), request_id="seven"))
    result = client.infer(NAME, inputs, model_version=VERSION, request_id="seven")  # asks for binary outputs by default
    check(wanted, result)
    assert result.get_response()["id"] == "seven"
    assert (result.get_response()["model_name"], result.get_response()["model_version"]) == (NAME, VERSION)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [False, True])
def test_compressed_requests(coding: str, binary: bool, built: Builder, client: Any) -> None:
    wanted = case(built("logistic"), 0, 70)
    check(wanted, client.infer(NAME, inputs_of(wanted, binary), request_compression_algorithm=coding))


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_an_offer_to_take_compressed_answers_need_not_be_taken_up(coding: str, built: Builder, client: Any) -> None:
    wanted = case(built("logistic"), 0, 70)
    check(wanted, client.infer(NAME, inputs_of(wanted, binary=True), response_compression_algorithm=coding))


def test_some_outputs_in_one_form_and_some_in_the_other(built: Builder, client: Any) -> None:
    wanted = case(built("logistic"), 5, 3)
    outputs = [
        triton.InferRequestedOutput("probabilities", binary_data=True),
        triton.InferRequestedOutput("label", binary_data=False),
        triton.InferRequestedOutput("prediction_id", binary_data=True),
    ]
    result = client.infer(NAME, inputs_of(wanted, binary=True), outputs=outputs)
    check(wanted, result)
    assert len(set(result.as_numpy("prediction_id").tolist())) == 3


def test_errors_come_through(built: Builder, client: Any) -> None:
    wanted = case(built("logistic"), 0, 1)
    tensor = triton.InferInput("input", [1, 30], "FP64")
    tensor.set_data_from_numpy(wanted.inputs["input"].astype("f8"))
    with pytest.raises(triton.InferenceServerException, match="input 'input': datatype is 'FP64'"):
        client.infer(NAME, [tensor])


def test_requests_in_flight_at_once(built: Builder, serving: Serving) -> None:
    cases = [case(built("boosted"), at, 1 + at % 5) for at in range(40)]
    with triton.InferenceServerClient(f"127.0.0.1:{serving('boosted').port}", concurrency=8) as client:
        waiting = [client.async_infer(NAME, inputs_of(wanted, at % 2 == 0)) for at, wanted in enumerate(cases)]
        for wanted, answer in zip(cases, waiting, strict=True):
            check(wanted, answer.get_result())


def test_the_asynchronous_client(built: Builder, serving: Serving) -> None:
    cases = [case(built("mixed"), at, 1 + at % 5) for at in range(20)]

    async def run() -> None:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{serving('mixed').port}") as client:
            answers = await asyncio.gather(*(client.infer(NAME, inputs_of(wanted, binary=True)) for wanted in cases))
            for wanted, answer in zip(cases, answers, strict=True):
                check(wanted, answer, tolerance=1e-6)

    asyncio.run(run())
