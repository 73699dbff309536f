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

Standard library only: the server issues ids, the sidecar reads those that come back with a label.
"""

import re
import struct
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

MAX_LENGTH = 285
MAX_TEXT = 64  # bytes of a label, as of every text in the ring
FORM = "1"
TRACKS = {"stable": "s", "canary": "c"}
FLOAT = struct.Struct("<f")
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


def label_text(value: object) -> str:
    """Return a class label as ids hold it: numbers and truth values as in JSON, texts cut to 64 bytes of UTF-8."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    data = text.encode("utf-8", "replace")
    return data[:MAX_TEXT].decode("utf-8", "ignore")


def parse(text: str) -> PredictionId:
    """Read an id.

    Raises:
        ValueError: it is none; the text says what is wrong with it.
    """
    if len(text) > MAX_LENGTH:
        raise _bad(problem=f"has {len(text)} characters, at most {MAX_LENGTH} are possible")
    form, *parts = text.split(".", len(_FIELDS))
    if form != FORM:
        raise _bad(problem=f'begins with {form[:20]!r}, must begin with "{FORM}."')
    if len(parts) != len(_FIELDS):
        raise _bad(problem=f"has {len(parts) + 1} fields, must have {len(_FIELDS) + 1}: it is cut off")
    fields = dict(zip(_FIELDS, parts, strict=True))
    for name, value in fields.items():
        check(name, value)
    return PredictionId(
        version_key=fields["version"],
        time=int(fields["time"], 16) / 1000,
        track=next(track for track, letter in TRACKS.items() if letter == fields["track"]),
        label=_label(fields["label"]),
        score=FLOAT.unpack(bytes.fromhex(fields["score"]))[0] if fields["score"] else None,
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


def check(name: str, value: str) -> None:
    """Refuse a field that no id can hold.

    Raises:
        ValueError: the text says what it must match.
    """
    if not _FIELDS[name].fullmatch(value):
        raise _bad(problem=f"{name} {value[:60]!r} must match {_FIELDS[name].pattern}")


def _bad(*, problem: str) -> ValueError:
    return ValueError(f"prediction id: {problem}")
