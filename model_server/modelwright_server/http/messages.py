"""HTTP messages as the connection hands them over, and the limits it keeps."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

JSON = b"application/json"


@dataclass(slots=True)
class Request:
    """A complete request.

    Attributes:
        method: in capitals; HEAD comes as GET.
        target: as sent, undecoded, with its query.
        headers: those of `KEPT_HEADERS` that were sent, names in lower case.
        body: empty if there was none.
    """

    method: bytes
    target: bytes
    headers: Mapping[bytes, bytes]
    body: bytes | bytearray


@dataclass(slots=True)
class Response:
    """An answer.

    Attributes:
        status: HTTP status code.
        body: its content.
        content_type: media type of the content.
        allow: methods for a 405, else empty.
    """

    status: int
    body: bytes
    content_type: bytes = JSON
    allow: bytes = b""


# Headers that change what a body means; the application must see these.
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


def reason_phrase(status: int) -> bytes:
    """Return the words that go with a status code."""
    return HTTPStatus(status).phrase.encode("ascii")
