"""The Plan, and how it is made of what is wanted and what is there.

Fixpoint law: planning again from the world a plan produced makes no writes. So a plan holds only what differs: children
are applied where they lack something wanted or were last applied from another manifest, the status where it changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from modelwright_operator import naming
from modelwright_operator.decide import conditions
from modelwright_operator.raw import is_list, is_map
from modelwright_operator.render.common import contains
from modelwright_server.contract import monitoring

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from modelwright_operator import api
    from modelwright_operator.decide.conditions import Mark
    from modelwright_operator.decide.observed import Child
    from modelwright_operator.decide.snapshot import Refusal
    from modelwright_operator.render.common import Manifest


@dataclass(frozen=True)
class Apply:
    """Create or change a child.

    Attributes:
        observed: the child as the decision saw it; None: it was absent.
    """

    manifest: Manifest
    observed: Child | None = None

    @property
    def replace(self) -> bool:
        """Whether to put the whole spec back: applying cannot remove what others, or an earlier replacement, own."""
        return (
            self.observed is not None
            and self.kind != "Job"
            and any(manager != f"{naming.FIELD_MANAGER}/Apply" for manager in self.observed.managers)
        )

    @property
    def kind(self) -> str:
        """Kubernetes kind of the child."""
        return str(self.manifest["kind"])

    @property
    def name(self) -> str:
        """Name of the child."""
        return str(self.manifest["metadata"]["name"])


@dataclass(frozen=True)
class Delete:
    """Delete a child, if it still is the one that was seen."""

    child: Child


@dataclass(frozen=True)
class Confirm:
    """Read a child live before anything irreversible is done, and start over if it is not as the decision saw it.

    Attributes:
        resource: plural of the resource.
        resource_version: what it was; None: it was absent.
    """

    resource: str
    name: str
    resource_version: str | None


@dataclass(frozen=True)
class Event:
    """An event for people; sent only after the status that it tells of was written."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """Everything to write, in the order in which it is written: children, deletions, status, events.

    Attributes:
        status: the whole status to apply; None: it is as it should be.
        requeue_after: seconds until the object is looked at again without any event.
        monitor: the sidecars' part of the status to apply in their stead, empty to take it away; None: it stays.
    """

    apply: tuple[Apply, ...] = ()
    delete: tuple[Delete, ...] = ()
    confirm: tuple[Confirm, ...] = ()
    status: Mapping[str, Any] | None = None
    events: tuple[Event, ...] = field(default=())
    requeue_after: float | None = None
    monitor: Mapping[str, Any] | None = None

    @property
    def writes(self) -> bool:
        """Whether carrying it out writes anything."""
        return bool(self.apply or self.delete or self.status is not None or self.monitor is not None)


@dataclass(frozen=True)
class Move:
    """The conditions and the rest of the next status, and what to do to the cluster."""

    marks: tuple[Mark, ...]
    values: Mapping[str, Any]
    plan: Plan


def differs(manifest: Manifest, observed: Child) -> bool:
    """Tell whether a child has to be written.

    Something wanted is missing, something once wanted no longer is, or somebody else put something into its spec. (What
    others may put into a Job does nothing: its template cannot be changed.)
    """
    applied = naming.ANNOTATION_APPLIED
    return (
        observed.annotations.get(applied) != manifest["metadata"]["annotations"][applied]
        or (observed.edited and observed.kind != "Job")
        or not contains(
            observed.raw, {key: value for key, value in manifest.items() if key not in {"apiVersion", "kind"}}
        )
    )


def wanted(manifests: Sequence[Manifest], observed: Sequence[Child]) -> tuple[Apply, ...]:
    """Return what must be applied for the manifests to be there as rendered."""
    present = {(child.kind, child.name): child for child in observed if not child.deleting}
    applies: list[Apply] = []
    for manifest in manifests:
        child = present.get((manifest["kind"], manifest["metadata"]["name"]))
        if child is None or differs(manifest, child):
            applies.append(Apply(manifest, child))
    return tuple(applies)


def refused(refusals: Sequence[Refusal]) -> tuple[Mark, ...] | None:
    """Return the marks for a child the API server would not take."""
    if not refusals:
        return None
    return conditions.stalled(refusals[0].reason, "; ".join(refusal.message for refusal in refusals))


def _prune(value: object) -> object:
    """Drop what is absent: the API server stores neither nulls nor empty maps of ours."""
    if is_map(value):
        return {key: _prune(item) for key, item in value.items() if item is not None}
    if is_list(value):
        return [_prune(item) for item in value]
    return value


def _events(observed: Sequence[api.Condition], marks: Sequence[Mark]) -> tuple[Event, ...]:
    events: list[Event] = []
    for mark in marks:
        if mark.type == conditions.READY and any(other.type == conditions.STALLED for other in marks):
            continue  # Stalled says it
        if mark.type not in {conditions.READY, conditions.STALLED, conditions.SUSPENDED}:
            continue
        before = conditions.find(observed, mark.type)
        if before is not None and (before.status, before.reason) == (mark.status, str(mark.reason)):
            continue
        warning = mark.type == conditions.STALLED
        events.append(Event("Warning" if warning else "Normal", str(mark.reason), mark.message[:1000]))
    return tuple(events)


def values_of(status: api.Status) -> dict[str, Any]:
    """Return a status as it is, but for its conditions and generation, which `finish` writes."""
    return status.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude={"conditions", "observed_generation", "monitoring"}
    )


def finish(
    resource: api.TrainingJob | api.ModelVersion | api.Deployment | api.Unreadable,
    marks: Sequence[Mark],
    values: Mapping[str, Any],
    now: datetime,
    plan: Plan,
) -> Plan:
    """Return the plan with the status it ends in: written whole, and only when it differs from what was observed."""
    observed = resource.status
    generation = resource.metadata.generation
    status = {
        **{name: _prune(value) for name, value in values.items() if value is not None},
        "observedGeneration": generation,
        "conditions": conditions.merge(observed.conditions, marks, generation=generation, now=now),
    }
    current = _own(observed.model_dump(mode="json", by_alias=True, exclude_none=True))
    candidate = type(observed).model_validate(status).model_dump(mode="json", by_alias=True, exclude_none=True)
    if naming.canonical_json(_sorted(current)) == naming.canonical_json(_sorted(candidate)):
        return plan
    return Plan(
        apply=plan.apply,
        delete=plan.delete,
        confirm=plan.confirm,
        status=status,
        monitor=plan.monitor,
        events=(*plan.events, *_events(observed.conditions, marks)),
        requeue_after=plan.requeue_after,
    )


def _own(status: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the sidecars write."""
    conditions_ = [item for item in status["conditions"] if item["type"] not in monitoring.CONDITIONS]
    return {**{key: value for key, value in status.items() if key != "monitoring"}, "conditions": conditions_}


def _sorted(status: dict[str, Any]) -> dict[str, Any]:
    """Order the conditions, which the API server merges by type and returns in its own order."""
    return {**status, "conditions": sorted(status["conditions"], key=lambda item: str(item["type"]))}


def stopped(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the status of what does not go on by itself: how far it came, without what it would still need."""
    known: Mapping[str, Any] = values.get("progress") or {}
    return {**values, "progress": {"percent": known["percent"]} if known else None}
