"""Issuing prediction ids, whose form is in `modelwright_server.contract.prediction`.

Every prediction has a number, also one whose id nobody asks for: the ring keeps it as the *mark* of a record, with the
track in the highest bit, so that a reader of the ring can make the very id that the client was given.
"""

import secrets
import time
from binascii import hexlify
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from modelwright_server.contract import CANARY, STABLE
from modelwright_server.contract.prediction import FLOAT, FORM, TRACKS, check, label_text
from modelwright_server.schema import FLOATS, Datatype, Schema, Task, TensorSpec

Array = npt.NDArray[Any]

_MOST_LABELS = 4096
_CANARY_BIT = 1 << 63
_NUMBERS = _CANARY_BIT - 1
NONCE_DIGITS = 12


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
        if track not in TRACKS:
            message = f"prediction id: track is {track!r}, must be one of {', '.join(TRACKS)}"
            raise ValueError(message)
        nonce = nonce or secrets.token_hex(NONCE_DIGITS // 2)
        for name, value in {"version": version_key, "nonce": nonce}.items():
            check(name, value)
        self._version_key, self._nonce = version_key, nonce
        self._prefixes = {name: self._prefix(letter) for name, letter in TRACKS.items()}
        self._track_bit = 0
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
        self._track_bit = _CANARY_BIT if track == CANARY else 0

    def take(self, rows: int) -> tuple[int, int]:
        """Give so many predictions their numbers; return the mark of the first, and the time of all of them."""
        first = self._number
        self._number += rows
        return first | self._track_bit, self._now()

    def ids(self, arrays: Sequence[Array], mark: int | None = None, time: int | None = None) -> list[bytes]:
        """Return the ids of the predictions in each row of the outputs, all of them in the schema's order.

        Mark and time are what `take` gave these predictions, or a record of the ring has; without them they are new.
        """
        rows = len(arrays[0])
        if mark is None or time is None:
            mark, time = self.take(rows)
        first = mark & _NUMBERS
        form = b"%b%%x.%x.%%b%%b" % (self._prefixes[track_of(mark)], time // 1_000_000)
        scores = repeat(b"", rows) if self._score is None else self._scores(arrays[self._score])
        values = repeat(None, rows) if self._label is None else arrays[self._label].ravel().tolist()
        labels = self._labels
        numbered = zip(range(first, first + rows), scores, values, strict=True)
        return [form % (number, score, labels[value]) for number, score, value in numbered]

    def _prefix(self, letter: str) -> bytes:
        return f"{FORM}.{self._version_key}.{letter}.{self._nonce}.".encode()

    def _scores(self, array: Array) -> list[bytes]:
        """Return the score of each row in hex."""
        if array.ndim > 1:
            array = np.maximum.reduce(array, axis=1) if self._column is None else array[:, self._column]
        if not self._single:
            with np.errstate(over="ignore"):  # becomes infinite
                array = array.astype("<f4")
        return hexlify(array.tobytes(), b".", FLOAT.size).split(b".")


def track_of(mark: int) -> str:
    """Return the track of the predictions that a mark is of."""
    return CANARY if mark & _CANARY_BIT else STABLE


class _Labels(dict[object, bytes]):
    """The last part of an id by label, with the dot before it; forgets all when it has grown too large."""

    def __missing__(self, value: object) -> bytes:
        if len(self) >= _MOST_LABELS:
            self.clear()
        text = quote("" if value is None else label_text(value), safe="").replace("~", "%7E").replace("%", "~")
        made = self[value] = b"." + text.encode()
        return made


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
