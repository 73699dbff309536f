"""What a request asks beside its values, and how its answer is to be written; remembered for the next of its kind."""

import struct
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from modelwright_server.tensors import InferRequest, InputSlot


@dataclass(slots=True)
class Form:
    """How an answer is to be written.

    Attributes:
        echo: the members that repeat the request's, as JSON.
        binary: for each wanted output whether it goes in raw form; None if none does.
        plain: it is for one row, with all outputs as JSON, and repeats nothing of the request.
        raw_input: the first input came raw, and no id came with it.
        raw_head: the JSON of an answer whose outputs are all raw and of a fixed size, once one has been written.
    """

    echo: bytes
    binary: tuple[bool, ...] | None
    plain: bool = False
    raw_input: bool = False
    raw_head: bytes = b""


@dataclass(frozen=True, slots=True)
class KnownBody:
    """The body of a request but for its values: what follows them, and what it asks."""

    tail: bytes
    pack: Callable[..., bytes]
    rows: int
    outputs: tuple[int, ...]
    size: int
    form: Form

    def request(self, data: bytes | bytearray, start: int) -> InferRequest | None:
        """Return the request with other values, a JSON list from ``start`` on; None if this is not that."""
        if not data.endswith(self.tail):
            return None
        values = data[start : len(data) - len(self.tail)]
        if b"e" in values:  # so may be true or false
            return None
        try:
            packed = self.pack(*orjson.loads(values))
        except (TypeError, ValueError, struct.error, OverflowError):
            return None
        return InferRequest(self.rows, [packed], self.outputs, self.size)


@dataclass(frozen=True, slots=True)
class KnownRaw:
    """The body of a request but for its values, which are raw and all that follows: what it asks."""

    slot: InputSlot
    rows: int
    outputs: tuple[int, ...]
    size: int
    form: Form

    def request(self, data: bytes, start: int) -> InferRequest:
        """Return the request with other values, from ``start`` on.

        Raises:
            BadRequestError: a value is not taken.
        """
        packed = self.slot.from_raw(memoryview(data)[start:], self.rows)
        return InferRequest(self.rows, [packed], self.outputs, self.size)
