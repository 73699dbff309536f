"""The servers that are compared, each a process on the server's core: how to start it, and when it is ready."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelwright_server import artifact
from modelwright_server.contract import READY_PATH, ServerSettings
from tests.benchmarks.serving.cores import ENVIRONMENT, SERVER_CORE, BenchmarkError, Process, pinned, required
from tests.benchmarks.serving.environments import OWN, environment, program
from tests.benchmarks.serving.models import NAME, VERSION
from tests.cluster.settings import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.benchmarks.serving.models import BenchmarkModel

LOGS = REPOSITORY / "build" / "bench" / "logs"
_READY_SECONDS = 60.0
_LOOK_SECONDS = 0.002
_OK = 200
_SOURCE = {"PYTHONPATH": str(REPOSITORY / "model_server"), "PYTHONDONTWRITEBYTECODE": ""}

_NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_timeout 600; keepalive_requests 1000000000; client_body_buffer_size 256k;
  client_max_body_size 64m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; default_type application/json; location / {{ return 200 '{answer}'; }} }}
}}
"""


@dataclass(frozen=True)
class Running:
    """A server that is ready; ports are 0 where it does not speak the protocol."""

    process: Process
    start_seconds: float
    port: int = 0
    grpc_port: int = 0


@contextmanager
def started(
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    ready: Callable[[Process], tuple[int, int] | None],
) -> Iterator[Running]:
    """Run a server on the server's core; `ready` gives its ports (REST, gRPC) once it is ready.

    Raises:
        BenchmarkError: it ended, or took too long.
    """
    begun = time.perf_counter()
    with Process(command, LOGS / f"{name}.log", environment, [SERVER_CORE]) as process:
        ports = ready(process)
        while ports is None:
            if process.ended or time.perf_counter() - begun > _READY_SECONDS:
                what = "ended" if process.ended else f"is not ready after {_READY_SECONDS:.0f} s"
                message = f"{name} {what}; its last line: {process.last_words()}"
                raise BenchmarkError(message)
            time.sleep(_LOOK_SECONDS)
            ports = ready(process)
        yield Running(process, time.perf_counter() - begun, *ports)


@contextmanager
def nginx(answer: bytes) -> Iterator[Running]:
    """Run nginx with one worker, which reads each request and gives a fixed answer: the floor."""
    program = required("nginx", "nginx-light")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "nginx.conf"
        settings.write_text(_NGINX.format(folder=folder, port=port, answer=answer.decode()), encoding="utf-8")
        command = [program, "-p", folder, "-c", str(settings)]
        with started("nginx", command, {}, lambda _: (port, 0) if answers(port, "/") else None) as running:
            yield running


@contextmanager
def modelwright(model: BenchmarkModel, **changes: object) -> Iterator[Running]:
    """Run our server with everything on: validation, metrics, prediction ids and the ring in shared memory."""
    memory = Path("/dev/shm")  # noqa: S108 - the ring's place in a pod is such a file system
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        values: dict[str, object] = {
            "model_name": NAME,
            "model_version": VERSION,
            "deployment": NAME,
            "namespace": "shop",
            "model_dir": str(model.folder),
            "drain_seconds": 0,
            "host": "127.0.0.1",
            "rest_port": 0,
            "grpc_port": 0,
            "metrics_port": 0,
            "ring_dir": folder,
            "termination_log": f"{folder}/termination-log",
        }
        settings = ServerSettings(**values | changes)  # type: ignore[arg-type]
        command = [str(environment(OWN)), "-m", "modelwright_server"]
        with started("modelwright", command, settings.to_env() | _SOURCE, _ports) as running:
            yield running


@contextmanager
def fastapi(model: BenchmarkModel) -> Iterator[Running]:
    """Run FastAPI with onnxruntime, one worker, without an access log."""
    port = free_port()
    command = [str(environment("fastapi")), program("fastapi_server"), str(model.onnx), str(port)]
    with started("fastapi", command, {}, lambda _: (port, 0) if answers(port, READY_PATH) else None) as running:
        yield running


@contextmanager
def grpcio_echo(answer_bytes: int) -> Iterator[Running]:
    """Run a grpcio aio server that answers a fixed message of that size."""
    port = free_port()
    command = [str(environment(OWN)), program("grpcio_echo"), str(port), str(answer_bytes)]
    with started("grpcio-echo", command, {}, lambda _: (0, port) if listens(port) else None) as running:
        yield running


def in_process(model: BenchmarkModel) -> dict[str, float]:
    """Return onnxruntime's seconds a call on the server's core, by number of rows."""
    with tempfile.NamedTemporaryFile(suffix=".npy") as rows:
        np.save(rows, model.rows)
        rows.flush()
        command = [*pinned([SERVER_CORE]), str(environment(OWN)), program("in_process"), str(model.onnx), rows.name]
        return spoken(command)


def ring_cost(model: BenchmarkModel) -> dict[str, float]:
    """Return the microseconds of a record in the ring, by number of rows."""
    return spoken(
        [*pinned([SERVER_CORE]), str(environment(OWN)), program("ring_cost"), str(model.folder / artifact.SCHEMA)]
    )


def spoken(command: Sequence[str]) -> dict[str, float]:
    """Return the JSON that a program prints.

    Raises:
        BenchmarkError: it failed.
    """
    environment_ = {**os.environ, **ENVIRONMENT, **_SOURCE}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY, env=environment_)
    if done.returncode:
        message = f"{command[-2]} failed: {done.stderr.strip()[-300:]}"
        raise BenchmarkError(message)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _ports(process: Process) -> tuple[int, int] | None:
    for line in process.log.read_text(encoding="utf-8").splitlines():
        if line.startswith('{"') and line.endswith("}") and (said := json.loads(line))["event"] == "ready":
            return (said["restPort"], said.get("grpcPort", 0)) if answers(said["restPort"], READY_PATH) else None
    return None


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Return whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


def answers(port: int, path: str) -> bool:
    """Return whether a server answers 200 there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == _OK
    except OSError:
        return False
    finally:
        connection.close()
