"""An API server for one Deployment, over TLS: list, watch, apply of its status, and whatever may go wrong with them."""

import contextlib
import copy
import http.server
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]

COLLECTION = "/apis/modelwright.dev/v1alpha1/namespaces/team/modeldeployments"
TABLE = {
    "stable": {"revision": "0123456789", "version": "churn-9f2c41ab07"},
    "canary": {
        "revision": "9876543210",
        "version": "churn-aaaaaaaaaa",
        "host": "churn-canary.team.svc",
        "restPort": 80,
        "grpcPort": 8081,
    },
    "sequence": 1,
    "weight": 5,
}


def certificate(folder: Path) -> None:
    """Make a certificate for 127.0.0.1, and the token and CA file of a pod that trusts it."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "2", "-subj", "/CN=fake", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", folder / "key.pem", "-out", folder / "ca.crt"),
        ],
        check=True,
        capture_output=True,
    )
    (folder / "token").write_text("first\n", encoding="ascii")


class FakeApi:
    """The server; its attributes may be changed while it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokens = {"first"}
        self.answer: tuple[int, dict[str, str]] | None = None
        self.closes = False
        self.requests: list[tuple[str, str]] = []
        self.asked_at: list[float] = []  # of each of them, on the monotonic clock
        self.applied: list[Object] = []
        self._changed = threading.Condition()
        self._version = 100
        self._object: Object | None = None
        self._events: list[tuple[int, Object]] = []
        self._open: set[socket.socket] = set()
        self._server: http.server.ThreadingHTTPServer | None = None
        self.port = 0

    # what a test does

    def up(self) -> None:
        """Listen, on the same port as before."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "ca.crt", self.folder / "key.pem")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self), bind_and_activate=False)
        server.allow_reuse_address = True
        server.server_bind()
        server.server_activate()
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = server.server_address[1]
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        """Go away, and break every connection."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        self.drop()

    def drop(self) -> None:
        """Break every connection."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def put(self, traffic: Object | None, *, uid: str = "u1", spec: Object | None = None) -> None:
        """Give the Deployment this status.traffic, and a spec."""
        status = {} if traffic is None else {"traffic": traffic}
        before = (self._object or {}).get("status") or {}
        if spec is not None:
            status = {**before, **status}
        kind = "MODIFIED" if self._object else "ADDED"
        self._object = {"metadata": {"name": "churn", "uid": uid}, "spec": spec or {}, "status": status}
        self._tell(kind, self._object)

    @property
    def status(self) -> Object:
        """The Deployment's status."""
        return dict((self._object or {}).get("status") or {})

    def apply(self, body: Object, query: dict[str, str]) -> tuple[int, Object]:
        """Apply a status, as its only manager; return the answer."""
        with self._changed:
            if self._object is None:
                return 404, {"message": "not found"}
            if body["metadata"]["resourceVersion"] != self._object["metadata"]["resourceVersion"]:
                return 409, {"message": "the object has been modified"}
            self.applied.append({"query": query, "status": body["status"]})
            self._object = {**self._object, "status": {**self._object["status"], **body["status"]}}
        self._tell("MODIFIED", self._object)
        return 200, self._object

    def delete(self) -> None:
        """Delete the Deployment."""
        gone, self._object = self._object, None
        assert gone is not None
        self._tell("DELETED", gone)

    def tell(self, kind: str, seen: Object) -> None:
        """Send an event that changes nothing."""
        self._tell(kind, seen)

    def _tell(self, kind: str, seen: Object) -> None:
        with self._changed:
            self._version += 1
            seen["metadata"] = {**seen.get("metadata", {}), "resourceVersion": str(self._version)}
            event = {"type": kind, "object": copy.deepcopy(seen)}
            self._events.append((self._version, event))
            self._changed.notify_all()

    # what the sidecar asks

    def listed(self) -> Object:
        items = [self._object] if self._object else []
        return {"kind": "ModelDeploymentList", "metadata": {"resourceVersion": str(self._version)}, "items": items}

    def events_after(self, version: int, seconds: float) -> Generator[Object]:
        """Yield what happened after a version, for so long."""
        end = threading.Event()
        timer = threading.Timer(seconds, end.set)
        timer.start()
        try:
            while not end.is_set():
                with self._changed:
                    news = [(at, event) for at, event in self._events if at > version]
                    if not news:
                        self._changed.wait(0.05)
                for at, event in news:
                    version = at
                    yield event
        finally:
            timer.cancel()

    @contextlib.contextmanager
    def connected(self, connection: socket.socket) -> Generator[None]:
        self._open.add(connection)
        try:
            yield
        finally:
            self._open.discard(connection)


def _handler(api: FakeApi) -> type[http.server.BaseHTTPRequestHandler]:
    return type("Bound", (_Handler,), {"api": api})


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: FakeApi

    def handle(self) -> None:
        with self.api.connected(self.connection), contextlib.suppress(OSError):
            super().handle()

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        token = self.headers["Authorization"].removeprefix("Bearer ")
        self.api.asked_at.append(time.monotonic())
        self.api.requests.append(("watch" if "watch" in query else "list", token))
        assert (address.path, query["fieldSelector"]) == (COLLECTION, "metadata.name=churn")
        if self.api.answer is not None:
            self._send(*self.api.answer)
        elif token not in self.api.tokens:
            self._send(401, {"message": "Unauthorized"})
        elif "watch" in query:
            self._watch(int(query["resourceVersion"]), float(query["timeoutSeconds"]))
        else:
            self._send(200, self.api.listed())

    def do_PATCH(self) -> None:
        address = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert address.path == f"{COLLECTION}/churn/status"
        assert self.headers["Content-Type"] == "application/apply-patch+yaml"
        if self.api.answer is not None:
            self._send(*self.api.answer)
        else:
            self._send(*self.api.apply(body, query))

    def _send(self, status: int, document: Object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if self.api.closes:
            self.send_header("Connection", "close")
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(body)

    def _watch(self, version: int, seconds: float) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in self.api.events_after(version, seconds):
            line = json.dumps(event).encode() + b"\n"
            # In two chunks: where lines end has nothing to do with where chunks do.
            for part in (line[:20], line[20:]):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
