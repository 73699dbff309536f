"""Tensors of the protocol's JSON form ↔ numpy arrays.

A request's tensor is checked completely (names, datatype, shape, count, type and range of every
value) before memory is taken for its array, and no value is converted on the way: a truth value is
no number, a fraction no whole number, and what does not fit its datatype is refused.  Null stands
for a missing number, NaN, where the schema says that the model takes one.
"""

import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import orjson

from modelwright_server.errors import BadRequestError, ModelFailedError
from modelwright_server.schema import FLOATS, Datatype, TensorSpec

Array = npt.NDArray[Any]

# How a flat list becomes bytes, and the JSON types its values may have.  Little-endian, because only
# struct's standard formats check the range of a float.
_PACKED: dict[Datatype, tuple[str, npt.DTypeLike]] = {
    Datatype.FP32: ("f", "<f4"),
    Datatype.FP64: ("d", "<f8"),
    Datatype.INT32: ("i", "<i4"),
    Datatype.INT64: ("q", "<i8"),
    Datatype.BOOL: ("?", np.bool_),
}
_JSON_TYPES: dict[Datatype, tuple[frozenset[type], str]] = {
    Datatype.FP32: (frozenset({float, int}), "numbers"),
    Datatype.FP64: (frozenset({float, int}), "numbers"),
    Datatype.INT32: (frozenset({int}), "whole numbers"),
    Datatype.INT64: (frozenset({int}), "whole numbers"),
    Datatype.BOOL: (frozenset({bool}), "true or false"),
    Datatype.BYTES: (frozenset({str}), "texts"),
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
_NAN = float("nan")
_NO_MISSING = (
    "the model was not trained to take missing values here: send a value, or train it again on data with such gaps and"
    " preprocessing Auto"
)


def as_list(value: object) -> list[object] | None:
    """Return a JSON value if it is a list."""
    return cast("list[object]", value) if isinstance(value, list) else None


class InputDecoder:
    """Turns one input tensor of a request into an array."""

    def __init__(self, spec: TensorSpec, max_rows: int) -> None:
        self.spec = spec
        self._name = f"input {spec.name!r}"
        self._datatype = spec.datatype.value
        self._width = spec.width
        self._rank = len(spec.shape)
        self._max_rows = max_rows
        self._allowed, self._wanted = _JSON_TYPES[spec.datatype]
        self._taken = self._allowed | {type(None)} if spec.nullable else self._allowed

    def decode(self, tensor: dict[str, Any]) -> Array:
        """Return the tensor's values in its shape.

        Raises:
            BadRequestError: names the input, the field and what it must be.
        """
        datatype = tensor.get("datatype")
        if datatype != self._datatype:
            raise self._bad(problem=f"datatype is {_shown(datatype)}, the model takes {self._datatype}")
        rows = self._rows(tensor.get("shape"))
        values = as_list(tensor.get("data"))
        if values is None:
            raise self._bad(problem="data must be a list")
        if values and isinstance(values[0], list) and self._rank > 1:
            values = self._flat(cast("list[list[object]]", values), rows)
        if len(values) != rows * self._width:
            stated = f"shape {tensor['shape']} has {rows * self._width}"
            raise self._bad(problem=f"data has {len(values)} values, {stated}")
        if not self._allowed.issuperset(map(type, values)):
            values = self._without_nulls(values)
        return self._array(values).reshape(rows, *self.spec.shape[1:])

    def _rows(self, shape: object) -> int:
        """Return the number of rows a stated shape has."""
        sizes = as_list(shape) or []
        rows = sizes[0] if len(sizes) == self._rank else None
        if type(rows) is not int or (self._rank > 1 and (sizes[1] != self._width or type(sizes[1]) is not int)):
            wanted = f"[rows, {self._width}]" if self._rank > 1 else "[rows]"
            raise self._bad(problem=f"shape is {_shown(shape)}, the model takes {wanted}")
        if not 1 <= rows <= self._max_rows:
            raise self._bad(problem=f"shape has {rows} rows, allowed are 1 to {self._max_rows}")
        return rows

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

    def _array(self, values: list[Any]) -> Array:
        if self.spec.datatype is Datatype.BYTES:
            return np.array(values, dtype=np.object_)
        code, dtype = _PACKED[self.spec.datatype]
        try:
            return np.frombuffer(struct.pack(f"<{len(values)}{code}", *values), dtype=dtype)
        except (struct.error, OverflowError):
            raise self._bad_range(values, code) from None

    def _bad(self, *, problem: str) -> BadRequestError:
        return BadRequestError(problem=f"{self._name}: {problem}")

    def _bad_type(self, values: Sequence[object]) -> BadRequestError:
        """Say which value has the wrong type."""
        at, kind = next((at, type(value)) for at, value in enumerate(values) if type(value) not in self._taken)
        wanted = f"{self._datatype} takes {self._wanted}" + (" or null" if self.spec.nullable else "")
        if kind is type(None):
            text = self.spec.datatype is Datatype.BYTES
            wanted = f"{wanted}: a missing one is the empty text" if text else f"but {_NO_MISSING}"
        return self._bad(problem=f"value {at} is {_JSON_NAMES[kind]}, {wanted}")

    def _bad_range(self, values: Sequence[Any], code: str) -> BadRequestError:
        """Say which value is out of range."""
        for at, value in enumerate(values):
            try:
                struct.pack(f"<{code}", value)
            except (struct.error, OverflowError):
                return self._bad(problem=f"value {at} is {value!r:.40}, which {self._datatype} cannot hold")
        return self._bad(problem="a value cannot be held")  # pragma: no cover - one of them failed before


class OutputEncoder:
    """Turns one output array into its JSON tensor."""

    def __init__(self, spec: TensorSpec) -> None:
        self.spec = spec
        stated = orjson.dumps({"name": spec.name, "datatype": spec.datatype.value})
        self._head = stated[:-1] + b',"shape":['
        self._tail = b"".join(b",%d" % size for size in spec.shape[1:]) + b'],"data":'
        self._float = spec.datatype in FLOATS

    def encode(self, array: Array, rows: int) -> bytes:
        """Return the tensor as JSON, its values flat in row-major order.

        Raises:
            ModelFailedError: a value is not finite, which JSON cannot say.
        """
        values = array.ravel()
        if values.dtype == np.object_:
            data = orjson.dumps(values.tolist())
        else:
            data = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
        if self._float and b"n" in data:  # "null" is how NaN and infinities come out
            raise ModelFailedError(problem=f"output {self.spec.name!r}: the model gave a value that is not finite")
        return b"%b%d%b%b}" % (self._head, rows, self._tail, data)


def _shown(value: object) -> str:
    """Return a short form of a value a client sent."""
    if value is None:
        return "missing"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - a line's worth
