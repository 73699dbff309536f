"""Traffic that never changes, on the real cluster: how many windows are flagged, and what each of them is written with.

Several Deployments at once, each of two replicas, since a window lasts five seconds at least.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from tests.benchmarks.report import Report, Table
from tests.e2e.fixtures import DEPLOYMENTS, condition, deployment, is_true
from tests.e2e.test_monitoring import Traffic, sequence
from tests.e2e.test_monitoring_in_trouble import RULES, flagged, status_writes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.fixtures import Team

Object = dict[str, Any]

WINDOWS = 200
GOALS = {"windows flagged": "0", "writes of status a window": "at most 1", "rows lost": "0", "requests failed": "0"}
_DEPLOYMENTS = 4
_PACE = 6.0  # requests of 50 rows a second, each Deployment
_PAUSE_SECONDS = 0.5
_TELL = 20
_REST_SECONDS = 6.0  # longer than the shortest window
_DEADLINE_SECONDS = 1200.0


def run(team: Team) -> Report:
    """Measure in a namespace with Modelwright at work in it."""
    version = team.train("first")["status"]["modelVersion"]
    names = [f"scores-{number}" for number in range(_DEPLOYMENTS)]
    team.apply(*(deployment(name, {"version": version}, replicas=2, monitoring=RULES) for name in names))
    for name in names:
        team.wait(DEPLOYMENTS, name, is_true("Ready"), deadline=120)
    addresses = [team.get("services", name)["spec"]["clusterIP"] for name in names]
    with _traffic(addresses):  # the first windows turn conditions, which is told
        for name in names:
            team.wait(DEPLOYMENTS, name, lambda seen: sequence(seen) >= 1, deadline=120)
    writes, first = _at_rest(team, names)
    started = time.monotonic()
    with _traffic(addresses) as traffic:
        seen, strange = _followed(team, names, first + WINDOWS, started)
    seconds = time.monotonic() - started
    after, last = _at_rest(team, names)
    writes, windows = after - writes, last - first
    alarms = [name for name in names if condition(team.get(DEPLOYMENTS, name), "DataDriftDetected")["status"] == "True"]
    reports = [team.get(DEPLOYMENTS, name)["status"]["monitoring"] for name in names]
    lost = sum(int(report["total"]["lost"]) for report in reports)
    failed = sum(len(each.failures) for each in traffic)
    figures: dict[str, float] = {
        "windows flagged": float(len(strange)),
        "writes of status a window": writes / windows,
        "rows lost": float(lost),
        "requests failed": float(failed),
    }
    rows = tuple((name, GOALS[name], f"{value:.3g}") for name, value in figures.items())
    counted = sum(int(report["total"]["rows"]) for report in reports)
    title = (
        f"{windows} windows of {_DEPLOYMENTS} Deployments, two replicas each, in {seconds:.0f} s; {counted} rows; "
        f"all {seen} flags of theirs looked at"
    )
    details = {"flagged": strange, "alarms": alarms, "writes": writes, "windows": windows, "seconds": seconds}
    return Report("stationary", details, (Table(title, ("", "goal", "measured"), rows),), figures)


@contextmanager
def _traffic(addresses: list[str]) -> Iterator[list[Traffic]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Traffic(address, pace=_PACE)) for address in addresses]


def _at_rest(team: Team, names: list[str]) -> tuple[int, int]:
    """Return how many writes and windows there were, once nothing is written any more."""
    before = (-1, -1)
    while before != (now := (status_writes(team.cluster), _windows(team, names))):
        before = now
        time.sleep(_REST_SECONDS)
    return now


def _windows(team: Team, names: list[str]) -> int:
    return sum(sequence(team.get(DEPLOYMENTS, name)) for name in names)


def _followed(team: Team, names: list[str], until: int, started: float) -> tuple[int, list[str]]:
    """Return how many windows' flags were looked at until there were so many windows, and those that were flagged.

    Raises:
        AssertionError: it takes too long.
    """
    looked: set[tuple[str, int]] = set()
    strange: set[str] = set()
    told = 0
    while True:
        closed = 0
        for name in names:
            seen = team.get(DEPLOYMENTS, name)
            closed += sequence(seen)
            looked |= {(name, entry["sequence"]) for entry in seen["status"]["monitoring"].get("recent") or []}
            strange |= {f"{name}: {entry}" for entry in flagged(seen)}
        if closed >= told + _TELL:
            told = closed
            print(f"{closed} of {until} windows, {len(strange)} flagged", file=sys.stderr)
        if closed >= until:
            return len(looked), sorted(strange)
        assert time.monotonic() - started < _DEADLINE_SECONDS, "windows close too slowly"
        time.sleep(_PAUSE_SECONDS)
