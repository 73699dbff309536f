"""Replicas of one Deployment without a cluster: sessions with rings, an exchange over loopback, one shared object."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright_drift import document, summary
from modelwright_drift.baseline import Baseline
from modelwright_monitor.apiserver import ConflictError
from modelwright_monitor.clock import now_seconds
from modelwright_monitor.listener import Answer, Listener, Request
from modelwright_monitor.model import digest_of
from modelwright_monitor.peers import Peers
from modelwright_monitor.session import Folders, Pod, Session
from modelwright_monitor.writer import Writer
from modelwright_server.contract import monitoring
from modelwright_server.ring import RingWriter
from modelwright_server.schema import Datatype, Schema, Task, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

Object = dict[str, Any]

SCHEMA = Schema(
    (TensorSpec("input", Datatype.FP32, (-1, 3), ("a", "b", "c"), nullable=True),),
    (
        TensorSpec("label", Datatype.INT64, (-1,)),
        TensorSpec("probabilities", Datatype.FP32, (-1, 2), ("0", "1")),
    ),
    Task.CLASSIFICATION,
)
REVISION = "0123456789"
RULES = {"window": {"rows": 2000, "minSeconds": 0, "maxSeconds": 3600}}


def rows_of(rng: np.random.Generator, rows: int, shift: float = 0.0) -> np.ndarray[Any, Any]:
    """Return rows of three features; the shift is the second one's."""
    found = rng.normal(size=(rows, 3)).astype(np.float32)
    found[:, 1] += shift
    return found


def outputs_of(inputs: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return what a model says that looks at the first feature only."""
    positive = (1 / (1 + np.exp(-np.nan_to_num(inputs[:, 0])))).astype(np.float32)
    probabilities = np.stack([1 - positive, positive], axis=1).astype(np.float32)
    return (positive > 0.5).astype(np.int64), probabilities


def baseline(rows: int = 5000, seed: int = 1) -> Baseline:
    inputs = rows_of(np.random.default_rng(seed), rows)
    labels, probabilities = outputs_of(inputs)
    features = tuple(summary.numeric(name, "FP32", inputs[:, at]) for at, name in enumerate("abc"))
    label = summary.categorical("label", "INT64", map(str, labels.tolist()))
    score = summary.numeric("probabilities[1]", "FP32", probabilities[:, 1], computed=True)
    right = tuple(rows - rows // 10 for rows in score.counts)  # nine of ten, whatever the score
    return Baseline(features, (label, score), right)


def eventually(holds: Callable[[], object], what: str, deadline: float = 20) -> None:
    end = time.monotonic() + deadline
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def write_model(folder: Path, made: Baseline | None = None) -> str:
    """Write what fetch leaves; return the digest."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schema.json").write_text(json.dumps(SCHEMA.to_document()), encoding="utf-8")
    (folder / "baseline.json").write_bytes(document.dump(made or baseline()))
    (folder / "manifest.json").write_bytes(b"{}")
    return "sha256:" + hashlib.sha256(b"{}").hexdigest()


def new_ring(folder: Path, digest: str, schema: Schema = SCHEMA) -> RingWriter:
    """Make the ring of a server that begins."""
    return RingWriter.create(folder, "ring-0", schema, model="churn", version="churn-1", digest=digest)


class FakeObject:
    """The Deployment as the API server keeps it; a conflict for whoever is late."""

    def __init__(self, rules: Object) -> None:
        self.lock = threading.Lock()
        self.writes: list[Object] = []
        self.down = False
        self.seen: Object = {
            "metadata": {"name": "churn", "generation": 1, "resourceVersion": "1"},
            "spec": {"monitoring": rules},
            "status": {"traffic": {"stable": {"revision": REVISION, "version": "churn-1"}}},
        }

    @contextlib.contextmanager
    def connect(self) -> Generator[FakeObject]:
        if self.down:
            message = "away"
            raise ConnectionError(message)
        yield self

    def read(self) -> tuple[Object, str]:
        with self.lock:
            return copy.deepcopy(self.seen), self.seen["metadata"]["resourceVersion"]

    def apply_status(self, status: Object, version: str) -> None:
        with self.lock:
            if version != self.seen["metadata"]["resourceVersion"]:
                raise ConflictError(version)
            self.writes.append(copy.deepcopy(status))
            self.touch_locked(status)

    def touch_locked(self, status: Object) -> None:
        before = self.seen["status"]
        self.seen = {
            **self.seen,
            "metadata": {
                **self.seen["metadata"],
                "resourceVersion": str(int(self.seen["metadata"]["resourceVersion"]) + 1),
            },
            "status": {**before, **status},
        }

    def touch(self) -> None:
        """Change it as somebody else does."""
        with self.lock:
            self.touch_locked({})

    def condition(self, kind: str) -> Object:
        found: list[Object] = self.seen["status"].get("conditions") or []
        return next((item for item in found if item["type"] == kind), {})

    @property
    def report(self) -> Object:
        found: Object = self.seen["status"]["monitoring"]
        return found


class Replica:
    """A pod: its ring, its session, and the address at which others reach it."""

    def __init__(self, api: FakeObject, folder: Path, number: int, addresses: list[str], port: int) -> None:
        self.api = api
        self.folders = Folders(folder / "model", folder / f"ring{number}", folder / f"windows{number}")
        for made in (self.folders.ring, self.folders.windows):
            made.mkdir(exist_ok=True)
        self.address = f"127.0.0.{number}"
        self.name = f"churn-{REVISION}-7c9d8f6b54-xxxx{number}"
        self._addresses = addresses
        self._port = port
        self.ring = new_ring(self.folders.ring, digest_of(self.folders.model))
        self.session = self.started()
        self.listener: Listener | None = None

    def started(self) -> Session:
        """Return a session as a new worker begins it."""
        pod = Pod(self.name, "churn", "team", REVISION)
        return Session(
            pod,
            self.folders,
            lambda made: Peers(lambda: self._addresses, self._port, made, self.address),
            Writer(self.api.connect, now_seconds, time.sleep),  # type: ignore[arg-type]
        )

    def listen(self) -> int:
        """Answer the other replicas; return the port."""

        def answer(request: Request) -> Answer:
            return self.session.answer_window(request)  # of the worker that lives then

        def take(request: Request) -> Answer:
            return self.session.take_part(request)

        self.listener = Listener(
            self.address, self._port, {monitoring.WINDOW_PATH: answer}, {monitoring.WINDOW_PATH: take}
        )
        self.listener.start()
        return int(self.listener.server_address[1])

    def addresses(self, addresses: list[str]) -> None:
        """Let the Service's name have these addresses."""
        self._addresses[:] = addresses
        self.session._peers._looked_at = float("-inf")

    def leave(self, seconds: float = 10.0) -> None:
        """End as a pod does that is deleted; it may take so long, but takes no longer than it needs."""
        self.session.leave(lambda: self.api.read()[0], seconds)
        self.addresses([address for address in self._addresses if address != self.address])
        assert self.listener is not None
        self.listener.shutdown()
        self.listener.server_close()

    def kill(self) -> None:
        """Let a new worker take the place of one that could do nothing more."""
        self.session = self.started()

    def answer(self, inputs: np.ndarray[Any, Any], at_once: int = 1) -> None:
        """Append rows as the server does."""
        for start in range(0, len(inputs), at_once):
            part = inputs[start : start + at_once]
            labels, probabilities = outputs_of(part)
            self.ring.append(len(part), [part.tobytes(), labels.tobytes(), probabilities.tobytes()])

    def step(self) -> None:
        """Do what a second brings."""
        self.session._tick_at = self.session._look_at = float("-inf")
        self.session.count(self.api.read()[0])
        self.session.look(self.api.read()[0])

    def count(self) -> None:
        """Count only."""
        self.session._tick_at = float("inf")
        self.session.count(self.api.read()[0])


@contextlib.contextmanager
def replicas(folder: Path, count: int, rules: Object | None = None) -> Generator[tuple[FakeObject, list[Replica]]]:
    """Give a Deployment and its replicas."""
    write_model(folder / "model")
    api = FakeObject(rules or RULES)
    addresses = [f"127.0.0.{number}" for number in range(1, count + 1)]
    port = free_port(addresses)
    found = [Replica(api, folder, number, addresses, port) for number in range(1, count + 1)]
    for replica in found:
        replica.listen()
        replica.step()
    try:
        yield api, found
    finally:
        for replica in found:
            replica.session.end()
            if replica.listener is not None:
                replica.listener.shutdown()
                replica.listener.server_close()


def free_port(addresses: list[str]) -> int:
    with socket.socket() as probe:
        probe.bind((addresses[0], 0))
        return int(probe.getsockname()[1])
