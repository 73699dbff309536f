"""One request on its way through the server, with what is needed to answer it."""

from typing import TYPE_CHECKING

from modelwright_server.http.head import Head
from modelwright_server.http.messages import JSON, response_start

if TYPE_CHECKING:
    from modelwright_server.http.connection import Connection

_OK = 200
_OK_JSON = response_start(_OK, JSON)


class Exchange(Head):
    """A request, from its first byte to its answer, which waits here for those of the requests before it."""

    body: bytes | bytearray = b""
    keep = False
    head_only = False
    response = b""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    @property
    def gone(self) -> bool:
        """Whether the client went away."""
        return self._connection.lost

    @property
    def client(self) -> str:
        """Address of the client, for the log."""
        return self._connection.client

    def begin(self) -> None:
        """Begin to answer a request that the listener's shortcut made."""

    @property
    def ordinary(self) -> bool:
        """Whether the answer goes over HTTP/1.1 with its body and leaves the connection open."""
        return self.keep and self.version == "1.1" and not (self.head_only or self._connection.listener.draining)

    def send_response(self, response: bytes) -> None:
        """Answer an `ordinary` exchange with a complete response."""
        self.response = response
        self._connection.answered(self)

    def send(self, status: int, body: bytes, fields: bytes = b"", content_type: bytes = JSON) -> None:
        """Answer; ``fields`` are further header lines, each with its end of line."""
        connection = self._connection
        if not self.keep or connection.listener.draining:
            self.keep = False
            fields += b"Connection: close\r\n"
        elif self.version == "1.0":
            fields += b"Connection: keep-alive\r\n"
        start = _OK_JSON if status == _OK and content_type is JSON else response_start(status, content_type)
        content = b"" if self.head_only else body
        self.response = b"%b%bContent-Length: %d\r\n\r\n%b" % (start, fields, len(body), content)
        connection.answered(self)
