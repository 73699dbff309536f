"""Binary tensor data whose sizes lie, and compressed bodies that do: refused by name, before memory is taken."""

import gzip
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.server.hostile.wire import ROW, infer_body
from tests.server.process import Answer, Server

RAW = struct.pack("<30f", *ROW)
SIZE = len(RAW)
HEADER = "Inference-Header-Content-Length"


def tensor(size: Any = SIZE, **changes: Any) -> dict[str, Any]:
    made = {"name": "input", "datatype": "FP32", "shape": [1, 30], "parameters": {"binary_data_size": size}} | changes
    return {key: value for key, value in made.items() if value is not None}


def send(server: Server, inputs: list[Any], raw: bytes = RAW, length: object = None) -> Answer:
    head = json.dumps({"inputs": inputs}).encode()
    return server.request(
        "POST", "/v2/models/churn/infer", head + raw, {HEADER: str(len(head) if length is None else length)}
    )


def refused(answer: Answer, *says: str, status: int = 400) -> None:
    assert answer.status == status, answer.body
    assert set(answer.json) == {"error"}
    for text in says:
        assert text in answer.json["error"]


def test_the_good_one_is_good(logistic: Server) -> None:
    plain = logistic.infer(infer_body())
    assert send(logistic, [tensor()]).body == plain.body
    assert send(logistic, [tensor()]).status == plain.status == 200


@pytest.mark.parametrize("length", [10**6, 2**63, 10**18])
def test_the_json_is_said_to_be_longer_than_the_body(logistic: Server, length: int) -> None:
    refused(send(logistic, [tensor()], length=length), HEADER, "bytes")


@pytest.mark.parametrize("length", [-1, "+5", "0x5", "5.0", "", " ", "5,5", "9" * 5000, "ten", "1_0", "\u00b2"])
def test_the_length_of_the_json_is_no_number(logistic: Server, length: object) -> None:
    refused(send(logistic, [tensor()], length=length), HEADER, "whole number")


@pytest.mark.parametrize("length", [0, 1, 20])
def test_the_json_is_said_to_be_shorter_than_it_is(logistic: Server, length: int) -> None:
    refused(send(logistic, [tensor()], length=length), "the body is not JSON")


@pytest.mark.parametrize(
    "size", [-1, -(2**63), 2**63, 10**30, 1.5, "120", True, len(RAW) + 1, 2**32 + len(RAW)], ids=repr
)
def test_sizes_that_are_none(logistic: Server, size: object) -> None:
    refused(send(logistic, [tensor(size)]), "input")


@pytest.mark.parametrize("size", [[], {}, None], ids=repr)
def test_sizes_that_are_no_scalars(logistic: Server, size: object) -> None:
    refused(send(logistic, [tensor(size)]), "parameters")


@pytest.mark.parametrize("size", [0, 1, 116, 119])
def test_sizes_that_are_not_the_shape_s(logistic: Server, size: int) -> None:
    refused(send(logistic, [tensor(size)]), "input 'input'", "bytes")


@pytest.mark.parametrize("raw", [b"", RAW[:-1], RAW[:1], RAW + b"\0", RAW * 2], ids=len)
def test_more_or_less_follows_than_was_said(logistic: Server, raw: bytes) -> None:
    refused(send(logistic, [tensor()], raw), "bytes")


@pytest.mark.parametrize(
    "shape", [[2, 30], [2**32, 30], [2**32, 2**32], [2**63, 30], [0, 30], [-1, 30], [1, 30, 1], [], None], ids=repr
)
def test_shapes_the_data_has_not(logistic: Server, shape: object) -> None:
    refused(send(logistic, [tensor(shape=shape)]), "input 'input'")


@pytest.mark.parametrize("datatype", ["FP64", "FP16", "INT32", "BYTES", "fp32", 7, None])
def test_datatypes_the_model_has_not(logistic: Server, datatype: object) -> None:
    refused(send(logistic, [tensor(datatype=datatype)]), "input 'input'", "datatype")


def test_neither_data_nor_size(logistic: Server) -> None:
    refused(send(logistic, [tensor(parameters=None)]), "input 'input'")
    refused(send(logistic, [tensor(parameters={})]), "input 'input'")


def test_data_and_size(logistic: Server) -> None:
    """Two statements of the same values: whichever is taken, the other is left over."""
    refused(send(logistic, [tensor(data=ROW)]), "input")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_raw_values_json_could_not_have_said(logistic: Server, value: float) -> None:
    raw = struct.pack("<30f", *ROW[1:], value)
    refused(send(logistic, [tensor()], raw), "input 'input'", "value 29", "NaN" if value != value else "infinite")  # noqa: PLR0124


MIXED: dict[str, tuple[str, bytes]] = {
    "plan": ("BYTES", struct.pack("<I", 4) + b"plus"),
    "age": ("FP32", struct.pack("<f", 40)),
    "visits": ("INT64", struct.pack("<q", 7)),
    "active": ("BOOL", b"\1"),
    "region": ("BYTES", struct.pack("<I", 5) + b"north"),
}


def send_mixed(server: Server, **raws: bytes) -> Answer:
    parts = {name: (datatype, raws.get(name, raw)) for name, (datatype, raw) in MIXED.items()}
    inputs = [tensor(len(raw), name=name, datatype=kind, shape=[1, 1]) for name, (kind, raw) in parts.items()]
    return send(server, inputs, b"".join(raw for _, raw in parts.values()))


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("plan", b""),
        ("plan", b"\4\0\0"),
        ("plan", b"plus"),
        ("plan", struct.pack("<I", 5) + b"plus"),
        ("plan", struct.pack("<I", 3) + b"plus"),
        ("plan", struct.pack("<I", 2**32 - 1) + b"plus"),
        ("plan", struct.pack(">I", 4) + b"plus"),
        ("plan", (struct.pack("<I", 4) + b"plus") * 2),
        ("plan", struct.pack("<I", 2) + b"\xff\xfe"),
        ("plan", struct.pack("<I", 3) + b"\xed\xa0\x80"),
        ("region", struct.pack("<I", 2) + b"\xc0\xaf"),
        ("active", b"\2"),
        ("active", b"\xff"),
        ("active", b"\1\1"),
        ("visits", b"\1\0\0\0"),
        ("age", struct.pack("<f", float("nan"))),
    ],
    ids=repr,
)
def test_raw_texts_and_truths_that_are_none(mixed: Server, name: str, raw: bytes) -> None:
    assert send_mixed(mixed).status == 200
    refused(send_mixed(mixed, **{name: raw}), f"input {name!r}")


@pytest.mark.parametrize(
    "changes",
    [{"parameters": {"binary_data_output": "yes"}}, {"outputs": [{"name": "label", "parameters": {"binary_data": 1}}]}],
    ids=str,
)
def test_wishes_that_are_no_truth_values(logistic: Server, changes: dict[str, Any]) -> None:
    refused(logistic.infer(json.loads(infer_body()) | changes), "binary_data")


# Compressed bodies


@pytest.mark.parametrize(
    ("coding", "made"),
    [("gzip", lambda: gzip.compress(bytes(512 << 20))), ("deflate", lambda: zlib.compress(bytes(512 << 20), 9)),
     ("gzip", lambda: gzip.compress(bytes(1 << 20)) * 400)],
    ids=["gzip", "deflate", "many members"],
)  # fmt: skip
def test_bombs(logistic: Server, coding: str, made: Callable[[], bytes]) -> None:
    bomb, before = made(), logistic.memory()
    for _ in range(3):
        refused(logistic.infer(bomb, **{"Content-Encoding": coding}), "16777216 bytes once it is inflated", status=413)
    assert logistic.memory() - before < 48 << 20


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "deflate, gzip", "compress", "", "gzip;q=1", "\u00b2"])
def test_codings_that_are_not_taken(logistic: Server, coding: str) -> None:
    answer = logistic.infer(gzip.compress(infer_body()), **{"Content-Encoding": coding})
    refused(answer, "Content-Encoding", "gzip, deflate", status=415)


def test_broken_compression(logistic: Server) -> None:
    whole = gzip.compress(infer_body())
    for body in (b"", b"{}", whole[:-1], whole + b"x", whole[:20] + b"\0" + whole[21:]):
        refused(logistic.infer(body, **{"Content-Encoding": "gzip"}), "not gzip, as its Content-Encoding says")


def test_both_at_once(logistic: Server) -> None:
    """The length of the JSON is that of the inflated body."""
    head = json.dumps({"inputs": [tensor()]}).encode()
    plain = logistic.infer(infer_body()).body
    headers = {"Content-Encoding": "gzip", HEADER: str(len(head))}
    assert logistic.infer(gzip.compress(head + RAW), **headers).body == plain
    refused(logistic.infer(gzip.compress(head), **headers), "bytes")
