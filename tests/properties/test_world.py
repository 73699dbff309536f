"""Anything may happen, in any order: what must hold after each pass, and once the dust has settled."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from modelwright_operator import naming
from modelwright_operator.errors import ClusterUnavailable, Conflict, Refused
from tests.support import builders as make
from tests.support import kubelet
from tests.support.driving import driven
from tests.support.fake_cluster import FakeCluster, Key
from tests.support.world import World

Raw = dict[str, Any]

SEEDS = ("a", "b", "c")
VERSIONS = tuple(naming.version_name("churn", make.digest(seed)) for seed in SEEDS)
JOBS = ("one", "two")
ENDED = ("Complete", "Failed")


def conditions(raw: Raw) -> dict[str, Raw]:
    return {item["type"]: item for item in raw.get("status", {}).get("conditions", [])}


def revision(raw: Raw) -> str:
    return str(raw["metadata"]["labels"][naming.LABEL_REVISION])


class WatchfulCluster(FakeCluster):
    """Refuses what the operator must never do."""

    def workload(self, wanted: str) -> Raw | None:
        return next((raw for raw in self.all(naming.WORKLOADS) if revision(raw) == wanted), None)

    async def delete(self, resource: str, namespace: str, name: str, uid: str) -> None:
        if resource == naming.WORKLOADS:
            gone = revision(self.read(resource, name))
            for service in self.all(naming.SERVICES):
                pointed = service["spec"]["selector"][naming.LABEL_REVISION]
                assert pointed != gone, "a workload is deleted that the Service points at"
        await super().delete(resource, namespace, name, uid)

    async def apply(self, resource: str, manifest: Raw, *, force: bool) -> Raw:
        if resource == naming.SERVICES:
            self._check_promotion(manifest)
        before = self.objects.get(self._key(resource, manifest))
        stored = await super().apply(resource, manifest, force=force)
        if resource == naming.WORKLOADS and before is not None:
            self._check_pods(before, stored)
        return stored

    async def replace(self, resource: str, manifest: Raw) -> Raw:
        if resource == naming.SERVICES:
            self._check_promotion(manifest)
        return await super().replace(resource, manifest)

    def _check_promotion(self, manifest: Raw) -> None:
        wanted = manifest["spec"]["selector"][naming.LABEL_REVISION]
        current = self.objects.get(self._key(naming.SERVICES, manifest))
        if current is not None and current["spec"]["selector"].get(naming.LABEL_REVISION) == wanted:
            return
        deployment = self.read(naming.DEPLOYMENTS, manifest["metadata"]["name"])
        if deployment.get("status", {}).get("stable", {}).get("revision") == wanted:
            return  # promoted before: this repairs the Service
        workload = self.workload(wanted)
        assert workload is not None, "the Service moves to what does not exist"
        ready = workload.get("status", {}).get("readyReplicas", 0)
        assert ready >= deployment["spec"]["replicas"], "the Service moves to what is not ready"

    @staticmethod
    def _check_pods(before: Raw, after: Raw) -> None:
        edited = any(entry["manager"] == "kubectl-edit" for entry in before["metadata"].get("managedFields", ()))
        assert edited or before["spec"]["template"] == after["spec"]["template"], "running pods are restarted"

    @staticmethod
    def _key(resource: str, manifest: Raw) -> Any:
        return Key(resource, manifest["metadata"]["namespace"], manifest["metadata"]["name"])


class Anything(RuleBasedStateMachine):
    """Users, controllers, pods, failures and crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(WatchfulCluster()).__enter__()
        self.cluster = self.world.cluster
        self.seen = 0
        self.histories: dict[str, Raw] = {}
        self.attempts: dict[str, set[str]] = {}

    def teardown(self) -> None:
        self.world.__exit__(None, None, None)

    @initialize(seeds=st.sets(st.sampled_from(SEEDS)))
    def versions(self, seeds: set[str]) -> None:
        for seed in sorted(seeds):
            self.cluster.create(make.model_version(seed).raw)

    # users

    @rule(name=st.sampled_from(JOBS), retries=st.integers(0, 2), suspend=st.booleans())
    def train(self, name: str, retries: int, *, suspend: bool) -> None:
        if name not in self.cluster.names(naming.TRAINING_JOBS):
            self.cluster.create(make.training_job(name).spec(retryLimit=retries, suspend=suspend).raw)

    @rule(data=st.data())
    def suspend_or_resume(self, data: st.DataObject) -> None:
        if name := self._any(data, naming.TRAINING_JOBS):
            self.cluster.edit(
                naming.TRAINING_JOBS, name, lambda raw: raw["spec"].update(suspend=not raw["spec"]["suspend"])
            )

    @rule(version=st.sampled_from((None, *VERSIONS, "absent")), replicas=st.integers(0, 3))
    def deploy(self, version: str | None, replicas: int) -> None:
        wanted = make.deployment(version=version).spec(replicas=replicas).raw
        if "churn" in self.cluster.names(naming.DEPLOYMENTS):
            self.cluster.edit(naming.DEPLOYMENTS, "churn", lambda raw: raw["spec"].update(wanted["spec"]))
        else:
            self.cluster.create(wanted)

    @rule(seed=st.sampled_from(SEEDS))
    def import_version(self, seed: str) -> None:
        if naming.version_name("churn", make.digest(seed)) not in self.cluster.names(naming.MODEL_VERSIONS):
            self.cluster.create(make.model_version(seed).raw)

    @rule(data=st.data(), resource=st.sampled_from((naming.DEPLOYMENTS, naming.TRAINING_JOBS, naming.MODEL_VERSIONS)))
    def delete(self, data: st.DataObject, resource: str) -> None:
        if name := self._any(data, resource):
            self.cluster.remove(resource, name)
            self.histories.pop(f"{resource}/{name}", None)
            self.attempts.pop(name, None)

    @rule(data=st.data(), resource=st.sampled_from((naming.JOBS, naming.WORKLOADS, naming.SERVICES, naming.PODS)))
    def delete_child(self, data: st.DataObject, resource: str) -> None:
        if name := self._any(data, resource):
            self.cluster.remove(resource, name)

    @rule(data=st.data())
    def edit_child(self, data: st.DataObject) -> None:
        if name := self._any(data, naming.WORKLOADS):
            self.cluster.edit(naming.WORKLOADS, name, lambda raw: raw["spec"].update(replicas=9, paused=True))
        if name := self._any(data, naming.SERVICES):
            self.cluster.edit(naming.SERVICES, name, lambda raw: raw["spec"]["selector"].update(extra="x"))

    @rule(
        data=st.data(),
        resource=st.sampled_from((naming.JOBS, naming.WORKLOADS, naming.SERVICES)),
        label=st.sampled_from((naming.LABEL_MANAGED_BY, naming.LABEL_OWNER_KIND, naming.LABEL_OWNER_NAME)),
    )
    def take_a_label_away(self, data: st.DataObject, resource: str, label: str) -> None:
        if name := self._any(data, resource):
            self.cluster.edit(resource, name, lambda raw: raw["metadata"]["labels"].pop(label, None))

    # Kubernetes and its pods

    @rule(data=st.data(), stage=st.sampled_from(kubelet.STAGES), seed=st.sampled_from(SEEDS))
    def run_pod(self, data: st.DataObject, stage: str, seed: str) -> None:
        job = self._unfinished(data)
        if job is not None and not job["spec"].get("suspend") and self._owner_kind(job) == naming.TRAINING_JOB:
            kubelet.run_stage(self.cluster, job, stage, kubelet.results(seed))

    @rule(
        data=st.data(),
        seed=st.sampled_from(SEEDS),
        code=st.sampled_from((0, 0, 1, 2)),
        stage=st.sampled_from(kubelet.STAGES),
    )
    def end_job(self, data: st.DataObject, seed: str, code: int, stage: str) -> None:
        job = self._unfinished(data)
        if job is not None and not job["spec"].get("suspend"):
            self._end(job, seed, code, stage)

    @rule(data=st.data(), ready=st.integers(0, 3))
    def scale(self, data: st.DataObject, ready: int) -> None:
        if name := self._any(data, naming.WORKLOADS):
            kubelet.scale(self.cluster, self.cluster.read(naming.WORKLOADS, name), ready)

    # trouble

    @rule(error=st.sampled_from(("unavailable", "conflict", "forbidden")), times=st.integers(1, 3))
    def fail_calls(self, error: str, times: int) -> None:
        made = {
            "unavailable": ClusterUnavailable("503"),
            "conflict": Conflict("moved"),
            "forbidden": Refused("Job", "x", 403, "forbidden"),
        }
        verb = "apply" if error == "forbidden" else ""
        self.cluster.fail(made[error], verb=verb, times=times)

    @rule(writes=st.integers(0, 3))
    def crash_soon(self, writes: int) -> None:
        self.cluster.crash_after = len(self.cluster.writes()) + writes

    @rule()
    def restart(self) -> None:
        driven(self.world.restart())

    @rule(seconds=st.sampled_from((1, 12, 45, 700)))
    def time_passes(self, seconds: int) -> None:
        driven(self.world.settle(seconds))

    @rule()
    @precondition(lambda self: self.world.agenda.due)
    def one_pass(self) -> None:
        driven(self.world.step())

    # what must hold

    @invariant()
    def history_is_in_order(self) -> None:
        for event in self.cluster.happened[self.seen :]:
            if event.kind == "DELETED":
                continue
            if event.resource in naming.PLURALS.values():
                key = f"{event.resource}/{event.raw['metadata']['name']}"
                self._follows(event.resource, self.histories.get(key), event.raw)
                self.histories[key] = event.raw
            elif event.resource == naming.JOBS and event.kind == "ADDED":
                self._started(event.raw)
        self.seen = len(self.cluster.happened)

    def _started(self, job: Raw) -> None:
        labels = job["metadata"]["labels"]
        if labels[naming.LABEL_OWNER_KIND] != naming.TRAINING_JOB:
            return
        owner = labels[naming.LABEL_OWNER_NAME]
        attempts = self.attempts.setdefault(owner, set())
        attempts.add(labels[naming.LABEL_ATTEMPT])
        known = self.histories.get(f"{naming.TRAINING_JOBS}/{owner}")
        if known is not None:
            assert len(attempts) <= known["spec"]["retryLimit"] + 1, "more attempts than allowed"
            assert not any(conditions(known).get(kind, {}).get("status") == "True" for kind in ENDED), (
                "trained after its end"
            )

    @staticmethod
    def _follows(resource: str, before: Raw | None, after: Raw) -> None:
        now = conditions(after)
        assert not {"Reconciling", "Stalled"} <= set(now)
        assert all(item["status"] == "True" for kind, item in now.items() if kind in {"Reconciling", "Stalled"})
        if before is None or before["metadata"]["uid"] != after["metadata"]["uid"]:
            return
        then = conditions(before)
        for kind, item in now.items():
            if kind in then:
                moved = item["lastTransitionTime"] != then[kind]["lastTransitionTime"]
                assert not moved or item["status"] != then[kind]["status"], f"{kind} moved without a change"
        if resource == naming.TRAINING_JOBS:
            for kind in ENDED:
                if then.get(kind, {}).get("status") == "True":
                    assert now.get(kind, {}).get("reason") == then[kind]["reason"], "an outcome was revised"
                    kept = ("attempt", "modelVersion", "artifact", "finishedAt")
                    assert [after["status"].get(name) for name in kept] == [before["status"].get(name) for name in kept]
            assert after["status"].get("attempt", 0) >= before["status"].get("attempt", 0)
        if resource == naming.MODEL_VERSIONS and then.get("Verified", {}).get("status") == "True":
            assert now["Verified"]["status"] == "True", "a verified version was doubted"

    @rule()
    def everything_settles(self) -> None:
        """Let all trouble end: the operator comes to rest, and its statuses say what is so."""
        self.cluster.faults.clear()
        self.cluster.crash_before = self.cluster.crash_after = None
        for _ in range(40):
            driven(self.world.settle(120))
            if not self._let_kubernetes_finish():
                break
        writes = len(self.cluster.writes())
        driven(self.world.settle(1000))
        driven(self.world.restart())
        driven(self.world.settle(1000))
        assert self.cluster.writes()[writes:] == [], "an idle operator writes"
        self._statuses_are_true()

    def _let_kubernetes_finish(self) -> bool:
        for job in list(self.cluster.all(naming.JOBS)):
            if not job.get("status", {}).get("conditions") and not job["spec"].get("suspend"):
                self._end(job, "a", 0, "train")
                return True
        for workload in list(self.cluster.all(naming.WORKLOADS)):
            if workload.get("status") != kubelet.workload_status(workload):
                kubelet.scale(self.cluster, workload)
                return True
        return False

    def _statuses_are_true(self) -> None:
        served: dict[str, set[str]] = {}
        for raw in self.cluster.all(naming.DEPLOYMENTS):
            assert raw["status"]["observedGeneration"] == raw["metadata"]["generation"]
            stable = raw["status"].get("stable")
            versions = {raw["spec"]["model"].get("version"), (stable or {}).get("version")}
            for version in versions - {None}:
                served.setdefault(str(version), set()).add(raw["metadata"]["name"])
            workloads = {revision(item) for item in self.cluster.all(naming.WORKLOADS)}
            expected = {stable["revision"]} if stable else set()
            lost = stable is not None and stable["version"] not in self.cluster.names(naming.MODEL_VERSIONS)
            assert workloads == expected or (lost and not workloads)  # without its version, nobody knows what it ran
            if conditions(raw)["Ready"]["status"] == "True" and stable:
                [service] = self.cluster.all(naming.SERVICES)
                assert service["spec"]["selector"][naming.LABEL_REVISION] == stable["revision"]
        for raw in self.cluster.all(naming.MODEL_VERSIONS):
            assert set(raw["status"]["usedBy"]) == served.get(raw["metadata"]["name"], set())
            assert conditions(raw)["Verified"]["status"] in {"True", "False"}
        for raw in self.cluster.all(naming.TRAINING_JOBS):
            assert {"Complete", "Failed", "Suspended"} & set(conditions(raw))
            assert raw["status"]["observedGeneration"] == raw["metadata"]["generation"]

    # means

    def _any(self, data: st.DataObject, resource: str) -> str | None:
        names = self.cluster.names(resource)
        return str(data.draw(st.sampled_from(names))) if names else None

    def _unfinished(self, data: st.DataObject) -> Raw | None:
        jobs = [job for job in self.cluster.all(naming.JOBS) if not job.get("status", {}).get("conditions")]
        return data.draw(st.sampled_from(jobs)) if jobs else None

    @staticmethod
    def _owner_kind(job: Raw) -> str:
        return str(job["metadata"]["ownerReferences"][0]["kind"])

    def _end(self, job: Raw, seed: str, code: int, stage: str) -> None:
        if self._owner_kind(job) == naming.MODEL_VERSION:
            kubelet.verify(
                self.cluster, job, code, {"stage": "verify", "reason": "DigestMismatch", "message": "m"} if code else ""
            )
        elif code:
            said = {"stage": stage, "reason": "DataInvalid", "message": "m"} if code == 2 else "boom"
            kubelet.fail(self.cluster, job, stage, code, said)
        else:
            kubelet.succeed(self.cluster, job, kubelet.results(seed))


TestAnything = Anything.TestCase
TestAnything.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
