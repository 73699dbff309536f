"""Requests recognised by their bytes are answered as if they had been read: the same data, with and without memory."""

import asyncio
import json
import math
import re
import struct
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelwright_server import model
from modelwright_server.dataplane import DataPlane
from modelwright_server.http.connection import Connection
from modelwright_server.http.inference import RestExchange
from modelwright_server.http.listener import Listener
from modelwright_server.http.messages import Limits
from modelwright_server.http.rest import RestApplication
from modelwright_server.prediction import Issuer
from modelwright_server.telemetry import Telemetry
from tests.server.models import Built
from tests.server.process import INFER, NAME, VERSION

WIDTH = 30


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.closed = True

    def get_extra_info(self, _: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def message(values: str, *, head: str = "", around: tuple[str, str] = ("", ""), shape: str = f"[1,{WIDTH}]") -> bytes:
    tensor = f'"name":"input","datatype":"FP32","shape":{shape},"data":[{values}]'
    body = f'{{{around[0]}"inputs":[{{{tensor}}}]{around[1]}}}'
    start = f"POST {INFER} HTTP/1.1\r\nHost: a\r\n{head}Content-Length: {len(body.encode())}\r\n\r\n"
    return (start + body).encode()


def row(value: float) -> str:
    return ",".join([repr(value)] * WIDTH)


@pytest.fixture(scope="module")
def answers(built: Callable[[str], Built]) -> Callable[[list[bytes]], tuple[bytes, bytes, int]]:
    """Send pieces of data over one connection each, without memory and with; return what came and what was recalled."""
    loaded = model.load(built("logistic").folder, threads=1)

    async def send(pieces: list[bytes]) -> tuple[bytes, bytes, int]:
        wires, recalled = [], 0
        for remembers in (False, True):
            telemetry = Telemetry(NAME, VERSION, "", "")
            plane = DataPlane(NAME, VERSION, 100, telemetry, batch_rows=64)
            plane.attach(loaded, Issuer(loaded.schema, version_key="0123456789"))
            application = RestApplication(plane, telemetry, 1 << 20)
            read = application._repeats.read

            def count(data: bytes, read: Any = read) -> Any:
                nonlocal recalled
                found = read(data)
                recalled += found is not None
                return found

            application._repeats.read = count  # type: ignore[method-assign]
            shortcut = application if remembers else None
            listener = Listener(application, Limits(body=1 << 20), telemetry, exchange=RestExchange, shortcut=shortcut)
            wire = Wire()
            connection = Connection(listener)
            connection.connection_made(wire)  # type: ignore[arg-type]
            for piece in pieces:
                connection.data_received(piece)
                await asyncio.sleep(0)
            plane.close()
            wires.append(wire.written)
        return wires[0], wires[1], recalled

    def run(pieces: list[bytes]) -> tuple[bytes, bytes, int]:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            long, short, recalled = runner.run(send(pieces))
        return without_ids(long), without_ids(short), recalled

    return run


def without_ids(data: bytes) -> bytes:
    return re.sub(rb"(X-Prediction-Id: )[^\r]*|\"1\.0123456789[^\"]*\"", rb"\1", data)


Answers = Callable[[list[bytes]], tuple[bytes, bytes, int]]


def test_what_repeats_is_recalled_from_the_third_time_on_and_answered_alike(answers: Answers) -> None:
    long, short, recalled = answers([message(row(value)) for value in (1.5, 2.5, 3.5, 4.5)])
    assert short == long
    assert short.count(b"HTTP/1.1 200 OK") == 4
    assert recalled == 2


VALUES = [
    row(7.5),
    row(1e39).replace("e+39", "0" * 39),
    row(1e-5),
    ",".join(["true"] * WIDTH),
    ",".join(["null"] * WIDTH),
    ",".join(['"x"'] * WIDTH),
    ",".join(["[1]"] * WIDTH),
    row(1.5) + ",1",
    "1.5",
    "",
    row(1.5)[:-1] + "x",
    row(1.5) + '],"data":[' + row(9.5),
    row(1.5) + '],"shape":[1,31',
    row(1.5) + ']},{"name":"input","datatype":"FP32","shape":[1,30],"data":[' + row(9.5),
    row(1.5) + "]}]}   ",
    "NaN," + row(1.5)[4:],
    "1" * 5000 + row(1.5)[3:],
]


@pytest.mark.parametrize("values", VALUES)
def test_other_values_are_judged_as_ever(answers: Answers, values: str) -> None:
    same = message(values)
    usual = message(row(1.5)[: len(values)] if len(values) < len(row(1.5)) else row(1.5))
    long, short, _ = answers([message(row(1.5)), message(row(2.5)), usual, same, same, message(row(3.5))])
    assert short == long


@pytest.mark.parametrize(
    "around",
    [
        ('"x":{"data":[1,2]},', ""),
        ('"data":[1,2],', ""),
        ('"x":"\\"data\\":[",', ""),
        ("", ',"outputs":[{"name":"label","data":[3]}]'),
        ("", ',"outputs":[{"name":"prediction_id"},{"name":"probabilities"}]'),
        ("", ',"parameters":{"binary_data_output":true}'),
        ('"id":"7",', ""),
        ('"d\\u0061ta":[1],', ""),
    ],
)
def test_what_stands_around_the_values_counts(answers: Answers, around: tuple[str, str]) -> None:
    pieces = [message(row(value), around=around) for value in (1.5, 2.5, 3.5)]
    moved = [piece.replace(b"[1,2]", b"[3,4]").replace(b"[1]", b"[2]").replace(b"[3]", b"[4]") for piece in pieces]
    long, short, _ = answers(pieces + moved + pieces)
    assert short == long


def test_heads_that_decide_otherwise_are_not_taken_for_others(answers: Answers) -> None:
    plain = message(row(1.5))
    pieces = [plain, plain, plain]
    pieces += [message(row(1.5), head=head) for head in ("Connection: keep-alive\r\n", "Expect: 100-continue\r\n") * 3]
    pieces += [plain[:100], plain[100:], plain + plain, plain + plain[:50], plain[50:]]
    pieces += [message(row(1.5), head="Content-Encoding: identity\r\n")] * 3
    pieces += [message(row(1.5), head="Upgrade: h2c\r\nConnection: Upgrade\r\n")] * 3
    pieces += [plain, plain.replace(b"Content-Length: ", b"Content-Length: 0")]
    pieces += [plain + b"GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n"]
    pieces += [message(row(1.5), head="Connection: close\r\n")] * 2
    long, short, recalled = answers(pieces)
    assert short == long
    assert recalled >= 3


def test_nothing_is_recalled_where_each_head_differs(answers: Answers) -> None:
    long, short, recalled = answers([message(row(1.5), head=f"X-Request-Id: {at}\r\n") for at in range(100)])
    assert (short, recalled) == (long, 0)


def test_numbers_of_any_form(answers: Answers) -> None:
    forms = ["0", "-0", "1", "0.1", "-3.25", "123456789", "0.30000001192092896", "5E1", " 4 ", "1.0"]
    body = ",".join((forms * 3)[:WIDTH])
    long, short, recalled = answers([message(body), message(body), message(body), message(body.replace("5E1", "501"))])
    assert short == long
    assert recalled == 2


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_seen(answers: Answers, data: st.DataObject) -> None:
    """A byte changed, lost or added anywhere makes no difference between the two ways."""
    plain = message(row(1.25))
    at = data.draw(st.integers(0, len(plain) - 1))
    piece = data.draw(
        st.sampled_from([b"", b"0", b" ", b'"', b"[", b"]", b",", b"\r", b"\n", b"e", b"\x80", b"}", b":"])
    )
    damaged = plain[:at] + piece + plain[at + data.draw(st.integers(0, 2)) :]
    long, short, recalled = answers([plain, plain, plain, damaged, plain])
    assert short == long
    assert recalled >= 1


def test_the_real_server_answers_repeats_like_the_first(built: Callable[[str], Built], logistic: Any) -> None:
    known = built("logistic")
    with logistic.client() as client:
        found = []
        for at in [*range(12), *range(12)]:
            rows = known.rows.iloc[at : at + 1]
            body = json.dumps({"inputs": known.inputs(rows)}).encode()
            found.append(client.request("POST", INFER, body).json)
    assert found[:12] == found[12:]


def raw_message(values: bytes, *, rows: int = 1, outputs: str = '"binary_data_output":true') -> bytes:
    size = rows * WIDTH * 4
    tensor = f'"name":"input","datatype":"FP32","shape":[{rows},{WIDTH}],"parameters":{{"binary_data_size":{size}}}'
    stated = f'{{"inputs":[{{{tensor}}}],"parameters":{{{outputs}}}}}'.encode()
    head = f"POST {INFER} HTTP/1.1\r\nHost: a\r\nInference-Header-Content-Length: {len(stated)}\r\n"
    return f"{head}Content-Length: {len(stated) + len(values)}\r\n\r\n".encode() + stated + values


def floats(*values: float) -> bytes:
    return struct.pack(f"<{WIDTH}f", *(list(values) * WIDTH)[:WIDTH])


@pytest.mark.parametrize("outputs", ['"binary_data_output":true', '"binary_data_output":false', '"note":"a"'])
def test_raw_values_repeat_as_well(answers: Answers, outputs: str) -> None:
    pieces = [raw_message(floats(value), outputs=outputs) for value in (1.5, 2.5, 3.5, 4.5)]
    pieces += [raw_message(floats(1, 2) + floats(3, 4), rows=2, outputs=outputs)] * 4
    long, short, recalled = answers(pieces)
    assert short == long
    assert recalled == 4


@pytest.mark.parametrize("values", [floats(math.nan), floats(1, math.inf), floats(-math.inf)])
def test_raw_values_are_judged_as_ever(answers: Answers, values: bytes) -> None:
    usual = raw_message(floats(1.5))
    hostile = [raw_message(values), raw_message(values)[:-4], raw_message(floats(2.5)) + b"abcd"]
    long, short, _ = answers([usual, usual, usual, hostile[0], usual, *hostile])
    assert short == long
    assert b" 400 " in short


def swapped(*pairs: tuple[str, str]) -> bytes:
    text = message(row(1.5)).decode()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text.encode()


SIZE = len(message(row(1.5)).partition(b"\r\n\r\n")[2])
LENGTH = f"Content-Length: {SIZE}\r\n"
INNER = f"POST {INFER} HTTP/1.1\r\nHost: b\r\nX-Other: 1\r\nContent-Length: 2\r\n\r\n{{}}"
HEADS = {
    "host twice": swapped(("Host: a\r\n", "Host: a\r\nHost: b\r\n")),
    "host twice, spelt differently": swapped(("Host: a\r\n", "Host: a\r\nhost: b\r\n")),
    "no host": swapped(("Host: a\r\n", "")),
    "empty host": swapped(("Host: a\r\n", "Host:\r\n")),
    "length twice": swapped((LENGTH, LENGTH + LENGTH)),
    "length twice, spelt differently": swapped((LENGTH, LENGTH + LENGTH.lower())),
    "length with a zero before": swapped((LENGTH, f"Content-Length: 0{SIZE}\r\n")),
    "length with a sign": swapped((LENGTH, f"Content-Length: +{SIZE}\r\n")),
    "length too small": swapped((LENGTH, f"Content-Length: {SIZE - 1}\r\n")),
    "length too great": swapped((LENGTH, f"Content-Length: {SIZE + 1}\r\n")),
    "length of the rest, in another case": swapped((LENGTH, LENGTH.upper())),
    "a coding beside the length": swapped((LENGTH, LENGTH + "Transfer-Encoding: chunked\r\n")),
    "a header twice": swapped((LENGTH, LENGTH + "X-A: 1\r\nX-A: 2\r\n")),
    "an empty header": swapped((LENGTH, LENGTH + "X-A:\r\n")),
    "a folded header": swapped((LENGTH, LENGTH + "X-A: 1\r\n 2\r\n")),
    "a bare line feed": swapped((LENGTH, LENGTH + "X-A: 1\nX-B: 2\r\n")),
    "too many headers": swapped((LENGTH, LENGTH + "".join(f"X-{at}: 1\r\n" for at in range(300)))),
    "a long header": swapped((LENGTH, LENGTH + f"X-A: {'a' * 70_000}\r\n")),
    "closing": swapped((LENGTH, LENGTH + "Connection: close\r\n")),
    "closing, by a proxy": swapped((LENGTH, LENGTH + "Proxy-Connection: close\r\n")),
    "another version": swapped(("HTTP/1.1", "HTTP/1.0")),
    "another method": swapped(("POST", "PUT")),
    "a query": swapped((f"{INFER} HTTP", f"{INFER}?a=1 HTTP")),
    "no model of ours": swapped((INFER, "/v2/models/other/infer")),
    "json size, empty": swapped((LENGTH, LENGTH + "Inference-Header-Content-Length:\r\n")),
    "json size, no number": swapped((LENGTH, LENGTH + "Inference-Header-Content-Length: x\r\n")),
    "json size, all of it": swapped((LENGTH, LENGTH + f"Inference-Header-Content-Length: {SIZE}\r\n")),
    "compressed, it says": swapped((LENGTH, LENGTH + "Content-Encoding: gzip\r\n")),
    "a second request in the body": swapped((message(row(1.5)).partition(b"\r\n\r\n")[2].decode(), INNER)),
    "two, the first without length": swapped((LENGTH, "X-Other: 2\r\n")) + INNER.encode(),
    "two, with the second's length fitting": INNER.encode() + swapped((LENGTH, f"Content-Length: {SIZE}\r\n")),
    "spaces before the colon": swapped(("Host: a", "Host : a")),
}


@pytest.mark.parametrize("head", HEADS)
def test_a_request_taken_whole_is_judged_as_one_taken_piece_by_piece(answers: Answers, head: str) -> None:
    usual = message(row(2.5), head="X-A: 1\r\nX-Other: 1\r\nX-B: 2\r\nConnection: keep-alive\r\n")
    long, short, _ = answers([usual, usual, HEADS[head], usual, usual])
    assert short == long


def test_requests_with_heads_of_their_own_are_taken_whole(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bytes] = []
    take = RestApplication.taken

    def counted(self: RestApplication, connection: Connection, body: bytes, *rest: Any) -> Any:
        taken.append(body)
        return take(self, connection, body, *rest)

    monkeypatch.setattr(RestApplication, "taken", counted)
    pieces = [message(row(1.5), head=f"X-Request-Id: {at}\r\ntraceparent: {at}\r\n") for at in range(50)]
    pieces += [raw_message(floats(at)).replace(b"Host: a", b"Host: a\r\nX-Request-Id: %d" % at) for at in range(50)]
    long, short, _ = answers(pieces)
    assert short == long
    assert len(taken) == 99  # the first tells that these names are of no concern
