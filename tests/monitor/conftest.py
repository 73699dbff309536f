"""The sidecar as its container runs it, beside an API server that does what a test wants."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.monitor.fake_api import FakeApi, certificate
from tests.monitor.labelled import World
from tests.monitor.replicas import eventually, free_port, write_model


@dataclass
class Sidecar:
    """The running container."""

    process: subprocess.Popen[bytes]
    control: Path
    log: Path

    def table(self) -> Any:
        """Return what the server would read, None where there is nothing."""
        try:
            return json.loads((self.control / "traffic.json").read_bytes())
        except FileNotFoundError:
            return None

    def expect(self, weight: int, deadline: float = 20) -> None:
        def right() -> bool:
            found = self.table()
            return bool(found) and found["weight"] == weight

        eventually(right, f"no table of weight {weight}; {self.said()}", deadline)

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def worker(self) -> int:
        """Return the worker's process id."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found: list[str] = []

        def there() -> bool:
            found[:] = children.read_text().split()
            return bool(found)

        eventually(there, f"no worker; {self.said()}")
        return int(found[0])

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=10)


@pytest.fixture
def api(tmp_path: Path) -> Generator[FakeApi]:
    folder = tmp_path / "credentials"
    folder.mkdir()
    certificate(folder)
    fake = FakeApi(folder)
    fake.up()
    yield fake
    fake.down()


@pytest.fixture
def environment() -> dict[str, str]:
    """What a test adds to the sidecar's environment; replaced by those that do."""
    return {}


@pytest.fixture
def sidecar(api: FakeApi, tmp_path: Path, environment: dict[str, str]) -> Generator[Sidecar]:
    control = tmp_path / "control"
    control.mkdir()
    env = os.environ | {
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(api.port),
        "MODELWRIGHT_NAMESPACE": "team",
        "MODELWRIGHT_DEPLOYMENT": "churn",
        "MODELWRIGHT_CONTROL_DIR": str(control),
        "MODELWRIGHT_CREDENTIALS_DIR": str(api.folder),
        **environment,
    }
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen([sys.executable, "-m", "modelwright_monitor"], env=env, stderr=stderr)
    started = Sidecar(process, control, log)
    yield started
    if process.poll() is None:
        assert started.end() == 0, started.said()


@pytest.fixture
def world(tmp_path: Path) -> Generator[World]:
    write_model(tmp_path / "model")
    made = World(tmp_path, free_port(["127.0.0.1"]))
    yield made
    for pod in list(made.pods):
        pod.gone()
