"""Two operators, and the one that leads is killed, frozen or cut off: the other takes over, nothing is done twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.fixtures import DEPLOYMENTS, JOBS, VERSIONS, Object, Team, claim, deployment, is_true, training_job
from tests.e2e.test_resilience import scale_operator
from tests.support.installation import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager

    from tests.support.installation import Installation

pytestmark = pytest.mark.cluster

LEASE = "leases.coordination.k8s.io"
TAKEOVER_SECONDS = 30.0
API_PORTS = "{ 443, 6443 }"


@pytest.fixture(scope="module")
def pair(installation: Installation) -> Generator[Installation]:
    """Give the installation with two operators."""
    scale_operator(installation, 2)
    yield installation
    scale_operator(installation, 1)


@pytest.fixture
def lasting(pair: Installation, namespace: str) -> Team:
    """Give a namespace that two operators look after."""
    return Team(pair.cluster, namespace, pair)


def holder(team: Team) -> str:
    """Return the name of the pod that leads."""
    found = team.cluster.get(LEASE, lease_name(team), NAMESPACE)
    assert found is not None
    return str(found["spec"].get("holderIdentity") or "")


def lease_name(team: Team) -> str:
    [name] = [str(item["metadata"]["name"]) for item in team.cluster.find(LEASE, NAMESPACE)]
    return name


def process_of(pod: str) -> int:
    """Return the operator's process in a pod, as this machine counts."""
    wanted = f"POD_NAME={pod}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ours = b"modelwright_operator" in (folder / "cmdline").read_bytes()
            if ours and wanted in (folder / "environ").read_bytes().split(b"\0"):
                return int(folder.name)
        except OSError:  # it ended meanwhile
            continue
    message = f"no process of pod {pod} is seen from here"
    raise AssertionError(message)


@contextmanager
def killed(team: Team, pod: str) -> Iterator[None]:
    """Take a pod away at once, as a node that dies does."""
    os.kill(process_of(pod), signal.SIGKILL)
    team.cluster.kubectl("delete", "pod", pod, "-n", NAMESPACE, "--force", "--grace-period=0")
    yield


@contextmanager
def frozen(_: Team, pod: str) -> Iterator[None]:
    """Stop the process, as a paused machine does; it goes on in the end and has noticed nothing."""
    process = process_of(pod)
    os.kill(process, signal.SIGSTOP)
    yield
    with suppress(ProcessLookupError):  # its liveness probe may have ended it by then
        os.kill(process, signal.SIGCONT)


@contextmanager
def partitioned(_: Team, pod: str) -> Iterator[None]:
    """Drop everything between a pod and the API server, also what is under way on connections that are open."""
    process = process_of(pod)
    # The network outlives the process, and is left by its name: the process ends, and its number may be another's.
    network = os.open(f"/proc/{process}/ns/net", os.O_RDONLY)

    def nft(*command: str) -> None:
        inside = ["nsenter", f"--net=/proc/self/fd/{network}", "nft", *command]
        subprocess.run(inside, check=True, capture_output=True, text=True, pass_fds=[network])

    try:
        nft("add table inet partition")
        for hook, port in (("output", "dport"), ("input", "sport")):
            nft(f"add chain inet partition {hook} {{ type filter hook {hook} priority 0; }}")
            nft(f"add rule inet partition {hook} tcp {port} {API_PORTS} drop")
        yield
        nft("delete table inet partition")
    finally:
        os.close(network)


def restarts(team: Team, pod: str) -> int:
    found = team.cluster.get("pods", pod, NAMESPACE)
    assert found is not None
    return int(found["status"]["containerStatuses"][0]["restartCount"])


def standing_by(before: int) -> Callable[[Object | None], bool]:
    """Tell whether the pod's operator ended, came back and is ready, which whoever stands by is."""

    def holds(seen: Object | None) -> bool:
        [state] = ((seen or {}).get("status") or {}).get("containerStatuses") or [{}]
        return state.get("restartCount", 0) == before + 1 and bool(state.get("ready"))

    return holds


def events_of(team: Team) -> list[Object]:
    return [
        item
        for item in team.find("events.events.k8s.io")
        if item.get("reportingController") == "modelwright.dev/operator"
    ]


def assert_nothing_doubled(team: Team) -> None:
    """Look at everything there is one of."""
    for name in ("first", "second"):
        job = team.get(JOBS, name)
        assert job["status"]["attempt"] == 1
        assert len(team.find("jobs.batch", f"modelwright.dev/name={name}")) == 1
        assert len(team.find("pods", f"modelwright.dev/name={name}")) == 1
    made = {team.get(JOBS, name)["status"]["modelVersion"] for name in ("first", "second")}
    assert {item["metadata"]["name"] for item in team.find(VERSIONS)} == made
    [workload] = team.find("deployments.apps")
    assert len(team.find("pods", "modelwright.dev/kind=Deployment")) == workload["spec"]["replicas"]
    told = Counter(
        (item["regarding"]["kind"], item["regarding"]["name"], item["reason"], item.get("note"))
        for item in events_of(team)
    )
    assert told
    assert not [event for event, count in told.items() if count > 1], told
    for resource in (VERSIONS, DEPLOYMENTS):
        for item in team.find(resource):
            lines = Counter((line["event"], line["message"]) for line in item["status"].get("history", ()))
            assert not [line for line, count in lines.items() if count > 1], item["status"]["history"]


@pytest.mark.parametrize("trouble", [killed, frozen, partitioned], ids=["killed", "frozen", "partitioned"])
@pytest.mark.timeout(600)  # with what the first test of a run sets up
def test_another_takes_over_in_time_and_nothing_is_done_twice(
    lasting: Team, trouble: Callable[[Team, str], AbstractContextManager[None]]
) -> None:
    if trouble is partitioned and shutil.which("nft") is None:
        pytest.skip("there is no nft on this machine")
    team = lasting
    lease = lease_name(team)
    former = holder(team)
    before = restarts(team, former)
    team.apply(claim(), training_job("first"))
    team.wait(JOBS, "first", lambda seen: seen and seen["status"].get("stage"), deadline=60)

    with trouble(team, former):
        began = time.monotonic()
        team.apply(training_job("second"), deployment("scores", {"name": "cancer", "follow": "Latest"}))
        team.cluster.wait(
            *(LEASE, lease, NAMESPACE),
            lambda seen: seen and seen["spec"].get("holderIdentity") not in {former, ""},
            deadline=60,
        )
        leads = time.monotonic() - began
        team.wait(JOBS, "second", lambda seen: seen and seen["status"].get("attempt"), deadline=60)
        took = time.monotonic() - began
        print(f"the other leads after {leads:.1f} s, and acts after {took:.1f} s")
        successor = holder(team)
        for name in ("first", "second"):
            done = team.wait(JOBS, name, is_true("Complete"), deadline=90)
            job = done["status"]["job"]  # gets its time to live afterwards
            team.wait("jobs.batch", job, lambda seen: seen and "ttlSecondsAfterFinished" in seen["spec"])
        team.wait(DEPLOYMENTS, "scores", is_true("Ready", "Available"), deadline=90)
        assert_nothing_doubled(team)
        settled = team.own_objects()
    assert took <= TAKEOVER_SECONDS, f"the other acted after {took:.1f} s only"

    if trouble is not killed:
        team.cluster.wait("pods", former, NAMESPACE, standing_by(before), deadline=60)
    team.cluster.wait(
        *("deployments.apps", team.installation.workload, NAMESPACE),
        lambda seen: seen and seen["status"].get("readyReplicas") == 2,
        deadline=60,
    )
    assert holder(team) == successor
    assert team.own_objects() == settled, "what was written meanwhile was written by who leads no more"
    assert_nothing_doubled(team)
    said = team.cluster.kubectl("logs", "-n", NAMESPACE, successor)
    assert "Traceback" not in said
