"""What a canary answered over HTTP: its head read strictly, its body judged before a client gets it.

An answer is relayed only if it is beyond doubt: framed by one Content-Length, of a status that a request for inference
can get, and with a body that is what its head says.  Anything else is the canary's failure, and stable answers.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import Any

import numpy as np
import orjson

from modelwright_server.schema import FLOATS, Datatype
from modelwright_server.tensors import DTYPES

END_OF_HEAD = b"\r\n\r\n"
MAX_HEAD = 32 << 10
# A body up to this size is parsed before it is relayed: some 2 ms; of a larger one only both ends are looked at.
MAX_PARSED = 128 << 10

JSON = b"application/json"
OCTETS = b"application/octet-stream"
JSON_SIZE = b"inference-header-content-length"
PREDICTION_ID = b"x-prediction-id"
_LENGTH = b"content-length"
_TYPE = b"content-type"
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2})(?: [\t -~\x80-\xff]*)?")
_NAME = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_UNCLEAN = re.compile(rb"[\0\r\n]")
_LONGEST_NUMBER = 19
# Headers of one connection, which say nothing to the next.
_OF_CONNECTION = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
_ONCE = frozenset({_LENGTH, _TYPE, JSON_SIZE, PREDICTION_ID, b"content-encoding"})
_MOST_KNOWN, _LONGEST_KNOWN = 512, 128
_known: dict[bytes, tuple[bytes, bytes]] = {}
_OK, _NOT_FINITE = 200, 422
_CLIENTS_FAULT = frozenset({400, 413, 415})


class Outcome(StrEnum):
    """How a request that was meant for the canary ended there."""

    ANSWERED = "answered"
    INVALID = "invalid"  # a number of the answer is not finite
    REFUSED = "refused"  # a 5xx, or another status that says nothing of the request
    BROKEN = "broken"  # no answer that can be read
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    SKIPPED = "skipped"  # not tried: the breaker is open, or too many are under way


class BrokenAnswerError(ValueError):
    """What came is no answer that can be relayed."""

    def __init__(self, *, problem: str) -> None:
        super().__init__(problem)


@dataclass(slots=True)
class Head:
    """The head of an answer.

    Attributes:
        status: of HTTP.
        fields: headers by name in lower case; of a repeated one the last.
        lines: the header lines that go on to the client: all but those of the connection and of the framing.
        length: bytes of the body.
        keep: whether the connection stays open.
    """

    status: int
    fields: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    lines: list[bytes] = field(default_factory=list[bytes])
    length: int = 0
    keep: bool = True


@dataclass(slots=True)
class Answer:
    """An answer as it came."""

    head: Head
    body: bytes | bytearray


@dataclass(slots=True)
class Output:
    """An output of an answer: its values as JSON gave them, or raw."""

    name: str
    datatype: str
    rows: int
    values: list[Any] | memoryview


def head(data: bytes | bytearray) -> Head:
    """Read a head, without the empty line that ends it.

    Raises:
        BrokenAnswerError: it is none, or leaves open where the answer ends.
    """
    lines = bytes(data).split(b"\r\n")
    found = _STATUS_LINE.fullmatch(lines[0])
    if found is None:
        raise BrokenAnswerError(problem="the answer does not begin like HTTP/1.1")
    made = Head(int(found[1]))
    fields = made.fields
    for line in lines[1:]:
        key, value = _known.get(line) or _split(line)
        if key in _ONCE and key in fields:
            raise BrokenAnswerError(problem="a header of the answer is there twice")
        fields[key] = value
        if key not in _OF_CONNECTION and key not in {_LENGTH, _TYPE}:
            made.lines.append(line)
    length = fields.get(_LENGTH, b"")
    if not length.isdigit() or len(length) > _LONGEST_NUMBER or b"transfer-encoding" in fields:
        raise BrokenAnswerError(problem="the answer has no Content-Length to go by")
    made.length = int(length)
    made.keep = b"close" not in fields.get(b"connection", b"").lower()
    return made


def _split(line: bytes) -> tuple[bytes, bytes]:
    """Return the name of a header, in lower case, and its value; most lines come again, and are remembered."""
    name, colon, value = line.partition(b":")
    if not colon or not _NAME.fullmatch(name) or _UNCLEAN.search(value):
        raise BrokenAnswerError(problem="a header of the answer is malformed")
    found = name.lower(), value.strip(b" \t")
    if found[0] != PREDICTION_ID and len(line) <= _LONGEST_KNOWN:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[line] = found
    return found


def judged(answer: Answer) -> Outcome:
    """Return whether an answer can be relayed, and if not, what is wrong with it."""
    status = answer.head.status
    if status == _NOT_FINITE:
        return Outcome.INVALID
    if status in _CLIENTS_FAULT:
        return Outcome.ANSWERED if content_type(answer) == JSON else Outcome.BROKEN
    if status != _OK:
        return Outcome.REFUSED
    try:
        whole = len(answer.body) <= MAX_PARSED or b"null" in answer.body
        return Outcome.ANSWERED if all(map(finite, outputs(answer) if whole else _glanced(answer))) else Outcome.INVALID
    except BrokenAnswerError:
        return Outcome.BROKEN


def content_type(answer: Answer) -> bytes:
    """Return the kind of an answer's body, without parameters."""
    return answer.head.fields.get(_TYPE, b"").partition(b";")[0].strip().lower()


def outputs(answer: Answer) -> list[Output]:
    """Return the outputs in a 200.

    Raises:
        BrokenAnswerError: there are none, or they are not as they say.
    """
    text, raw = _parts(answer)
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BrokenAnswerError(problem="the answer is not JSON") from error
    members: dict[str, Any] = document if isinstance(document, dict) else {}  # pyright: ignore[reportUnknownVariableType]
    items: Any = members.get("outputs")
    if not isinstance(items, list) or not items:
        raise BrokenAnswerError(problem="the answer has no outputs")
    found: list[Output] = []
    for item in items:  # pyright: ignore[reportUnknownVariableType]
        output, raw = _output(item, raw)
        found.append(output)
    if raw:
        raise BrokenAnswerError(problem="more raw values follow than the outputs say")
    return found


def finite(output: Output) -> bool:
    """Return whether an output has no number that is not finite."""
    if output.datatype not in FLOATS:
        return True
    if isinstance(output.values, memoryview):
        return bool(np.isfinite(np.frombuffer(output.values, DTYPES[Datatype(output.datatype)])).all())
    return None not in flat(output.values)


def flat(values: list[Any]) -> list[Any]:
    """Return values row after row, also of a list for each row."""
    return list(chain.from_iterable(values)) if values and isinstance(values[0], list) else values


def _glanced(answer: Answer) -> list[Output]:
    """Look at the ends of a large body that has no null."""
    text, _ = _parts(answer)
    if text[:1] != b"{" or text[-1:] != b"}":
        raise BrokenAnswerError(problem="the answer is not JSON")
    return [] if len(text) == len(answer.body) else outputs(answer)


def _parts(answer: Answer) -> tuple[bytes | bytearray, memoryview]:
    """Return the JSON of a body, and the raw values behind it."""
    kind, size, body = content_type(answer), answer.head.fields.get(JSON_SIZE), answer.body
    if b"content-encoding" in answer.head.fields or kind != (JSON if size is None else OCTETS):
        raise BrokenAnswerError(problem="the answer is neither JSON nor JSON with raw values")
    if size is None:
        return body, memoryview(b"")
    if not size.isdigit() or len(size) > _LONGEST_NUMBER or int(size) > len(body):
        raise BrokenAnswerError(problem="Inference-Header-Content-Length is no number of bytes in the answer")
    return body[: int(size)], memoryview(body)[int(size) :]


def _output(item: Any, raw: memoryview) -> tuple[Output, memoryview]:  # noqa: ANN401 - JSON
    """Return an output, and the raw values that follow its own."""
    try:
        name, datatype, rows = item["name"], item["datatype"], item["shape"][0]
        if type(name) is not str or type(datatype) is not str or type(rows) is not int:
            raise BrokenAnswerError(problem="an output does not say what it is")
        values = item.get("data")
        if type(values) is list:
            return Output(name, datatype, rows, values), raw  # pyright: ignore[reportUnknownArgumentType]
        size = item["parameters"]["binary_data_size"]
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise BrokenAnswerError(problem="an output does not say what it is") from error
    if type(size) is not int or not 0 <= size <= len(raw):
        raise BrokenAnswerError(problem="an output has no data")
    if datatype in FLOATS and size % DTYPES[Datatype(datatype)].itemsize:
        raise BrokenAnswerError(problem="an output has part of a number")
    return Output(name, datatype, rows, raw[:size]), raw[size:]
