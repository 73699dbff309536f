"""One record of a ring, and whose it is."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from modelwright_server.ring import layout
from modelwright_server.ring.layout import RingError
from modelwright_server.schema import Datatype, Schema, TensorSpec

Array = npt.NDArray[Any]

DTYPES: dict[Datatype, str] = {
    Datatype.FP16: "<f2",
    Datatype.FP32: "<f4",
    Datatype.FP64: "<f8",
    Datatype.INT8: "<i1",
    Datatype.INT16: "<i2",
    Datatype.INT32: "<i4",
    Datatype.INT64: "<i8",
    Datatype.UINT8: "<u1",
    Datatype.UINT16: "<u2",
    Datatype.UINT32: "<u4",
    Datatype.UINT64: "<u8",
    Datatype.BOOL: "?",
}
_LENGTH = 4  # bytes before a text


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose predictions a ring holds, as its header says.

    Attributes:
        schema: the model's inputs and outputs.
        model: the model's name.
        version: name of the ModelVersion.
        digest: the version's digest, or empty.
        track: the track the process served.
        nonce: of the process that wrote, 32 hex digits.
    """

    schema: Schema
    model: str
    version: str
    digest: str
    track: str
    nonce: str


def least_bytes(spec: TensorSpec) -> int:
    """Return the fewest bytes a row of a tensor takes; exact but for texts."""
    return spec.width * (_LENGTH if spec.datatype is Datatype.BYTES else np.dtype(DTYPES[spec.datatype]).itemsize)


def most_row_bytes(schema: Schema) -> int:
    """Return the most bytes that a row of all tensors takes."""
    texts = sum(spec.width for spec in (*schema.inputs, *schema.outputs) if spec.datatype is Datatype.BYTES)
    return sum(map(least_bytes, (*schema.inputs, *schema.outputs))) + texts * layout.MAX_TEXT


@dataclass(frozen=True, slots=True)
class Record:
    """One call of the model.

    Attributes:
        origin: whose it is.
        sequence: its number, from 1.
        time: nanoseconds since 1970.
        rows: number of rows.
        values: the raw tensors.
        mark: number of the first row's prediction id, see `modelwright_server.prediction`.
    """

    origin: Origin
    sequence: int
    time: int
    rows: int
    values: bytes = field(repr=False)
    mark: int = 0

    @property
    def features(self) -> dict[str, Array]:
        """The inputs' values by the inputs' names, in the shape the schema states; decoded anew each time.

        Raises:
            RingError: the texts are not framed as they should be.
        """
        return self._decoded()[0]

    @property
    def outputs(self) -> dict[str, Array]:
        """The outputs' values by the outputs' names; see `features`."""
        return self._decoded()[1]

    def _decoded(self) -> tuple[dict[str, Array], dict[str, Array]]:
        inputs, at = self._tensors(self.origin.schema.inputs, 0)
        outputs, _ = self._tensors(self.origin.schema.outputs, at)
        return inputs, outputs

    def _tensors(self, specs: Iterable[TensorSpec], at: int) -> tuple[dict[str, Array], int]:
        found: dict[str, Array] = {}
        for spec in specs:
            count = self.rows * spec.width
            if spec.datatype is Datatype.BYTES:
                array, at = self._texts(spec, count, at)
            else:
                array = np.frombuffer(self.values, DTYPES[spec.datatype], count, at)
                at += array.nbytes
            found[spec.name] = array.reshape(self.rows, *spec.shape[1:])
        return found, at

    def _texts(self, spec: TensorSpec, count: int, at: int) -> tuple[Array, int]:
        texts: list[str] = []
        for _ in range(count):
            start = at + _LENGTH
            at = start + int.from_bytes(self.values[at:start], "little")
            if at > len(self.values):
                subject, problem = f"record {self.sequence}", f"has texts of {spec.name!r} that go beyond its end"
                raise RingError(subject, problem)
            texts.append(self.values[start:at].decode("utf-8", "replace"))
        return np.array(texts, dtype=np.object_), at
