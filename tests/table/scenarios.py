"""Whole stories, told once: what users do, and how Kubernetes and the pods answer.

Each is played as it is, with every API call failing once, and with the operator crashing at every write.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelwright_operator import naming
from modelwright_server.contract import monitoring
from tests.support import builders as make
from tests.support import kubelet, trials
from tests.support.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.world import World

Raw = dict[str, Any]
Act = "Callable[[World], object]"

_ROUNDS = 30
_MOMENT_SECONDS = 2.0  # a failed call is tried again meanwhile
_WHILE_SECONDS = 45.0  # a failed attempt is


@dataclass(frozen=True)
class Scenario:
    """A story.

    Attributes:
        name: what happens.
        objects: what users create at the beginning.
        acts: what they do later, one thing whenever all has come to rest.
        failures: how training attempts fail: (stage, exit code, message) by attempt; the others end well.
        broken: digests of models whose server never becomes ready.
        verdicts: (exit code, message) of verification Jobs, one after the other; then they end well.
        digests: digest seed of the model each TrainingJob makes, by the job's name; "a" for the others.
        failing_trials: numbers of the trials of searches that fail.
        deleted_searches: numbers of the searches' Jobs that are deleted when half of their trials ended.
        bad_canary: clients call the Deployment, and one of so many of a canary's answers is bad (0: none is); None: no
            client does.
    """

    name: str
    objects: tuple[Raw, ...]
    acts: tuple[Callable[[World], object], ...] = ()
    failures: dict[str, tuple[str, int, object]] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    verdicts: tuple[tuple[int, object], ...] = ()
    digests: dict[str, str] = field(default_factory=dict)
    failing_trials: frozenset[int] = frozenset()
    deleted_searches: frozenset[str] = frozenset()
    bad_canary: int | None = None

    def __str__(self) -> str:
        return self.name

    async def play(self, world: World) -> None:
        """Tell the story to its end."""
        for raw in self.objects:
            world.cluster.create(raw)
        acts = list(self.acts)
        clients = Traffic(world, rate=1000, bad_canary=self.bad_canary or 0)
        for _ in range(_ROUNDS):
            await world.settle(_MOMENT_SECONDS)
            if self.bad_canary is not None:
                clients.answer(10)
            if self._kubernetes(world):
                continue
            writes = len(world.cluster.writes())
            await world.settle(_WHILE_SECONDS)
            if len(world.cluster.writes()) > writes:
                continue
            if not acts:
                return
            acts.pop(0)(world)
        message = f"{self.name} does not end"
        raise AssertionError(message)

    def _kubernetes(self, world: World) -> bool:
        """Let controllers and pods do their next thing; tell whether there was one."""
        cluster = world.cluster
        for job in list(cluster.all(naming.JOBS)):
            if job.get("status", {}).get("conditions") or job["spec"].get("suspend"):
                continue
            self._end(world, job)
            return True
        for workload in list(cluster.all(naming.WORKLOADS)):
            version = cluster.read(naming.MODEL_VERSIONS, _version_of(workload))
            ready = 0 if version["spec"]["artifact"]["digest"] in self.broken else None
            if workload.get("status") != kubelet.workload_status(workload, ready):
                kubelet.scale(cluster, workload, ready)
                return True
        return False

    def _end(self, world: World, job: Raw) -> None:
        labels = job["metadata"]["labels"]
        if labels[naming.LABEL_OWNER_KIND] == naming.MODEL_VERSION:
            done = sum(1 for other in world.cluster.all(naming.JOBS) if other.get("status", {}).get("conditions"))
            code, message = (
                self.verdicts[done] if done < len(self.verdicts) else (0, {"stage": "verify", "sizeBytes": 7})
            )
            kubelet.verify(world.cluster, job, code, message)
        elif naming.LABEL_SEARCH in labels:
            self._search(world, job)
        elif (failure := self.failures.get(labels[naming.LABEL_ATTEMPT])) is not None:
            kubelet.fail(world.cluster, job, *failure)
        else:
            seed = self.digests.get(labels[naming.LABEL_OWNER_NAME], "a")
            kubelet.succeed(world.cluster, job, kubelet.results(seed))

    def _search(self, world: World, job: Raw) -> None:
        name = job["metadata"]["name"]
        if job["spec"]["activeDeadlineSeconds"] == 1:
            trials.stop(world.cluster, job)
        elif job["metadata"]["labels"][naming.LABEL_SEARCH] not in self.deleted_searches:
            trials.finish(world.cluster, job, self.failing_trials)
        elif any(name in pod for pod in world.cluster.names(naming.PODS)):
            world.cluster.remove(naming.JOBS, name)
        else:
            trials.put_half(world.cluster, job)


def _version_of(workload: Raw) -> str:
    server = workload["spec"]["template"]["spec"]["containers"][0]
    return str(next(item["value"] for item in server["env"] if item["name"] == "MODELWRIGHT_MODEL_VERSION"))


def _set(resource: str, name: str, **fields: Any) -> Callable[[World], object]:
    def act(world: World) -> object:
        return world.cluster.edit(resource, name, lambda raw: raw["spec"].update(fields))

    return act


def _annotate(resource: str, name: str, key: str, value: str) -> Callable[[World], object]:
    def act(world: World) -> object:
        return world.cluster.edit(
            resource, name, lambda raw: raw["metadata"].setdefault("annotations", {}).update({key: value})
        )

    return act


def _drifts(world: World) -> object:
    """Let a sidecar report that the data drifted."""
    status, now = world.get(naming.DEPLOYMENTS, "churn")["status"], world.clock.text()
    known = [item for item in status["conditions"] if item["type"] in monitoring.CONDITIONS]
    found = {"status": "True", "reason": "DriftDetected", "lastTransitionTime": now}
    turned = [{**item, **found} if item["type"] == monitoring.DATA_DRIFT else item for item in known]
    report = {"digest": status["stable"]["digest"], "window": {"sequence": 1, "closedAt": now}}
    return world.cluster.report("churn", {"conditions": turned, "monitoring": report})


def _remove(resource: str, pick: Callable[[World], str]) -> Callable[[World], object]:
    return lambda world: world.cluster.remove(resource, pick(world))


def _by_hand(raw: Raw) -> None:
    del raw["spec"]["autoscaling"]
    raw["spec"]["replicas"] = 2


def _first_job(world: World) -> str:
    return str(world.jobs()[0]["metadata"]["name"])


def _name(seed: str) -> str:
    return naming.version_name("churn", make.digest(seed))


BOTH = (make.model_version("a").raw, make.model_version("b").raw)
LOST = (1, "Traceback: connection reset")

TUNING: Raw = {"maxTrials": 6, "parallelism": 2, "space": [{"parameter": "C", "min": 0.01, "max": 10, "scale": "Log"}]}

ROLLOUT: Raw = {
    "steps": [{"weight": weight, "hold": {"minSeconds": 0, "minRequests": 1}} for weight in (10, 50)],
    "postPromotionWatchSeconds": 60,
}

MONITORING: Raw = {"window": {"maxSeconds": 604_800}, "drift": {"flagged": 1, "of": 1}}
RETRAINING: Raw = {"trainingJob": "template", "triggers": ["DataDrift"]}

SCENARIOS = (
    Scenario("a job trains a version", (make.training_job().raw,)),
    Scenario("a job searches its parameters", (make.training_job().spec(tuning=TUNING).raw,)),
    Scenario(
        "a search ends early",
        (make.training_job().spec(tuning={**TUNING, "earlyStop": {"patience": 2}}).raw,),
        deleted_searches=frozenset({"1"}),
    ),
    Scenario(
        "a search's Job is deleted in the middle, and a trial fails",
        (make.training_job().spec(tuning=TUNING).raw,),
        deleted_searches=frozenset({"1"}),
        failing_trials=frozenset({4}),
    ),
    Scenario(
        "a search by halves loses a Job on each rung",
        (make.training_job().spec(tuning={**TUNING, "algorithm": "SuccessiveHalving"}).raw,),
        deleted_searches=frozenset({"1", "3"}),
    ),
    Scenario(
        "a search for an estimator",
        (make.training_job().spec(task="Classification", trainer=None, tuning={"algorithm": "AutoML"}).raw,),
    ),
    Scenario(
        "a search without a trial that succeeds",
        (make.training_job().spec(tuning=TUNING).raw,),
        failing_trials=frozenset(range(6)),
    ),
    Scenario("a job trains what a Deployment follows", (make.deployment().raw, make.training_job().raw)),
    Scenario("the first attempt fails", (make.training_job().raw,), failures={"1": ("train", *LOST)}),
    Scenario(
        "every attempt fails",
        (make.training_job().raw,),
        failures=dict.fromkeys(("1", "2", "3"), ("train", *LOST)),
    ),
    Scenario(
        "a failure no retry can mend",
        (make.training_job().raw,),
        failures={
            "1": ("fetch", 2, {"stage": "fetch", "reason": "DataNotFound", "message": "spec.data[0].uri: no file"})
        },
    ),
    Scenario(
        "a template waits, then runs",
        (make.training_job().spec(suspend=True).raw,),
        (_set(naming.TRAINING_JOBS, "churn-train", suspend=False),),
    ),
    Scenario(
        "a finished run outlives its Job",
        (make.training_job().raw,),
        (_remove(naming.JOBS, _first_job), _set(naming.TRAINING_JOBS, "churn-train", ttlSecondsAfterFinished=5)),
    ),
    Scenario(
        "two jobs make the same model",
        (make.training_job("one").raw, make.training_job("two").raw),
    ),
    Scenario("a version is imported", (make.model_version("a").raw,)),
    Scenario(
        "a version is refused, mended and verified",
        (make.model_version("a").raw,),
        (_annotate(naming.MODEL_VERSIONS, _name("a"), naming.ANNOTATION_RETRY, "2"),),
        verdicts=((2, {"stage": "verify", "reason": "DigestMismatch", "message": "model.onnx has another digest"}),),
    ),
    Scenario(
        "a version is served, replaced and brought back",
        (*BOTH, make.deployment(version=_name("a")).spec(replicas=2).raw),
        (
            _set(naming.DEPLOYMENTS, "churn", model={"version": _name("b")}),
            _set(naming.DEPLOYMENTS, "churn", model={"version": _name("a")}),
            _set(naming.DEPLOYMENTS, "churn", replicas=1),
        ),
    ),
    Scenario(
        "a broken version never gets traffic",
        (*BOTH, make.deployment(version=_name("a")).raw),
        (
            _set(naming.DEPLOYMENTS, "churn", model={"version": _name("b")}),
            _set(naming.DEPLOYMENTS, "churn", model={"version": _name("a")}),
        ),
        broken=frozenset({make.digest("b")}),
    ),
    Scenario(
        "a version takes over step by step",
        (*BOTH, make.deployment(version=_name("a")).spec(replicas=2, rollout=ROLLOUT).raw),
        (_set(naming.DEPLOYMENTS, "churn", model={"version": _name("b")}),),
        bad_canary=0,
    ),
    Scenario(
        "a bad version is rolled back, and the one before wanted again",
        (*BOTH, make.deployment(version=_name("a")).spec(replicas=2, rollout=ROLLOUT).raw),
        (
            _set(naming.DEPLOYMENTS, "churn", model={"version": _name("b")}),
            _set(naming.DEPLOYMENTS, "churn", model={"version": _name("a")}),
        ),
        bad_canary=1,
    ),
    Scenario(
        "an autoscaled Deployment moves on, and is scaled by hand again",
        (
            *BOTH,
            make.deployment(version=_name("a")).spec(autoscaling={"maxReplicas": 5}, rollout=ROLLOUT).raw,
        ),
        (
            lambda world: kubelet.autoscale(world.cluster, "churn", 3),
            _set(naming.DEPLOYMENTS, "churn", model={"version": _name("b")}),
            lambda world: world.cluster.edit(naming.DEPLOYMENTS, "churn", _by_hand),
        ),
        bad_canary=0,
    ),
    Scenario(
        "a Deployment is scaled to nothing and back",
        (BOTH[0], make.deployment(version=_name("a")).raw),
        (_set(naming.DEPLOYMENTS, "churn", replicas=0), _set(naming.DEPLOYMENTS, "churn", replicas=3)),
    ),
    Scenario(
        "drift ends in the next version, by hand once more in none",
        (
            BOTH[1],
            make.training_job("template").spec(suspend=True).raw,
            make.deployment(follow="churn").spec(monitoring=MONITORING, retraining=RETRAINING).raw,
        ),
        (_drifts, _annotate(naming.DEPLOYMENTS, "churn", naming.ANNOTATION_RETRAIN, "again")),
    ),
    Scenario(
        "everything is deleted",
        (make.deployment().raw, make.training_job().raw),
        (
            _remove(naming.DEPLOYMENTS, lambda _: "churn"),
            _remove(naming.TRAINING_JOBS, lambda _: "churn-train"),
            _remove(naming.MODEL_VERSIONS, lambda _: _name("a")),
        ),
    ),
)
