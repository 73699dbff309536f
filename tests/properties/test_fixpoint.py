"""The fixpoint law: whatever state the cluster is found in, the operator comes to rest, and then writes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from modelwright_operator import naming
from modelwright_operator.reasons import Reason
from tests.support import builders as make
from tests.support import kubelet
from tests.support.driving import driven
from tests.support.fake_cluster import FakeCluster
from tests.support.world import World
from tests.table.planning import attempt_job, ended, revision_of, service_of, verification_job, workload_of

Raw = dict[str, Any]

SEEDS = ("a", "b", "c")
REASONS = ("Verified", "DigestMismatch", "Running", "Available", "Forbidden", "StageFailed")
EXAMPLES = settings(max_examples=40, phases=[Phase.generate])

condition_lists = st.dictionaries(
    st.sampled_from(
        ("Ready", "Reconciling", "Stalled", "Complete", "Failed", "Suspended", "Verified", "InUse", "Available")
    ),
    st.tuples(st.sampled_from(("True", "False", "Unknown")), st.sampled_from(REASONS), st.sampled_from(("", "text"))),
    max_size=5,
).filter(lambda conditions: not {"Reconciling", "Stalled"} <= set(conditions))
messages = st.sampled_from(
    (
        "",
        "boom",
        "{",
        "[]",
        '{"stage":"fetch"}',
        naming.canonical_json({"stage": "train", "reason": "DataInvalid", "message": "m"}),
        naming.canonical_json({"stage": "verify", "sizeBytes": True, "schema": {"inputs": 1}}),
        naming.canonical_json(kubelet.results()["publish"]),
    )
)


@st.composite
def containers(draw: st.DrawFn, name: str) -> Raw:
    shape = draw(st.sampled_from(("waiting", "running", "terminated", "good")))
    restarted = {"lastState": kubelet.terminated(name, 137, reason="OOMKilled")["state"]} if draw(st.booleans()) else {}
    if shape == "waiting":
        reasons = ("PodInitializing", "ErrImagePull", "CrashLoopBackOff", "CreateContainerConfigError", "Odd")
        return kubelet.waiting(name, draw(st.sampled_from(reasons)), **restarted)
    if shape == "running":
        return {**kubelet.running(name, **restarted), "ready": draw(st.booleans())}
    if shape == "good":
        return kubelet.terminated(name, 0, kubelet.results().get(name, ""))
    return kubelet.terminated(name, draw(st.sampled_from((0, 1, 2, 137))), draw(messages))


@st.composite
def pod_statuses(draw: st.DrawFn, *names: str) -> Raw:
    statuses = [draw(containers(name)) for name in names[: draw(st.integers(0, len(names)))]]
    scheduled = draw(
        st.sampled_from(("", "no room", 'persistentvolumeclaim "m" not found', "volume node affinity conflict"))
    )
    conditions = [{"type": "PodScheduled", "status": "False", "message": scheduled}] if scheduled else []
    phase = draw(st.sampled_from(("Pending", "Running", "Succeeded", "Failed")))
    return {
        "phase": phase,
        "initContainerStatuses": statuses[:-1],
        "containerStatuses": statuses[-1:],
        "conditions": conditions,
    }


def conditioned(maker: make.Maker, conditions: dict[str, tuple[str, str, str]]) -> make.Maker:
    for kind, (status, reason, message) in conditions.items():
        maker = maker.condition(kind, status, reason, message)
    return maker


class Found:
    """A cluster in the state in which an operator finds it at its start."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()

    def add(self, raw: Raw, owner: Raw | None = None) -> Raw:
        """Put an object with its status there; a child gets the uid that its owner was given."""
        raw = {
            **raw,
            "metadata": {k: v for k, v in raw["metadata"].items() if k not in {"resourceVersion", "generation"}},
        }
        created = self.cluster.create({**raw, "metadata": {**raw["metadata"], **_owned(raw, owner)}})
        resource = next(p for p, known in naming.CHILDREN.items() if known == (raw["apiVersion"], raw["kind"]))
        if raw.get("status"):
            created = self.cluster.set_status(resource, raw["metadata"]["name"], raw["status"])
        return created

    def must_come_to_rest(self) -> None:
        with World(self.cluster) as world:
            driven(world.settle(0))
            for kind, resource in naming.PLURALS.items():
                for raw in self.cluster.all(resource):
                    check_status(kind, raw)
            done = len(self.cluster.writes())
            driven(world.restart())
            driven(world.settle(0))
            assert self.cluster.writes()[done:] == []


def _owned(raw: Raw, owner: Raw | None) -> Raw:
    if owner is None:
        return {}
    references = raw["metadata"]["ownerReferences"]
    return {"ownerReferences": [{**references[0], "uid": owner["metadata"]["uid"]}]}


def check_status(kind: str, raw: Raw) -> None:
    status = raw["status"]
    conditions = {item["type"]: item for item in status["conditions"]}
    assert status["observedGeneration"] == raw["metadata"]["generation"]
    assert not {"Reconciling", "Stalled"} <= set(conditions)
    ended_run = kind == naming.TRAINING_JOB and {"Complete", "Failed"} & {
        k for k, v in conditions.items() if v["status"] == "True"
    }
    if not ended_run:
        assert "Ready" in conditions or "Suspended" in conditions
        assert all(Reason(item["reason"]) for item in conditions.values())


@EXAMPLES
@given(data=st.data())
def test_training_jobs(data: st.DataObject) -> None:
    draw = data.draw
    found = Found()
    subject = make.training_job().spec(retryLimit=draw(st.integers(0, 3)), suspend=draw(st.booleans()))
    attempt = draw(st.integers(0, 4))
    subject = conditioned(subject.status(attempt=attempt), draw(condition_lists))
    owner = found.add(subject.raw)
    for number in draw(st.sets(st.integers(1, 4))):
        raw = attempt_job(subject, number, expire=draw(st.booleans()))
        end = draw(st.sampled_from(("", "Complete", "Failed", "DeadlineExceeded")))
        raw["status"] = {"conditions": ended("Failed" if end == "DeadlineExceeded" else end, reason=end)} if end else {}
        job = found.add(raw, owner)
        if draw(st.booleans()):
            found.add(kubelet.pod_of(job, draw(pod_statuses(*kubelet.STAGES))))
    for seed in draw(st.sets(st.sampled_from(SEEDS))):
        found.add(conditioned(make.model_version(seed), {}).raw)
    found.must_come_to_rest()


@EXAMPLES
@given(data=st.data())
def test_model_versions(data: st.DataObject) -> None:
    draw = data.draw
    found = Found()
    subject = make.model_version("a")
    if draw(st.booleans()):
        subject = subject.spec(provenance={"trainingJob": {"name": "churn-train", "uid": "uid-of-churn-train"}})
    if draw(st.booleans()):
        subject = subject.annotated(naming.ANNOTATION_RETRY, draw(st.sampled_from(("2", "x" * 300, ""))))
    if draw(st.booleans()):
        subject = subject.status(verification={"job": "j", "attempt": draw(st.sampled_from(("1", "2")))})
    owner = found.add(conditioned(subject, draw(condition_lists)).raw)
    if draw(st.booleans()):
        job = conditioned(make.training_job(), draw(condition_lists)).status(
            modelVersion=subject.raw["metadata"]["name"],
            artifact={"uri": "pvc://x/", "digest": make.digest(draw(st.sampled_from("ab"))), "sizeBytes": 1},
        )
        found.add(job.raw)
    for attempt in draw(st.sets(st.sampled_from(("1", "2")))):
        raw = verification_job(subject, attempt, expire=draw(st.booleans()))
        end = draw(st.sampled_from(("", "Complete", "Failed")))
        raw["status"] = {"conditions": ended(end)} if end else {}
        made = found.add(raw, owner)
        if draw(st.booleans()):
            found.add(kubelet.pod_of(made, draw(pod_statuses(naming.VERIFY_CONTAINER))))
    for number in range(draw(st.integers(0, 3))):
        found.add(make.deployment(f"user-{number}", version=subject.raw["metadata"]["name"]).raw)
    found.must_come_to_rest()


@EXAMPLES
@given(data=st.data())
def test_deployments(data: st.DataObject) -> None:
    draw = data.draw
    found = Found()
    versions = {seed: make.verified(seed, age_seconds=age) for seed, age in zip(SEEDS, (30, 20, 10), strict=True)}
    names = [version.raw["metadata"]["name"] for version in versions.values()]
    wanted = draw(st.sampled_from((None, *names, "absent")))
    subject = make.deployment(version=wanted).spec(replicas=draw(st.integers(0, 3)))
    for track in ("stable", "canary", "previous"):
        if draw(st.booleans()):
            subject = subject.status(**{track: revision_of(subject, versions[draw(st.sampled_from(SEEDS))])})
    owner = found.add(conditioned(subject, draw(condition_lists)).raw)
    for seed in draw(st.sets(st.sampled_from(SEEDS))):
        found.add((versions[seed] if draw(st.booleans()) else make.model_version(seed)).raw)
    for seed in sorted(draw(st.sets(st.sampled_from(SEEDS)))):
        workload = found.add(workload_of(subject, versions[seed], ready=draw(st.integers(0, 3))), owner)
        if draw(st.booleans()):
            progressing = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
            status = {**workload["status"], "conditions": [progressing]}
            found.cluster.set_status(naming.WORKLOADS, workload["metadata"]["name"], status)
        if draw(st.booleans()):
            found.add(kubelet.serving_pod(workload, draw(pod_statuses("fetch", "server"))))
        if draw(st.booleans()):
            found.cluster.edit(
                naming.WORKLOADS, workload["metadata"]["name"], lambda raw: raw["spec"].update(replicas=7)
            )
    if draw(st.booleans()):
        found.add(service_of(subject, versions[draw(st.sampled_from(SEEDS))]), owner)
    found.must_come_to_rest()


@pytest.mark.parametrize("kind", naming.PLURALS)
def test_a_fresh_object_comes_to_rest(kind: str) -> None:
    found = Found()
    makers = {"TrainingJob": make.training_job(), "ModelVersion": make.model_version(), "Deployment": make.deployment()}
    found.add(makers[kind].raw)
    found.must_come_to_rest()
