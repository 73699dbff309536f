"""A web server with a certificate of its own authority, whose answers a test decides."""

from __future__ import annotations

import http.server
import ssl
import subprocess
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path

_NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"
_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]


@dataclass(frozen=True)
class Request:
    """What was asked: path, headers, and how many requests came before."""

    path: str
    headers: Mapping[str, str]
    number: int


@dataclass(frozen=True)
class Answer:
    """What is answered; the body is cut after `cut_after` bytes, its length is told all the same."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    cut_after: int | None = None
    with_length: bool = True


@dataclass(frozen=True)
class WebServer:
    """A running server."""

    port: int
    authority: str
    seen: list[Request]

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """Return the address of a path."""
        return f"https://{host}:{self.port}{path}"


def make_authority(folder: Path, names: str = _NAMES) -> tuple[Path, Path]:
    """Make an authority and a server's certificate; return the authority's and the server's file (with its key)."""
    authority, chain = folder / "authority.pem", folder / "server.pem"
    extensions = folder / "extensions"
    extensions.write_text(f"{names}\nkeyUsage=critical,digitalSignature\nauthorityKeyIdentifier=keyid\n")
    usage = ["-addext", "keyUsage=critical,keyCertSign"]
    _openssl(
        folder, "req", "-x509", *_KEY, *usage, "-keyout", "authority.key", "-out", authority.name, "-subj", "/CN=t"
    )
    _openssl(folder, "req", *_KEY, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    signer = ["-CA", authority.name, "-CAkey", "authority.key", "-CAcreateserial", "-days", "2"]
    _openssl(folder, "x509", "-req", "-in", "server.csr", *signer, "-extfile", extensions.name, "-out", "server.crt")
    chain.write_bytes((folder / "server.crt").read_bytes() + (folder / "server.key").read_bytes())
    return authority, chain


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@contextmanager
def running_web_server(folder: Path, answer: Callable[[Request], Answer]) -> Generator[WebServer]:
    """Run the server on a free port of this machine; `answer` is called for each request."""
    authority, chain = make_authority(folder)
    seen: list[Request] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            request = Request(self.path, dict(self.headers.items()), len(seen))
            seen.append(request)
            given = answer(request)
            self.send_response(given.status)
            length = {"Content-Length": str(len(given.body))} if given.with_length else {}
            for name, value in {**length, **given.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.close_connection = True
            with suppress(OSError):
                self.wfile.write(given.body if given.cut_after is None else given.body[: given.cut_after])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Clients that break off are what is tested."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield WebServer(server.server_address[1], authority.read_text(), seen)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
