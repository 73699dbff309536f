"""Processes kept to one core, and what they cost: CPU time, memory, and the work of others that disturbed them."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.cluster.settings import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_ALLOWED = sorted(os.sched_getaffinity(0))
SERVER_CORE = _ALLOWED[-1]
LOAD_CORES = _ALLOWED[:-1]
_TICKS = os.sysconf("SC_CLK_TCK")
_END_SECONDS = 10.0
_LOOK_SECONDS = 0.2
ENVIRONMENT = {"ORT_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class BenchmarkError(Exception):
    """A benchmark cannot be run, or what it measured cannot be used; the text says why."""


@dataclass
class Process:
    """A program on given cores, with its output in a file; a context, so that it never outlives its measurement."""

    command: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    cores: Sequence[int]

    def __enter__(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self._child = subprocess.Popen(
                [*pinned(self.cores), *self.command],
                cwd=REPOSITORY,
                env={**os.environ, **ENVIRONMENT, **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        with suppress(ProcessLookupError):  # a parent that was killed leaves its workers behind
            os.killpg(self.pid, signal.SIGKILL)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._child.pid

    @property
    def ended(self) -> bool:
        """Whether it ended, by itself or not."""
        return self._child.poll() is not None

    def last_words(self) -> str:
        """Return the last line that it wrote."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if any(map(str.isalpha, line))), "nothing")

    def cpu_seconds(self) -> float:
        """Return the CPU time of it and its descendants that still run."""
        return sum(map(_cpu_seconds, processes(self.pid)))

    def pss_mib(self) -> float:
        """Return the proportional set size of it and its descendants: shared pages are divided among their users.

        This process has libraries in common with a server of the same environment, others may too: it is the least
        that the server needs, `rss_mib` the most.
        """
        return sum(_memory_mib(pid, "Pss") for pid in processes(self.pid))

    def anonymous_mib(self) -> float:
        """Return the memory of it and its descendants that is no file's: what can leak, whoever else runs."""
        return sum(_memory_mib(pid, "Anonymous") for pid in processes(self.pid))

    def rss_mib(self) -> float:
        """Return the resident set size of it and its descendants."""
        return sum(_memory_mib(pid, "Rss") for pid in processes(self.pid))


def pinned(cores: Sequence[int]) -> list[str]:
    """Return the start of a command that keeps the rest of it to those cores."""
    return ["taskset", "--cpu-list", ",".join(map(str, cores))]


def prepare(*, realtime: bool = False) -> None:
    """Keep this process to the cores of the load; with `realtime`, put all that it starts before other work.

    Raises:
        BenchmarkError: there is one core only: server and load would take it from each other; or the system does not
            let this user put programs before others.
    """
    if not LOAD_CORES:
        message = "two cores are needed, one for the server and one for the load; this process may use one only"
        raise BenchmarkError(message)
    os.sched_setaffinity(0, LOAD_CORES)
    if realtime:
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))  # children inherit it
        except PermissionError as error:
            message = "--realtime needs the right to set priorities: run it as root, or without"
            raise BenchmarkError(message) from error


def required(program: str, package: str) -> str:
    """Return the path of a program, installing its Debian package if that is possible.

    Raises:
        BenchmarkError: it is missing and cannot be installed here.
    """
    if shutil.which(program) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update"], capture_output=True, check=False)
        install = ["apt-get", "install", "--yes", "--no-install-recommends", package]
        subprocess.run(install, capture_output=True, check=False, env=environment)
    found = shutil.which(program)
    if found is None:
        message = f"{program} is missing: install it (Debian and Ubuntu: apt-get install {package})"
        raise BenchmarkError(message)
    return found


@dataclass(frozen=True)
class Costs:
    """What a stretch of time cost.

    Attributes:
        server_seconds: CPU time of the server.
        seconds: its length.
        foreign: cores that others kept busy meanwhile, on average.
    """

    server_seconds: float
    seconds: float
    foreign: float


class Meter:
    """Measures costs while load runs."""

    costs: Costs

    @classmethod
    @contextmanager
    def over(cls, server: Process) -> Iterator[Meter]:
        """Measure what the block costs; `costs` is there after it."""
        meter = cls()
        busy, ours, mine = _busy_seconds(), server.cpu_seconds(), _own_seconds()
        started = time.perf_counter()
        yield meter
        seconds = time.perf_counter() - started
        used = server.cpu_seconds() - ours
        foreign = (_busy_seconds() - busy) - used - (_own_seconds() - mine)
        meter.costs = Costs(used, seconds, max(0.0, foreign / seconds))


@dataclass
class Patience:
    """Seconds that a run may spend in all on waiting for other work to pause, and a rest for it each time."""

    seconds: float
    rest: float = 0.0

    def await_quiet(self, cores: float) -> None:
        """Wait until others keep at most so many cores busy; to be called while nothing of ours works."""
        time.sleep(self.rest)
        started = time.monotonic()
        while time.monotonic() - started < self.seconds:
            busy, looked = _busy_seconds(), time.perf_counter()
            time.sleep(_LOOK_SECONDS)
            if _busy_seconds() - busy <= cores * (time.perf_counter() - looked):
                break
        self.seconds -= time.monotonic() - started


def processes(root: int) -> set[int]:
    """Return the process and all its descendants that run now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, left = set[int](), [root]
    while left:
        pid = left.pop()
        found.add(pid)
        left.extend(children.get(pid, ()))
    return found


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of all threads, in the scheduler's nanoseconds."""
    total = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total += int(task.read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total / 1e9


def _memory_mib(pid: int, kind: str) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{kind}:")) / 1024


def _busy_seconds() -> float:
    """Return the time all cores worked, with interrupts, which the scheduler counts for the process that runs."""
    total = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name.removeprefix("cpu").isdigit():
            total += sum(map(int, [*fields[:3], *fields[5:7]]))
    return total / _TICKS


def _own_seconds() -> float:
    """Return the CPU time of this process and of its children that ended: the load."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in used)
