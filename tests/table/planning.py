"""One planning pass as a table sees it: objects in; applies, deletes, status, events and requeue out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from modelwright_operator import api, naming
from modelwright_operator.cluster.gather import gather
from modelwright_operator.cluster.store import Owner, Store
from modelwright_operator.plan import kinds
from modelwright_operator.render import network, serving, training, verification
from tests.support.builders import NAMESPACE, SETTINGS, Maker, stored
from tests.support.clock import START
from tests.support.fake_objects import resource_of
from tests.support.kubelet import workload_status

if TYPE_CHECKING:
    from datetime import datetime

    from modelwright_operator.decide.observed import LogLine
    from modelwright_operator.decide.snapshot import AnySnapshot, Refusal
    from modelwright_operator.plan.outcome import Plan
    from modelwright_operator.settings import Settings

Raw = dict[str, Any]


def snapshot_of(
    subject: Maker,
    *others: Maker | Raw,
    now: datetime = START,
    refusals: tuple[Refusal, ...] = (),
    lines: tuple[tuple[Raw, LogLine], ...] = (),
    settings: Settings = SETTINGS,
    network_policy: bool = True,
) -> AnySnapshot:
    """Return the snapshot of an object among others.

    Args:
        subject: the object; a Deployment has its NetworkPolicy, unless `network_policy` is False.
        others: all else.
        now: the time.
        refusals: what was refused earlier in the pass.
        lines: the last progress lines of pods' logs.
        settings: of the operator.
        network_policy: see `subject`.
    """
    store = Store()
    policies = [network_policy_of(subject)] if subject.raw["kind"] == naming.DEPLOYMENT and network_policy else []
    for item in (subject, *policies, *others):
        raw = item.stored() if isinstance(item, Maker) else item
        store.put(resource_of(raw), raw)
    for pod, line in lines:
        assert store.put_line(pod, line)
    gathered = gather(store, settings, Owner(subject.raw["kind"], NAMESPACE, subject.raw["metadata"]["name"]))
    assert gathered is not None
    return replace(gathered, now=now, refusals=refusals)


@dataclass(frozen=True)
class Planned:
    """A plan, as tables compare it."""

    plan: Plan
    before: Raw

    @property
    def applies(self) -> list[str]:
        return [f"{apply.kind}/{apply.name}" for apply in self.plan.apply]

    @property
    def kinds(self) -> list[str]:
        return [apply.kind for apply in self.plan.apply]

    @property
    def deletes(self) -> list[str]:
        return [f"{delete.child.kind}/{delete.child.name}" for delete in self.plan.delete]

    @property
    def status(self) -> Raw:
        """The status after the plan."""
        return dict(self.plan.status) if self.plan.status is not None else self.before

    @property
    def conditions(self) -> dict[str, str]:
        return {item["type"]: f"{item['status']}/{item['reason']}" for item in self.status.get("conditions", [])}

    @property
    def messages(self) -> str:
        return " ".join(item["message"] for item in self.status.get("conditions", []))

    @property
    def events(self) -> list[str]:
        return [f"{event.type}/{event.reason}" for event in self.plan.events]

    def manifest(self, kind: str) -> Raw:
        """Return the one manifest of a kind that the plan applies."""
        [found] = [apply.manifest for apply in self.plan.apply if apply.kind == kind]
        return found


def planned(
    subject: Maker,
    *others: Maker | Raw,
    now: datetime = START,
    refusals: tuple[Refusal, ...] = (),
    lines: tuple[tuple[Raw, LogLine], ...] = (),
    settings: Settings = SETTINGS,
    network_policy: bool = True,
) -> Planned:
    """Plan one pass over an object; the arguments are those of `snapshot_of`."""
    snapshot = snapshot_of(
        subject, *others, now=now, refusals=refusals, lines=lines, settings=settings, network_policy=network_policy
    )
    return Planned(kinds.plan(snapshot), subject.stored().get("status", {}))


def training_job_of(subject: Maker) -> api.TrainingJob:
    """Return the typed object."""
    return api.TrainingJob.model_validate(subject.stored())


def attempt_job(subject: Maker, attempt: int = 1, *, expire: bool = False, **status: Any) -> Raw:
    """Return the stored batch Job of a training attempt."""
    raw = stored(training.batch_job(training_job_of(subject), attempt, SETTINGS, expire=expire))
    return {**raw, "status": status}


def ended(kind: str, at: datetime = START, reason: str = "") -> list[Raw]:
    """Return the conditions of a Job that ended."""
    time = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return [{"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": time}]


def verification_job(subject: Maker, attempt: str = "1", *, expire: bool = False, **status: Any) -> Raw:
    """Return the stored verification Job of a ModelVersion."""
    version = api.ModelVersion.model_validate(subject.stored())
    return {**stored(verification.batch_job(version, attempt, SETTINGS, expire=expire)), "status": status}


def revision_of(subject: Maker, version: Maker) -> Raw:
    """Return the revision of a Deployment that runs a version, as a status has it."""
    deployment = api.Deployment.model_validate(subject.stored())
    typed = api.ModelVersion.model_validate(version.stored())
    return {
        "revision": serving.revision_hash(deployment, typed),
        "version": typed.metadata.name,
        "model": typed.spec.model,
        "digest": typed.spec.artifact.digest,
        "versionCreatedAt": typed.model_dump(mode="json", by_alias=True)["metadata"]["creationTimestamp"],
    }


def workload_of(subject: Maker, version: Maker, *, ready: int | None = None, **spec: Any) -> Raw:
    """Return the stored workload of a Deployment and a version, with so many ready pods; absent: all."""
    deployment = api.Deployment.model_validate(subject.stored())
    typed = api.ModelVersion.model_validate(version.stored())
    raw = stored(serving.workload(deployment, typed, serving.revision_hash(deployment, typed), SETTINGS))
    raw["spec"] |= spec
    return {**raw, "status": workload_status(raw, ready)}


def network_policy_of(subject: Maker, settings: Settings = SETTINGS) -> Raw:
    """Return the stored NetworkPolicy of a Deployment."""
    return stored(network.policy(api.Deployment.model_validate(subject.stored()), settings))


def service_of(subject: Maker, version: Maker) -> Raw:
    """Return the stored Service of a Deployment, pointing at a version."""
    deployment = api.Deployment.model_validate(subject.stored())
    return stored(serving.service(deployment, revision_of(subject, version)["revision"]))
