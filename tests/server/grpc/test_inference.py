"""Inference by gRPC: every datatype in both forms, what comes back with it, and the same answers as by REST."""

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from modelwright_server.contract import prediction
from modelwright_server.grpc import open_inference_pb2 as pb
from tests.server.grpc import triton
from tests.server.grpc.client import DTYPES, Stub, connected, request, values
from tests.server.models import Built
from tests.server.process import DEADLINE, NAME, VERSION, Server

Builder = Callable[[str], Built]
Stubs = Callable[[str], Stub]
MODELS = ["logistic", "boosted", "slow", "regressor", "filled", "columns-with-gaps", "mixed"]
EXTREMES: dict[str, list[Any]] = {
    "BOOL": [True, False, False, True],
    "INT8": [-128, 127, 0, -1],
    "INT16": [-(2**15), 2**15 - 1, 0, -1],
    "INT32": [-(2**31), 2**31 - 1, 0, -1],
    "INT64": [-(2**63), 2**63 - 1, 0, -1],
    "UINT8": [0, 255, 1, 2],
    "UINT16": [0, 2**16 - 1, 1, 2],
    "UINT32": [0, 2**32 - 1, 1, 2],
    "UINT64": [0, 2**64 - 1, 1, 2],
    "FP32": [0.5, -3.4028234663852886e38, 1.401298464324817e-45, -0.0],
    "FP64": [0.1, -1.7976931348623157e308, 5e-324, -0.0],
    "BYTES": ["", "é", "a" * 300, "\0"],
}
HALVES = [0.5, -65504.0, 6.103515625e-05, 0.0]
TYPED_OUTPUTS = [{"name": f"out_{datatype}"} for datatype in EXTREMES]


def tensors(rows: int = 2, **given: list[Any]) -> list[dict[str, Any]]:
    """The inputs of the echo model: these, and elsewhere the extremes."""
    return [
        {"name": f"in_{name}", "datatype": name, "shape": [rows, 2], "data": given.get(name, extremes[: 2 * rows])}
        for name, extremes in EXTREMES.items()
    ]


def test_raw_contents_of_every_datatype_are_answered_raw(echo: Stub, half: Stub) -> None:
    message = request(tensors(), raw=True, outputs=TYPED_OUTPUTS)
    answer = echo.infer(message)
    assert values(answer) == {f"out_{name}": extremes for name, extremes in EXTREMES.items()}
    assert answer.raw_output_contents == message.raw_input_contents
    for output, tensor in zip(answer.outputs, message.inputs, strict=True):
        assert (output.datatype, output.shape) == (tensor.datatype, tensor.shape)
    halves = {"name": "in_FP16", "datatype": "FP16", "shape": [2, 2], "data": HALVES}
    assert values(half.infer(request([halves], raw=True))) == {"out_FP16": HALVES}


def test_typed_contents_of_every_datatype_are_answered_typed(echo: Stub) -> None:
    message = request(tensors(), raw=False, outputs=TYPED_OUTPUTS)
    answer = echo.infer(message)
    assert values(answer) == {f"out_{name}": extremes for name, extremes in EXTREMES.items()}
    assert [output.contents for output in answer.outputs] == [tensor.contents for tensor in message.inputs]
    assert not answer.raw_output_contents


def test_an_answer_with_halves_is_raw_as_a_whole(echo: Stub) -> None:
    answer = echo.infer(request(tensors(FP32=HALVES), raw=False))
    assert len(answer.raw_output_contents) == len(answer.outputs) == len(EXTREMES) + 1
    assert values(answer)["out_FP16"] == HALVES


@hypothesis_settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    raw=st.booleans(),
    numbers=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=2),
    texts=st.lists(st.text(max_size=40), min_size=2, max_size=2),
    wholes=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=2),
)
def test_any_values_come_back(echo: Stub, raw: bool, numbers: Any, texts: Any, wholes: Any) -> None:
    given_tensors = tensors(1, FP32=numbers, BYTES=texts, INT64=wholes)
    found = values(echo.infer(request(given_tensors, raw=raw, outputs=TYPED_OUTPUTS)))
    assert (found["out_FP32"], found["out_BYTES"], found["out_INT64"]) == (numbers, texts, wholes)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("raw", [True, False])
def test_answers_equal_those_of_rest(
    name: str, raw: bool, built: Builder, serving: Callable[[str], Server], stubs: Stubs
) -> None:
    model = built(name)
    for rows in (model.rows.iloc[:1], model.rows.iloc[7:40]):
        inputs = model.inputs(rows)
        rest = {item["name"]: item for item in serving(name).infer({"inputs": inputs}).json["outputs"]}
        answer = stubs(name).infer(request(inputs, raw=raw))
        assert [output.name for output in answer.outputs] == list(rest)
        for output, (key, found) in zip(answer.outputs, values(answer).items(), strict=True):
            assert (output.datatype, list(output.shape)) == (rest[key]["datatype"], rest[key]["shape"])
            wanted = rest[key]["data"]
            assert found == (np.array(wanted, np.float32).tolist() if output.datatype == "FP32" else wanted)


@pytest.mark.parametrize("raw", [True, False])
def test_id_and_parameters_come_back_and_outputs_are_those_asked_for(
    raw: bool, built: Builder, logistic_stub: Stub
) -> None:
    model = built("logistic")
    parameters = {
        "a": pb.InferParameter(bool_param=False),
        "b": pb.InferParameter(int64_param=-1),
        "c": pb.InferParameter(string_param="é"),
        "d": pb.InferParameter(double_param=0.5),
        "e": pb.InferParameter(uint64_param=2**64 - 1),
    }
    inputs = model.inputs(model.rows.iloc[:3])
    message = request(inputs, raw=raw, id="é-7", model_version=VERSION, parameters=parameters)
    for names in (["probabilities"], ["probabilities", "label"], ["label", "prediction_id"]):
        del message.outputs[:]
        for name in names:
            message.outputs.add(name=name)
        answer = logistic_stub.infer(message)
        assert (answer.model_name, answer.model_version, answer.id) == (NAME, VERSION, "é-7")
        assert dict(answer.parameters) == parameters
        assert list(values(answer)) == names
    bare = logistic_stub.infer(request(inputs, raw=raw))
    assert (bare.id, len(bare.parameters)) == ("", 0)


@pytest.mark.parametrize("raw", [True, False])
def test_each_row_has_a_prediction_id(raw: bool, built: Builder, logistic_stub: Stub) -> None:
    model = built("logistic")
    many = request(model.inputs(model.rows.iloc[:5]), raw=raw, outputs=[{"name": "prediction_id"}, {"name": "label"}])
    answer, beside = logistic_stub.infer_with_id(many)
    ids = values(answer)["prediction_id"]
    assert (answer.outputs[0].datatype, list(answer.outputs[0].shape), beside) == ("BYTES", [5], None)
    one = request(model.inputs(model.rows.iloc[:1]), raw=raw, outputs=[{"name": "prediction_id"}])
    answer, beside = logistic_stub.infer_with_id(one)
    assert values(answer)["prediction_id"] == [beside]
    _, alone = logistic_stub.infer_with_id(request(model.inputs(model.rows.iloc[:1]), raw=raw))
    assert len({*ids, beside, alone}) == 7
    for text in (*ids, beside, alone):
        prediction.parse(text or "")


def test_calls_at_the_same_time_never_swap_rows(echo: Stub) -> None:
    """200 calls of 1 to 40 rows, raw and typed, over four connections; each has values of its own."""
    port = echo.port
    calls = {
        at: tensors(
            rows,
            **{name: data[:2] * rows for name, data in EXTREMES.items()}
            | {"INT64": list(range(at * 100, at * 100 + 2 * rows))},
        )
        for at in range(200)
        for rows in [1 + (at * 7) % 40]
    }
    with ThreadPoolExecutor(32) as pool, connected(port) as a, connected(port) as b, connected(port) as c:
        connections = [echo, a, b, c]
        outputs = [{"name": "out_INT64"}, {"name": "out_BYTES"}]
        answers = {
            at: pool.submit(connections[at % 4].infer, request(inputs, raw=bool(at % 3), outputs=outputs))
            for at, inputs in calls.items()
        }
        for at, inputs in calls.items():
            found = values(answers[at].result(DEADLINE))
            assert found["out_INT64"] == next(item["data"] for item in inputs if item["name"] == "in_INT64")


def test_a_compressed_message_is_taken(built: Builder, logistic_stub: Stub) -> None:
    model = built("logistic")
    message = request(model.inputs(model.rows.iloc[:50]), raw=True)
    for coding in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        assert values(logistic_stub.infer(message, compression=coding)) == values(logistic_stub.infer(message))


def test_tritonclient_infers(built: Builder, serving: Callable[[str], Server], elsewhere: ProcessPoolExecutor) -> None:
    for name in ("logistic", "mixed", "boosted"):
        model, server = built(name), serving(name)
        inputs = model.inputs(model.rows.iloc[:9])
        rest = {item["name"]: item for item in server.infer({"inputs": inputs}).json["outputs"]}
        given_tensors = [
            (
                item["name"],
                item["datatype"],
                np.array(item["data"], DTYPES.get(item["datatype"], np.object_)).reshape(item["shape"]),
            )
            for item in inputs
        ]
        answer = elsewhere.submit(
            triton.infer, server.grpc_port, NAME, given_tensors, [], request_id="7", model_version=VERSION
        ).result(DEADLINE)
        assert (answer["id"], answer["model"]) == ("7", (NAME, VERSION))
        assert list(answer["outputs"]) == list(rest)
        for key, array in answer["outputs"].items():
            assert list(array.shape) == rest[key]["shape"]
            found = [value.decode() if isinstance(value, bytes) else value for value in array.ravel().tolist()]
            wanted = rest[key]["data"]
            assert found == (np.array(wanted, np.float32).tolist() if rest[key]["datatype"] == "FP32" else wanted)
        asked = elsewhere.submit(triton.infer, server.grpc_port, NAME, given_tensors, ["prediction_id"]).result(
            DEADLINE
        )
        assert asked["outputs"]["prediction_id"].shape == (9,)


def test_tritonclient_looks_around(serving: Callable[[str], Server], elsewhere: ProcessPoolExecutor) -> None:
    server = serving("logistic")
    found = elsewhere.submit(triton.look_around, server.grpc_port, NAME, VERSION).result(DEADLINE)
    assert (found["live"], found["ready"], found["model_ready"]) == (True, True, [True, True])
    assert found["server"]["name"] == "modelwright"
    rest = server.request("GET", f"/v2/models/{NAME}").json
    assert (found["model"]["name"], found["model"]["versions"]) == (NAME, [VERSION])
    assert found["model"]["platform"] == rest["platform"]
    for ours, theirs in zip(
        rest["inputs"] + rest["outputs"], found["model"]["inputs"] + found["model"]["outputs"], strict=True
    ):
        assert (ours["name"], ours["datatype"]) == (theirs["name"], theirs["datatype"])
        assert [str(size) for size in ours["shape"]] == theirs["shape"]
    status, message = elsewhere.submit(triton.failure, server.grpc_port, "other").result(DEADLINE)
    assert (status, message) == ("StatusCode.NOT_FOUND", f"unknown model 'other': this server has '{NAME}'")


def test_metadata_names_columns_and_says_what_may_be_missing(built: Builder, stubs: Stubs) -> None:
    for name in ("logistic", "filled", "mixed"):
        answer = stubs(name).method("ModelMetadata")(pb.ModelMetadataRequest(name=NAME))[0]
        for tensor, spec in zip(answer.inputs, built(name).schema["inputs"], strict=True):
            stated = tensor.parameters
            columns = json.loads(stated["columns"].string_param) if "columns" in stated else []
            assert columns == spec.get("columns", [])
            assert ("nullable" in stated and stated["nullable"].bool_param) == spec.get("nullable", False)
