"""A real S3 server (versitygw) on this machine, and a proxy before it that fails as stores do."""

from __future__ import annotations

import http.client
import http.server
import os
import secrets
import socket
import subprocess
import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.cluster.binaries import STORE, ensure_binaries

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

BUCKET = "lake"
REGION = "eu-test-1"
_DEADLINE = 30.0
_ATTEMPTS = 5


@dataclass(frozen=True)
class ObjectStore:
    """A running server; what lies in its buckets are the files under `folder`."""

    folder: Path
    endpoint: str
    credentials: dict[str, str] = field(repr=False)

    def put(self, key: str, data: bytes) -> None:
        """Store an object, as any client would."""
        import obstore  # noqa: PLC0415 - the end-to-end tests run where it may be absent
        from obstore.store import S3Store  # noqa: PLC0415

        config: Any = {name.lower(): value for name, value in self.credentials.items()}
        config |= {"endpoint": self.endpoint, "region": REGION}
        obstore.put(S3Store(BUCKET, config=config, client_options={"allow_http": True}), key, data)

    def keys(self) -> set[str]:
        """Return the keys of the bucket's objects."""
        root = self.folder / BUCKET
        return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()} - _own(root)


def _own(root: Path) -> set[str]:
    """Return what the server keeps for itself."""
    return {path.relative_to(root).as_posix() for path in root.glob(".sgwtmp*/**/*")}


@contextmanager
def running_store(folder: Path, host: str = "127.0.0.1") -> Generator[ObjectStore]:
    """Run the server on a port of its own, with fresh credentials and one bucket."""
    (folder / BUCKET).mkdir(parents=True)
    program = ensure_binaries((STORE,), print)[STORE]
    credentials = {"AWS_ACCESS_KEY_ID": secrets.token_hex(8), "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16)}
    environment = os.environ | {
        "ROOT_ACCESS_KEY": credentials["AWS_ACCESS_KEY_ID"],
        "ROOT_SECRET_KEY": credentials["AWS_SECRET_ACCESS_KEY"],
    }
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        for _ in range(_ATTEMPTS):  # it takes no port 0: somebody may take the port that was found
            with socket.create_server((host, 0)) as probe:
                port = probe.getsockname()[1]
            command = [str(program), "--port", f"{host}:{port}", "--region", REGION, "--quiet", "--keep-alive"]
            process = subprocess.Popen([*command, "posix", str(folder)], env=environment, stdout=log, stderr=log)
            if _answers(process, host, port):
                break
        else:
            message = f"the S3 server does not answer on {host}:{port}; its exit code is {process.poll()}"
            raise RuntimeError(message)
    try:
        yield ObjectStore(folder, f"http://{host}:{port}", credentials)
    finally:
        process.terminate()
        process.wait(_DEADLINE)


def _answers(process: subprocess.Popen[bytes], host: str, port: int) -> bool:
    """Wait until a server answers; tell whether it does. One that does not is ended."""
    deadline = time.monotonic() + _DEADLINE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((host, port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return process.poll() is None
    process.kill()
    process.wait(_DEADLINE)
    return False


@dataclass
class Fault:
    """What the proxy does to one request, instead of passing it on whole.

    Attributes:
        status: answer this at once.
        headers: with these headers.
        cut_after: pass on so many bytes of the body, then end the connection.
        wait_seconds: wait so long first.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    cut_after: int | None = None
    wait_seconds: float = 0.0


@contextmanager
def faulty(target: str, plan: Callable[[str, str, int], Fault | None]) -> Generator[tuple[str, list[str]]]:
    """Run a proxy before `target`; `plan(method, path, number)` says what happens to a request.

    Gives the proxy's address and the list of requests it saw. Signatures hold, since the Host header is passed on.
    """
    seen: list[str] = []
    ended = threading.Event()
    where = urlsplit(target)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            seen.append(f"{self.command} {self.path}")
            fault = plan(self.command, self.path, len(seen)) or Fault()
            ended.wait(fault.wait_seconds)
            if fault.status:
                self.send_response(fault.status)
                for name, value in {"Content-Length": "0", **fault.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                return
            with closing(http.client.HTTPConnection(where.hostname or "", where.port)) as onward:
                onward.request(self.command, self.path, body, dict(self.headers.items()))
                answer = onward.getresponse()
                data = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"transfer-encoding", "connection", "date", "server"}:
                    self.send_header(name, value)
            self.end_headers()
            self.close_connection = fault.cut_after is not None
            with suppress(OSError):  # who asked may have given up
                self.wfile.write(data if fault.cut_after is None else data[: fault.cut_after])

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":  # building the server takes minutes the first time: outside any test's time limit
    ensure_binaries((STORE,), print)
