"""Requests that come whole, one message in one piece of data: their heads are judged at one look.

llhttp frames them as ever, but hands each header to a dictionary instead of to a function of ours, which for a dozen
headers takes longer than all the rest.  Only what is beyond doubt is taken: every header there once, none of them one
that changes how a message is read, and a body as long as stated.  All else goes the long way, which judges anew.
"""

from typing import TYPE_CHECKING, Protocol

import httptools

from modelwright_server.http.head import HeaderNames
from modelwright_server.http.messages import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelwright_server.http.connection import Connection
    from modelwright_server.http.exchange import Exchange

END_OF_HEAD = b"\r\n\r\n"
_MOST_FAILURES = 16
_MOST_MISSES = 64
_LENGTH = (b"Content-Length", b"content-length")
_HOST = (b"Host", b"host")
_CONNECTION = (b"Connection", b"connection")
_JSON_SIZE = (b"Inference-Header-Content-Length", b"inference-header-content-length")
_KEEP = (None, b"keep-alive", b"Keep-Alive")


class Shortcut(Protocol):
    """Who takes usual requests, each all of a piece of data, without the long way.

    Attributes:
        starts: the request lines of those that may be handed to `take`.
        recall: returns the request that a piece of data repeats, ready to `begin`; None if it is not known.
        take: returns the request with this body (its JSON's size as stated, all of its data, and whether that is worth
            remembering), ready to `begin`.
    """

    # Attributes, not methods: they are exchanged while connections are open.
    starts: tuple[bytes, ...]

    @property
    def recall(self) -> "Callable[[Connection, bytes], Exchange | None]": ...  # noqa: D102

    @property
    def take(self) -> "Callable[[Connection, bytes, bytes | None, bytes, bool], Exchange]": ...  # noqa: D102


class _Sink:
    """What the parser calls: methods of containers, so that no function of ours runs.

    The first of several headers with one name counts, so that nothing that follows a message can take its place.
    """

    __slots__ = ("on_body", "on_header")

    def __init__(self, headers: dict[bytes, bytes], bodies: list[bytes]) -> None:
        self.on_header = headers.setdefault
        self.on_body = bodies.append


class WholeReader:
    """Reads the whole requests of one connection."""

    __slots__ = (
        "_bodies",
        "_dull",
        "_failures",
        "_headers",
        "_json_size",
        "_limits",
        "_misses",
        "_parser",
        "_shortcut",
        "_starts",
    )

    def __init__(self, shortcut: Shortcut, names: HeaderNames, limits: Limits) -> None:
        self._shortcut = shortcut
        self._starts = shortcut.starts
        self._dull = names.dull
        self._limits = limits
        self._headers: dict[bytes, bytes] = {}
        self._bodies: list[bytes] = []
        self._parser: httptools.HttpRequestParser | None = None
        self._failures = self._misses = 0
        self._json_size: bytes | None = None

    def exchange(self, connection: "Connection", data: bytes) -> "Exchange | None":
        """Return the request that is all of ``data``, ready to `begin`; None if the long way must see it."""
        if self._misses < _MOST_MISSES:
            exchange = self._shortcut.recall(connection, data)
            if exchange is not None:
                self._misses = 0
                return exchange
        if self._failures >= _MOST_FAILURES or not data.startswith(self._starts):
            return None
        body = self._read(data)
        if body is None:
            self._failures += 1
            return None
        self._failures = 0
        worth = self._misses < _MOST_MISSES  # else each request here is different
        if worth:
            self._misses += 1
        return self._shortcut.take(connection, body, self._json_size, data, worth)

    def _read(self, data: bytes) -> bytes | None:
        """Return the body of a request that is all of ``data``; None if it is not, or is not to be taken like this."""
        end = data.find(END_OF_HEAD)
        size = len(data) - end - len(END_OF_HEAD)
        limits = self._limits
        if end < 0 or end > limits.head or not 0 < size <= limits.body:
            return None
        count = data.count(b"\n", 0, end)
        if count > limits.headers:
            return None
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpRequestParser(_Sink(self._headers, self._bodies))
        body = None
        try:
            parser.feed_data(data)
            body = self._judged(count, size)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            pass  # the long way says what is wrong
        self._headers.clear()
        self._bodies.clear()
        if body is None:
            self._parser = None  # where it stands now is anyone's guess
        return body

    def _judged(self, count: int, size: int) -> bytes | None:
        """Return the body, if there are so many headers, none of concern, and it has the size that they state."""
        headers, bodies = self._headers, self._bodies
        if len(headers) != count or len(bodies) != 1 or len(bodies[0]) != size:
            return None
        take = headers.pop
        length = take(_LENGTH[0], None) or take(_LENGTH[1], None)
        if length != b"%d" % size or (take(_HOST[0], None) or take(_HOST[1], None)) is None:
            return None
        self._json_size = None
        if not self._dull.issuperset(headers):
            self._json_size = take(_JSON_SIZE[0], take(_JSON_SIZE[1], None))
            if (take(_CONNECTION[0], None) or take(_CONNECTION[1], None)) not in _KEEP:
                return None
            if not self._dull.issuperset(headers):
                return None
        return bodies[0]
