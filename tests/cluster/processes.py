"""The cluster's processes, read from /proc instead of files that could be stale.

Each process of a cluster carries two variables in its environment: the cluster's state folder and the component's
name. Containers do not inherit them.
"""

import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.settings import ClusterError, Settings

NODE = "MODELWRIGHT_NODE"
COMPONENT = "MODELWRIGHT_COMPONENT"


@dataclass(frozen=True)
class Process:
    """A process that this cluster started."""

    pid: int
    parent: int
    component: str
    program: str
    age: float
    """Seconds since its start."""


def marks(settings: Settings, component: str) -> dict[str, str]:
    """Return the variables that mark a process as the cluster's."""
    return {NODE: str(settings.state), COMPONENT: component}


def find_processes(settings: Settings) -> list[Process]:
    """Return the cluster's processes, the oldest first."""
    mark = f"{NODE}={settings.state}".encode()
    folders = Path("/proc").glob("[0-9]*")  # none where there is no /proc
    found = [process for folder in folders if (process := _read(folder, mark))]
    return sorted(found, key=lambda process: -process.age)


def _read(folder: Path, mark: bytes) -> Process | None:
    try:
        variables = (folder / "environ").read_bytes().split(b"\0")
        if mark not in variables:
            return None
        # The program's name stands in parentheses and may itself hold any character.
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        program = Path((folder / "exe").readlink()).name.removesuffix(" (deleted)")
    except OSError:
        return None  # it ended meanwhile, or is a kernel thread
    if fields[0] in "ZX":
        return None
    name = next((text[len(COMPONENT) + 1 :] for text in variables if text.startswith(COMPONENT.encode() + b"=")), b"")
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return Process(int(folder.name), int(fields[1]), name.decode(), program, age)


def find_init(processes: list[Process]) -> Process | None:
    """Return PID 1 of the node: the one whose end is the end of every other."""
    return next((process for process in processes if process.component == "node" and process.program == "pause"), None)


def find_component(processes: list[Process], init: Process, name: str, program: str) -> Process | None:
    """Return a component's main process; its children and containerd's shims carry the same marks."""
    pattern = re.compile(re.escape(program) + r"[\d.]*")
    return next(
        (
            process
            for process in processes
            if process.component == name and process.parent == init.pid and pattern.fullmatch(process.program)
        ),
        None,
    )


def kill_process(process: Process, *, deadline: float = 10) -> None:
    """Kill one process at once and wait for its end."""
    try:
        handle = os.pidfd_open(process.pid)
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)
    except ProcessLookupError:
        return
    wait_gone([process], deadline=deadline)


def wait_gone(processes: list[Process], *, deadline: float) -> None:
    """Wait until none of these runs.

    Raises:
        ClusterError: one still runs at the deadline.
    """
    end = time.monotonic() + deadline
    remaining = [process.pid for process in processes]
    while remaining := [pid for pid in remaining if _runs(pid)]:
        if time.monotonic() > end:
            message = f"the processes {remaining} do not end: look at them with ps, then try again"
            raise ClusterError(message)
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
