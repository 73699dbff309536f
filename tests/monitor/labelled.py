"""Replicas of one Deployment that take labels, without a cluster."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

from modelwright_monitor.clock import now_seconds
from modelwright_monitor.conditions import Mark
from modelwright_monitor.labels import Labels
from modelwright_monitor.listener import Answer, Listener
from modelwright_monitor.report import Report
from modelwright_monitor.writer import Writer
from modelwright_server.contract import MonitorSettings, monitoring
from tests.monitor.replicas import REVISION, FakeObject

if TYPE_CHECKING:
    from pathlib import Path

    from modelwright_monitor.listener import Request

Object = dict[str, Any]
DAY = 86_400
QUALITY = {"metric": "accuracy", "min": 0.8, "minLabels": 50}
DIGEST = "sha256:" + hashlib.sha256(b"{}").hexdigest()
KEY = DIGEST[7:17]
OTHER = "sha256:" + "a" * 64
CANARY_REVISION = "fedcba9876"


def stable(digest: str = DIGEST, version: str = "churn-1") -> Object:
    return {"revision": "0123456789", "version": version, "model": "churn", "digest": digest}


class World(FakeObject):
    """The Deployment and its pods."""

    def __init__(self, folder: Path, port: int, quality: Object | None = None) -> None:
        super().__init__({"window": {"maxSeconds": 3600}, "quality": quality or QUALITY})
        self.seen["status"] = {"stable": stable(), **self.seen["status"]}
        self.folder = folder
        self.port = port
        self.pods: list[Pod] = []
        self.addresses: list[str] = []
        self.clock = 0.0
        self._noon = DAY / 2 - now_seconds() % DAY  # cohorts are of days: an hour ago is to be today

    def now(self) -> float:
        return now_seconds() + self._noon + self.clock

    def add(self, number: int) -> Pod:
        pod = Pod(self, number)
        self.pods.append(pod)
        self.addresses.append(pod.address)
        return pod

    def tell(self) -> None:
        """Let each pod see the Deployment as it is."""
        for pod in self.pods:
            pod.labels.take(self.read()[0])

    def close_canary(self, pod: Pod, rows: int, digest: str) -> None:
        """Let a pod close the first window of the canary."""
        self.seen["status"]["traffic"]["canary"] = {"revision": CANARY_REVISION, "version": "churn-2"}
        marks = tuple(Mark(kind, "Unknown", "r", "m") for kind in (monitoring.DATA_DRIFT, monitoring.DATA_QUALITY))
        window = {"sequence": 1, "rows": rows}
        document = {
            "window": window,
            "lost": 0,
            "digest": digest,
            "revision": CANARY_REVISION,
            "features": [],
            "prediction": [],
        }
        writer = Writer(self.connect, self.now, time.sleep, pod.labels)  # type: ignore[arg-type]
        assert writer.close("canary", 1, lambda _before: Report(document, marks, (), ()), time.monotonic() + 20)
        self.tell()

    def close_window(self, pod: Pod, rows: int = 100, sequence: int | None = None) -> bool:
        """Let a pod close a window as its session does."""
        before = self.seen["status"].get("monitoring", {}).get("window", {}).get("sequence", 0)
        number = before + 1 if sequence is None else sequence
        window = {"sequence": number, "rows": rows, "closedAt": "2020-01-01T00:00:00Z"}
        made = Report({"window": window, "lost": 0, "digest": DIGEST, "revision": REVISION}, (), (), ())
        writer = Writer(self.connect, self.now, time.sleep, pod.labels)  # type: ignore[arg-type]
        done = writer.close("stable", number, lambda _before: made, time.monotonic() + 20)
        self.tell()
        return done

    @property
    def quality(self) -> Object:
        found: Object = self.seen["status"]["monitoring"].get("quality", {})
        return found


class Pod:
    """A pod: its labels, and what answers the others."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.address = f"127.0.0.{number}"
        folder = world.folder / f"windows{number}"
        folder.mkdir(exist_ok=True)
        self.settings = MonitorSettings(
            deployment="churn",
            namespace="team",
            model_dir=str(world.folder / "model"),
            windows_dir=str(folder),
            host=self.address,
            window_port=world.port,
            feedback_port=0,
        )
        self.labels = self.started()
        self.sent = 0
        self.number = number
        self.listener = Listener(self.address, world.port, {monitoring.LABELS_PATH: self.answer})
        self.listener.start()

    def answer(self, request: Request) -> Answer:
        return self.labels.answer(request)

    def started(self) -> Labels:
        world = self.world
        made = Labels(self.settings, self.address, lambda: world.addresses, world.connect, world.now)  # type: ignore[arg-type]
        made.take(world.read()[0])
        return made

    def post(self, right: int, wrong: int = 0, digest: str = DIGEST, age: float = 3600) -> None:
        """Post labels, some of them as predicted."""
        made = int((self.world.now() - age) * 1000)
        batch = [
            {
                "prediction_id": f"1.{digest[7:17]}.s.{self.number:012x}.{self.sent + at:x}.{made:x}.0000403f.1",
                "label": 1 if at < right else 0,
            }
            for at in range(right + wrong)
        ]
        self.sent += len(batch)
        said = self.labels._feedback.answer("churn", json.dumps(batch).encode())
        assert said.document.get("accepted") == len(batch), said

    def gone(self) -> None:
        """Take the pod away."""
        self.listener.shutdown()
        self.listener.server_close()
        self.world.pods.remove(self)
        self.world.addresses.remove(self.address)
