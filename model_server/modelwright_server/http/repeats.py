"""Requests that differ from an earlier one in their numbers only: what is the same is not read again.

Clients send the same head and the same JSON around other values.  Such a request is recognised by its bytes: up to
the opening bracket of the values, in its size and behind the values it equals one that llhttp has framed, and that
passed every check.  The same bytes mean the same, so only the values are read; whatever is not exactly so, or did not
come as one piece between two messages, goes the long way.  What is remembered is bounded in number and in size.
"""

from dataclasses import dataclass

from modelwright_server.http.codec import DATA
from modelwright_server.http.known import Form, KnownBody, KnownRaw
from modelwright_server.tensors import InferRequest

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
        self._raw: dict[bytes, KnownRaw] = {}
        self._raw_starts: dict[int, int] = {}  # by the size of the message
        self._heads: set[int] = set()

    def read(self, data: bytes) -> tuple[InferRequest, Form] | None:
        """Return the request in one piece of data, if it repeats one.

        Raises:
            BadRequestError: it does, but for a value that is not taken.
        """
        size = len(data)
        raw_start = self._raw_starts.get(size)
        if raw_start is not None and (raw := self._raw.get(data[:raw_start])) is not None:
            return raw.request(data, raw_start), raw.form
        start = data.find(b"[", data.find(DATA, 0, _LONGEST))
        known = self._known.get(data[:start])
        if known is None or size != known.size:
            return None
        request = known.body.request(data, start)
        return None if request is None else (request, known.body.form)

    def came_before(self, head: bytes) -> bool:
        """Return whether a head came before: only then is it likely to come again, without an id of its own."""
        seen = hash(head)
        if seen in self._heads:
            return True
        if len(self._heads) >= _MOST_HEADS:
            self._heads.clear()
        self._heads.add(seen)
        return False

    def learn(self, data: bytes, at: int, body: KnownBody) -> None:
        """Remember a request that was read, whose body began at ``at``."""
        start = data.find(b"[", data.find(DATA))
        if at < start <= _LONGEST and data.count(DATA) == 1:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[data[:start]] = _Known(len(data), body)

    def learn_raw(self, data: bytes, raw_at: int, raw: KnownRaw) -> None:
        """Remember a request whose only input was raw, from ``raw_at`` on."""
        if raw_at <= _LONGEST:
            if len(self._raw) >= _MOST_KNOWN:
                self._raw.clear()
                self._raw_starts.clear()
            self._raw[data[:raw_at]] = raw
            self._raw_starts[len(data)] = raw_at
