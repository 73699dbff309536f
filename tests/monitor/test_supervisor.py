"""Whatever becomes of the worker, the container goes on; and it ends when it is told to."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelwright_monitor import memory, supervisor
from tests.monitor.conftest import Sidecar
from tests.monitor.fake_api import TABLE, FakeApi
from tests.monitor.replicas import eventually

PROGRAM = """
import os, sys, time
from modelwright_monitor import supervisor
supervisor.FIRST_PAUSE_SECONDS = 0.05
supervisor.LONGEST_PAUSE_SECONDS = 0.2
def work():
    print("started", flush=True)
    {work}
sys.exit(supervisor.supervise(work))
"""


def test_a_killed_worker_is_replaced_and_the_table_stays(api: FakeApi, sidecar: Sidecar) -> None:
    api.put(TABLE)
    sidecar.expect(weight=5)
    first = sidecar.worker()
    before = (sidecar.control / "traffic.json").stat().st_ino
    eventually(lambda: "following the Deployment" in sidecar.said(), sidecar.said())  # said after the table is there
    os.kill(first, signal.SIGKILL)
    eventually(lambda: sidecar.worker() != first, sidecar.said())
    eventually(lambda: sidecar.said().count("following the Deployment") == 2, sidecar.said())
    assert (sidecar.control / "traffic.json").stat().st_ino == before, "an equal table is not written again"
    api.put({**TABLE, "weight": 13})
    sidecar.expect(weight=13)
    assert sidecar.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_ends_at_once(api: FakeApi, sidecar: Sidecar, number: signal.Signals) -> None:
    api.put(TABLE)
    sidecar.expect(weight=5)
    worker = sidecar.worker()
    started = time.monotonic()
    sidecar.process.send_signal(number)
    assert sidecar.process.wait(timeout=10) == 0
    assert time.monotonic() - started < supervisor.LAST_SECONDS, "it ended by itself, and was not killed"
    assert not Path(f"/proc/{worker}").exists()


def run(work: str) -> subprocess.Popen[bytes]:
    program = PROGRAM.format(work=work)
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize(
    ("work", "said"),
    [
        ("raise RuntimeError('no use')", b"RuntimeError: no use"),
        ("return 3", b'"status": 3'),
        ("sys.exit(4)", b'"status": 1'),
        ("os.kill(os.getpid(), 9)", b'"status": -9'),
        ("os.abort()", b'"status": -6'),
    ],
)
def test_a_worker_that_always_ends_is_always_started_again(work: str, said: bytes) -> None:
    process = run(work)
    assert process.stdout is not None
    for _ in range(4):
        assert process.stdout.readline() == b"started\n"
    process.terminate()
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert said in errors


def test_a_worker_that_does_not_end_is_killed() -> None:
    process = run(
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(99)"
    )
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == [b"started\n", b"deaf\n"]
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode == 0


def test_settings_that_lack_something_are_named_and_end_nothing() -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("MODELWRIGHT_")}
    process = subprocess.Popen([sys.executable, "-m", "modelwright_monitor"], env=env, stderr=subprocess.PIPE)
    assert process.stderr is not None
    lines = iter(process.stderr.readline, b"")
    assert any(b"MODELWRIGHT_DEPLOYMENT is not set" in line for line in lines)
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode == 0


class TestMemory:
    def test_the_containers_limit_is_read_from_either_version(self, tmp_path: Path) -> None:
        newer, older = tmp_path / "memory.max", tmp_path / "memory.limit_in_bytes"
        assert memory.container_limit((newer, older)) is None
        older.write_text("67108864\n")
        assert memory.container_limit((newer, older)) == 64 << 20
        older.write_text("9223372036854771712\n")
        assert memory.container_limit((newer, older)) is None
        newer.write_text("33554432\n")
        assert memory.container_limit((newer, older)) == 32 << 20
        newer.write_text("max\n")
        assert memory.container_limit((newer, tmp_path / "none")) is None

    def test_beyond_its_limit_the_worker_gets_an_error_of_its_own(self) -> None:
        code = (
            "from modelwright_monitor import memory\n"
            "memory.bound(64 << 20)\n"
            "kept = bytearray(20 << 20)\n"
            "try:\n    more = bytearray(40 << 20)\n"
            "except MemoryError:\n    print('MemoryError')\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "MemoryError\n"

    def test_the_whole_sidecar_is_small(self, api: FakeApi, sidecar: Sidecar) -> None:
        api.put(TABLE)
        sidecar.expect(weight=5)
        total = 0
        for process in (sidecar.process.pid, sidecar.worker()):
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        assert total <= 40 << 10, f"{total} KiB, and the windows of monitoring are still to come"
