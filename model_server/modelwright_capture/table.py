"""Captured rows as columns: what a file of them has, and how it is filled from what waits in the spool.

Beside the features by their names and the outputs (`predicted_…`) a row has its prediction's id, time, version, digest
and track.  Features that are redacted are not there at all.  A feature whose own name begins as these do is
`feature_…`, so that nobody takes one for the other.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from modelwright_capture.rows import Chunk
from modelwright_capture.spool import Frame
from modelwright_server import artifact, schema
from modelwright_server.contract import capture
from modelwright_server.prediction import NONCE_DIGITS, Issuer, track_of
from modelwright_server.ring import Origin, Record, RingError
from modelwright_server.schema import Datatype, Schema, TensorSpec

Array = npt.NDArray[Any]
Columns = dict[str, Array | list[str]]

_OURS = ("prediction_", capture.OUTPUT_PREFIX)
_VERSION_KEY = slice(7, 17)  # of "sha256:…"


class RedactError(ValueError):
    """What is to be left out is no feature of the model."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a column comes from: the tensor's place among inputs or outputs, and the column there."""

    name: str
    tensor: int
    column: int


@dataclass(slots=True)
class Filled:
    """The rows of a file.

    Attributes:
        columns: by name, all equally long.
        rows: their length.
        unreadable: rows that made no sense.
    """

    columns: Columns
    rows: int
    unreadable: int


class Layout:
    """The columns of one model's files."""

    def __init__(self, signature: Schema, digest: str, redacted: Sequence[str] = ()) -> None:
        """Find each column.

        Raises:
            RedactError: a name that is to be left out is no feature.
        """
        self._schema, self._digest = signature, digest
        check_redacted(signature, redacted, "capture")
        inputs, outputs = list(_named(signature.inputs)), list(_named(signature.outputs, whole=True))
        self._outputs = [Place(capture.OUTPUT_PREFIX + at.name, at.tensor, at.column) for at in outputs]
        self._features = [
            Place(f"feature_{at.name}" if at.name.startswith(_OURS) else at.name, at.tensor, at.column)
            for at in inputs
            if at.name not in set(redacted)
        ]

    def fill(self, frames: Iterable[Frame]) -> Filled:
        """Return the rows of frames as columns."""
        inputs: list[list[Array]] = [[] for _ in self._schema.inputs]
        outputs: list[list[Array]] = [[] for _ in self._schema.outputs]
        ids: list[str] = []
        times: list[int] = []
        versions: list[str] = []
        tracks: list[str] = []
        unreadable = 0
        for frame in frames:
            issuer = issuer_of(self._schema, self._digest, frame.nonce)
            origin = Origin(self._schema, "", frame.version, self._digest, "", frame.nonce)
            for chunk in frame.chunks:
                rows = len(chunk.marks)
                try:
                    given, answered, named = decoded(issuer, origin, chunk)
                except (RingError, ValueError):
                    unreadable += rows
                    continue
                for kept, array in zip((*inputs, *outputs), (*given, *answered), strict=True):
                    kept.append(array)
                ids += named
                times += [chunk.time // 1000] * rows
                versions += [frame.version] * rows
                tracks += [track_of(int(mark)) for mark in chunk.marks]
        columns: Columns = {
            capture.PREDICTION_ID: ids,
            capture.PREDICTION_TIME: np.array(times, "datetime64[us]"),
            capture.PREDICTION_VERSION: versions,
            capture.PREDICTION_DIGEST: [self._digest] * len(ids),
            capture.PREDICTION_TRACK: tracks,
        }
        if ids:
            columns |= dict(_cut(self._features, self._schema.inputs, inputs))
            columns |= dict(_cut(self._outputs, self._schema.outputs, outputs))
        return Filled(columns, len(ids), unreadable)


def model_of(folder: Path) -> tuple[Schema, str]:
    """Return schema and digest of the model in a folder.

    Raises:
        ArtifactInvalidError: it has no schema.
        OSError: it cannot be read.
    """
    signature = schema.parse((folder / artifact.SCHEMA).read_bytes())
    return signature, "sha256:" + hashlib.sha256((folder / artifact.MANIFEST).read_bytes()).hexdigest()


def check_redacted(signature: Schema, redacted: Sequence[str], field: str) -> None:
    """Refuse names that are to be left out and are not there.

    Args:
        signature: of the model.
        redacted: the names.
        field: of spec.monitoring that has them.

    Raises:
        RedactError: a name is no feature.
    """
    known = [place.name for place in _named(signature.inputs)]
    if unknown := sorted(set(redacted) - set(known)):
        some = ", ".join(known[:20])
        message = f"spec.monitoring.{field}.redact names {unknown[0]!r}, which is no feature of the model ({some})"
        raise RedactError(message)


def issuer_of(signature: Schema, digest: str, nonce: str) -> Issuer:
    """Return what makes the ids of one process's predictions, whose ring has the nonce."""
    return Issuer(signature, version_key=digest[_VERSION_KEY], nonce=nonce[:NONCE_DIGITS])


def decoded(issuer: Issuer, origin: Origin, chunk: Chunk) -> tuple[list[Array], list[Array], list[str]]:
    """Return a chunk's inputs, its outputs, and the ids of its predictions.

    Raises:
        RingError: they make no sense.
        ValueError: likewise.
    """
    record = Record(origin, 0, chunk.time, len(chunk.marks), chunk.values)
    given, answered = list(record.features.values()), list(record.outputs.values())
    return given, answered, _ids(issuer, chunk, answered)


def _named(specs: Sequence[TensorSpec], *, whole: bool = False) -> Iterator[Place]:
    """Return each column of tensors by the name that people know it by; `whole`: with its tensor's."""
    names = [
        (at, column, name)
        for at, spec in enumerate(specs)
        for column, name in enumerate(spec.columns or ([spec.name] if spec.width == 1 else map(str, range(spec.width))))
    ]
    often = Counter(name for _, _, name in names)
    for at, column, name in names:
        spec = specs[at]
        own = spec.width == 1 and not spec.columns
        plain = own or (bool(spec.columns) and often[name] == 1 and not whole)
        yield Place(name if plain else f"{spec.name}[{name}]", at, column)


def _ids(issuer: Issuer, chunk: Chunk, outputs: Sequence[Array]) -> list[str]:
    marks = chunk.marks
    first, rows = int(marks[0]), len(marks)
    if int(marks[-1]) == first + rows - 1:
        found = issuer.ids(outputs, first, chunk.time)
    else:
        found = [
            issuer.ids([array[at : at + 1] for array in outputs], int(mark), chunk.time)[0]
            for at, mark in enumerate(marks)
        ]
    return [text.decode() for text in found]


def _cut(
    places: Sequence[Place], specs: Sequence[TensorSpec], tensors: Sequence[Sequence[Array]]
) -> Iterator[tuple[str, Array | list[str]]]:
    whole = [np.concatenate([array.reshape(len(array), -1) for array in arrays]) for arrays in tensors]
    for place in places:
        values = whole[place.tensor][:, place.column]
        kind = specs[place.tensor].datatype
        if kind is Datatype.BYTES:
            yield place.name, values.tolist()
        elif kind is Datatype.FP16:  # which few readers of Parquet know
            yield place.name, values.astype(np.float32)
        else:
            yield place.name, values
