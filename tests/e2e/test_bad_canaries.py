"""Bad versions on the real cluster, one after another beside one that serves: no client notices any of them."""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.e2e.fixtures import CLAIM, DEPLOYMENTS, VERSIONS, Object, Team, condition, is_true, model_version
from tests.e2e.rollouts import (
    address,
    counted,
    import_versions,
    path_of,
    phase,
    pods,
    restarts,
    rollout_of,
    schema_of,
    served,
    want,
)
from tests.support.behaving import COLUMNS, HEAVY, model
from tests.support.claims import run_in_claim
from tests.support.load import Clients

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from tests.support.behaving import Behaviour

pytestmark = pytest.mark.cluster

NAME = "busy"
PACE = 200  # requests a second: evidence comes fast, and a small machine still answers them all
SECONDS = 0.5  # that a canary has for an answer
JUDGED = {"CanaryBroken", "CanaryWorse"}
DIED = {"CanaryCrashed", "OutOfMemory", "CrashLooping"}


@pytest.fixture(scope="module")
def load(trials: Team, first: str) -> Generator[Clients]:
    """Have a Deployment that serves the first version to 16 clients, however many bad ones are tried beside it."""
    with (
        served(trials, NAME, first, canaryTimeoutMilliseconds=int(1000 * SECONDS)),
        Clients(address(trials, NAME), kept=12, channels=2, pace=PACE) as clients,
    ):
        yield clients


@pytest.fixture(scope="module")
def damaged(trials: Team, first: str) -> Mapping[str, str]:
    """Import copies of the good version, whose artifacts are damaged once they were verified."""
    source, digest = path_of(trials, first), trials.get(VERSIONS, first)["spec"]["artifact"]["digest"]
    names = ("corrupt", "relabelled")
    run_in_claim(trials, CLAIM, f"import shutil; [shutil.copytree({source!r}, name) for name in {names}]")
    trials.apply(*(model_version(f"cancer-{name}", name, digest, model="cancer") for name in names))
    for name in names:
        trials.wait(VERSIONS, f"cancer-{name}", is_true("Verified"))
    damage = (
        "model = open('corrupt/model.onnx', 'r+b'); model.seek(50); byte = model.read(1)[0]; model.seek(50);"
        "model.write(bytes([byte ^ 1])); model.close();"
        "manifest = open('relabelled/manifest.json', 'a'); manifest.write(' '); manifest.close()"
    )
    run_in_claim(trials, CLAIM, damage)
    return {name: f"cancer-{name}" for name in names}


class Beside:
    """A version tried beside the one that serves: what clients and the stable pods had of it."""

    def __init__(self, team: Team, load: Clients) -> None:
        self._team, self._load = team, load
        self.revision = str(team.get(DEPLOYMENTS, NAME)["status"]["stable"]["revision"])
        self.stable = pods(team, self.revision)
        self._restarts = restarts(self.stable)
        self._began = time.monotonic()
        self._before = Counter(load.answers) + Counter(load.calls)

    def rolled_back(self, version: str) -> Object:
        """Wait for the end of the rollout of a version and of its pods; return what the Deployment's status said."""
        seen = self._team.wait(DEPLOYMENTS, NAME, phase("RolledBack", version), deadline=120)
        gone = seen["status"]["rejected"][-1]["revision"]
        self._team.wait("deployments.apps", f"{NAME}-{gone}", lambda found: found is None)
        # One that hangs keeps a core busy until it is killed: the next test is not to pay for that.
        self._team.wait(
            DEPLOYMENTS, NAME, lambda _: not self._team.find("pods", f"modelwright.dev/revision={gone}"), deadline=90
        )
        status: Object = seen["status"]
        rollout = status["rollout"]
        print(version, message(status), *(rollout.get(f"{name}At") for name in ("started", "stepStarted", "ended")))
        assert condition(seen, "Available")["status"] == "True", status
        assert condition(seen, "Stalled")["reason"] == "RolledBack", status
        return status

    def assert_unnoticed(self, *answering: str) -> None:
        """Assert that only these versions answered, in time, and that the stable pods are the same as before."""
        slowest, most = (self._load.slowest(share, self._began) for share in (0.99, 1))
        answers = Counter(self._load.answers) + Counter(self._load.calls) - self._before
        print(f"p99 {1000 * slowest:.0f} ms, most {1000 * most:.0f} ms of {answers}")
        assert set(answers) <= set(answering), answers
        assert answers.total() > 100
        # One that hangs computes for days; answers of a busy machine are slow by themselves: docs/benchmarks.md.
        assert slowest <= 4 * SECONDS
        assert restarts(pods(self._team, self.revision)) == self._restarts


def reason(status: Object) -> str:
    """Return why the version was rolled back, as the condition says."""
    return str(condition({"status": status}, "RolledBack")["reason"])


def message(status: Object) -> str:
    return str(condition({"status": status}, "RolledBack")["message"])


@pytest.mark.parametrize("kind", ["hangs", "slow", "nan"])
def test_one_that_answers_badly(
    trials: Team, first: str, load: Clients, bad: Mapping[Behaviour, str], kind: Behaviour
) -> None:
    beside = Beside(trials, load)
    analysis = {"latencyThresholdMilliseconds": 15 if kind == "slow" else None}
    trials.patch(DEPLOYMENTS, NAME, {"spec": {"rollout": {"analysis": analysis}, "model": {"version": bad[kind]}}})
    status = beside.rolled_back(bad[kind])
    assert reason(status) in (JUDGED | DIED if kind == "hangs" else JUDGED), status
    fault = {"hangs": "timedOut", "slow": "slow", "nan": "invalid"}[kind]
    [step] = status["rollout"]["evidence"]["steps"]
    assert step["canary"][fault] > 0, step
    if reason(status) in JUDGED:
        assert re.search(r"\d+ of \d+ ", message(status)), status
        assert step["canary"]["bad"] == step["canary"]["requests"], step
    beside.assert_unnoticed(first, *([] if kind == "hangs" else [bad[kind]]))


def test_one_that_takes_too_much_memory_at_half_of_the_requests(
    trials: Team, first: str, load: Clients, bad: Mapping[Behaviour, str]
) -> None:
    beside, version = Beside(trials, load), bad["greedy"]
    want(trials, NAME, version)
    trials.wait(DEPLOYMENTS, NAME, phase("Stepping", version, weight=50), deadline=120)
    usual, load.row = load.row, [[HEAVY] * COLUMNS]
    try:
        status = beside.rolled_back(version)
    finally:
        load.row = usual
    assert reason(status) in DIED | JUDGED, status
    assert [step["weight"] for step in status["rollout"]["evidence"]["steps"]] == [10, 50]
    assert re.search(r"memory limit|\d+ of \d+ ", message(status)), status
    beside.assert_unnoticed(first, version)


def test_one_whose_server_cannot_start(trials: Team, first: str, load: Clients) -> None:
    beside = Beside(trials, load)
    limit = {"limits": {"memory": "24Mi"}, "requests": {"memory": "24Mi"}}
    trials.patch(DEPLOYMENTS, NAME, {"spec": {"server": {"resources": limit}, "model": {"version": first}}})
    status = beside.rolled_back(first)
    assert reason(status) in DIED, status
    trials.patch(DEPLOYMENTS, NAME, {"spec": {"server": {"resources": None}}})
    trials.wait(DEPLOYMENTS, NAME, is_true("Ready"))
    beside.assert_unnoticed(first)


@pytest.mark.parametrize("kind", ["corrupt", "relabelled"])
def test_one_whose_artifact_was_damaged(
    trials: Team, first: str, load: Clients, damaged: Mapping[str, str], kind: str
) -> None:
    beside = Beside(trials, load)
    want(trials, NAME, damaged[kind])
    status = beside.rolled_back(damaged[kind])
    assert reason(status) == "DigestMismatch", status
    assert f"pvc://{CLAIM}/{kind}" in message(status), status
    assert not rollout_of({"status": status})["evidence"].get("steps"), status
    beside.assert_unnoticed(first)


def test_one_that_always_fails_gets_no_request_twenty_seconds_after_its_first_failure(
    trials: Team, first: str, load: Clients, bad: Mapping[Behaviour, str]
) -> None:
    beside = Beside(trials, load)
    load.pace = 50
    try:
        want(trials, NAME, bad["fails"])
        seen = trials.wait(DEPLOYMENTS, NAME, phase("Stepping", bad["fails"]), deadline=60)
        sequence = seen["status"]["traffic"]["sequence"]

        def failures() -> int:
            return sum(step["canary"]["errors"] for step in counted(trials, beside.stable, sequence))

        trials.wait(DEPLOYMENTS, NAME, lambda _: failures() > 0)
        first_failure = last = time.monotonic()
        known = failures()
        while time.monotonic() < first_failure + 20:
            if (now := failures()) > known:
                known, last = now, time.monotonic()
        before = load.answers.total()
        trials.wait(DEPLOYMENTS, NAME, lambda _: load.answers.total() > before + 200)
        assert failures() == known
        print(f"{known} forwards in {last - first_failure:.1f} s")
        status = beside.rolled_back(bad["fails"])
    finally:
        load.pace = PACE
    assert reason(status) in JUDGED, status
    assert re.search(r"\d+ of \d+ ", message(status)), status
    beside.assert_unnoticed(first)


def test_ones_that_do_not_fit_are_refused_before_any_pod_starts(
    trials: Team, first: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    artifact = trials.get(VERSIONS, first)["spec"]["artifact"]
    other_model = {**model_version("other-model"), "spec": {"model": "other", "artifact": artifact}}
    schema = schema_of(trials, first)
    schema["inputs"][0]["columns"][0] = "another column"
    trials.apply(other_model)
    [other_inputs] = import_versions(
        trials, {"other-inputs": model("nan")}, schema, tmp_path_factory.mktemp("refused")
    ).values()
    trials.wait(VERSIONS, "other-model", is_true("Verified"))
    refused = {
        "nowhere": ("VersionNotFound", "spec.model.version: there is no ModelVersion nowhere"),
        "other-model": ("ModelMismatch", "make another Deployment"),
        other_inputs: ("SchemaMismatch", "set spec.rollout.allowSchemaChange"),
    }
    with served(trials, "picky", first):
        for name, (why, words) in refused.items():
            want(trials, "picky", name)
            seen = trials.wait(DEPLOYMENTS, "picky", is_true("Stalled", why))
            assert words in condition(seen, "Stalled")["message"]
            assert is_true("Available")(seen)
            assert not rollout_of(seen).get("version"), rollout_of(seen)
        want(trials, "picky", first)
        trials.wait(DEPLOYMENTS, "picky", is_true("Ready"))
        assert len(trials.find("deployments.apps", "modelwright.dev/name=picky")) == 1
