"""HTTP messages as the connection hands them over, and the limits it keeps."""

from dataclasses import dataclass
from functools import cache
from http import HTTPStatus

import orjson

JSON = b"application/json"
_CLIENT_WAITS = b"Retry-After: 1\r\n"


# Headers that change what a body means; an application must see these.
KEPT_HEADERS = frozenset({b"content-encoding", b"inference-header-content-length"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a client may take: sizes in bytes, times in seconds.

    Attributes:
        target: length of a request target.
        head: names and values of a request's headers.
        headers: number of headers.
        body: one request's body.
        buffered: bodies of all clients that are not complete yet.
        connections: open connections.
        pending: answers a connection may wait for before it is read further.
        head_seconds: from a request's first byte to the end of its head.
        request_seconds: from a request's first byte to its last.
        idle_seconds: between requests; above what load balancers keep connections for.
        stalled_seconds: for a client to read any of its answer.
        linger_seconds: for a client to read the last answer and close.
    """

    target: int = 8 << 10
    head: int = 32 << 10
    headers: int = 100
    body: int = 16 << 20
    buffered: int = 64 << 20
    connections: int = 10_000
    pending: int = 64
    head_seconds: float = 10
    request_seconds: float = 60
    idle_seconds: float = 300
    stalled_seconds: float = 60
    linger_seconds: float = 2


@cache
def response_start(status: int, content_type: bytes) -> bytes:
    """Return the first lines of a response."""
    phrase = HTTPStatus(status).phrase.encode("ascii")
    start = b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\n" % (status, phrase, content_type)
    return start + _CLIENT_WAITS if status == HTTPStatus.SERVICE_UNAVAILABLE else start


def error_body(problem: str) -> bytes:
    """Return the protocol's error document."""
    return orjson.dumps({"error": problem})
