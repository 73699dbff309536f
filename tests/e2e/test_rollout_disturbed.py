"""Rollouts while something gets in the way: kills, changes of mind, GitOps tools, scaling, silence. The same end."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from modelwright_operator import naming
from modelwright_server import contract
from tests.cluster.settings import ClusterError
from tests.e2e.fixtures import DEPLOYMENTS, Object, Team, condition, deployment, is_true
from tests.e2e.rollouts import HOLD, ROLLOUT, address, phase, pods, removed_afterwards, rollout_of, served, want
from tests.e2e.test_resilience import Process, scale_operator
from tests.support.load import Clients

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from tests.support.behaving import Behaviour

pytestmark = pytest.mark.cluster

PACE = 150
QUICK: Object = {"minSeconds": 3, "minRequests": 20}
STEPS = [{"weight": 20, "hold": QUICK}, {"weight": 50, "hold": QUICK}]


def events(seen: Object) -> list[str]:
    return [entry["event"] for entry in seen["status"]["history"]]


def generation(team: Team, name: str) -> int:
    return int(team.get(DEPLOYMENTS, name)["metadata"]["generation"])


@pytest.fixture
def process(trials: Team) -> Generator[Process]:
    """Give the operator as a process that the test may kill."""
    scale_operator(trials.installation, 0)
    started = Process(trials.installation, trials.namespace)
    started.start()
    yield started
    started.kill()
    scale_operator(trials.installation, 1)


def weight_is(version: str, weight: int) -> Callable[[Object | None], bool]:
    """Tell whether the table gives a version that weight, or more."""

    def holds(seen: Object | None) -> bool:
        traffic = ((seen or {}).get("status") or {}).get("traffic") or {}
        canary = traffic.get("canary") or {}
        return canary.get("version") == version and traffic.get("weight", 0) >= weight

    return holds


def service_leads_to(team: Team, name: str, revision: str) -> Callable[[object], bool]:
    """Tell whether clients reach the pods of that revision."""
    return lambda _: team.get("services", name)["spec"]["selector"].get(naming.LABEL_REVISION) == revision


@pytest.mark.timeout(600)  # with what the first test of a run sets up
def test_killed_at_each_turn_of_a_rollout_it_ends_as_if_nothing_had_happened(
    trials: Team, process: Process, first: str, second: str, bad: Mapping[Behaviour, str]
) -> None:
    name = "killed"
    rollout: dict[str, Any] = {"steps": STEPS, "postPromotionWatchSeconds": 8}
    with served(trials, name, first, **rollout), Clients(address(trials, name), channels=2, pace=PACE) as load:

        def kill_when(*moments: Callable[[Object | None], object]) -> None:
            for moment in moments:
                trials.wait(DEPLOYMENTS, name, moment, deadline=90)
                process.kill()
                process.start()

        want(trials, name, second)
        revision = rollout_of(trials.wait(DEPLOYMENTS, name, lambda seen: rollout_of(seen).get("revision")))["revision"]
        kill_when(
            lambda seen: rollout_of(seen).get("version") == second,
            lambda _: trials.find("deployments.apps", f"{naming.LABEL_REVISION}={revision}"),
            weight_is(second, 20),
            weight_is(second, 50),
            lambda seen: rollout_of(seen)["phase"] in {"Promoting", "Watching"},
            service_leads_to(trials, name, revision),
        )
        seen = trials.wait(DEPLOYMENTS, name, phase("Complete"))
        assert seen["status"]["stable"]["version"] == second
        assert events(seen) == ["RolloutStarted", "StepStarted", "StepStarted", "Promoted"], seen["status"]["history"]

        want(trials, name, bad["nan"])
        kill_when(weight_is(bad["nan"], 20), phase("RolledBack", bad["nan"]))
        seen = trials.wait(DEPLOYMENTS, name, is_true("Stalled", "RolledBack"))
        workload = f"{name}-{seen['status']['rejected'][0]['revision']}"
        trials.wait("deployments.apps", workload, lambda found: found is None)
        assert len(seen["status"]["rejected"]) == seen["status"]["rejected"][0]["attempts"] == 1
        assert events(seen)[4:] == ["RolloutStarted", "StepStarted", "RolledBack"], seen["status"]["history"]
        assert is_true("Available")(seen)
    assert set(load.answers) | set(load.calls) <= {first, second, bad["nan"]}, (load.answers, load.calls)
    assert process.kills == 8
    assert "Traceback" not in process.log()


def test_of_five_changes_in_ten_seconds_the_last_is_tried_from_its_first_step(trials: Team, first: str) -> None:
    with (
        served(trials, "hasty", first, steps=STEPS, postPromotionWatchSeconds=0),
        Clients(address(trials, "hasty"), channels=2, pace=PACE) as load,
    ):
        before = generation(trials, "hasty")
        for rows in (101, 102, 103, 104, 105):
            trials.patch(DEPLOYMENTS, "hasty", {"spec": {"server": {"batching": {"maxRows": rows}}}})
            time.sleep(1.5)  # what happens, not what is waited for
        assert generation(trials, "hasty") == before + 5
        seen = trials.wait(DEPLOYMENTS, "hasty", phase("Complete"), deadline=120)
        selector = f"{naming.LABEL_REVISION}={seen['status']['stable']['revision']}"
        [workload] = trials.find("deployments.apps", selector)
    [server] = workload["spec"]["template"]["spec"]["containers"]
    assert {"name": contract.ENV_BATCH_MAX_ROWS, "value": "105"} in server["env"], server["env"]
    last = len(events(seen)) - events(seen)[::-1].index("RolloutStarted")
    assert events(seen)[last:] == ["StepStarted", "StepStarted", "Promoted"], events(seen)
    assert "Promoted" not in events(seen)[:last], events(seen)
    steps = [item["step"] for item in rollout_of(seen)["evidence"]["steps"]]
    assert steps[:2] == [1, 2], steps
    assert set(load.answers) == set(load.calls) == {first}, (load.answers, load.calls)


@contextmanager
def over_and_over(action: Callable[[], None], seconds: float = 1) -> Iterator[list[str]]:
    """Do something every second or so, as a GitOps tool applies its manifests; give what went wrong."""
    stop, problems = threading.Event(), list[str]()

    def repeat() -> None:
        while not stop.wait(seconds):
            try:
                action()
            except ClusterError as error:
                problems.append(str(error))

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield problems
    finally:
        stop.set()
        thread.join()


def test_a_manifest_that_is_applied_over_and_over_gets_in_no_ones_way(trials: Team, first: str, second: str) -> None:
    ways = {"by-client": [], "by-server": ["--server-side", "--field-manager=gitops"]}
    rollout = {**ROLLOUT, "steps": STEPS, "postPromotionWatchSeconds": 5}

    def manifest(name: str, version: str) -> Object:
        return deployment(name, {"version": version}, replicas=1, rollout=rollout)

    def apply(name: str, version: str) -> None:
        given = json.dumps(manifest(name, version))
        trials.cluster.kubectl("apply", *ways[name], "-n", trials.namespace, "-f", "-", stdin=given)

    with removed_afterwards(trials, *ways), ExitStack() as stack:
        loads, problems, generations = {}, {}, {}
        for name in ways:
            apply(name, first)
            trials.wait(DEPLOYMENTS, name, is_true("Ready"))
            loads[name] = stack.enter_context(Clients(address(trials, name), kept=6, pace=PACE / 2))
        for name in ways:
            apply(name, second)
            generations[name] = generation(trials, name)
            problems[name] = stack.enter_context(over_and_over(partial(apply, name, second)))
        ends = {name: trials.wait(DEPLOYMENTS, name, phase("Complete", second), deadline=120) for name in ways}
        assert {name: generation(trials, name) for name in ways} == generations
    for name, seen in ends.items():
        assert problems[name] == []
        assert events(seen) == ["RolloutStarted", "StepStarted", "StepStarted", "Promoted"], name
        assert set(loads[name].answers) == {first, second}, loads[name].answers


def test_scaling_in_a_step_costs_no_capacity(trials: Team, first: str, second: str) -> None:
    name = "scaled"
    step = {"weight": 50, "hold": HOLD, "approval": "Required"}
    with (
        served(trials, name, first, steps=[step], postPromotionWatchSeconds=5),
        Clients(address(trials, name), channels=2, pace=PACE) as load,
    ):
        stable = trials.get(DEPLOYMENTS, name)["status"]["stable"]["revision"]
        want(trials, name, second)
        seen = trials.wait(DEPLOYMENTS, name, phase("Stepping", second))
        canary = rollout_of(seen)["revision"]
        sequence = seen["status"]["traffic"]["sequence"]
        scale = ["scale", f"{DEPLOYMENTS}/{name}", "-n", trials.namespace]
        for replicas in (3, 1):
            before = {pod["metadata"]["uid"] for pod in pods(trials, stable) if is_ready(pod)}
            trials.cluster.kubectl(*scale, f"--replicas={replicas}")

            def settled(_: object, wanted: int = replicas, before: AbstractSet[str] = before) -> bool:
                now = {pod["metadata"]["uid"] for pod in pods(trials, stable)}
                assert len(before & now) >= min(wanted, len(before)), "a pod that answered went"
                ready = [sum(map(is_ready, pods(trials, revision))) for revision in (stable, canary)]
                return ready == [wanted, -(-wanted // 2)]

            trials.wait(DEPLOYMENTS, name, settled, deadline=60)
        seen = trials.get(DEPLOYMENTS, name)
        assert (rollout_of(seen)["phase"], seen["status"]["traffic"]["sequence"]) == ("Stepping", sequence)
        trials.wait(DEPLOYMENTS, name, lambda found: rollout_of(found).get("awaiting") == "Approval", deadline=60)
        approve = f"{naming.GROUP}/approve={canary}/1"
        trials.cluster.kubectl("annotate", DEPLOYMENTS, name, "-n", trials.namespace, "--overwrite", approve)
        seen = trials.wait(DEPLOYMENTS, name, phase("Complete", second), deadline=60)
        assert len(pods(trials, canary)) == 1
    assert set(load.answers) == set(load.calls) == {first, second}, (load.answers, load.calls)


def is_ready(pod: Object) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def test_without_requests_nothing_is_promoted_and_it_says_why(trials: Team, first: str, second: str) -> None:
    step = {"weight": 50, "hold": {"minSeconds": 0, "minRequests": 1, "maxSeconds": 5}}
    with served(trials, "silent", first, steps=[step]):
        want(trials, "silent", second)
        seen = trials.wait(DEPLOYMENTS, "silent", phase("Stepping", second))
        trials.wait(DEPLOYMENTS, "silent", lambda found: rollout_of(found).get("awaiting") == "Requests")
        began = time.monotonic()
        # Later than step.hold.maxSeconds: it goes on waiting.
        seen = trials.wait(DEPLOYMENTS, "silent", lambda _: time.monotonic() > began + 8)
        rollout = rollout_of(seen)
        assert (rollout["phase"], rollout["awaiting"]) == ("Stepping", "Requests")
        assert "none has come yet" in rollout["message"]
        assert seen["status"]["stable"]["version"] == first
        trials.patch(DEPLOYMENTS, "silent", {"spec": {"rollout": {"analysis": {"onInconclusive": "Rollback"}}}})
        seen = trials.wait(DEPLOYMENTS, "silent", phase("RolledBack", second))
        assert condition(seen, "RolledBack")["reason"] == "Inconclusive", seen["status"]
