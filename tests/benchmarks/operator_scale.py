"""What many Deployments cost the operator: to create, after a restart, and at rest.

The Deployments are pinned to an existing version and ask for no pods, so that the operator is measured and not the
kubelet. The API server's own time to list the same objects stands beside the restart: a restarted operator lists them
all.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tests.benchmarks.report import Report, Table, spread
from tests.support.operator_process import OperatorProcess, Restart, Usage
from tests.support.scale import create_deployments, wait_children, wait_ready

if TYPE_CHECKING:
    from tests.e2e.fixtures import Team

SIZES = (200, 1000)
RESTART_GOAL_SECONDS = 10.0
MEMORY_GOAL_MIB = 250.0
"""For 1 000 Deployments with all children."""
_WATCHED_SECONDS = 30.0
_IDLE_SECONDS = 60.0
_DEADLINE_SECONDS = 300.0
_PASS = "modelwright_operator_reconcile_duration_seconds"  # noqa: S105  # a metric's name


@dataclass(frozen=True)
class Figures:
    """All figures of one size, in seconds and MiB; `list_seconds` is the reference."""

    deployments: int
    posted_seconds: float
    children_seconds: float
    ready_seconds: float
    creation_cpu_seconds: float
    after_creation: Usage
    restart: Restart
    restart_cpu_seconds: float
    writes_after_restart: float
    changed_after_restart: int
    noop_passes: float
    noop_mean_milliseconds: float
    noop_p99_milliseconds: float
    writes_at_rest: float
    changed_at_rest: int
    cpu_at_rest_seconds: float
    at_rest: Usage
    list_seconds: float


def run(team: Team) -> Report:
    """Measure in a namespace with Modelwright at work in it."""
    version = str(team.train("first")["status"]["modelVersion"])
    found: list[Figures] = []
    for size in SIZES:
        say(f"{size} Deployments: creating")
        found.append(_measure(team, version, found[-1].deployments if found else 0, size))
    figures: dict[str, Any] = {
        "goals": {"restartReadySeconds": RESTART_GOAL_SECONDS, "residentMiBAt1000": MEMORY_GOAL_MIB, "writes": 0},
        "sizes": [asdict(item) for item in found],
    }
    return Report("operator", figures, (_table(found),))


def say(text: str) -> None:
    """Tell how far things are."""
    print(f"operator: {text}", file=sys.stderr, flush=True)


def _measure(team: Team, version: str, present: int, size: int) -> Figures:
    process = OperatorProcess(team.installation)
    pod = team.installation.operator_pod()
    before = process.usage(pod)
    started = time.monotonic()
    create_deployments(team, version, range(present, size))
    posted = time.monotonic() - started
    wait_children(team, size, deadline=_DEADLINE_SECONDS)
    children = time.monotonic() - started
    wait_ready(team, size, deadline=_DEADLINE_SECONDS)
    ready = time.monotonic() - started
    process.wait_settled(pod, deadline=_DEADLINE_SECONDS)
    created = process.usage(pod)
    say(f"{size} Deployments: ready after {ready:.1f} s; restarting the operator")

    versions = team.own_objects()
    restart = process.restart()
    pod = team.installation.operator_pod()
    restarted = process.usage(pod)
    time.sleep(_WATCHED_SECONDS)
    metrics = process.metrics(pod)
    after_restart = team.own_objects()
    passes = metrics.total(f"{_PASS}_count", kind="Deployment", outcome="unchanged")
    seconds = metrics.total(f"{_PASS}_sum", kind="Deployment", outcome="unchanged")
    say(f"{size} Deployments: settled {restart.settled:.1f} s after the restart; at rest")

    resting = process.usage(pod)
    time.sleep(_IDLE_SECONDS)
    rested = process.usage(pod)
    return Figures(
        deployments=size,
        posted_seconds=posted,
        children_seconds=children,
        ready_seconds=ready,
        creation_cpu_seconds=created.cpu_seconds - before.cpu_seconds,
        after_creation=created,
        restart=restart,
        restart_cpu_seconds=restarted.cpu_seconds,
        writes_after_restart=metrics.writes,
        changed_after_restart=_changed(versions, after_restart),
        noop_passes=passes,
        noop_mean_milliseconds=1000 * seconds / passes,
        noop_p99_milliseconds=1000 * metrics.quantile(_PASS, 0.99, kind="Deployment", outcome="unchanged"),
        writes_at_rest=process.metrics(pod).writes - metrics.writes,
        changed_at_rest=_changed(after_restart, team.own_objects()),
        cpu_at_rest_seconds=rested.cpu_seconds - resting.cpu_seconds,
        at_rest=rested,
        list_seconds=_list_seconds(team),
    )


def _changed(before: dict[str, str], after: dict[str, str]) -> int:
    """Return how many objects came, went or were written."""
    return len(before.items() ^ after.items())


def _list_seconds(team: Team) -> float:
    """Return the median time in which kubectl gets the Deployments and their children."""
    resources = "modeldeployments.modelwright.dev,deployments.apps,services"
    seconds: list[float] = []
    for _ in range(3):
        started = time.monotonic()
        team.cluster.kubectl("get", resources, "-n", team.namespace, "-o", "json")
        seconds.append(time.monotonic() - started)
    return spread(seconds).median


def _table(found: list[Figures]) -> Table:
    rows = {
        "all posted, s": [f"{item.posted_seconds:.1f}" for item in found],
        "all children there, s": [f"{item.children_seconds:.1f}" for item in found],
        "all Ready, s": [f"{item.ready_seconds:.1f}" for item in found],
        "operator's CPU for that, s": [f"{item.creation_cpu_seconds:.1f}" for item in found],
        "resident after that (peak), MiB": [
            f"{item.after_creation.resident_mib:.0f} ({item.after_creation.peak_mib:.0f})" for item in found
        ],
        "pod deleted to process begun, s": [f"{item.restart.replaced:.1f}" for item in found],
        "process begun to /readyz 200 as leader, s (goal 10)": [f"{item.restart.ready:.1f}" for item in found],
        "process begun to last pass, s": [f"{item.restart.settled:.1f}" for item in found],
        "kubectl get of the same objects, s (reference)": [f"{item.list_seconds:.1f}" for item in found],
        "CPU of the new process, s": [f"{item.restart_cpu_seconds:.1f}" for item in found],
        f"writes until {_WATCHED_SECONDS:.0f} s later (goal 0)": [f"{item.writes_after_restart:.0f}" for item in found],
        "objects changed meanwhile (goal 0)": [str(item.changed_after_restart) for item in found],
        "pass that changes nothing, mean, ms (goal 1)": [f"{item.noop_mean_milliseconds:.2f}" for item in found],
        "pass that changes nothing, 99 % below, ms": [f"{item.noop_p99_milliseconds:g}" for item in found],
        f"writes in {_IDLE_SECONDS:.0f} s at rest (goal 0)": [f"{item.writes_at_rest:.0f}" for item in found],
        "objects changed in that time (goal 0)": [str(item.changed_at_rest) for item in found],
        "CPU in that time, s": [f"{item.cpu_at_rest_seconds:.2f}" for item in found],
        "resident at rest (peak), MiB (goal 250 at 1000)": [
            f"{item.at_rest.resident_mib:.0f} ({item.at_rest.peak_mib:.0f})" for item in found
        ],
    }
    return Table(
        "The operator with many Deployments",
        ("Deployments", *(str(item.deployments) for item in found)),
        tuple((name, *cells) for name, cells in rows.items()),
    )
