"""Who may ask for what: GET only, by a name of this machine, with the token that the command printed."""

from __future__ import annotations

import hmac
import secrets
import socket
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from modelwright_cli.dashboard import routes
from modelwright_cli.dashboard.frame import MARK
from modelwright_cli.report.style import DARK, FINDINGS, LIGHT

if TYPE_CHECKING:
    from modelwright_cli.dashboard.routes import Site

HOST = "127.0.0.1"
_HTML = "text/html; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_NOT_LET_IN = "This page is only for who started it: open the address that the command printed, with its token."


class Dashboard(ThreadingHTTPServer):
    """The server.

    Attributes:
        site: what it shows.
        token: that lets somebody in, as often as wanted.
        ticket: the same, once: other users of the machine may see what a browser was started with.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, site: Site, port: int) -> None:
        self.site = site
        self.token, self.ticket = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        super().__init__((HOST, port), _Handler)

    @property
    def hosts(self) -> frozenset[str]:
        """Names that a browser may know it by; any other is somebody else's, led here by a name server of theirs."""
        return frozenset(f"{name}:{self.server_port}" for name in (HOST, "localhost"))

    @property
    def cookie(self) -> str:
        """Name of the cookie; cookies are not kept apart by ports."""
        return f"modelwright-{self.server_port}"

    def address(self, token: str) -> str:
        """Return the address that lets somebody in."""
        return f"http://{HOST}:{self.server_port}/?token={token}"

    def admits(self, said: str) -> bool:
        """Tell whether this is the token, or the ticket that nobody used yet."""
        given = said.encode()
        if hmac.compare_digest(given, self.token.encode()):
            return True
        if self.ticket and hmac.compare_digest(given, self.ticket.encode()):
            self.ticket = ""
            return True
        return False

    def handle_error(self, request: object, client_address: object) -> None:
        """Have a browser that went away be no event."""


class _Handler(BaseHTTPRequestHandler):
    server: Dashboard  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"
    timeout = 30.0

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def parse_request(self) -> bool:
        """Have any other method than GET and HEAD refused before it is looked at."""
        parsed = super().parse_request()
        if parsed and self.command not in {"GET", "HEAD"}:
            self.close_connection = True  # a body may follow
            said = "This page only reads: steer rollouts by kubectl modelwright."
            self._send(HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, said, {"Allow": "GET, HEAD"})
            return False
        return parsed

    def do_GET(self) -> None:
        """Answer."""
        if self.headers.get_all("Host") not in [[host] for host in self.server.hosts]:
            said = f"This is {HOST}:{self.server.server_port}, and answers to no other name."
            self._send(HTTPStatus.MISDIRECTED_REQUEST, _TEXT, said)
            return
        asked = urlsplit(self.path)
        if made := _asset(asked.path):
            self._send(HTTPStatus.OK, *made)
            return
        if given := parse_qs(asked.query).get("token"):
            self._let_in(given[0])
        elif not hmac.compare_digest(self._cookie(), self.server.token.encode()):
            self._send(HTTPStatus.FORBIDDEN, _TEXT, _NOT_LET_IN)
        else:
            status, document = routes.answer(self.server.site, asked.path, datetime.now(UTC))  # noqa: TID251 - ages
            self._send(status, _HTML, document)

    do_HEAD = do_GET  # noqa: N815 - as the library has it

    def _let_in(self, token: str) -> None:
        if not self.server.admits(token):
            self._send(HTTPStatus.FORBIDDEN, _TEXT, _NOT_LET_IN)
            return
        cookie = f"{self.server.cookie}={self.server.token}; Path=/; HttpOnly; SameSite=Strict"
        self._send(HTTPStatus.SEE_OTHER, _TEXT, "", {"Location": "/", "Set-Cookie": cookie})

    def _cookie(self) -> bytes:
        try:
            found = SimpleCookie(self.headers.get("Cookie", "")).get(self.server.cookie)
        except CookieError:
            return b""
        return found.value.encode() if found is not None else b""

    def _send(self, status: HTTPStatus, kind: str, document: str, more: dict[str, str] | None = None) -> None:
        data = document.encode("utf-8")
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(data)), **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def version_string(self) -> str:
        """Return what the server calls itself."""
        return "modelwright"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the library has it
        """Keep still: what is printed is the address."""


@cache
def _asset(path: str) -> tuple[str, str] | None:
    """Return what is the same for everybody, and says nothing of the cluster."""
    if path == "/favicon.svg":
        return "image/svg+xml", MARK
    if path == "/dashboard.js":
        return "text/javascript; charset=utf-8", _file("dashboard.js")
    if path == "/dashboard.css":
        palette = (
            f":root {{ {LIGHT} }}\n"
            f"@media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{ {DARK} }} }}\n"
            f":root[data-theme=dark] {{ {DARK} }}\n"
        )
        return "text/css; charset=utf-8", f"{palette}{FINDINGS}{_file('dashboard.css')}"
    return None


def _file(name: str) -> str:
    return resources.files("modelwright_cli.dashboard").joinpath(name).read_text(encoding="utf-8")
