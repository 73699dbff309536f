"""Random input, the same in every run: how bytes are cut changes nothing, and codecs raise the named errors only."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import orjson
import pytest
import uvloop
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from modelwright_server import model, schema
from modelwright_server.batching import Batch
from modelwright_server.dataplane import DataPlane
from modelwright_server.errors import BadRequestError
from modelwright_server.http.codec import Codec
from modelwright_server.http.connection import Connection
from modelwright_server.http.exchange import Exchange
from modelwright_server.http.inference import RestExchange
from modelwright_server.http.listener import Listener
from modelwright_server.http.messages import Limits
from modelwright_server.http.rest import RestApplication
from modelwright_server.prediction import Issuer
from modelwright_server.schema import Datatype, Schema, Task, TensorSpec
from modelwright_server.telemetry import Telemetry
from modelwright_server.tensors import DTYPES, Signature
from tests.server.hostile.wire import LIVE, infer_body, post, sized
from tests.server.models import Built
from tests.server.process import NAME, VERSION
from tests.server.test_repeats import Wire

bounded = hypothesis_settings(
    derandomize=True, deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as made:
        yield made


# Framing: a request however it is cut

methods = st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS", "PURGE", "get", "X"])
targets = st.sampled_from(["/", "/v2", "*", "/a?b=c", "http://a/b", "/%20", "/" + "a" * 300, "", "a b"])
versions = st.sampled_from(["HTTP/1.1"] * 6 + ["HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/1.1 "])
names = st.sampled_from(
    [
        "Host",
        "host",
        "X",
        "Content-Length",
        "Transfer-Encoding",
        "Expect",
        "Connection",
        "Upgrade",
        "Content-Encoding",
        "",
    ]
)
values = st.sampled_from(
    ["a", "", "0", "3", "5", "-1", "+3", "3, 3", "chunked", "gzip, chunked", "close", "keep-alive", "upgrade", "h2c",
     "100-continue", "x" * 200, "\x00", "a\tb", " 3 ", "gzip", "\xff"]
)  # fmt: skip
bodies = st.sampled_from(
    [
        b"",
        b"abc",
        b"abcde",
        b"3\r\nabc\r\n0\r\n\r\n",
        b"3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\n",
        b"3\nabc\n0\n\n",
        b"zz\r\n",
        b"\r\n",
    ]
)
line_ends = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\n "])


@st.composite
def odd_requests(draw: st.DrawFn) -> bytes:
    lines = [f"{draw(methods)} {draw(targets)} {draw(versions)}"]
    lines += [f"{draw(names)}: {draw(values)}" for _ in range(draw(st.integers(0, 4)))]
    return b"".join(line.encode("latin-1") + draw(line_ends) for line in [*lines, ""]) + draw(bodies)


@st.composite
def good_requests(draw: st.DrawFn) -> bytes:
    body = draw(st.binary(max_size=30))
    chunked = b"".join(b"%x\r\n%b\r\n" % (1, body[at : at + 1]) for at in range(len(body))) + b"0\r\n\r\n"
    headers = draw(st.lists(st.sampled_from(["X: y", "Expect: 100-continue", "Connection: keep-alive"]), max_size=2))
    if draw(st.booleans()):
        return post("Transfer-Encoding: chunked", *headers, body=chunked, path="/x")
    return post(f"Content-Length: {len(body)}", *headers, body=body, path="/y")


streams = st.lists(good_requests() | odd_requests() | st.binary(max_size=40), min_size=1, max_size=5).map(b"".join)


@st.composite
def cut(draw: st.DrawFn, data: st.SearchStrategy[bytes]) -> list[bytes]:
    whole = draw(data)
    places = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    ends = [*places, len(whole)]
    pieces = [whole[start:end] for start, end in zip([0, *places], ends, strict=True)]
    return [piece for piece in pieces if piece]


def echo(exchange: Exchange) -> None:
    exchange.send(200, orjson.dumps([repr(exchange.method), repr(exchange.target), repr(bytes(exchange.body))]))


async def answers(listener: Listener, pieces: list[bytes]) -> tuple[bytes, bool]:
    wire, connection = Wire(), Connection(listener)
    connection.connection_made(wire)  # type: ignore[arg-type]
    for piece in pieces:
        connection.data_received(piece)
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    ended = connection.closing
    connection.connection_lost(None)
    return wire.written, ended


@bounded
@given(pieces=cut(streams))
def test_how_bytes_are_cut_changes_no_answer(pieces: list[bytes], runner: asyncio.Runner) -> None:
    async def both() -> None:
        listener = Listener(echo, Limits(body=1000))
        whole = await answers(listener, [b"".join(pieces)])
        assert await answers(listener, pieces) == whole
        assert await answers(listener, [bytes([byte]) for byte in b"".join(pieces)]) == whole
        assert listener._buffered == 0
        assert not listener._connections

    runner.run(both())


@pytest.fixture(scope="module")
def application(built: Callable[[str], Built]) -> Iterator[Callable[[], Listener]]:
    """Listeners with an application that has learnt nothing, of `logistic`."""
    loaded = model.load(built("logistic").folder, threads=1)
    planes: list[DataPlane] = []

    def make() -> Listener:
        telemetry = Telemetry(NAME, VERSION, "", "")
        plane = DataPlane(NAME, VERSION, 100, telemetry, batch_rows=64)
        plane.attach(loaded, Issuer(loaded.schema, version_key="0123456789"))
        planes.append(plane)
        rest = RestApplication(plane, telemetry, 1 << 20)
        return Listener(rest, Limits(body=1 << 20), telemetry, exchange=RestExchange, shortcut=rest)

    yield make
    for plane in planes:
        plane.close()


inferences = st.sampled_from(
    [
        sized(infer_body()),
        sized(infer_body(data=[2.5] * 30)),
        sized(infer_body(data=[1] * 29 + [None])),
        sized(infer_body(data=[3e38] * 30)),
        sized(infer_body(), "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        sized(infer_body()[:-1]),
        sized(infer_body().replace(b"FP32", b"FP64")),
        post(f"Content-Length: {len(infer_body()) + 1}", body=infer_body()),
        LIVE,
        b"P",
        b"\r\n",
    ]
)


@bounded
@given(pieces=cut(st.lists(inferences, min_size=1, max_size=8).map(b"".join)))
def test_neither_does_it_change_predictions(
    pieces: list[bytes], runner: asyncio.Runner, application: Callable[[], Listener]
) -> None:
    """Also of requests that are recognised by their bytes, which only whole pieces are."""

    def known(found: tuple[bytes, bool]) -> tuple[bytes, bool]:
        return re.sub(rb"X-Prediction-Id: [^\r]*", b"", found[0]), found[1]

    async def both() -> None:
        listener = application()
        for _ in range(3):  # to learn
            await answers(listener, [sized(infer_body())])
        whole = known(await answers(listener, [b"".join(pieces)]))
        assert known(await answers(listener, pieces)) == whole

    runner.run(both())


# Codecs

DATATYPES = list(Datatype)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
specs = st.builds(
    TensorSpec,
    name=st.sampled_from(["a", "é", 'b"%d', "prediction_id"]),
    datatype=st.sampled_from(DATATYPES),
    shape=st.sampled_from([(-1,), (-1, 1), (-1, 3)]),
)


@contextmanager
def only_named_errors() -> Iterator[None]:
    try:
        yield
    except BadRequestError as error:
        said = str(error)
    else:
        said = "nothing"
    assert 0 < len(said) < 1000


def a_tensor(spec: TensorSpec) -> dict[str, Any]:
    example: Any = {Datatype.BYTES: "t", Datatype.BOOL: True}.get(spec.datatype, 1)
    shape = [2, *spec.shape[1:]]
    return {"name": spec.name, "datatype": spec.datatype.value, "shape": shape, "data": [example] * 2 * spec.width}


@bounded
@given(spec=specs, data=st.data())
def test_requests_changed_in_one_place(spec: TensorSpec, data: st.DataObject) -> None:
    """Some member of a good request becomes something else, or is lost, or one is added."""
    codec = Codec(Signature(Schema((spec,), (spec,), Task.REGRESSION), 100), NAME, VERSION)
    tensor = a_tensor(spec)
    document: dict[str, Any] = {"id": "i", "inputs": [tensor], "outputs": [{"name": spec.name}], "parameters": {"a": 1}}
    codec.read(json.dumps(document).encode())
    place = data.draw(st.sampled_from([document, tensor, document["outputs"][0], document["parameters"]]))
    key = data.draw(st.sampled_from([*place, "new", "parameters"]))
    place[key] = data.draw(json_values)
    with only_named_errors():
        codec.read(json.dumps(document).encode())
    with only_named_errors():
        codec.read(json.dumps(document).encode("utf-16"))


@bounded
@given(spec=specs, data=st.data())
def test_bodies_changed_in_some_bytes(spec: TensorSpec, data: st.DataObject) -> None:
    codec = Codec(Signature(Schema((spec,), (spec,), Task.REGRESSION), 100), NAME, VERSION)
    raw = data.draw(st.binary(max_size=30))
    tensor = {**a_tensor(spec), "parameters": {"binary_data_size": len(raw)}}
    del tensor["data"]
    for body, size in (
        (json.dumps({"inputs": [a_tensor(spec)]}).encode(), None),
        (json.dumps({"inputs": [tensor]}).encode() + raw, len(json.dumps({"inputs": [tensor]}))),
    ):
        with only_named_errors():
            codec.read(body, size)
        changed = bytearray(body)
        at = data.draw(st.integers(0, len(body)))
        changed[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
        with only_named_errors():
            codec.read(changed, size if size is None else data.draw(st.sampled_from([size, 0, len(changed)])))


def an_array(spec: TensorSpec, rows: int, draw: Callable[[st.SearchStrategy[Any]], Any]) -> Any:
    shape = (rows, *spec.shape[1:])
    if spec.datatype is Datatype.BYTES:
        texts = draw(st.lists(st.text(max_size=6), min_size=rows * spec.width, max_size=rows * spec.width))
        made = np.empty(len(texts), dtype=object)
        made[:] = texts
        return made.reshape(shape)
    dtype = DTYPES[spec.datatype]
    raw = draw(st.binary(min_size=rows * spec.width * dtype.itemsize, max_size=rows * spec.width * dtype.itemsize))
    if spec.datatype is Datatype.BOOL:
        raw = bytes(byte & 1 for byte in raw)
    array = np.frombuffer(raw, dtype).reshape(shape)
    return np.nan_to_num(array, nan=0.5, posinf=1, neginf=-1) if spec.datatype in schema.FLOATS else array


@bounded
@given(spec=specs.filter(lambda spec: spec.name != "prediction_id"), rows=st.integers(1, 5), data=st.data())
def test_answers_are_the_arrays_again_in_both_forms(spec: TensorSpec, rows: int, data: st.DataObject) -> None:
    """What goes out in either form can be sent in, in that form, and is the same."""
    codec = Codec(Signature(Schema((spec,), (spec,), Task.REGRESSION), 100), NAME, VERSION)
    array = an_array(spec, rows, data.draw)
    begin = data.draw(st.integers(0, rows - 1))
    count = data.draw(st.integers(1, rows - begin))
    batch = Batch([array], Issuer(Schema((spec,), (spec,), Task.REGRESSION), version_key="0123456789"))
    tensor = a_tensor(spec) | {
        "shape": [count, *spec.shape[1:]],
        "data": [*a_tensor(spec)["data"][:1]] * count * spec.width,
    }
    wanted = codec._signature.slots[0].stack([_packed(spec, array[begin : begin + count])], count)
    for binary in (False, True):
        outputs = [{"name": spec.name, "parameters": {"binary_data": binary}}]
        request, form = codec.read(json.dumps({"inputs": [tensor], "outputs": outputs}).encode())
        body, size = codec.write(request, form, batch, begin)
        answer = orjson.loads(body[:size])
        back = json.dumps({"inputs": answer["outputs"]}, ensure_ascii=False).encode()
        again, _ = codec.read(back + body[size:] if size is not None else back, None if size is None else len(back))
        found = codec._signature.slots[0].stack(again.feeds, again.rows)
        assert (found.shape, found.tolist()) == (wanted.shape, wanted.tolist())


def _packed(spec: TensorSpec, array: Any) -> Any:
    return array.ravel().tolist() if spec.datatype is Datatype.BYTES else array.tobytes()
