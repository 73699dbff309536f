"""A Deployment in the simulated world whose model is trained anew, and how tests speak of it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from modelwright_operator import naming
from modelwright_operator.reasons import Reason
from modelwright_server.contract import monitoring
from tests.support import builders as make
from tests.support import kubelet
from tests.support.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

Raw = dict[str, Any]

COOLDOWN = 3600
DAY = 86_400
CHUNK = 1800
RULES: Raw = {"trainingJob": "template", "triggers": ["DataDrift"], "cooldownSeconds": COOLDOWN}
MONITORING: Raw = {"window": {"maxSeconds": 7 * DAY}, "drift": {"flagged": 1, "of": 1}}
TOLD = frozenset(
    {
        Reason.RETRAINING_STARTED,
        Reason.RETRAINED,
        Reason.RETRAINING_REJECTED,
        Reason.RETRAINING_FAILED,
        Reason.RETRAINING_BLOCKED,
        Reason.NO_NEW_DATA,
        Reason.UPDATE_AVAILABLE,
        Reason.DRIFT_PERSISTS,
        Reason.COOLING_DOWN,
        Reason.BUDGET_SPENT,
    }
)
A, B, C = (naming.version_name("churn", make.digest(seed)) for seed in "abc")


def template(**spec: Any) -> make.Maker:
    """Return the TrainingJob that waits to be run again."""
    return make.training_job("template").spec(**{"suspend": True, **spec})


class Loop:
    """A Deployment that follows its model, and what happens around it.

    Attributes:
        digests: digest seeds of the models that the next runs make.
        data: digest seed of the data that they read.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.digests = ["b", "c", "e", "f"]
        self.data = "0"

    @property
    def status(self) -> Raw:
        status: Raw = self.world.get(naming.DEPLOYMENTS, "churn").get("status", {})
        return status

    @property
    def state(self) -> Raw:
        state: Raw = self.status["retraining"]
        return state

    @property
    def last(self) -> Raw:
        run: Raw = self.state["lastRun"]
        return run

    @property
    def runs(self) -> list[str]:
        """Names of the TrainingJobs made for the Deployment, in the order of their episodes."""
        found = [raw for raw in self.world.cluster.all(naming.TRAINING_JOBS) if "-retrain-" in raw["metadata"]["name"]]
        found.sort(key=lambda raw: int(raw["metadata"]["labels"][naming.LABEL_EPISODE]))
        return [raw["metadata"]["name"] for raw in found]

    @property
    def condition(self) -> str:
        return self.world.summary(naming.DEPLOYMENTS, "churn")["Retraining"]

    @property
    def message(self) -> str:
        return str(self.world.conditions(naming.DEPLOYMENTS, "churn")["Retraining"]["message"])

    @property
    def history(self) -> list[str]:
        return [entry["event"] for entry in self.status.get("history", []) if entry["event"] in TOLD]

    @property
    def events(self) -> list[str]:
        """Reasons of the events about retraining, in order."""
        return [event["reason"] for event in self.world.cluster.events if event["reason"] in TOLD]

    def found(self, kind: str, status: str, reason: str = "FromATest") -> None:
        """Let a sidecar write one of its conditions, as it does: with its report on what answers."""
        raw = self.world.get(naming.DEPLOYMENTS, "churn")
        now, known = self.world.clock.text(), raw["status"]["conditions"]
        before = next((item for item in known if item["type"] == kind), None)
        same = before is not None and before["status"] == status
        since = before["lastTransitionTime"] if before is not None and same else now
        entry = {"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": since}
        others = [item for item in known if item["type"] in monitoring.CONDITIONS and item["type"] != kind]
        stable = raw["status"]["stable"]
        report = {"digest": stable["digest"], "version": stable["version"], "window": {"sequence": 1, "closedAt": now}}
        part = {"conditions": [*others, {**entry, "observedGeneration": 1}], "monitoring": report}
        self.world.cluster.report("churn", part)

    def drifts(self) -> None:
        """Let data drift be found on what answers: first nothing is known of it."""
        self.found("DataDriftDetected", "Unknown")
        self.world.clock.advance(60)
        self.found("DataDriftDetected", "True")

    def change(self, **fields: Any) -> None:
        self.world.cluster.edit(naming.DEPLOYMENTS, "churn", lambda raw: raw["spec"].update(fields))

    def ask(self, word: str) -> None:
        annotations = {naming.ANNOTATION_RETRAIN: word}
        self.world.cluster.edit(
            naming.DEPLOYMENTS, "churn", lambda raw: raw["metadata"].setdefault("annotations", {}).update(annotations)
        )

    async def settle(self, seconds: float = 30) -> None:
        """Let Kubernetes and the operator do what there is to do, but end no training."""
        for _ in range(6):
            await self.world.settle(0)
            for workload in list(self.world.cluster.all(naming.WORKLOADS)):
                if workload.get("status") != kubelet.workload_status(workload):
                    kubelet.scale(self.world.cluster, workload)
        while seconds > 0:
            await self.world.settle(min(seconds, CHUNK))
            seconds -= CHUNK

    async def train(self, *, gates: bool = True) -> None:
        """Let the training under way end, and what follows happen."""
        await self.settle()
        for job in list(self.world.jobs()):
            if job.get("status", {}).get("conditions"):
                continue
            said = kubelet.results(self.digests.pop(0) if gates else "9")
            said["fetch"]["data"][0]["digest"] = make.digest(self.data)
            verdict = {"gate": 0, "verdict": "Passed" if gates else "Failed", "observed": 0.5}
            said["evaluate"]["gates"] = [verdict]
            kubelet.succeed(self.world.cluster, job, said)
        await self.settle()


@contextmanager
def loop(*, template_of: make.Maker | None = None, model: Raw | None = None, **rules: Any) -> Iterator[Loop]:
    """Have a Deployment that serves version A and is to be trained anew, and the template for it."""
    with World() as world:
        gates = [{"metric": "accuracy", "min": 0.4}]
        world.cluster.create((template_of or template(gates=gates)).raw)
        version = make.verified("a")
        provenance = {"data": [{"name": "train", "uri": "sklearn://breast_cancer", "digest": make.digest("d")}]}
        version.spec(provenance=provenance)
        world.cluster.create(version.raw)
        world.cluster.set_status(naming.MODEL_VERSIONS, A, version.raw["status"])
        world.clock.advance(60)
        subject = make.deployment(version=(model or {}).get("version"))
        world.cluster.create(subject.spec(monitoring=MONITORING, retraining={**RULES, **rules}).raw)
        yield Loop(world)
