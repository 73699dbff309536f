"""onnxruntime reports to nobody: a server makes no attempt to reach the network.

It would look its maker's address up some nine seconds after it was imported, and its own switch does not stop that.
Each server here has a network of its own without any route, where the kernel counts every attempt to send something.
A second server that has the telemetry on, and was started later, proves that attempts are counted, and when.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.server.models import Built
from tests.server.process import settings

APART = ["unshare", "--user", "--map-root-user", "--net"]
DEADLINE = 90.0
SWITCH = "ORT_DISABLE_TELEMETRY"
# Nothing else of the environment: with CI=true, and perhaps more, onnxruntime is silent by itself.
INHERITED = ("PATH", "HOME")


@contextmanager
def server(model: Built, folder: Path, **env: str) -> Iterator[int]:
    """A ready server in a network of its own; gives its process id."""
    folder.mkdir()
    own = {name: os.environ[name] for name in INHERITED if name in os.environ}
    told = settings(model.folder, folder, host="0.0.0.0").to_env()
    with subprocess.Popen(
        [*APART, sys.executable, "-m", "modelwright_server"], env={**own, **told, **env}, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stderr is not None
            lines: list[bytes] = []
            for line in process.stderr:  # not all JSON: with its telemetry on, onnxruntime may have something to say
                lines.append(line)
                if b'"event": "ready"' in line:
                    break
            else:
                pytest.fail(b"".join(lines).decode())
            yield process.pid
        finally:
            process.kill()


def attempts(pid: int) -> int:
    """How often anything in a process's network tried to send or to connect."""
    lines = Path(f"/proc/{pid}/net/snmp").read_text().splitlines()
    counts = dict[str, int]()
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        protocol = names.partition(":")[0]
        pairs = zip(names.split()[1:], map(int, values.split()[1:]), strict=True)
        counts |= {protocol + name: value for name, value in pairs}
    six = (line.split() for line in Path(f"/proc/{pid}/net/snmp6").read_text().splitlines())
    counts |= {name: int(value) for name, value in six}
    wanted = ("IpOutNoRoutes", "UdpOutDatagrams", "TcpActiveOpens", "Ip6OutNoRoutes", "Udp6OutDatagrams")
    return sum(counts[name] for name in wanted)


def test_a_server_tries_to_reach_nobody(built: Callable[[str], Built], tmp_path: Path) -> None:
    if subprocess.run([*APART, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make a network namespace")
    model = built("logistic")
    with server(model, tmp_path / "served") as served, server(model, tmp_path / "control", **{SWITCH: "0"}) as control:
        deadline = time.monotonic() + DEADLINE
        while not attempts(control):
            assert time.monotonic() < deadline, "onnxruntime's telemetry no longer shows: is the switch still needed?"
            time.sleep(0.1)
        assert attempts(served) == 0
