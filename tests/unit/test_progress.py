"""How far an attempt is: what is read, of which pods, and what it comes to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from modelwright_operator import api, naming
from modelwright_operator.decide import progress
from modelwright_operator.decide.observed import Job, LogLine, Pod
from modelwright_operator.decide.training import outcome
from modelwright_operator.errors import ClusterUnavailable, Refused
from tests.support import builders as make
from tests.support import kubelet
from tests.support.clock import START
from tests.support.world import World
from tests.table.planning import attempt_job

Raw = dict[str, Any]
SUBJECT = make.training_job()
JOB = attempt_job(SUBJECT)


def of(
    done: tuple[str, ...],
    active: Raw | None,
    line: tuple[str, str] | None = None,
    seconds: float = 60,
    observed: api.Progress | None = None,
) -> Raw | None:
    """Return the progress of an attempt whose first stage started so many seconds ago."""
    results = kubelet.results()
    statuses = kubelet.stage_statuses({name: results[name] for name in done}, active)
    seen = outcome(Job(JOB), [Pod(kubelet.pod_of(JOB, kubelet.pod_status(statuses)))])
    said = LogLine(*line) if line else None
    return progress.progress(seen.stages, said, observed, START + timedelta(seconds=seconds))


def said(percent: int, message: str = "fitting") -> str:
    return f'progress: {{"percent": {percent}, "message": "{message}"}}'


def test_nothing_is_said_before_a_stage_has_begun() -> None:
    assert of((), None) is None


@pytest.mark.parametrize(
    ("done", "active", "line", "expected"),
    [
        pytest.param((), "fetch", None, {"percent": 0, "message": "stage fetch"}, id="begun"),
        pytest.param((), "fetch", ("fetch", said(50)), {"percent": 10, "message": "fitting"}, id="half of a stage"),
        pytest.param(("fetch",), "train", None, {"percent": 20, "message": "stage train"}, id="a stage is done"),
        pytest.param(("fetch",), "train", ("train", said(50)), {"percent": 45, "message": "fitting"}, id="share"),
        pytest.param(("fetch",), "train", ("train", said(3, "")), {"percent": 21, "message": "stage train"}, id="mute"),
        pytest.param(("fetch",), "train", ("fetch", said(100)), {"percent": 20, "message": "stage train"}, id="old"),
        pytest.param(
            ("fetch",), "train", ("train", "progress: x"), {"percent": 20, "message": "stage train"}, id="bad"
        ),
        pytest.param(
            ("fetch", "train", "evaluate"),
            "publish",
            ("publish", said(100)),
            {"percent": 99, "message": "fitting"},
            id="end",
        ),
    ],
)
def test_stages_count_by_their_weight(
    done: tuple[str, ...], active: str, line: tuple[str, str] | None, expected: Raw
) -> None:
    found = of(done, kubelet.running(active), line, seconds=0)
    assert found == expected


def test_between_two_stages_it_stands_at_the_next_one() -> None:
    assert of(("fetch", "train"), None, seconds=0) == {"percent": 70, "message": "stage evaluate"}


@pytest.mark.parametrize(("seconds", "eta"), [(0, None), (1, 10), (20, 80), (100, 400), (101, 500)])
def test_the_time_left_follows_the_pace_so_far(seconds: float, eta: int | None) -> None:
    found = of(("fetch",), kubelet.running("train"), seconds=seconds)
    assert found is not None
    assert found.get("etaSeconds") == eta


def test_no_time_is_guessed_from_next_to_nothing() -> None:
    assert of((), kubelet.running("fetch"), ("fetch", said(20)), seconds=600) == {"percent": 4, "message": "fitting"}


def test_what_was_known_stands_while_the_log_has_no_line() -> None:
    known = api.Progress(percent=45, message="tree 50")
    found = of(("fetch",), kubelet.running("train"), seconds=0, observed=known)
    assert found == {"percent": 45, "message": "tree 50"}


@pytest.mark.parametrize("percent", [5, 20, 70, 90])
def test_what_was_known_of_another_stage_does_not(percent: int) -> None:
    known = api.Progress(percent=percent, message="of another stage")
    found = of(("fetch",), kubelet.running("train"), seconds=0, observed=known)
    assert found == {"percent": 20, "message": "stage train"}


class Running:
    """A world with one training pod in the middle of its stage `train`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cluster = world.cluster

    async def start(self) -> None:
        self.cluster.create(make.training_job().raw)
        await self.world.settle()
        [self.job] = self.world.jobs()
        statuses = kubelet.stage_statuses({"fetch": kubelet.results()["fetch"]}, kubelet.running("train"))
        self.pod = kubelet.put_pod(self.cluster, self.job, kubelet.pod_status(statuses))
        await self.world.settle()

    @property
    def progress(self) -> Raw:
        found: Raw = self.world.get(naming.TRAINING_JOBS, "churn-train")["status"]["progress"]
        return found

    async def look(self, log: str) -> None:
        self.cluster.logs[self.pod["metadata"]["name"], "train"] = log
        await self.world.progress.read()
        await self.world.settle()


async def test_the_log_of_the_running_stage_comes_into_the_status() -> None:
    with World() as world:
        running = Running(world)
        await running.start()
        assert running.progress["percent"] == 20
        await running.look(f"a warning\n{said(40, 'tree 4')}\n{said(50, 'tree 5')}\nanother")
        assert (running.progress["percent"], running.progress["message"]) == (45, "tree 5")
        asked = [(call.verb, call.name) for call in world.cluster.calls if call.verb == "log"]
        assert asked == [("log", running.pod["metadata"]["name"])]


async def test_nothing_new_is_no_write() -> None:
    with World() as world:
        running = Running(world)
        await running.start()
        await running.look(said(50))
        writes = len(world.cluster.writes())
        await running.look(f"{said(50)}\nmore of something else")
        await running.look("nothing of the kind")
        assert len(world.cluster.writes()) == writes


@pytest.mark.parametrize("error", [ClusterUnavailable("503"), Refused("Pod", "x", 403, "pods/log is forbidden")])
async def test_a_log_that_cannot_be_read_changes_nothing(error: Exception) -> None:
    with World() as world:
        running = Running(world)
        await running.start()
        await running.look(said(50))
        before = running.progress
        world.cluster.fail(error, verb="log")
        await running.look(said(60))
        assert running.progress == before
        await running.look(said(60))
        assert running.progress["percent"] == 50


async def test_a_pod_of_nobody_we_know_is_not_read() -> None:
    with World() as world:
        running = Running(world)
        await running.start()
        forged = kubelet.pod_of(running.job, running.pod["status"], "forged")
        forged["metadata"]["ownerReferences"][0]["uid"] = "uid-of-nobody"
        world.cluster.create(forged)
        world.cluster.set_status(naming.PODS, "forged", running.pod["status"])
        world.deliver()
        world.cluster.logs["forged", "train"] = said(99)
        await running.look(said(50))
        assert [call.name for call in world.cluster.calls if call.verb == "log"] == [running.pod["metadata"]["name"]]
        assert running.progress["percent"] == 45


async def test_a_stage_that_does_not_run_is_not_read() -> None:
    with World() as world:
        running = Running(world)
        await running.start()
        world.cluster.set_status(naming.PODS, running.pod["metadata"]["name"], {"phase": "Failed"})
        world.deliver()
        await running.look(said(50))
        assert "log" not in {call.verb for call in world.cluster.calls}


async def test_a_line_goes_with_its_pod() -> None:
    with World() as world:
        running = Running(world)
        await running.start()
        await running.look(said(50))
        raw = world.store.get(naming.PODS, "team", running.pod["metadata"]["name"])
        assert raw is not None
        assert world.store.line(raw) == LogLine("train", said(50))
        successor = {**raw, "metadata": {**raw["metadata"], "uid": "another"}}
        assert world.store.line(successor) is None
        world.cluster.remove(naming.PODS, running.pod["metadata"]["name"])
        world.deliver()
        assert world.store.line(raw) is None
        assert not world.store.put_line(raw, LogLine("train", said(60)))
