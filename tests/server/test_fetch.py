"""The fetch container and the verification Job: exit codes, messages, and models that mean harm."""

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelwright_server import fetch, graph, termination
from modelwright_server.contract import ExitCode, FetchSettings, Reason
from tests.server.models import BUILDERS, CLAIM, Built, write_artifact

Builder = Callable[[str], Built]


class Run:
    """Runs fetch and reads what it leaves behind."""

    def __init__(self, tmp: Path) -> None:
        self.target = tmp / "model"
        self.log = tmp / "termination-log"
        self.stderr = ""

    def __call__(self, uri: str, digest: str, stores: Path, *flags: str, **changes: Any) -> tuple[int, dict[str, Any]]:
        self.log.unlink(missing_ok=True)
        settings = FetchSettings(
            artifact_uri=uri,
            artifact_digest=digest,
            stores_dir=str(stores),
            model_dir=str(self.target),
            termination_log=str(self.log),
            **changes,
        )
        result = subprocess.run(
            [sys.executable, "-m", "modelwright_server.fetch", *flags],
            env={**os.environ, **settings.to_env()},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.stdout == ""
        self.stderr = result.stderr
        data = self.log.read_bytes() if self.log.exists() else b"{}"
        assert len(data) <= 1536
        return result.returncode, json.loads(data)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_fetch_copies_and_reports(built: Builder, run: Run) -> None:
    model = built("logistic")
    code, message = run(model.uri, model.digest, model.stores)
    size = sum(
        (model.folder / name).stat().st_size for name in ("model.onnx", "schema.json", "metrics.json", "card.json")
    )
    assert (code, message) == (0, {"stage": "fetch", "digest": model.digest, "sizeBytes": size})
    assert (run.target / "model.onnx").read_bytes() == (model.folder / "model.onnx").read_bytes()
    assert not (run.target / "report.json").exists()
    assert run(model.uri, model.digest, model.stores)[0] == 0  # a restarted container


@pytest.mark.parametrize("name", list(BUILDERS))
def test_verify_reports_schema_and_task(built: Builder, run: Run, name: str) -> None:
    model = built(name)
    code, message = run(model.uri, model.digest, model.stores, "--verify")
    assert code == 0, (message, run.stderr)
    assert (message["stage"], message["digest"], message["task"]) == ("verify", model.digest, model.schema["task"])
    assert message.get("schema", model.schema) == model.schema


def test_a_schema_too_long_for_the_message_is_left_out(built: Builder, run: Run, tmp_path: Path) -> None:
    model = built("logistic")
    columns = [f"a rather long name for column number {at}" for at in range(30)]
    schema = json.loads(json.dumps(model.schema))
    schema["inputs"][0]["columns"] = columns
    onnx_bytes = (model.folder / "model.onnx").read_bytes()
    digest = write_artifact(tmp_path / "stores" / CLAIM / "long", onnx_bytes, schema)
    code, message = run(f"pvc://{CLAIM}/long", digest, tmp_path / "stores", "--verify")
    assert (code, "schema" in message, message["task"]) == (0, False, "Classification")


def test_failures_have_their_code_and_reason(built: Builder, run: Run, tmp_path: Path) -> None:
    model = built("logistic")
    store = tmp_path / "stores" / CLAIM
    shutil.copytree(model.folder, store / "bent")
    (store / "bent" / "model.onnx").write_bytes(b"other")
    other = "sha256:" + "0" * 64
    for uri, digest, stores, changes, code, reason, says in (
        (model.uri, other, model.stores, {}, 2, Reason.DIGEST_MISMATCH, other),
        (f"pvc://{CLAIM}/bent", model.digest, store.parent, {}, 2, Reason.DIGEST_MISMATCH, "model.onnx"),
        (f"pvc://{CLAIM}/none", model.digest, model.stores, {}, 2, Reason.ARTIFACT_NOT_FOUND, "does not exist"),
        ("pvc://other/none", model.digest, model.stores, {}, 1, Reason.STORAGE_UNAVAILABLE, "not mounted"),
        ("s3://other/none", model.digest, model.stores, {}, 2, Reason.ARTIFACT_INVALID, "must start with pvc://"),
        (model.uri, "latest", model.stores, {}, 2, Reason.ARTIFACT_INVALID, "is not a digest"),
        (model.uri, model.digest, model.stores, {"max_artifact_bytes": 10}, 2, Reason.ARTIFACT_INVALID, "limit is 10"),
    ):
        found, message = run(uri, digest, stores, **changes)
        assert (found, message["stage"], message["reason"]) == (code, "fetch", reason)
        assert uri in message["message"]
        assert says in message["message"]
        assert message["message"] in run.stderr
        assert not run.target.exists() or not list(run.target.iterdir())


def test_a_target_that_cannot_be_written_is_worth_a_retry(built: Builder, run: Run, tmp_path: Path) -> None:
    model = built("logistic")
    run.target = tmp_path / "file"
    run.target.write_bytes(b"")
    code, message = run(model.uri, model.digest, model.stores)
    assert (code, message["reason"]) == (1, "StorageUnavailable")


def test_wrong_settings_are_said_on_stderr(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "modelwright_server.fetch"], env={}, cwd=tmp_path, capture_output=True, check=False
    )
    assert result.returncode == ExitCode.PERMANENT
    assert b"MODELWRIGHT_ARTIFACT_URI is not set; MODELWRIGHT_ARTIFACT_DIGEST is not set" in result.stderr


# Models that mean harm, or are not what they say

FLOAT = TensorProto.FLOAT
SCHEMA = {
    "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "prediction", "datatype": "FP32", "shape": [-1, 2]}],
    "task": "Regression",
}


def onnx_model(*nodes: onnx.NodeProto, tensors: tuple[onnx.TensorProto, ...] = (), **changes: Any) -> onnx.ModelProto:
    """A model with one input and one output of two floats a row, good unless changed."""
    inputs = changes.pop("inputs", [helper.make_tensor_value_info("input", FLOAT, [None, 2])])
    outputs = changes.pop(
        "outputs", [helper.make_tensor_value_info("prediction", FLOAT, changes.pop("shape", [None, 2]))]
    )
    made = helper.make_graph(
        list(nodes) or [helper.make_node("Identity", ["input"], ["prediction"])], "g", inputs, outputs, list(tensors)
    )
    opsets = changes.pop("opsets", [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)])
    return helper.make_model(made, opset_imports=opsets, ir_version=8, **changes)


def constant(name: str, value: Any, dtype: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, dtype=dtype), name)


def external() -> onnx.ModelProto:
    tensor = constant("bias", [1, 2], np.float32)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/proc/self/environ")
    return onnx_model(helper.make_node("Add", ["input", "bias"], ["prediction"]), tensors=(tensor,))


def external_in_attribute() -> onnx.ModelProto:
    inner = external().graph.initializer[0]
    node = helper.make_node("Constant", [], ["bias"], value=inner)
    return onnx_model(node, helper.make_node("Add", ["input", "bias"], ["prediction"]))


def branch(inner: onnx.NodeProto) -> onnx.ModelProto:
    """A model with ``inner`` in a branch that is not taken."""
    outputs = [helper.make_tensor_value_info("out", FLOAT, None)]
    other = helper.make_graph([helper.make_node("Identity", ["input"], ["out"])], "then", [], outputs)
    hidden = helper.make_graph([inner], "else", [], outputs)
    yes = helper.make_node("Constant", [], ["yes"], value=constant("yes", True, np.bool_))
    choice = helper.make_node("If", ["yes"], ["prediction"], then_branch=other, else_branch=hidden)
    return onnx_model(yes, choice)


def nested(depth: int) -> bytes:
    """Graphs in graphs, written by hand: the library refuses to make so many."""

    def field(number: int, data: bytes) -> bytes:
        size, length = len(data), b""
        while size > 127:
            length += bytes([size & 127 | 128])
            size >>= 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + data

    inner = onnx_model().graph.SerializeToString()
    for _ in range(depth):
        inner = field(1, field(5, field(6, inner)))  # graph.node.attribute.g
    return field(7, inner)  # model.graph


def bomb() -> onnx.ModelProto:
    """A few bytes that take 32 GB when run."""
    return onnx_model(
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        helper.make_node("Add", ["input", "sum"], ["prediction"]),
        tensors=(constant("shape", [2**33], np.int64),),
    )


def one_row(last: onnx.NodeProto) -> onnx.ModelProto:
    """A model whose ``shape`` is that of one row of zeros, which only shows when it runs."""
    return onnx_model(
        helper.make_node("ReduceSum", ["input"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["zero"], to=TensorProto.INT64),
        helper.make_node("Add", ["zero", "one"], ["shape"]),
        last,
        tensors=(constant("one", [1, 2], np.int64),),
        shape=None,
    )


def endless() -> onnx.ModelProto:
    """A loop that does not end."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["still"]),
            helper.make_node("Add", ["value", "value"], ["more"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("at", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", FLOAT, None),
        ],
    )
    return onnx_model(
        helper.make_node("Loop", ["count", "yes", "input"], ["prediction"], body=body),
        tensors=(constant("count", 2**62, np.int64), constant("yes", True, np.bool_)),
    )


def with_function() -> onnx.ModelProto:
    model = onnx_model(
        helper.make_node("Mine", ["input"], ["prediction"], domain="mine"),
        opsets=[helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)],
    )
    model.functions.append(
        helper.make_function(
            "mine", "Mine", ["a"], ["b"], [helper.make_node("Identity", ["a"], ["b"])], [helper.make_opsetid("", 17)]
        )
    )
    return model


CUSTOM = helper.make_node("Run", ["input"], ["prediction"], domain="com.example")
CUSTOM_INSIDE = helper.make_node("Run", ["input"], ["out"], domain="com.example")
STRINGS = [helper.make_tensor_value_info("prediction", TensorProto.STRING, [None, 2])]

HOSTILE: dict[str, tuple[Callable[[], onnx.ModelProto | bytes], str]] = {
    "pickle": (lambda: pickle.dumps({"a": 1}), "is not an ONNX model"),
    "text": (lambda: b"not a model", "is not an ONNX model"),
    "empty": (lambda: b"", "it has no graph"),
    "cut off": (lambda: onnx_model().SerializeToString()[:-9], "is not an ONNX model"),
    "two graphs": (lambda: onnx_model().SerializeToString() + onnx_model().SerializeToString(), "it has no graph"),
    "external data": (external, "keeps tensors in other files"),
    "external data in an attribute": (external_in_attribute, "keeps tensors in other files"),
    "custom domain": (
        lambda: onnx_model(CUSTOM, opsets=[helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]),
        "imports the operator domain 'com.example'",
    ),
    "custom operator": (lambda: onnx_model(CUSTOM), "operator 'Run' is of the operator domain 'com.example'"),
    "custom operator in a branch": (lambda: branch(CUSTOM_INSIDE), "operator 'Run' is of the operator domain"),
    "the runtime's own extensions": (
        lambda: onnx_model(helper.make_node("Gelu", ["input"], ["prediction"], domain="com.microsoft")),
        "domain 'com.microsoft'",
    ),
    "functions": (with_function, "domain 'mine'"),
    "deep nesting": (lambda: nested(200), "nested too deeply"),
    "memory bomb": (bomb, "with 400 MiB of memory|needs more than 400 MiB|bad_alloc|Failed to allocate"),
    "unknown operator": (
        lambda: onnx_model(helper.make_node("Nope", ["input"], ["prediction"])),
        "cannot load the model",
    ),
    "fails when run": (
        lambda: one_row(helper.make_node("Reshape", ["input", "shape"], ["prediction"])),
        "cannot answer 64 rows of zeros",
    ),
    "fixed rows": (lambda: onnx_model(shape=[1, 2]), r"is tensor\(float\) \[1, 2\] in the model but FP32 \[-1, 2\]"),
    "rows that stay one": (
        lambda: one_row(helper.make_node("ConstantOfShape", ["shape"], ["prediction"])),
        r"has shape \(1, 2\) for 64 rows, not \(64, 2\)",
    ),
    "other name": (
        lambda: onnx_model(
            helper.make_node("Identity", ["data"], ["prediction"]),
            inputs=[helper.make_tensor_value_info("data", FLOAT, [None, 2])],
        ),
        "names the input 'input', the model has",
    ),
    "second input": (
        lambda: onnx_model(
            helper.make_node("Add", ["input", "more"], ["prediction"]),
            inputs=[helper.make_tensor_value_info(name, FLOAT, [None, 2]) for name in ("input", "more")],
        ),
        "needs the input 'more'",
    ),
    "other type": (
        lambda: onnx_model(helper.make_node("Cast", ["input"], ["prediction"], to=TensorProto.STRING), outputs=STRINGS),
        r"is tensor\(string\) .* but FP32",
    ),
    "other width": (
        lambda: onnx_model(
            inputs=[helper.make_tensor_value_info("input", FLOAT, [None, 3])], shape=[None, 3]
        ),
        r"\[.*, 3\] in the model but FP32 \[-1, 2\]",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "says"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_models_are_rejected(
    run: Run, tmp_path: Path, make: Callable[[], onnx.ModelProto | bytes], says: str
) -> None:
    made = make()
    data = made if isinstance(made, bytes) else made.SerializeToString()
    digest = write_artifact(tmp_path / "stores" / CLAIM / "bad", data, SCHEMA)
    code, message = run(f"pvc://{CLAIM}/bad", digest, tmp_path / "stores", "--verify", verify_memory_bytes=400 << 20)
    assert (code, message["stage"], message["reason"]) == (2, "verify", "ModelRejected"), (message, run.stderr)
    assert re.search(says, message["message"]), message


def test_the_model_the_hostile_ones_are_made_from_is_good(run: Run, tmp_path: Path) -> None:
    digest = write_artifact(tmp_path / "stores" / CLAIM / "good", onnx_model().SerializeToString(), SCHEMA)
    assert run(f"pvc://{CLAIM}/good", digest, tmp_path / "stores", "--verify")[0] == 0


def test_a_model_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "VERIFY_SECONDS", 3.0)
    digest = write_artifact(tmp_path / "stores" / CLAIM / "endless", endless().SerializeToString(), SCHEMA)
    settings = FetchSettings(
        artifact_uri=f"pvc://{CLAIM}/endless",
        artifact_digest=digest,
        stores_dir=str(tmp_path / "stores"),
        model_dir=str(tmp_path / "model"),
        termination_log=str(tmp_path / "log"),
    )
    assert fetch.main(["--verify"], settings.to_env()) == ExitCode.PERMANENT
    message = json.loads((tmp_path / "log").read_bytes())
    assert message["reason"] == "ModelRejected"
    assert "took more than 3 s" in message["message"]


SCHEMAS: dict[str, tuple[object, str]] = {
    "no object": ([], "is not a JSON object"),
    "no inputs": ({**SCHEMA, "inputs": []}, "field inputs: must be a list of 1 to"),
    "inputs as text": ({**SCHEMA, "inputs": "a"}, "field inputs"),
    "unknown task": ({**SCHEMA, "task": "Ranking"}, "field task: must be one of Classification, Regression"),
    "no task": ({**SCHEMA, "task": None}, "field task"),
    "task as list": ({**SCHEMA, "task": []}, "field task"),
    "input no object": ({**SCHEMA, "inputs": [1]}, "field inputs[0]: must be an object"),
    "no name": ({**SCHEMA, "inputs": [{}]}, "field inputs[0].name"),
    "line in name": ({**SCHEMA, "inputs": [{**SCHEMA["inputs"][0], "name": "a\nb"}]}, "field inputs[0].name"),  # type: ignore[dict-item]
    "datatype": (
        {**SCHEMA, "inputs": [{"name": "a", "datatype": "UINT8"}]},
        "field inputs[0].datatype: must be one of",
    ),
    "datatype as list": ({**SCHEMA, "inputs": [{"name": "a", "datatype": []}]}, "field inputs[0].datatype"),
    "shape": ({**SCHEMA, "inputs": [{"name": "a", "datatype": "FP32", "shape": [1, 2]}]}, "field inputs[0].shape"),
    "rank": ({**SCHEMA, "inputs": [{"name": "a", "datatype": "FP32", "shape": [-1, 2, 3]}]}, "field inputs[0].shape"),
    "columns": (
        {**SCHEMA, "inputs": [{"name": "a", "datatype": "FP32", "shape": [-1, 2], "columns": ["x"]}]},
        "field inputs[0].columns: must name 2 columns",
    ),
    "columns as numbers": (
        {**SCHEMA, "inputs": [{"name": "a", "datatype": "FP32", "shape": [-1, 2], "columns": [1, 2]}]},
        "field inputs[0].columns: must be a list of texts",
    ),
    "nullable as text": (
        {**SCHEMA, "inputs": [{"name": "a", "datatype": "FP32", "shape": [-1, 1], "nullable": "true"}]},
        "field inputs[0].nullable: must be true or false",
    ),
    "nullable as null": (
        {**SCHEMA, "inputs": [{"name": "a", "datatype": "FP32", "shape": [-1, 1], "nullable": None}]},
        "field inputs[0].nullable: must be true or false",
    ),
    "nullable whole number": (
        {**SCHEMA, "inputs": [{"name": "a", "datatype": "INT64", "shape": [-1, 1], "nullable": True}]},
        "field inputs[0].nullable: INT64 has no missing values; only FP32 and FP64 have",
    ),
    "nullable output": (
        {**SCHEMA, "outputs": [{"name": "a", "datatype": "FP32", "shape": [-1, 1], "nullable": True}]},
        "field outputs[0].nullable: only inputs can be nullable",
    ),
    "same name": ({**SCHEMA, "inputs": SCHEMA["inputs"] * 2}, "two tensors have the same name"),  # type: ignore[operator]
}


@pytest.mark.parametrize(("schema", "says"), SCHEMAS.values(), ids=SCHEMAS.keys())
def test_wrong_schemas_name_the_field(run: Run, tmp_path: Path, schema: Any, says: str) -> None:
    digest = write_artifact(tmp_path / "stores" / CLAIM / "bad", onnx_model().SerializeToString(), schema)
    code, message = run(f"pvc://{CLAIM}/bad", digest, tmp_path / "stores", "--verify")
    assert (code, message["reason"]) == (2, "ArtifactInvalid")
    assert says in message["message"]


def test_field_numbers_are_those_of_onnx() -> None:
    """The graph check declares the fields it reads by hand; here is the original to compare."""
    kinds: dict[str, Any] = {
        "Model": onnx.ModelProto,
        "Graph": onnx.GraphProto,
        "Node": onnx.NodeProto,
        "Attribute": onnx.AttributeProto,
        "Tensor": onnx.TensorProto,
        "SparseTensor": onnx.SparseTensorProto,
        "OperatorSet": onnx.OperatorSetIdProto,
    }
    for name, kind in kinds.items():
        fields = kind.DESCRIPTOR.fields_by_name
        for field, (number, of) in graph._SHAPES[name].items():
            assert fields[field].number == number, (name, field)
            inner = fields[field].message_type
            assert (inner is not None) == isinstance(of, str)
            assert of in {"Anything", None} or inner is None or kinds[str(of)].DESCRIPTOR is inner
    places = {(name, field) for name, shape in graph._SHAPES.items() for field in shape}
    for name, kind in kinds.items():
        for field in kind.DESCRIPTOR.fields:
            carries_code = field.message_type is not None and field.message_type.name in {
                "GraphProto", "NodeProto", "TensorProto", "SparseTensorProto", "FunctionProto", "AttributeProto",
            }  # fmt: skip
            assert not carries_code or (name, field.name) in places, (name, field.name)


@pytest.mark.parametrize(
    ("code", "output", "says"),
    [
        (-signal.SIGSEGV, b"", "ended its process by SIGSEGV, with 64 MiB"),
        (-signal.SIGKILL, b"", "by SIGKILL"),
        (-250, b"", "by 250"),
        (1, b"", "ended its process with code 1"),
        (2, b'{"problem": "found it"}', "found it"),
        (2, b"", "ended with code 2 and no finding"),
        (2, b"[]", "no finding"),
    ],
)
def test_what_ended_the_child_is_said(code: int, output: bytes, says: str) -> None:
    assert says in fetch._child_problem(code, output, 64 << 20)


def test_long_messages_are_cut_at_a_character() -> None:
    message = termination.failure("fetch", Reason.ARTIFACT_INVALID, "é" * 1000)
    text = str(message["message"])
    assert len(text.encode()) <= 600
    assert set(text) == {"é", "…"}


def test_messages_over_the_limit_are_refused_before_writing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="limit is 1536"):
        termination.write(str(tmp_path / "log"), {"stage": "x", "text": "a" * 2000})
    assert not (tmp_path / "log").exists()


def test_no_termination_log_is_no_failure(built: Builder, run: Run, tmp_path: Path) -> None:
    model = built("logistic")
    run.log = tmp_path / "no" / "folder" / "log"
    assert run(model.uri, model.digest, model.stores) == (0, {})
    assert "cannot write the termination message" in run.stderr
