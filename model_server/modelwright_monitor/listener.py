"""A small HTTP server for other pods: few connections at once, each for a short time, bodies only where wanted.

It has a thread for each connection, up to a number; further ones are closed at once, so that no flood of them takes
memory.  What it answers comes from a table of paths, with another for what is posted; a body is read by whoever
answers, once that one knows the client.
"""

import http.server
import json
import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

MOST_CONNECTIONS = 16
STACK_BYTES = 512 << 10
_SECONDS = 5.0
_MOST_FIELDS = 16
_MOST_DIGITS = 10


class Answer:
    """What goes back: a document, or a text."""

    def __init__(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type

    @classmethod
    def document(cls, document: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> "Answer":
        """Answer with JSON."""
        return cls(status, json.dumps(document, separators=(",", ":")).encode(), "application/json")

    @classmethod
    def problem(cls, status: HTTPStatus, problem: str) -> "Answer":
        """Answer with what is wrong."""
        return cls.document({"error": problem}, status)


class Request:
    """What was asked.

    Attributes:
        query: its fields.
        client: address of the one who asks.
        server: address at which that one reached this pod.
        body: reads the body, of so many bytes at most; None: it has more, or does not say how many.
    """

    def __init__(
        self,
        query: Mapping[str, str],
        client: str,
        server: str,
        body: Callable[[int], bytes | None] = lambda _: None,
    ) -> None:
        self.query = query
        self.client = client
        self.server = server
        self.body = body


Paths = Mapping[str, Callable[[Request], Answer]]


class Listener(http.server.ThreadingHTTPServer):
    """Listens until it is closed."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, paths: Paths, posted: Paths | None = None) -> None:
        """Listen.

        Raises:
            OSError: the port cannot be had.
        """
        self.paths = paths
        self.posted = posted or {}
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    def start(self) -> None:
        """Answer from now on, in threads of its own."""
        threading.Thread(target=self.serve_forever, args=(0.5,), name="listener", daemon=True).start()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as the library has it
        """Give a connection a thread, if there is one."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as above
        """Answer what comes on a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as above
        """Pass over a connection that broke: whoever asked will ask again."""


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = _SECONDS

    def do_GET(self) -> None:
        """Answer."""
        self._answer(cast("Listener", self.server).paths)

    def do_POST(self) -> None:
        """Answer."""
        self._answer(cast("Listener", self.server).posted)

    def _answer(self, paths: Paths) -> None:
        address = urlsplit(self.path)
        answer = paths.get(address.path)
        try:
            query = dict(parse_qsl(address.query, max_num_fields=_MOST_FIELDS))
        except ValueError:
            self._send(Answer.problem(HTTPStatus.BAD_REQUEST, "too many fields"))
            return
        if answer is None:
            self._send(Answer.problem(HTTPStatus.NOT_FOUND, "nothing is here"))
            return
        server = str(self.connection.getsockname()[0])
        self._send(answer(Request(query, str(self.client_address[0]), server, self._body)))

    def _body(self, most: int) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or len(length) > _MOST_DIGITS or int(length) > most:
            return None
        return self.rfile.read(int(length))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the library has it
        """Say nothing of each request."""
