"""Stable and canary as real processes, the table between them, and what the stable pod says of both."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelwright_server.contract.traffic import FILE, Canary, Stable, Table
from tests.server.process import DEADLINE, INFER, Answer, Client, Server, settings

STABLE, CANARY = "9f2c41ab07", "5d1c9a7730"
STABLE_VERSION, CANARY_VERSION = f"churn-{STABLE}", f"churn-{CANARY}"
TIMEOUT_MILLISECONDS = 10_000  # this machine may freeze for a second or two
SHORT_MILLISECONDS = 300


def table(port: int, grpc_port: int = 9, **changes: Any) -> Table:
    """A table whose canary listens here."""
    canary = Canary(revision=CANARY, version=CANARY_VERSION, host="127.0.0.1", rest_port=port, grpc_port=grpc_port)
    values: dict[str, Any] = {"weight": 10, "canary_timeout_milliseconds": TIMEOUT_MILLISECONDS}
    stable = Stable(revision=STABLE, version=STABLE_VERSION)
    return Table(stable=stable, canary=canary, **values | changes)


def write(folder: Path, content: Table | bytes) -> None:
    """Replace the table as the sidecar does."""
    fresh = folder / "fresh"
    fresh.write_bytes(content if isinstance(content, bytes) else content.to_json())
    fresh.replace(folder / FILE)


@dataclass
class Pod:
    """A serving pod of one track: a server that reads a table."""

    server: Server
    folder: Path
    sequence: int = 0

    def steps(self) -> list[dict[str, Any]]:
        """The evidence, the newest step last."""
        found: list[dict[str, Any]] = self.page()["steps"]
        return found

    def step(self) -> dict[str, Any]:
        return self.steps()[-1]

    def page(self) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.metrics_port, timeout=DEADLINE)
        try:
            connection.request("GET", "/evidence")
            response = connection.getresponse()
            assert response.getheader("content-type") == "application/json"
            found: dict[str, Any] = json.loads(response.read())
            return found
        finally:
            connection.close()

    def route(self, content: Table) -> None:
        """Replace the table, and wait until all processes go by it."""
        taken = self.tables("taken")
        write(self.folder, content)
        eventually(lambda: self.tables("taken") >= taken + self.server.settings.processes)

    def next_step(self, canary: "Pod | int", grpc_port: int = 9, **changes: Any) -> None:
        """Go to a step of its own, whose canary is this pod or listens here."""
        self.sequence += 1
        ports = (canary, grpc_port) if isinstance(canary, int) else (canary.server.port, canary.server.grpc_port)
        self.route(table(*ports, sequence=self.sequence, **changes))

    def tables(self, result: str) -> int:
        return int(self.metric("modelwright_server_traffic_tables_total", f'result="{result}"'))

    def metric(self, name: str, *labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        lines = [line for line in self.server.metrics().splitlines() if line.startswith(name + "{")]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(label in line for label in labels))


@contextmanager
def pod(model: Path, folder: Path, revision: str, content: Table | None = None, **changes: Any) -> Iterator[Pod]:
    """Run a pod of a revision; with a table, it is there from the start."""
    folder.mkdir(parents=True, exist_ok=True)
    if content is not None:
        write(folder, content)
    values = settings(
        model, folder, revision=revision, control_dir=str(folder), model_version=f"churn-{revision}", **changes
    )
    with Server(values) as server:
        yield Pod(server.wait_until_ready(), folder)


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until it holds, or fail."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def track(answer: Answer) -> str:
    return answer.headers["modelwright-track"]


def post(client: Client, body: Any, **headers: str) -> Answer:
    """An inference request; underlines in header names stand for dashes."""
    return client.request("POST", INFER, body, {name.replace("_", "-"): value for name, value in headers.items()})


def burst(server: Server, body: Any, connections: int = 20, each: int = 5, **headers: str) -> list[Answer]:
    """So many requests on each of some kept connections, at the same time."""

    def requests(_: int) -> list[Answer]:
        with server.client() as client:
            return [post(client, body, **headers) for _ in range(each)]

    with ThreadPoolExecutor(connections) as threads:
        return [answer for answers in threads.map(requests, range(connections)) for answer in answers]
