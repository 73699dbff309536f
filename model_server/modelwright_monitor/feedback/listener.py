"""A small HTTP server: a fixed number of threads, each of which reads one request, answers it, and hangs up.

Nothing a client does takes more than these threads, their buffers, and the time a request may take: no connection is
kept, no header is stored but the few that frame the body.  HTTP/1.1 (RFC 9112) without chunked bodies, which is refused
with 411 as it says there.
"""

import contextlib
import json
import re
import socket
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from modelwright_monitor.feedback.intake import Answer, refused
from modelwright_server.logs import log_error

THREADS = 4
MAX_HEAD_BYTES = 16 << 10
MAX_BODY_BYTES = 512 << 10
REQUEST_SECONDS = 10.0
_STACK_BYTES = 512 << 10  # the process's limit on memory counts stacks as a whole
_BACKLOG = 64
_PAUSE_SECONDS = 0.1
_CHUNK = 64 << 10
_LINGER_BYTES = 1 << 20
_LINGER_SECONDS = 0.5
_TARGET = re.compile(r"/v2/models/([^/?]{1,200})/feedback")


class Take(Protocol):
    """Takes the labels for a model."""

    def __call__(self, model: str, body: bytes, /) -> Answer:
        """Return what is answered."""
        ...


class _RefusedError(Exception):
    """The request is refused before its body is read."""

    def __init__(self, status: HTTPStatus, problem: str, *fields: str) -> None:
        super().__init__(problem)
        self.answer = refused(status, problem)
        self.fields = fields


@dataclass(frozen=True, slots=True)
class _Head:
    model: str
    length: int
    waits: bool  # for 100 Continue


class Listener:
    """Listens until it is closed.

    Attributes:
        port: at which it is reached.
    """

    def __init__(self, host: str, port: int, take: Take) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        self._take = take
        self._socket = socket.create_server((host, port), backlog=_BACKLOG)
        self.port = int(self._socket.getsockname()[1])  # also where any free one was asked for
        self._threads: list[threading.Thread] = []
        self._closed = False

    def start(self) -> None:
        """Answer requests, in threads of their own."""
        before = threading.stack_size(_STACK_BYTES)
        try:
            for number in range(THREADS):
                thread = threading.Thread(target=self._run, name=f"feedback-{number}", daemon=True)
                thread.start()
                self._threads.append(thread)
        finally:
            threading.stack_size(before)

    def close(self, seconds: float) -> None:
        """Take no further request, and wait so long for those under way."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the threads that wait for a connection
        self._socket.close()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # the client is gone already, or there are too many files
                time.sleep(_PAUSE_SECONDS)
                continue
            with connection:
                try:
                    self._serve(connection)
                except (OSError, MemoryError):  # the client is gone, too slow, or asked for too much
                    continue
                except Exception as error:  # noqa: BLE001 - the thread goes on, whatever one request does
                    log_error("a request with labels failed", problem=repr(error)[:500])

    def _serve(self, connection: socket.socket) -> None:
        stream = _Stream(connection, time.monotonic() + REQUEST_SECONDS)
        fields: tuple[str, ...] = ()
        unread = False
        try:
            head = _head(stream.head())
            if head.waits:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            answer = self._take(head.model, stream.read(head.length))
        except _RefusedError as error:
            answer, fields, unread = error.answer, error.fields, True
        body = json.dumps(answer.document).encode()
        lines = [
            f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *fields,
        ]
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        if unread:
            _linger(connection)


class _Stream:
    """What a client sends, up to a deadline."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._buffer = b""

    def head(self) -> bytes:
        """Return the bytes before the first empty line."""
        while (end := self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)) < 0:
            if len(self._buffer) >= MAX_HEAD_BYTES:
                problem = f"the head has more than {MAX_HEAD_BYTES} bytes"
                raise _RefusedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, problem)
            self._buffer += self._more()
        found, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        return found

    def read(self, length: int) -> bytes:
        """Return so many bytes."""
        body = bytearray(self._buffer[:length])
        while len(body) < length:
            body += self._more()[: length - len(body)]
        return bytes(body)

    def _more(self) -> bytes:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        data = self._connection.recv(_CHUNK)
        if not data:
            raise ConnectionAbortedError
        return data


def _head(data: bytes) -> _Head:
    """Read the request's line and the fields that frame its body.

    Raises:
        _RefusedError: it is not a request to post labels.
    """
    line, *lines = data.decode("latin-1").split("\r\n")
    words = line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, target, version
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "this is not a request of HTTP/1.1")
    method, target, _ = words
    found = _TARGET.fullmatch(target.partition("?")[0])
    if found is None:
        raise _RefusedError(HTTPStatus.NOT_FOUND, "labels are posted to /v2/models/MODEL/feedback")
    if method != "POST":
        problem = f"labels are posted, not by {method[:20]}"
        raise _RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, problem, "Allow: POST")
    fields: dict[str, str] = {}
    for name, _, value in (item.partition(":") for item in lines):
        key = name.lower()
        if key in {"content-length", "transfer-encoding"} and key in fields:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, f"the field {key} is there twice")
        fields[key] = value.strip()
    return _Head(found[1], _length(fields), fields.get("expect", "").lower() == "100-continue")


def _length(fields: dict[str, str]) -> int:
    text = fields.get("content-length", "")
    if "transfer-encoding" in fields or not text:
        raise _RefusedError(HTTPStatus.LENGTH_REQUIRED, "the request must have a Content-Length")
    if not (text.isascii() and text.isdigit()):
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "Content-Length must be a number")
    if len(text) > 12 or int(text) > MAX_BODY_BYTES:  # noqa: PLR2004 - digits of a number far too large
        problem = f"the body has more than {MAX_BODY_BYTES} bytes: send fewer labels at once"
        raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, problem)
    return int(text)


def _linger(connection: socket.socket) -> None:
    """Let the client read the answer: closing a connection with unread data in it would reset it (RFC 9112, 9.6)."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        end, left = time.monotonic() + _LINGER_SECONDS, _LINGER_BYTES
        while left > 0 and (seconds := end - time.monotonic()) > 0:
            connection.settimeout(seconds)
            data = connection.recv(_CHUNK)
            if not data:
                return
            left -= len(data)
