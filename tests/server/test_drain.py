"""The end of a server: no client notices."""

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server.models import Built
from tests.server.process import DEADLINE, INFER, Client, Server, settings

Builder = Callable[[str], Built]
CLIENTS = 16


class Clients:
    """Clients that send requests until they are told to stop, some keeping their connection, some not."""

    def __init__(self, old: Server, new: Server, body: object) -> None:
        self.old, self.new, self.body = old, new, body
        self.target = old.port  # what a Service would do: the selector moves
        self.stopped = threading.Event()
        self.answered = {old.port: 0, new.port: 0}
        self.ports: dict[int, int] = {}  # that each thread is connected to
        self.failures: list[str] = []
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(kept,), daemon=True) for kept in [True, False] * CLIENTS
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, kept: bool) -> None:
        client, port = None, 0
        try:
            while not self.stopped.is_set():
                if client is None:
                    port = self.ports[threading.get_ident()] = self.target
                    client = Client(port)
                answer = client.request("POST", INFER, self.body)
                with self._lock:
                    self.answered[port] += 1
                if answer.status != 200:
                    self.failures.append(str(answer))
                if answer.closes or not kept:
                    client.close()
                    client = None
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(repr(error))
        finally:
            if client is not None:
                client.close()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline
            self.stopped.wait(0.01)

    def stop(self) -> None:
        self.stopped.set()
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()


def test_no_request_fails_when_a_server_is_replaced(built: Builder, tmp_path: Path) -> None:
    """32 clients, half of them keep their connection; endpoints move a moment after SIGTERM."""
    model = built("logistic")
    body = {"inputs": model.inputs(model.rows.iloc[:2])}
    with (
        Server(settings(model.folder, tmp_path, drain_seconds=60)) as old,
        Server(settings(model.folder, tmp_path)) as new,
    ):
        old.wait_until_ready()
        new.wait_until_ready()
        clients = Clients(old, new, body)
        clients.wait_for(lambda: clients.answered[old.port] > 500)
        old.terminate()
        old.wait_for("draining")
        count = clients.answered[old.port]
        clients.wait_for(lambda: clients.answered[old.port] > count + 100)  # reconnecting finds it still open
        clients.target = new.port
        clients.wait_for(lambda: old.port not in list(clients.ports.values()))
        old.terminate()  # who asks twice is in a hurry
        assert old.process.wait(DEADLINE) == 0
        clients.wait_for(lambda: clients.answered[new.port] > 500)
        clients.stop()
        assert clients.failures == []
        assert old.wait_for("stopped")["allAnswered"] is True


def test_a_draining_server_answers_but_is_not_ready(built: Builder, tmp_path: Path) -> None:
    model = built("logistic")
    body = {"inputs": model.inputs(model.rows.iloc[:1])}
    with Server(settings(model.folder, tmp_path, drain_seconds=600)) as server:
        server.wait_until_ready()
        with server.client() as kept:
            assert not kept.request("POST", INFER, body).closes
            server.terminate()
            server.wait_for("draining")
            answer = kept.request("POST", INFER, body)
            assert (answer.status, answer.closes) == (200, True)
        ready = server.request("GET", "/v2/health/ready")
        assert (ready.status, ready.json, ready.closes) == (503, {"ready": False}, True)
        assert server.request("GET", "/v2/models/churn/ready").status == 503
        assert server.request("GET", "/v2/health/live").status == 200
        labels = 'model="churn",track="stable",version="churn-0123456789"'
        assert f"modelwright_server_ready{{{labels}}} 0.0" in server.metrics()
        server.terminate()  # a second signal: in a hurry
        assert server.process.wait(DEADLINE) == 0


def test_the_listener_stays_open_as_long_as_asked(built: Builder, tmp_path: Path) -> None:
    with Server(settings(built("logistic").folder, tmp_path, drain_seconds=2)) as server:
        server.wait_until_ready()
        start = time.monotonic()
        server.terminate()
        assert server.process.wait(DEADLINE) == 0
        assert time.monotonic() - start >= 2


def test_a_request_in_flight_is_answered(built: Builder, tmp_path: Path) -> None:
    """Its second half comes after the listener was told to close."""
    model = built("logistic")
    with Server(settings(model.folder, tmp_path)) as server:
        server.wait_until_ready()
        with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as connection:
            connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n")
            assert server.request("GET", "/v2/health/live").status == 200  # so the first has been read
            server.terminate()
            server.wait_for("draining")
            while True:
                try:
                    socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE).close()
                except ConnectionError:  # refused, or reset while waiting to be accepted
                    break
            connection.sendall(b"\r\n")
            answer = connection.recv(4096)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"Connection: close\r\n" in answer
        assert server.process.wait(DEADLINE) == 0


def test_idle_connections_do_not_hold_the_end_up(built: Builder, tmp_path: Path) -> None:
    with Server(settings(built("logistic").folder, tmp_path)) as server:
        server.wait_until_ready()
        connections = [socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) for _ in range(50)]
        assert server.request("GET", "/v2").status == 200
        server.terminate()
        for connection in connections:
            assert connection.recv(1) == b""
            connection.close()
        assert server.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("change", ["garbage", "no model", "no schema"])
def test_a_model_that_cannot_be_loaded_ends_the_server(built: Builder, tmp_path: Path, change: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model.onnx", "schema.json"):
        (folder / name).write_bytes((built("logistic").folder / name).read_bytes())
    if change == "garbage":
        (folder / "model.onnx").write_bytes(b"garbage")
    else:
        (folder / {"no model": "model.onnx", "no schema": "schema.json"}[change]).unlink()
    with Server(settings(folder, tmp_path)) as server:
        assert server.process.wait(DEADLINE) == 2
    message = (tmp_path / "termination-log").read_text()
    assert '"reason":"ModelRejected"' in message
    assert '"stage":"serve"' in message


def test_wrong_settings_end_the_server_with_all_that_is_wrong(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "modelwright_server"],
        env={"MODELWRIGHT_THREADS": "many"},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert result.returncode == 2
    assert b"MODELWRIGHT_MODEL_NAME is not set" in result.stderr
    assert b"MODELWRIGHT_THREADS='many' must be a whole number from 1 to 256" in result.stderr
