"""Prediction ids: what was predicted, by what and when, in the id itself.

A label that comes days later is joined with its prediction by reading the id; nothing about
predictions is stored anywhere.  Forms are those of ABNF (RFC 5234):

    id         = "1." version "." track "." nonce "." number "." time "." score "." label
    version    = 1*32(ALPHA / DIGIT / "-" / "_")   ; first 10 hex digits of the version's digest
    track      = "s" / "c"                         ; stable, canary
    nonce      = 12HEX                             ; random for each process
    number     = 1*16HEX                           ; of the prediction in its process, from 0
    time       = 1*16HEX                           ; milliseconds since 1970
    score      = [8HEX]                            ; IEEE 754 single precision, little-endian bytes
    label      = *192(ALPHA / DIGIT / "-" / "." / "_" / "~" 2HEX)
    HEX        = DIGIT / "a" / "b" / "c" / "d" / "e" / "f"

The leading 1 is the version of this form.  The label is UTF-8, cut to 64 bytes where a character ends, in
percent-encoding with ``~`` for ``%``: an id has only characters that a URL leaves as they are (RFC 3986,
unreserved), and a header takes.  The score is the probability of the second class of two, the largest
probability of more classes, or the predicted number; it is empty where the model gives none, and so is the
label of a regression.  An id is 50 to 60 characters and its label, and never longer than `MAX_LENGTH`.
"""

import re
import secrets
import struct
import time
from binascii import hexlify
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import numpy as np
import numpy.typing as npt

from modelwright_server.ring.layout import MAX_TEXT
from modelwright_server.ring.writer import cut
from modelwright_server.schema import FLOATS, Datatype, Schema, Task, TensorSpec

Array = npt.NDArray[Any]

MAX_LENGTH = 285
_FORM = "1"
_TRACKS = {"stable": "s", "canary": "c"}
_MOST_LABELS = 4096
_FLOAT = struct.Struct("<f")
_FIELDS = {
    "version": re.compile(r"[A-Za-z0-9_-]{1,32}"),
    "track": re.compile(r"[sc]"),
    "nonce": re.compile(r"[0-9a-f]{12}"),
    "number": re.compile(r"[0-9a-f]{1,16}"),
    "time": re.compile(r"[0-9a-f]{1,16}"),
    "score": re.compile(r"(?:[0-9a-f]{8})?"),
    "label": re.compile(r"(?:[A-Za-z0-9._-]|~[0-9A-F]{2})*"),
}


@dataclass(frozen=True, slots=True)
class PredictionId:
    """What an id says.

    Attributes:
        version_key: which version predicted: the first ten hex digits of its digest.
        time: when, in seconds since 1970.
        track: on which track.
        label: the predicted class, as `label_text` gives it; empty for a regression.
        score: a probability or the predicted number, see above; None where the model gives none.
        nonce: of the process that predicted.
        number: of the prediction in that process.
    """

    version_key: str
    time: float
    track: str
    label: str
    score: float | None
    nonce: str
    number: int


class Issuer:
    """Makes the ids of one process, version and track; made anew in each process, one thread at a time."""

    def __init__(
        self,
        schema: Schema,
        *,
        version_key: str,
        track: str = "stable",
        now: Callable[[], int] = time.time_ns,
        nonce: str | None = None,
    ) -> None:
        """Find out which outputs to read.

        Args:
            schema: outputs of the model.
            version_key: first ten hex digits of the version's digest.
            track: ``stable`` or ``canary``.
            now: nanoseconds since 1970.
            nonce: twelve hex digits instead of random ones.

        Raises:
            ValueError: an argument that no id can hold.
        """
        if track not in _TRACKS:
            raise _bad(problem=f"track is {track!r}, must be one of {', '.join(_TRACKS)}")
        nonce = nonce or secrets.token_hex(6)
        for name, value in {"version": version_key, "nonce": nonce}.items():
            _check(name, value)
        self._version_key, self._nonce = version_key, nonce
        self._prefix = b""
        self.serve(track)
        self._number = 0
        self._now = now
        self._label = label_position(schema)
        self._score = score_position(schema)
        self._labels = _Labels()
        spec = schema.outputs[self._score or 0]
        self._single = spec.datatype is Datatype.FP32
        classes = spec.width if schema.task is Task.CLASSIFICATION else 1
        self._column = None if classes > 2 else classes - 1  # noqa: PLR2004 - a class and its opposite

    def serve(self, track: str) -> None:
        """Name this track, ``stable`` or ``canary``, in all further ids."""
        self._prefix = ".".join((_FORM, self._version_key, _TRACKS[track], self._nonce, "")).encode()

    def ids(self, arrays: Sequence[Array]) -> list[bytes]:
        """Return new ids for the predictions in each row of the outputs, all of them in the schema's order."""
        rows = len(arrays[0])
        first = self._number
        self._number += rows
        form = b"%b%%x.%x.%%b%%b" % (self._prefix, self._now() // 1_000_000)
        scores = repeat(b"", rows) if self._score is None else self._scores(arrays[self._score])
        values = repeat(None, rows) if self._label is None else arrays[self._label].ravel().tolist()
        labels = self._labels
        numbered = zip(range(first, first + rows), scores, values, strict=True)
        return [form % (number, score, labels[value]) for number, score, value in numbered]

    def _scores(self, array: Array) -> list[bytes]:
        """Return the score of each row in hex."""
        if array.ndim > 1:
            array = np.maximum.reduce(array, axis=1) if self._column is None else array[:, self._column]
        if not self._single:
            with np.errstate(over="ignore"):  # becomes infinite
                array = array.astype("<f4")
        return hexlify(array.tobytes(), b".", _FLOAT.size).split(b".")


class _Labels(dict[object, bytes]):
    """The last part of an id by label, with the dot before it; forgets all when it has grown too large."""

    def __missing__(self, value: object) -> bytes:
        if len(self) >= _MOST_LABELS:
            self.clear()
        text = quote("" if value is None else label_text(value), safe="").replace("~", "%7E").replace("%", "~")
        made = self[value] = b"." + text.encode()
        return made


def label_text(value: object) -> str:
    """Return a class label as ids hold it: numbers and truth values as in JSON, texts cut to 64 bytes of UTF-8."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    data = text.encode("utf-8", "replace")
    return (data if len(data) <= MAX_TEXT else cut(data)).decode()


def parse(text: str) -> PredictionId:
    """Read an id.

    Raises:
        ValueError: it is none; the text says what is wrong with it.
    """
    if len(text) > MAX_LENGTH:
        raise _bad(problem=f"has {len(text)} characters, at most {MAX_LENGTH} are possible")
    form, *parts = text.split(".", len(_FIELDS))
    if form != _FORM:
        raise _bad(problem=f'begins with {form[:20]!r}, must begin with "{_FORM}."')
    if len(parts) != len(_FIELDS):
        raise _bad(problem=f"has {len(parts) + 1} fields, must have {len(_FIELDS) + 1}: it is cut off")
    fields = dict(zip(_FIELDS, parts, strict=True))
    for name, value in fields.items():
        _check(name, value)
    return PredictionId(
        version_key=fields["version"],
        time=int(fields["time"], 16) / 1000,
        track=next(track for track, letter in _TRACKS.items() if letter == fields["track"]),
        label=_label(fields["label"]),
        score=_FLOAT.unpack(bytes.fromhex(fields["score"]))[0] if fields["score"] else None,
        nonce=fields["nonce"],
        number=int(fields["number"], 16),
    )


def _label(field: str) -> str:
    data = unquote_to_bytes(field.replace("~", "%"))
    if len(data) > MAX_TEXT:
        raise _bad(problem=f"label has {len(data)} bytes, at most {MAX_TEXT} are possible")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _bad(problem="label is not UTF-8") from error


def _check(name: str, value: str) -> None:
    if not _FIELDS[name].fullmatch(value):
        raise _bad(problem=f"{name} {value[:60]!r} must match {_FIELDS[name].pattern}")


def _bad(*, problem: str) -> ValueError:
    return ValueError(f"prediction id: {problem}")


def label_position(schema: Schema) -> int | None:
    """Return which output is the label; None for a regression, or where there is none."""
    return _position(schema, _is_label) if schema.task is Task.CLASSIFICATION else None


def score_position(schema: Schema) -> int | None:
    """Return which output is the score, None where there is none."""
    return _position(schema, _is_score)


def _position(schema: Schema, wanted: Callable[[TensorSpec], bool]) -> int | None:
    return next((at for at, spec in enumerate(schema.outputs) if wanted(spec)), None)


def _is_label(spec: TensorSpec) -> bool:
    return spec.datatype not in FLOATS and spec.width == 1


def _is_score(spec: TensorSpec) -> bool:
    return spec.datatype in FLOATS
