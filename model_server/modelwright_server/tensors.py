"""Tensors as they come, checked against the model's signature: names, datatypes, shapes, sizes, values.

The one place where a request is judged, whatever transport brought it.  Everything stated about a
tensor is compared with what came before memory is taken for it, and no value is converted on the
way: a truth value is no number, a fraction no whole number, and what does not fit its datatype is
refused.  Null stands for a missing number, NaN, where the schema says that the model takes one;
an infinity is never taken.

Checked values stay packed (little-endian, row-major) until a call of the model, so that the rows of
several requests are joined by joining bytes.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from modelwright_server.errors import BadRequestError
from modelwright_server.schema import FLOATS, Datatype, Schema, TensorSpec

Array = npt.NDArray[Any]
# Values of a numeric tensor, or the texts of a BYTES tensor.
Packed = bytes | list[str]

# The output clients may ask for beside the model's own, and its place among output positions.
PREDICTION_ID_NAME = "prediction_id"
PREDICTION_ID = -1

_FEW_BYTES = 1024
_LENGTH = struct.Struct("<I")
_NAN = float("nan")
_NO_MISSING = (
    "the model was not trained to take missing values here: send a value, or train it again on data with such gaps and"
    " preprocessing Auto"
)
_NUMBERS = (frozenset({float, int}), "numbers")
_WHOLE = (frozenset({int}), "whole numbers")
# Code of the struct module, JSON types of the values, and how people call these.  Only struct's
# standard formats (with a byte order) check the range of a float.
_FORMS: dict[Datatype, tuple[str, frozenset[type], str]] = {
    Datatype.FP16: ("e", *_NUMBERS),
    Datatype.FP32: ("f", *_NUMBERS),
    Datatype.FP64: ("d", *_NUMBERS),
    Datatype.INT8: ("b", *_WHOLE),
    Datatype.INT16: ("h", *_WHOLE),
    Datatype.INT32: ("i", *_WHOLE),
    Datatype.INT64: ("q", *_WHOLE),
    Datatype.UINT8: ("B", *_WHOLE),
    Datatype.UINT16: ("H", *_WHOLE),
    Datatype.UINT32: ("I", *_WHOLE),
    Datatype.UINT64: ("Q", *_WHOLE),
    Datatype.BOOL: ("?", frozenset({bool}), "true or false"),
    Datatype.BYTES: ("", frozenset({str}), "texts"),
}
DTYPES: dict[Datatype, np.dtype[Any]] = {
    datatype: np.dtype(np.object_ if datatype is Datatype.BYTES else f"<{code}")
    for datatype, (code, _, _) in _FORMS.items()
}
_JSON_NAMES: dict[type, str] = {
    float: "a fraction",
    int: "a whole number",
    bool: "a truth value",
    str: "a text",
    type(None): "null",
    list: "a list",
    dict: "an object",
}


@dataclass(slots=True)
class InferRequest:
    """A request of which every part has been checked.

    Attributes:
        rows: number of rows, at least 1.
        feeds: the packed values of each input, in the schema's order.
        outputs: positions of the wanted outputs in the schema, `PREDICTION_ID` for the predictions' ids.
        size: bytes of the values, of texts a lower bound.
    """

    rows: int
    feeds: list[Packed]
    outputs: tuple[int, ...]
    size: int


class InputSlot:
    """One input of the model; every method raises `BadRequestError`, which names it and what is wrong.

    Attributes:
        spec: as the schema states it.
        position: in the schema.
        numbers: whether its values are numbers, neither texts nor truth values.
    """

    def __init__(self, spec: TensorSpec, position: int, max_rows: int) -> None:
        self.spec = spec
        self.position = position
        self._name = f"input {spec.name!r}"
        self._datatype = spec.datatype.value
        self._width = spec.width
        self._rank = len(spec.shape)
        self._max_rows = max_rows
        self._code, self._allowed, self._wanted = _FORMS[spec.datatype]
        self._taken = self._allowed | {type(None)} if spec.nullable else self._allowed
        self._row = struct.Struct(f"<{self._width}{self._code or 'x'}")
        self._dtype = DTYPES[spec.datatype]
        self._text = spec.datatype is Datatype.BYTES
        self.numbers = spec.datatype not in {Datatype.BYTES, Datatype.BOOL}
        self._float = spec.datatype in FLOATS

    def rows(self, datatype: object, shape: Sequence[object]) -> int:
        """Return the number of rows that a stated datatype and shape have."""
        if datatype != self._datatype:
            raise self._bad(problem=f"datatype is {shown(datatype)}, the model takes {self._datatype}")
        rows = shape[0] if len(shape) == self._rank else None
        if type(rows) is not int or (self._rank > 1 and (shape[1] != self._width or type(shape[1]) is not int)):
            wanted = f"[rows, {self._width}]" if self._rank > 1 else "[rows]"
            raise self._bad(problem=f"shape is {shown(list(shape) or None)}, the model takes {wanted}")
        if not 1 <= rows <= self._max_rows:
            raise self._bad(problem=f"shape has {rows} rows, allowed are 1 to {self._max_rows}")
        return rows

    def from_list(self, values: list[Any], rows: int, *, truths: bool = True) -> Packed:
        """Return JSON values, flat or one list for each row; ``truths`` unless none can be true or false."""
        if self.numbers and not truths and len(values) == rows * self._width:
            # Packing refuses all that is no number by itself but truth values.
            try:
                return self._row.pack(*values) if rows == 1 else struct.pack(f"<{len(values)}{self._code}", *values)
            except (struct.error, OverflowError):
                pass  # what is wrong is found out below
        if values and isinstance(values[0], list) and self._rank > 1:
            values = self._flat(values, rows)
        self._check_count(len(values), rows)
        if not self._allowed.issuperset(map(type, values)):
            values = self._without_nulls(values)
        return values if self._text else self._pack(values, rows)

    def from_typed(self, values: Sequence[float | bytes], rows: int) -> Packed:
        """Return values whose kind the message format has checked already, texts as bytes."""
        self._check_count(len(values), rows)
        if self._text:
            return [self._decoded(cast("bytes", value), at) for at, value in enumerate(values)]
        packed = self._pack(values, rows)
        return self._finite(packed) if self._float else packed

    def from_raw(self, data: bytes | memoryview, rows: int) -> Packed:
        """Return raw tensor bytes: little-endian values; texts each behind their length (uint32)."""
        if self._text:
            return self._texts(bytes(data), rows * self._width)
        size = rows * self._row.size
        if len(data) != size:
            raise self._bad(problem=f"its raw data is {len(data)} bytes, shape and datatype say {size}")
        packed = bytes(data)
        if self._float:
            return self._finite(packed)
        if self._code == "?" and packed.translate(None, b"\0\1"):
            raise self._bad(problem="its raw data has bytes other than 0 and 1, BOOL takes these")
        return packed

    def stack(self, packed: Sequence[Packed], rows: int) -> Array:
        """Return the values of several requests, ``rows`` in all, as one array."""
        shape = (rows, *self.spec.shape[1:])
        if self._text:
            array = np.empty(rows * self._width, dtype=np.object_)
            array[:] = list(chain.from_iterable(cast("Sequence[list[str]]", packed)))
            return array.reshape(shape)
        joined = packed[0] if len(packed) == 1 else b"".join(cast("Sequence[bytes]", packed))
        return np.ndarray(shape, self._dtype, cast("bytes", joined))

    def packer(self, rows: int) -> Callable[..., bytes]:
        """Return what packs numbers, not truth values, for so many rows.

        It raises `struct.error` or `OverflowError` for another number of them, and for all that this input refuses.
        """
        return self._row.pack if rows == 1 else struct.Struct(f"<{rows * self._width}{self._code}").pack

    def missing(self) -> BadRequestError:
        """Return the error for a request without data of this input."""
        return self._bad(problem="data must be a list")

    def _check_count(self, count: int, rows: int) -> None:
        if count != rows * self._width:
            stated = f"shape [{rows}, {self._width}]" if self._rank > 1 else f"shape [{rows}]"
            raise self._bad(problem=f"data has {count} values, {stated} has {rows * self._width}")

    def _flat(self, data: list[list[object]], rows: int) -> list[object]:
        """Return the values of nested lists, one list for each row."""
        if len(data) != rows or any(type(row) is not list or len(row) != self._width for row in data):
            raise self._bad(problem=f"data must be flat, or {rows} lists of {self._width} values as the shape says")
        return list(chain.from_iterable(data))

    def _without_nulls(self, values: list[object]) -> list[object]:
        """Return the values with NaN for null, if there may be nulls and that is all there is to mend."""
        if not self._taken.issuperset(map(type, values)):
            raise self._bad_type(values)
        return [_NAN if value is None else value for value in values]

    def _pack(self, values: Sequence[Any], rows: int) -> bytes:
        try:
            if rows == 1:
                return self._row.pack(*values)
            return struct.pack(f"<{len(values)}{self._code}", *values)
        except (struct.error, OverflowError):
            raise self._bad_range(values) from None

    def _finite(self, packed: bytes) -> bytes:
        """Check floats that did not come as JSON, which could not have said these."""
        # A sum is finite only if all its parts are; of few values Python's is the quicker one.
        if len(packed) <= _FEW_BYTES and len(packed) == self._row.size and isfinite(sum(self._row.unpack(packed))):
            return packed
        values = np.frombuffer(packed, self._dtype)
        if b"\0" in np.isfinite(values).tobytes():  # quicker than all()
            if np.isinf(values).any():
                raise self._bad(problem=f"value {int(np.isinf(values).argmax())} is infinite")
            if not self.spec.nullable:
                raise self._bad(problem=f"value {int(np.isnan(values).argmax())} is NaN, but {_NO_MISSING}")
        return packed

    def _texts(self, data: bytes, count: int) -> list[str]:
        """Return the texts in length-prefixed data; no more are read than the shape says."""
        texts: list[str] = []
        at = 0
        while len(texts) < count and at + _LENGTH.size <= len(data):
            begin = at + _LENGTH.size
            at = begin + _LENGTH.unpack_from(data, at)[0]
            texts.append(self._decoded(data[begin:at], len(texts)))
        if len(texts) != count or at != len(data):
            raise self._bad(problem=f"its raw data must be {count} texts, each behind its length in 4 bytes")
        return texts

    def _decoded(self, value: bytes, at: int) -> str:
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise self._bad(problem=f"value {at} is not UTF-8") from None

    def _bad(self, *, problem: str) -> BadRequestError:
        return BadRequestError(problem=f"{self._name}: {problem}")

    def _bad_type(self, values: Sequence[object]) -> BadRequestError:
        """Say which value has the wrong type."""
        at, kind = next((at, type(value)) for at, value in enumerate(values) if type(value) not in self._taken)
        wanted = f"{self._datatype} takes {self._wanted}" + (" or null" if self.spec.nullable else "")
        if kind is type(None):
            wanted = f"{wanted}: a missing one is the empty text" if self._text else f"but {_NO_MISSING}"
        return self._bad(problem=f"value {at} is {_JSON_NAMES[kind]}, {wanted}")

    def _bad_range(self, values: Sequence[Any]) -> BadRequestError:
        """Say which value is out of range."""
        one = struct.Struct(f"<{self._code}")
        for at, value in enumerate(values):
            try:
                one.pack(value)
            except (struct.error, OverflowError):
                return self._bad(problem=f"value {at} is {value!r:.40}, which {self._datatype} cannot hold")
        return self._bad(problem="a value cannot be held")  # pragma: no cover - one of them failed before


class Signature:
    """What one model takes and gives, as requests are judged by it.

    Attributes:
        schema: as the model's artifact states it.
        max_rows: most rows of a request.
        slots: the inputs, in the schema's order.
        only_input: the input, if there is but one.
        all_outputs: positions of all outputs.
    """

    def __init__(self, schema: Schema, max_rows: int) -> None:
        self.schema = schema
        self.max_rows = max_rows
        self.slots = [InputSlot(spec, at, max_rows) for at, spec in enumerate(schema.inputs)]
        self.all_outputs = tuple(range(len(schema.outputs)))
        self.only_input = self.slots[0] if len(self.slots) == 1 else None
        self._inputs = {slot.spec.name: slot for slot in self.slots}
        self._outputs = {spec.name: at for at, spec in enumerate(schema.outputs)}
        self._outputs.setdefault(PREDICTION_ID_NAME, PREDICTION_ID)

    def input(self, name: object) -> InputSlot:
        """Return the input with this name.

        Raises:
            BadRequestError: there is none.
        """
        slot = self._inputs.get(name) if type(name) is str else None
        if slot is None:
            raise BadRequestError(problem=f"input {name!r:.60} is unknown, the model takes {_listed(self._inputs)}")
        return slot

    def request(
        self, feeds: Mapping[str, Packed], rows: Mapping[str, int], outputs: Sequence[object] = ()
    ) -> InferRequest:
        """Return the request with these inputs, each checked by its slot, for these outputs, all of them if none.

        Raises:
            BadRequestError: an input is missing, numbers of rows differ, or an output is unknown or named twice.
        """
        if len(feeds) != len(self.slots):
            missing = next(name for name in self._inputs if name not in feeds)
            raise BadRequestError(problem=f"input {missing!r} is missing, the model takes {_listed(self._inputs)}")
        first, count = next(iter(rows.items()))
        for name, other in rows.items():
            if other != count:
                raise BadRequestError(problem=f"input {name!r} has {other} rows, input {first!r} has {count}")
        packed = [feeds[name] for name in self._inputs]
        size = sum(len(feed) if isinstance(feed, bytes) else sum(map(len, feed)) for feed in packed)
        return InferRequest(count, packed, self.outputs(outputs), size)

    def outputs(self, names: Sequence[object]) -> tuple[int, ...]:
        """Return the positions of the wanted outputs, of all of them if none is named.

        Raises:
            BadRequestError: an output is unknown or named twice.
        """
        if not names:
            return self.all_outputs
        wanted: list[int] = []
        for name in names:
            position = self._outputs.get(name) if type(name) is str else None
            if position is None:
                raise BadRequestError(problem=f"output {name!r:.60} is unknown, the model has {_listed(self._outputs)}")
            if position in wanted:
                raise BadRequestError(problem=f"output {name!r} is wanted twice")
            wanted.append(position)
        return tuple(wanted)


def raw_output(spec: TensorSpec, array: Array) -> bytes:
    """Return an output's raw bytes: little-endian values; texts each behind their length (uint32)."""
    if spec.datatype is not Datatype.BYTES:
        return array.tobytes()
    return raw_texts(text if isinstance(text, bytes) else str(text).encode() for text in array.ravel().tolist())


def raw_texts(texts: Iterable[bytes]) -> bytes:
    """Return texts in raw form, each behind its length."""
    return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))


def shown(value: object) -> str:
    """Return a short form of a value a client sent."""
    if value is None:
        return "missing"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - a line's worth


def _listed(names: Iterable[str]) -> str:
    """Return the first few names, for people."""
    names = list(names)
    listed = [repr(name) for name in names[:8]]
    return ", ".join(listed) + (f" and {len(names) - len(listed)} more" if len(names) > len(listed) else "")
