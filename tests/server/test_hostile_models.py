"""Models that mean harm: what the fetch container, the verification and the server say of them, and what that costs."""

import json
import pickle
import re
import resource
import signal
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from modelwright_server import artifact, termination
from tests.server.bad_models import (
    ADD,
    FLOAT,
    GOOD,
    SCHEMA,
    Maker,
    as_bytes,
    bias,
    chain,
    constant,
    constants,
    deep_tree,
    external,
    field,
    hidden,
    initializer,
    loop,
    many_graphs,
    model,
    nested,
    node,
    one_row,
    only_said,
    raw,
    run_time,
    scan,
    sparse,
    sparse_initializer,
    summed,
    value,
    with_function,
    with_training,
)
from tests.server.fetching import Fetch
from tests.server.models import CLAIM, write_artifact
from tests.server.process import DEADLINE, Server, settings

LIMIT = 400 << 20
REPORTER = 64 << 20  # what fetch itself may take: nothing that the model could drive
URI = f"pvc://{CLAIM}/bad"

Cases = dict[str, tuple[Maker, str]]
BIG = node("ConstantOfShape", "n", "big")
CUSTOM = node("Run", "input", "prediction", domain="com.example")
CUSTOM_INSIDE = node("Run", "input", "out", domain="com.example")
GELU = node("Gelu", "input", "prediction", domain="com.microsoft")
RENAMED = node("Identity", "data", "prediction")
ADD_MORE = node("Add", "input more", "prediction")
CYCLE = (node("Add", "input y", "x"), node("Add", "x input", "y"), node("Identity", "y", "prediction"))
EXTERNAL = external()
ONE_ROW = node("ConstantOfShape", "shape", "prediction")
EXTRACT = node("ArrayFeatureExtractor", "input at", "prediction", domain="ai.onnx.ml")  # onnxruntime#27265
RESHAPE, CONV = node("Reshape", "input shape", "image"), node("Conv", "image w", "prediction")  # onnxruntime#28731
CONV_TENSORS = (constant("shape", [-1, 1, 1, 2], np.int64), constant("w", np.zeros([1] * 14), np.float32))
OTHER_NAME = [value("data", FLOAT, [None, 2])]
OTHER_WIDTH = [value("input", FLOAT, [None, 3])]
OTHER_TYPE = [value("prediction", TensorProto.STRING, [None, 2])]
TWO_INPUTS = [value("input", FLOAT, [None, 2]), value("more", FLOAT, [None, 2])]
PLACES: dict[str, dict[str, str]] = {
    "beside": {},
    "above": {"location": "../weights.bin"},
    "absolute": {"location": "/etc/passwd"},
    "environment": {"location": "/proc/self/environ"},
    "in memory": {"location": "*/_ORT_MEM_ADDR_/*", "offset": "4096", "length": "8"},
    "negative offset": {"offset": "-8"},
    "huge offset": {"offset": str(2**64 - 1), "length": str(2**63)},
    "injected": {"__class__": "x", "basepath": "/"},
}


def _outside(place: dict[str, str]) -> Maker:
    return lambda: initializer(external(**place))


# What looking through the file finds, by cause: how it is made, what is said.
SEEN: dict[str, Cases] = {
    "NotONNX": {
        "empty": (lambda: b"", "is empty"),
        "text": (lambda: b"not a model", "is not an ONNX model"),
        "pickle": (lambda: pickle.dumps({"a": print}), "is not an ONNX model"),
        "zip": (lambda: b"PK\3\4" + bytes(60), "is not an ONNX model"),
        "zeros": (lambda: bytes(1 << 20), "is not an ONNX model"),
        "random": (lambda: np.random.default_rng(1).bytes(9999), "is not an ONNX model"),
        "cut off": (lambda: GOOD[:-9], "is not an ONNX model"),
        "another message": (lambda: bias().SerializeToString(), "is not an ONNX model"),
        "no graph": (lambda: onnx.ModelProto(ir_version=8), "has 0 graphs"),
        "no node": (lambda: field(7, field(2, b"g")), "has no node"),
        "two graphs": (lambda: GOOD + GOOD, "has 2 graphs"),
        "deep nesting": (lambda: nested(31), "more than 30 deep"),
        "deepest nesting": (lambda: nested(4000), "more than 30 deep"),
        "group": (lambda: GOOD + b"\x3b\x3c", "damaged"),
        "padded tag": (lambda: b"\xba\x00" + field(7, b"")[1:] + GOOD, "damaged"),
        "endless number": (lambda: GOOD + b"\x08" + b"\xff" * 11, "damaged"),
        "huge length": (lambda: GOOD + b"\x3a\xff\xff\xff\xff\x0f", "cut off"),
    },
    "TimedOut": {"many parts": (lambda: field(7, b"\x6a\x00" * 2_000_001), "more than 2000000 parts")},
    "UnsupportedOperator": {
        "custom domain": (lambda: model(opsets={"": 17, "com.example": 1}), "imports the operator domain 'com.ex"),
        "custom operator": (lambda: model(CUSTOM), "operator 'Run' is of the operator domain 'com.example'"),
        "custom operator inside": (lambda: hidden(CUSTOM_INSIDE), "operator 'Run' is of the operator domain"),
        "the runtime's extensions": (lambda: model(GELU), "domain 'com.microsoft'"),
    },
    "LocalFunctions": {
        "function": (with_function, "has functions or training steps"),
        "training": (with_training, "has functions or training steps"),
    },
    "ExternalData": {name: (make, "keeps tensors in other files") for name, make in {
        **{name: _outside(place) for name, place in PLACES.items()},
        "only said": only_said,
        "not said": lambda: raw(external(), data_location=0),
        "in an attribute": lambda: model(node("Constant", "", "bias", value=EXTERNAL), ADD),
        "in a list": lambda: model(node("Identity", "input", "prediction", tensors=[bias(), EXTERNAL])),
        "values": lambda: sparse_initializer(sparse(values=EXTERNAL)),
        "indices": lambda: sparse_initializer(sparse(indices=EXTERNAL)),
        "in a sparse attribute": lambda: model(node("Constant", "", "bias", sparse_value=sparse(values=EXTERNAL)), ADD),
        "inside": lambda: hidden(node("Constant", "", "out", value=EXTERNAL)),
        "in graphs": many_graphs,
    }.items()},
}  # fmt: skip

ONE: tuple[Any, Any] = ([1], np.float32)
RANGE = {"from": (0, np.float32), "to": (1e12, np.float32), "by": (1, np.float32)}

# What only trying it out finds.
TRIED: dict[str, Cases] = {
    "OutOfMemory": {
        "memory bomb": (lambda: summed(BIG, n=([2**35], np.int64)), "may take 400 MiB"),
        "bomb at run time": (lambda: summed(*run_time(2**35), BIG), "137438953472"),
        "just too much": (lambda: summed(*run_time(2**27), BIG), "536870912"),
        "expand": (lambda: summed(node("Expand", "one n", "big"), one=ONE, n=([25 << 30], np.int64)), "Expand"),
        "tile": (lambda: summed(node("Tile", "one n", "big"), one=ONE, n=([1 << 29], np.int64)), "Tile"),
        "range": (lambda: summed(node("Range", "from to by", "big"), **RANGE), "Range"),
        "pad": (lambda: summed(node("Pad", "input pads", "big"), pads=([0, 0, 0, 2**35], np.int64)), "Pad"),
        "constants that add up": (constants, "may take 400 MiB"),
    },
    "Crashed": {"deep tree": (lambda: deep_tree(100_000), "by SIGSEGV; it had 400 MiB")},
    "TimedOut": {
        "loop": (loop, "more than 1 s"),
        "scan": (scan, "more than 1 s"),
        "slow to load": (lambda: chain(20_000), "more than 1 s"),
    },
    "UnsupportedOperator": {
        "unknown operator": (lambda: model(node("Nope", "input", "prediction")), "No Op registered for Nope"),
        "operator of a later opset": (lambda: model(node("Gelu", "input", "prediction")), "registered for Gelu"),
        "opset too new": (lambda: model(opsets={"": 99}), "support for domain ai.onnx is till opset"),
    },
    "LoadFailed": {
        "format too new": (lambda: model(ir_version=99), "Unsupported model IR version: 99"),
        "cycle": (lambda: model(*CYCLE), "not acyclic"),
        "no such tensor": (lambda: model(ADD), "'bias' is not a graph input"),
        "tensor too short": (lambda: raw(bias(), raw_data=b"1234"), "does not match expected size"),
        "negative dimension": (lambda: raw(bias(), dims=[-2]), "dimensions"),
        "huge dimensions": (lambda: raw(bias(), dims=[2**62, 4]), "cannot load"),
        "unknown element type": (lambda: raw(bias(), data_type=99), "valid data type"),
        "weights of another rank": (lambda: model(RESHAPE, CONV, tensors=CONV_TENSORS), "does not match the number"),
        "sparse bomb": (lambda: sparse_initializer(sparse(dims=[2**36])), "byte limit"),
    },
    "RunFailed": {
        "fails": (lambda: one_row(node("Reshape", "input shape", "prediction")), "cannot answer 1 rows of zeros"),
        "index below zero": (lambda: model(EXTRACT, tensors=(constant("at", [-10, 0], np.int64),)), "out of range"),
        "overflow": (lambda: summed(BIG, n=([2**40] * 2, np.int64)), "overflow"),
    },
    "SchemaMismatch": {
        "fixed rows": (lambda: model(shape=[1, 2]), r"is tensor\(float\) \[1, 2\] in the model but FP32 \[-1, 2\]"),
        "rows that stay one": (lambda: one_row(ONE_ROW), r"has shape \(1, 1\) for 1 rows, not \(1, 2\)"),
        "other name": (lambda: model(RENAMED, inputs=OTHER_NAME), "names the input 'input', the model has"),
        "other width": (lambda: model(inputs=OTHER_WIDTH, shape=[None, 3]), r"\[.*, 3\] in the model but FP32 \[-1, 2"),
        "second input": (lambda: model(ADD_MORE, inputs=TWO_INPUTS), "needs the input 'more'"),
        "other type": (
            lambda: model(node("Cast", "input", "prediction", to=TensorProto.STRING), outputs=OTHER_TYPE),
            r"is tensor\(string\) .* but FP32",
        ),
    },
}  # fmt: skip


def _cases(tables: dict[str, Cases]) -> list[Any]:
    return [
        pytest.param(make, cause, says, id=f"{cause}: {name}")
        for cause, cases in tables.items()
        for name, (make, says) in cases.items()
    ]


@pytest.fixture
def fetch(tmp_path: Path) -> Fetch:
    return Fetch(tmp_path)


@pytest.fixture
def stores(tmp_path: Path) -> Path:
    return tmp_path / "stores"


def rejected(fetch: Fetch, stores: Path, make: Maker, cause: str, says: str, *flags: str) -> None:
    """Check how a model is refused, that this took little, and that nothing is left of it."""
    digest = write_artifact(stores / CLAIM / "bad", as_bytes(make), SCHEMA)
    seconds = 1 if cause == "TimedOut" else 60
    code, message = fetch(URI, digest, stores, *flags, verify_memory_bytes=LIMIT, verify_seconds=seconds)
    stage = "verify" if flags else "fetch"
    found = {key: message.get(key) for key in ("stage", "reason", "cause")}
    assert (code, found) == (2, {"stage": stage, "reason": "ModelRejected", "cause": cause}), (message, fetch.stderr)
    assert re.search(says, message["message"]), message
    assert message["message"].startswith(URI)
    assert f"{stage}: ModelRejected/{cause}: " in fetch.stderr
    own, child = fetch.peaks
    assert own < REPORTER
    assert child < LIMIT + (64 << 20)  # the limit holds what is written to; libraries come on top
    assert not list(fetch.target.iterdir())


@pytest.mark.parametrize(("make", "cause", "says"), _cases(SEEN))
def test_what_the_file_shows_is_refused_without_loading(
    fetch: Fetch, stores: Path, make: Maker, cause: str, says: str
) -> None:
    rejected(fetch, stores, make, cause, says)
    assert fetch.peaks[1] == 0, "it started a child"


@pytest.mark.parametrize(("make", "cause", "says"), _cases(TRIED))
def test_what_shows_only_when_it_runs_ends_the_child_only(
    fetch: Fetch, stores: Path, make: Maker, cause: str, says: str
) -> None:
    rejected(fetch, stores, make, cause, says, "--verify")


@pytest.mark.parametrize(
    "make", [model, lambda: raw(bias(), raw_data=np.array([np.nan, np.inf], np.float32).tobytes())]
)
def test_the_model_the_hostile_ones_are_made_from_is_good(fetch: Fetch, stores: Path, make: Maker) -> None:
    digest = write_artifact(stores / CLAIM / "bad", as_bytes(make), SCHEMA)
    for flags in ([], ["--verify"]):
        code, message = fetch(URI, digest, stores, *flags, verify_memory_bytes=LIMIT)
        assert code == 0, (message, fetch.stderr)


def test_a_rejected_model_leaves_an_earlier_one_alone(fetch: Fetch, stores: Path) -> None:
    """A container that is started again finds what it left before."""
    good = write_artifact(stores / CLAIM / "good", GOOD, SCHEMA)
    assert fetch(f"pvc://{CLAIM}/good", good, stores)[0] == 0
    before = {path.name: path.read_bytes() for path in fetch.target.iterdir()}
    bad = write_artifact(stores / CLAIM / "bad", b"", SCHEMA)
    assert fetch(URI, bad, stores)[0] == 2
    assert {path.name: path.read_bytes() for path in fetch.target.iterdir()} == before


@pytest.mark.parametrize("kind", ["symlink", "hardlink"])
def test_links_beside_the_model_never_reach_the_runtime(fetch: Fetch, stores: Path, kind: str) -> None:
    folder = stores / CLAIM / "bad"
    write_artifact(folder, as_bytes(lambda: initializer(external())), SCHEMA)
    (folder / "weights.bin").write_bytes(bytes(8))
    digest = artifact.write(folder).digest
    (folder / "weights.bin").rename(stores / "secret")
    if kind == "symlink":
        (folder / "weights.bin").symlink_to(stores / "secret")
    else:
        (folder / "weights.bin").hardlink_to(stores / "secret")
    code, message = fetch(URI, digest, stores, "--verify")
    assert (code, message["reason"]) == (2, "ArtifactInvalid"), message
    assert "weights.bin is " in message["message"]
    assert not list(fetch.target.iterdir())


def folder_of(tmp: Path, make: Maker, **schema: Any) -> Path:
    write_artifact(tmp / "model", as_bytes(make), SCHEMA | schema)
    return tmp / "model"


@pytest.mark.parametrize(
    ("make", "schema", "reason"),
    [
        (lambda: b"garbage", {}, {"reason": "ModelRejected", "cause": "LoadFailed"}),
        (lambda: model(shape=[1, 2]), {}, {"reason": "ModelRejected", "cause": "SchemaMismatch"}),
        (lambda: summed(*run_time(2**35), BIG), {}, {"reason": "ModelRejected", "cause": "OutOfMemory"}),
        (model, {"task": "Guessing"}, {"reason": "ArtifactInvalid", "cause": None}),
    ],
    ids=["garbage", "schema", "memory", "task"],
)
def test_a_server_says_why_it_cannot_serve(
    tmp_path: Path, make: Maker, schema: dict[str, Any], reason: dict[str, str | None]
) -> None:
    with Server(settings(folder_of(tmp_path, make, **schema), tmp_path)) as server:
        resource.prlimit(server.process.pid, resource.RLIMIT_DATA, (LIMIT, LIMIT))
        server.wait_for("model rejected")
        assert server.process.wait(DEADLINE) == 2
    message = json.loads((tmp_path / "termination-log").read_bytes())
    assert {"reason": message["reason"], "cause": message.get("cause")} == reason
    assert message["stage"] == "serve"


def test_what_a_server_was_doing_when_the_model_crashed_it_is_left_behind(tmp_path: Path) -> None:
    """Plain words, no finding: the operator says CrashLooping, or OutOfMemory if it was that."""
    with Server(settings(folder_of(tmp_path, lambda: deep_tree(100_000)), tmp_path)) as server:
        assert server.process.wait(DEADLINE) == -signal.SIGSEGV
    assert "ended while it loaded the model" in (tmp_path / "termination-log").read_text()


def test_a_server_that_is_ready_leaves_no_last_words(tmp_path: Path) -> None:
    with Server(settings(folder_of(tmp_path, model), tmp_path)) as server:
        server.wait_until_ready()
        assert (tmp_path / "termination-log").read_bytes() == b""


def test_what_another_process_said_at_its_end_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for before, inside in ((b"", b"words"), (b"said", b"said")):
        log.write_bytes(before)
        with termination.if_killed(str(log), "words"):
            assert log.read_bytes() == inside
        assert log.read_bytes() == before
