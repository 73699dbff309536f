"""The real server as a process of its own, and clients over real sockets."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from modelwright_server.contract import ServerSettings

NAME, VERSION = "churn", "churn-0123456789"
INFER = f"/v2/models/{NAME}/infer"
DEADLINE = 30.0


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"


@dataclass
class Server:
    """A running server; a context, so that it never outlives its test."""

    settings: ServerSettings
    log: list[dict[str, Any]] = field(default_factory=list)
    output: Path = Path(os.devnull)  # where its stdout goes

    def __enter__(self) -> Self:
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "modelwright_server"],
                env={**os.environ, "ORT_DISABLE_TELEMETRY": "1", **self.settings.to_env()},
                stdout=output,
                stderr=subprocess.PIPE,
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def wait_for(self, event: str) -> dict[str, Any]:
        """Read log lines up to one with this event."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(json.loads(line))
            if self.log[-1]["event"] == event:
                return self.log[-1]
        problem = f"the log ended without {event!r}: {self.log}"
        raise AssertionError(problem)

    def wait_until_ready(self) -> Self:
        ports = self.wait_for("ready")
        self.port, self.metrics_port, self.grpc_port = ports["restPort"], ports["metricsPort"], ports["grpcPort"]
        return self

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def memory(self, key: str = "VmRSS") -> int:
        """Bytes of a line of the process's status."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) << 10
        raise KeyError(key)

    def request(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request on a connection of its own."""
        with self.client() as client:
            return client.request(method, path, body, headers)

    def infer(self, body: Any, **headers: str) -> Answer:
        return self.request("POST", INFER, body, headers)

    def metrics(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=DEADLINE)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return text

    @contextmanager
    def client(self) -> Iterator["Client"]:
        client = Client(self.port)
        try:
            yield client
        finally:
            client.close()

    def raw(self, data: bytes, *, shut: bool = False) -> bytes:
        """Send bytes as they are; return all that comes until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE) as connection:
            connection.sendall(data)
            if shut:
                connection.shutdown(socket.SHUT_WR)
            return read_all(connection)


class Client:
    """A client with one connection that it keeps."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)

    def request(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Send a request (what is not bytes goes as JSON); return the response."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        self._connection.request(method, path, data, headers or {})
        response = self._connection.getresponse()
        content = response.read()
        return Answer(response.status, {key.lower(): value for key, value in response.getheaders()}, content)

    def close(self) -> None:
        self._connection.close()


def read_all(connection: socket.socket) -> bytes:
    """Everything up to the end, or to a reset."""
    parts = []
    try:
        while part := connection.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        parts.append(b"<reset>")
    return b"".join(parts)


def settings(folder: Path, tmp: Path, **changes: Any) -> ServerSettings:
    """Settings of a server on free ports."""
    values: dict[str, Any] = {
        "model_name": NAME,
        "model_version": VERSION,
        "deployment": "churn",
        "namespace": "shop",
        "model_dir": str(folder),
        "drain_seconds": 0,
        "host": "127.0.0.1",
        "rest_port": 0,
        "grpc_port": 0,
        "metrics_port": 0,
        "termination_log": str(tmp / "termination-log"),
    }
    return ServerSettings(**values | changes)
