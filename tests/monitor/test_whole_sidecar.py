"""The sidecar as its container runs it, with monitoring: switched on and off, killed, and refused."""

from __future__ import annotations

import os
import re
import signal
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from modelwright_server.contract import monitoring
from modelwright_server.ring import RingWriter
from tests.monitor.replicas import REVISION, SCHEMA, eventually, free_port, outputs_of, rows_of, write_model

if TYPE_CHECKING:
    from tests.monitor.conftest import Sidecar
    from tests.monitor.fake_api import FakeApi

RNG = np.random.default_rng(5)
TABLE = {"stable": {"revision": REVISION, "version": "churn-1"}}
RULES = {"window": {"rows": 600, "minSeconds": 1, "maxSeconds": 600}}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    for name in ("ring", "windows"):
        (tmp_path / name).mkdir()
    return {
        "MODELWRIGHT_REVISION": REVISION,
        "MODELWRIGHT_RING_DIR": str(tmp_path / "ring"),
        "MODELWRIGHT_MODEL_DIR": str(tmp_path / "model"),
        "MODELWRIGHT_WINDOWS_DIR": str(tmp_path / "windows"),
        "MODELWRIGHT_WINDOW_PORT": str(free_port(["127.0.0.1"])),
        "RES_OPTIONS": "timeout:1 attempts:1",  # nobody here knows the Service's name: say so soon
    }


@pytest.fixture
def ring(tmp_path: Path) -> RingWriter:
    digest = write_model(tmp_path / "model")
    (tmp_path / "ring").mkdir(exist_ok=True)
    return RingWriter.create(tmp_path / "ring", "ring-0", SCHEMA, model="churn", version="churn-1", digest=digest)


def answer(ring: RingWriter, rows: int) -> None:
    inputs = rows_of(RNG, rows)
    for start in range(0, rows, 10):
        part = inputs[start : start + 10]
        labels, probabilities = outputs_of(part)
        ring.append(len(part), [part.tobytes(), labels.tobytes(), probabilities.tobytes()])


def resident_mib(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    [line] = [line for line in lines if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def reported(api: FakeApi) -> dict[str, Any]:
    found: dict[str, Any] = api.status.get("monitoring") or {}
    return found


def page(environment: dict[str, str]) -> str:
    address = f"http://127.0.0.1:{environment['MODELWRIGHT_WINDOW_PORT']}/metrics"
    with urllib.request.urlopen(address, timeout=5) as response:
        return str(response.read().decode())


def _refused(environment: dict[str, str]) -> bool:
    try:
        page(environment)
    except OSError as error:
        return "503" in str(error)
    return False


def test_monitoring_is_switched_on_and_off(
    api: FakeApi, sidecar: Sidecar, ring: RingWriter, environment: dict[str, str]
) -> None:
    api.put(TABLE)
    eventually(sidecar.table, sidecar.said())
    small = resident_mib(sidecar.worker())
    answer(ring, 700)
    api.put(TABLE, spec={"monitoring": RULES})
    eventually(lambda: reported(api), sidecar.said())
    assert reported(api)["window"]["rows"] == 700
    assert {item["query"]["fieldManager"] for item in api.applied} == {"modelwright-monitor"}
    assert {item["type"] for item in api.status["conditions"]} == set(monitoring.CONDITIONS[:4])
    eventually(
        lambda: re.search(r'^modelwright_monitor_psi\{.*name="a"\} 0', page(environment), re.MULTILINE), "no PSI"
    )
    assert re.search(r"^modelwright_monitor_rows_total\{.*\} 700$", page(environment), re.MULTILINE)
    large = resident_mib(sidecar.worker())
    print(f"the worker takes {small:.1f} MiB, and {large:.1f} MiB while it monitors")
    assert small < 30
    assert large < 64

    api.put(TABLE, spec={})
    eventually(lambda: _refused(environment), "still monitoring")
    answer(ring, 700)
    count = len(api.applied)
    api.put(TABLE, spec={"monitoring": RULES})
    eventually(lambda: len(api.applied) > count, sidecar.said())


def _another(sidecar: Sidecar, worker: int) -> bool:
    return sidecar.worker() != worker


def test_killed_again_and_again_no_row_is_counted_twice_and_none_is_lost(
    api: FakeApi, sidecar: Sidecar, ring: RingWriter
) -> None:
    api.put(TABLE, spec={"monitoring": RULES})
    eventually(lambda: "monitoring" in sidecar.said(), sidecar.said())
    sent = 0
    for _ in range(4):
        answer(ring, 500)
        sent += 500
        worker = sidecar.worker()
        time.sleep(float(RNG.uniform(0, 0.6)))
        os.kill(worker, signal.SIGKILL)
        eventually(partial(_another, sidecar, worker), sidecar.said())
    eventually(lambda: reported(api), sidecar.said())

    def rest() -> bool:
        return int(reported(api)["total"]["rows"]) >= sent - 599

    eventually(rest, f"{reported(api)}; {sidecar.said()}")
    answer(ring, 1000)
    sent += 1000
    eventually(lambda: reported(api)["total"]["rows"] == sent, f"{reported(api)}, {sent} sent", deadline=30)
    assert reported(api)["total"]["lost"] == 0
    sequences = [item["status"]["monitoring"]["window"]["sequence"] for item in api.applied]
    assert sequences == list(range(1, len(sequences) + 1))


def test_told_to_end_it_says_what_goes_with_it(api: FakeApi, sidecar: Sidecar, ring: RingWriter) -> None:
    api.put(TABLE, spec={"monitoring": RULES})
    eventually(lambda: "monitoring" in sidecar.said(), sidecar.said())
    answer(ring, 700)
    eventually(lambda: reported(api), sidecar.said())
    before = dict(reported(api))
    answer(ring, 310)  # right before: nobody has looked at these
    started = time.monotonic()
    assert sidecar.end() == 0
    assert time.monotonic() - started < 5
    assert reported(api) == {**before, "total": {**before["total"], "lost": 310}}


def test_a_model_without_baseline_is_said_once_and_the_table_is_followed(
    api: FakeApi, sidecar: Sidecar, ring: RingWriter, tmp_path: Path
) -> None:
    assert ring is not None
    (tmp_path / "model" / "baseline.json").unlink()
    api.put(TABLE, spec={"monitoring": RULES})
    eventually(lambda: "conditions" in api.status, sidecar.said())
    conditions = {item["type"]: f"{item['status']}/{item['reason']}" for item in api.status["conditions"]}
    assert conditions["MonitoringHealthy"] == "False/NoBaseline"
    assert conditions["DataDriftDetected"] == "Unknown/NoBaseline"
    assert reported(api)["digest"].startswith("sha256:")
    api.put({**TABLE, "latencyThresholdMilliseconds": 77}, spec={"monitoring": RULES})
    eventually(lambda: sidecar.table().get("latencyThresholdMilliseconds") == 77, sidecar.said())
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert len(api.applied) == 1
        time.sleep(0.1)


def test_a_refused_write_is_tried_again_with_the_same_rows(api: FakeApi, sidecar: Sidecar, ring: RingWriter) -> None:
    api.put(TABLE, spec={"monitoring": RULES})
    eventually(lambda: '"monitoring"' in sidecar.said(), sidecar.said())
    api.answer = (403, {"message": "the policy refuses"})
    answer(ring, 700)
    eventually(lambda: "the policy refuses" in sidecar.said(), sidecar.said())
    api.answer = None
    eventually(lambda: reported(api), sidecar.said(), deadline=40)
    assert reported(api)["window"]["rows"] == 700
