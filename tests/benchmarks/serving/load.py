"""Load on a server: short steps of wrk or h2load, and what each found."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.serving.cores import LOAD_CORES, BenchmarkError, Meter, pinned, required
from tests.benchmarks.serving.payloads import PATH

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.serving.cores import Costs, Patience, Process
    from tests.benchmarks.serving.payloads import Payload
    from tests.benchmarks.serving.servers import Running

STEP_SECONDS = 1
QUIET_CORES = 0.06
"""Others may take this much of the machine during a step; it is repeated otherwise."""
_SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True)
class Step:
    """What one step found, or the medians of several.

    Attributes:
        rate: answered requests a second.
        p50: half of the answers took at most this many microseconds.
        p99: 99 in 100 did.
        cpu: the server's CPU time for one request, in microseconds.
        busy: the share of its core that the server used.
        foreign: cores kept busy by others.
        disturbed: whether that was too much.
    """

    rate: float
    p50: float
    p99: float
    cpu: float
    busy: float
    foreign: float
    disturbed: bool


@dataclass(frozen=True)
class Answered:
    """What a load generator counted in a step."""

    requests: int
    seconds: float
    p50: float
    p99: float

    def step(self, costs: Costs, quiet: float) -> Step:
        """Return it with what it cost; others may keep so many cores busy without disturbing it."""
        return Step(
            rate=self.requests / self.seconds,
            p50=self.p50,
            p99=self.p99,
            cpu=1e6 * costs.server_seconds / self.requests,
            busy=costs.server_seconds / self.seconds,
            foreign=costs.foreign,
            disturbed=costs.foreign > quiet,
        )


@dataclass(frozen=True)
class HttpLoad:
    """Requests of one payload over so many connections, each sending the next when it has the answer."""

    payload: Payload
    connections: int
    varying: bool = False

    def run(self, running: Running, seconds: int = STEP_SECONDS) -> Answered:
        """Load a server.

        Raises:
            BenchmarkError: an answer was not 2xx, or a socket failed.
        """
        wrk = required("wrk", "wrk")
        with tempfile.NamedTemporaryFile() as body:
            body.write(self.payload.body)
            body.flush()
            environment = {
                "BENCH_BODY": body.name,
                "BENCH_TYPE": self.payload.headers["Content-Type"],
                "BENCH_JSON_BYTES": str(self.payload.json_bytes or ""),
                "BENCH_VARYING": str(int(self.varying)),
            }
            options = ["-t1", f"-c{self.connections}", f"-d{seconds}s", "--timeout", "20s", "-s", str(_SCRIPT)]
            done = subprocess.run(
                [*pinned(LOAD_CORES), wrk, *options, f"http://127.0.0.1:{running.port}{PATH}"],
                env={**os.environ, **environment},
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds + 60,
            )
        line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
        if line is None:
            message = f"wrk ended with {done.returncode} and no result: {(done.stderr or done.stdout).strip()[-300:]}"
            raise BenchmarkError(message)
        found = json.loads(line.removeprefix("RESULT "))
        failed = {name: found[name] for name in ("connect", "read", "write", "status", "timeout") if found[name]}
        if failed or not found["requests"]:
            message = f"{found['requests']} requests over {self.connections} connections, of which failed: {failed}"
            raise BenchmarkError(message)
        return Answered(found["requests"], found["microseconds"] / 1e6, found["p50"], found["p99"])


@dataclass(frozen=True)
class Effort:
    """How hard to try for figures that other work on the machine did not disturb.

    Attributes:
        steps: undisturbed steps whose medians count.
        attempts: steps at most.
        patience: how long the run may wait for quiet.
        quiet: cores that others may keep busy during a step.
    """

    steps: int
    attempts: int
    patience: Patience
    quiet: float = QUIET_CORES


def measure(server: Process, load: Callable[[], Answered], effort: Effort) -> Step:
    """Return the medians of undisturbed steps; of the least disturbed, if there are too few."""
    steps: list[Step] = []
    while len(steps) < effort.attempts and sum(not step.disturbed for step in steps) < effort.steps:
        effort.patience.await_quiet(effort.quiet)
        with Meter.over(server) as meter:
            answered = load()
        steps.append(answered.step(meter.costs, effort.quiet))
    return medians(sorted(steps, key=lambda step: step.foreign)[: effort.steps])


def medians(steps: list[Step]) -> Step:
    """Return the median of each figure; disturbed if one is."""
    figures = [name for name in Step.__match_args__ if name != "disturbed"]
    middle = {name: statistics.median(getattr(step, name) for step in steps) for name in figures}
    return Step(**middle, disturbed=any(step.disturbed for step in steps))
