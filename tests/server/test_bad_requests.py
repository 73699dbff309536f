"""Requests the model cannot answer get a 400 that names what is wrong, and cost nothing."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.server.models import Built
from tests.server.process import INFER, NAME, VERSION, Server

Builder = Callable[[str], Built]

ROW = [1.5] * 30


def matrix(**changes: Any) -> dict[str, Any]:
    return {"name": "input", "datatype": "FP32", "shape": [1, 30], "data": ROW} | changes


def columns(**changes: dict[str, Any]) -> dict[str, Any]:
    """A good request of the mixed model, with some inputs changed; None leaves one out."""
    tensors: dict[str, dict[str, Any]] = {
        "plan": {"datatype": "BYTES", "shape": [2, 1], "data": ["a", "b"]},
        "age": {"datatype": "FP32", "shape": [2, 1], "data": [1.5, 2]},
        "visits": {"datatype": "INT64", "shape": [2, 1], "data": [1, 2]},
        "active": {"datatype": "BOOL", "shape": [2, 1], "data": [True, False]},
        "region": {"datatype": "BYTES", "shape": [2, 1], "data": ["a", "b"]},
    }
    return {"inputs": [{"name": name} | tensor | changes.get(name, {}) for name, tensor in tensors.items()]}


def refused(server: Server, body: Any) -> str:
    answer = server.infer(body)
    assert answer.status == 400, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert not answer.closes
    document = answer.json
    assert set(document) == {"error"}
    problem: str = document["error"]
    return problem


def test_the_good_ones_are_good(logistic: Server, mixed: Server) -> None:
    assert logistic.infer({"inputs": [matrix()]}).status == 200
    assert mixed.infer(columns()).status == 200


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "the body is not JSON"),
        (b"{", "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b"[1]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"{}", "'inputs'"),
        (b'{"inputs":{}}', "'inputs'"),
        (b'{"inputs":[1]}', "'inputs'"),
        (b'{"inputs":[]}', "input 'input' is missing"),
        (b'{"inputs":[{}]}', "input None is unknown"),
        (b"[" * 200_000 + b"]" * 200_000, "the body is not JSON"),
        (b'{"inputs":' + b'{"a":' * 200_000, "the body is not JSON"),
        (b'{"inputs":[],"x":' + b"[" * 1000 + b"]" * 1000 + b',"y":"::"}', ""),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else None,
)
def test_broken_bodies(logistic: Server, body: bytes, says: str) -> None:
    assert says in refused(logistic, body)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "other"}, "input 'other' is unknown, the model takes 'input'"),
        ({"name": ["input"]}, "is unknown"),
        ({"datatype": "FP64"}, "datatype is 'FP64', the model takes FP32"),
        ({"datatype": None}, "datatype is missing"),
        ({"datatype": {"a": 1}}, "datatype is {'a': 1}"),
        ({"shape": [30]}, "the model takes [rows, 30]"),
        ({"shape": [1, 29]}, "the model takes [rows, 30]"),
        ({"shape": [1, 30, 1]}, "the model takes [rows, 30]"),
        ({"shape": [1, 30.0]}, "the model takes [rows, 30]"),
        ({"shape": [True, 30]}, "the model takes [rows, 30]"),
        ({"shape": ["1", 30]}, "the model takes [rows, 30]"),
        ({"shape": "1,30"}, "the model takes [rows, 30]"),
        ({"shape": None}, "shape is missing"),
        ({"shape": []}, "the model takes [rows, 30]"),
        ({"shape": [0, 30], "data": []}, "shape has 0 rows, allowed are 1 to"),
        ({"shape": [-1, 30]}, "shape has -1 rows"),
        ({"shape": [2, 30]}, "data has 30 values, shape [2, 30] has 60"),
        ({"shape": [10**9, 30]}, "allowed are 1 to 100000"),
        ({"shape": [2**63, 30]}, "allowed are 1 to 100000"),
        ({"shape": [10**30, 30]}, "the model takes [rows, 30]"),
        ({"data": None}, "data must be a list"),
        ({"data": {"0": 1}}, "data must be a list"),
        ({"data": "1" * 30}, "data must be a list"),
        ({"data": ROW[1:]}, "data has 29 values"),
        ({"data": [*ROW, 1]}, "data has 31 values"),
        ({"data": [ROW[1:]]}, "must be flat, or 1 lists of 30 values"),
        ({"data": [ROW, ROW]}, "must be flat, or 1 lists of 30 values"),
        ({"data": [[ROW]]}, "must be flat, or 1 lists of 30 values"),
        ({"data": [[[1.5]] * 30]}, "value 0 is a list, FP32 takes numbers"),
        ({"data": [*ROW[1:], [1.5]]}, "value 29 is a list, FP32 takes numbers"),
        ({"data": [*ROW[1:], None]}, "value 29 is null, but the model was not trained to take missing values here"),
        ({"data": [[*ROW[1:], None]]}, "value 29 is null, but the model was not trained to take missing values here"),
        ({"data": [*ROW[1:], None]}, "send a value, or train it again on data with such gaps and preprocessing Auto"),
        ({"data": [*ROW[1:], "1.5"]}, "value 29 is a text, FP32 takes numbers"),
        ({"data": [*ROW[1:], True]}, "value 29 is a truth value, FP32 takes numbers"),
        ({"data": [*ROW[1:], {}]}, "value 29 is an object, FP32 takes numbers"),
        ({"data": [*ROW[1:], 1e39]}, "value 29 is 1e+39, which FP32 cannot hold"),
        ({"data": [*ROW[1:], -1e39]}, "value 29 is -1e+39, which FP32 cannot hold"),
    ],
    ids=str,
)
def test_wrong_tensors_name_input_and_field(logistic: Server, change: dict[str, Any], says: str) -> None:
    problem = refused(logistic, {"inputs": [matrix(**change)]})
    assert says in problem
    assert "input" in problem


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 5000, "0x10", "+1", "01", ".5"])
def test_numbers_json_does_not_have(logistic: Server, number: str) -> None:
    body = json.dumps({"inputs": [matrix(data=[*ROW[1:], 7.25])]}).replace("7.25", number)
    assert "the body is not JSON" in refused(logistic, body.encode())


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("visits", [1, 2.0], "input 'visits': value 1 is a fraction, INT64 takes whole numbers"),
        ("visits", [1, True], "value 1 is a truth value"),
        ("visits", [1, "2"], "value 1 is a text"),
        ("visits", [1, 2**63], "value 1 is 9223372036854775808, which INT64 cannot hold"),
        ("visits", [-(2**63) - 1, 1], "value 0 is a fraction"),
        ("visits", [1, 2**64], "value 1 is a fraction"),
        ("active", [0, 1], "value 0 is a whole number, BOOL takes true or false"),
        ("active", ["true", "false"], "value 0 is a text"),
        ("plan", [1, "a"], "value 0 is a whole number, BYTES takes texts"),
        ("plan", [None, "a"], "value 0 is null, BYTES takes texts: a missing one is the empty text"),
        ("visits", [1, None], "value 1 is null, but the model was not trained to take missing values here"),
        ("active", [None, True], "value 0 is null, but the model was not trained to take missing values here"),
        ("plan", [["a"], "b"], "must be flat, or 2 lists of 1 values"),
        ("age", [1, None], "value 1 is null, but the model was not trained to take missing values here"),
    ],
    ids=str,
)
def test_values_of_the_wrong_type(mixed: Server, name: str, data: list[Any], says: str) -> None:
    assert says in refused(mixed, columns(**{name: {"data": data}}))


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("age", [None, True], "input 'age': value 1 is a truth value, FP32 takes numbers or null"),
        ("age", [None, "1"], "input 'age': value 1 is a text"),
        ("age", [None, [None]], "input 'age': value 1 is a list"),
        ("age", [[None], None], "must be flat, or 2 lists of 1 values"),
        ("age", [[[None]], [1]], "input 'age': value 0 is a list"),
        ("age", [None, 1e39], "input 'age': value 1 is 1e+39, which FP32 cannot hold"),
        ("age", None, "data must be a list"),
        ("age", [None], "data has 1 values"),
        ("spent", [None, None], "input 'spent': value 0 is null, but the model was not trained to take missing values"),
        ("spent", [1, None], "input 'spent': value 1 is null, but the model was not trained to take missing values"),
    ],
    ids=str,
)
def test_null_changes_nothing_else(serving: Callable[[str], Server], name: str, data: list[Any], says: str) -> None:
    columns = {"age": [None, 1], "spent": [1, 2]} | {name: data}
    inputs = [{"name": key, "datatype": "FP32", "shape": [2, 1], "data": values} for key, values in columns.items()]
    assert says in refused(serving("columns-with-gaps"), {"inputs": inputs})


@pytest.mark.parametrize("number", ["NaN", "nan", "Infinity"])
def test_missing_numbers_are_null_and_nothing_else(serving: Callable[[str], Server], number: str) -> None:
    body = json.dumps({"inputs": [matrix(data=[*ROW[1:], 7.25])]})
    assert serving("filled").infer(body.replace("7.25", "null").encode()).status == 200
    assert "the body is not JSON" in refused(serving("filled"), body.replace("7.25", number).encode())


def test_the_limits_of_whole_numbers_are_taken(mixed: Server) -> None:
    assert mixed.infer(columns(visits={"data": [2**63 - 1, -(2**63)]})).status == 200


def test_inputs_must_be_all_there_once_and_of_one_length(mixed: Server) -> None:
    good = columns()["inputs"]
    assert "input 'region' is missing" in refused(mixed, {"inputs": good[:-1]})
    assert "input 'age' is given twice" in refused(mixed, {"inputs": [*good, good[1]]})
    assert "input 'more' is unknown" in refused(mixed, {"inputs": [*good, {**good[1], "name": "more"}]})
    short = columns(age={"shape": [1, 1], "data": [1]})
    assert "input 'age' has 1 rows, input 'plan' has 2" in refused(mixed, short)


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"id": 7}, "id must be a text"),
        ({"id": ["a"]}, "id must be a text"),
        ({"parameters": [1]}, "parameters must be an object"),
        ({"parameters": {"a": {"b": 1}}}, "parameters must be an object"),
        ({"parameters": {"a": None}}, "parameters must be an object"),
        ({"outputs": {}}, "'outputs', a list of objects"),
        ({"outputs": None}, "'outputs', a list of objects"),
        ({"outputs": ["label"]}, "'outputs', a list of objects"),
        (
            {"outputs": [{"name": "score"}]},
            "output 'score' is unknown, the model has 'label', 'probabilities', 'predic",
        ),
        ({"outputs": [{}]}, "output None is unknown"),
        ({"outputs": [{"name": "label"}, {"name": "label"}]}, "output 'label' is wanted twice"),
    ],
    ids=str,
)
def test_other_members(logistic: Server, extra: dict[str, Any], says: str) -> None:
    assert says in refused(logistic, {"inputs": [matrix()], **extra})


@pytest.mark.parametrize(
    ("old", "new", "member"),
    [
        ('"name": "input"', '"name": "other", "name": "input"', "name"),
        ('"name": "input"', '"name": "input", "n\\u0061me": "input"', "name"),
        ('{"inputs"', '{"inputs": [], "inputs"', "inputs"),
        ('{"inputs"', '{"id": "a", "id": "b", "inputs"', "id"),
        ('{"inputs"', '{"id": "a:b", "id": "c", "inputs"', "id"),
        ('{"inputs"', '{"parameters": {"a": 1, "a": 2}, "inputs"', "a"),
        ('{"inputs"', '{"unknown": {"a": {"b": 1, "b": 2}}, "inputs"', "b"),
    ],
)
def test_members_named_twice(logistic: Server, old: str, new: str, member: str) -> None:
    text = json.dumps({"inputs": [matrix()]})
    assert refused(logistic, text.replace(old, new, 1).encode()) == (
        f"the body names the member {member!r} twice in one object"
    )


def test_rows_are_limited(logistic: Server) -> None:
    assert "100001 rows, allowed are 1 to 100000" in refused(logistic, {"inputs": [matrix(shape=[100_001, 30])]})


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "/", 404, "unknown path '/'"),
        ("GET", "/v2/", 404, "unknown path"),
        ("GET", "/v2/models", 404, "unknown path"),
        ("GET", "/v2/models/", 404, "unknown model ''"),
        ("GET", "/v2/models/other", 404, f"unknown model 'other': this server has '{NAME}'"),
        ("POST", "/v2/models/other/infer", 404, "unknown model 'other'"),
        ("POST", f"/v2/models/{NAME}/versions/9/infer", 404, f"unknown version '9' of '{NAME}': it is '{VERSION}'"),
        ("GET", f"/v2/models/{NAME}/versions", 404, "unknown version ''"),
        ("GET", f"/v2/models/{NAME}/versions/{VERSION}/nothing", 404, "unknown path"),
        ("GET", f"/v2/models/{NAME}/../{NAME}/infer", 404, "unknown path"),
        ("GET", "/v2/models/%FF%00", 404, "unknown model"),
        ("GET", INFER, 405, "this path takes POST, not GET"),
        ("PUT", INFER, 405, "this path takes POST, not PUT"),
        ("POST", "/v2/health/ready", 405, "this path takes GET, HEAD, not POST"),
        ("DELETE", f"/v2/models/{NAME}", 405, "this path takes GET, HEAD, not DELETE"),
        ("OPTIONS", "*", 404, "unknown path"),
    ],
)
def test_paths_and_methods(logistic: Server, method: str, path: str, status: int, says: str) -> None:
    answer = logistic.request(method, path)
    assert (answer.status, says in answer.json["error"]) == (status, True), answer.body
    if status == 405:
        assert answer.headers["allow"] == ("POST" if path == INFER else "GET, HEAD")


def test_bodies_that_are_not_plain_json(logistic: Server) -> None:
    body = {"inputs": [matrix()]}
    for coding in ("br", "gzip, gzip", "zstd"):
        compressed = logistic.infer(body, **{"Content-Encoding": coding})
        assert (compressed.status, "Content-Encoding" in compressed.json["error"]) == (415, True)
    broken = logistic.infer(body, **{"Content-Encoding": "gzip"})
    assert (broken.status, "gzip" in broken.json["error"]) == (400, True)
    for size in ("-1", "1e3", "9" * 30, "", "100000"):
        binary = logistic.infer(body, **{"Inference-Header-Content-Length": size})
        assert (binary.status, "Inference-Header-Content-Length" in binary.json["error"]) == (400, True)
    assert logistic.infer(body, **{"Content-Encoding": "identity"}).status == 200


def test_hostile_bodies_leave_no_memory_behind(logistic: Server) -> None:
    bodies = [
        b'{"inputs":[{"name":"input","datatype":"FP32","shape":[1000000000,30],"data":[1]}]}',
        b'{"inputs":[{"name":"input","datatype":"FP32","shape":[1,30],"data":[' + b"1," * 1_000_000 + b"1]}]}",
        b'{"a:":"' + b":" * 4_000_000 + b'"}',
        b"[" * 4_000_000,
    ]
    for body in bodies:
        refused(logistic, body)
    before = logistic.memory()
    for _ in range(5):
        for body in bodies:
            refused(logistic, body)
    assert logistic.memory() - before < 32 << 20
