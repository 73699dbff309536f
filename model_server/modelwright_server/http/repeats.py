"""Requests that differ from an earlier one in their numbers only: what is the same is not read again.

Clients send the same head and the same JSON around other values.  Such a request is recognised by its bytes: up to
the opening bracket of the values, in its size and behind the values it equals one that llhttp has framed, and that
passed every check.  The same bytes mean the same, so only the values are read; whatever is not exactly so, or did not
come as one piece between two messages, goes the long way.  What is remembered is bounded in number and in size.
"""

from collections.abc import Callable
from dataclasses import dataclass

from modelwright_server.http.codec import DATA, KnownBody
from modelwright_server.http.exchange import Exchange
from modelwright_server.tensors import InferRequest

_END_OF_HEAD = b"\r\n\r\n"
_LONGEST = 8192
_MOST_KNOWN = 512
_MOST_HEADS = 1024


@dataclass(frozen=True, slots=True)
class _Known:
    """A message but for its values: its size, and its body."""

    size: int
    body: KnownBody


class Repeats:
    """Remembers the requests of one application."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Known] = {}
        self._heads: set[int] = set()

    def read(self, data: bytes) -> tuple[InferRequest, KnownBody] | None:
        """Return the request in one piece of data, if it repeats one."""
        start = data.find(b"[", data.find(DATA, 0, _LONGEST))
        known = self._known.get(data[:start])
        if known is None or len(data) != known.size:
            return None
        request = known.body.request(data, start)
        return None if request is None else (request, known.body)

    def learn(self, data: bytes, exchange: Exchange, find: Callable[[bytes | bytearray], KnownBody | None]) -> None:
        """Remember a request that was taken the long way, if it is the whole of ``data`` and its head came before.

        Heads that never come again (each with an id of its own) are thus not remembered.
        """
        at = data.find(_END_OF_HEAD) + len(_END_OF_HEAD)
        usual = exchange.keep and exchange.version == "1.1" and not (exchange.headers or exchange.expects)
        if not usual or at + exchange.length != len(data):
            return
        head = hash(data[:at])
        if head not in self._heads:
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            self._heads.add(head)
            return
        start = data.find(b"[", data.find(DATA))
        if at < start <= _LONGEST and data.count(DATA) == 1 and (body := find(exchange.body)) is not None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[data[:start]] = _Known(len(data), body)
