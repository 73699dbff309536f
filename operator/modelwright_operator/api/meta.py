"""What the three kinds have in common: camelCase frozen models, metadata, conditions, resources, pod settings."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from collections.abc import Iterable

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=DNS_LABEL)]
ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=DNS_LABEL)]
Digest = Annotated[str, StringConstraints(max_length=71, pattern=r"^sha256:[0-9a-f]{64}$")]
# A part of the path may not begin with a dot: neither `..` nor hidden files are data.
PVC_URI = r"pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[A-Za-z0-9_*?=@+-][A-Za-z0-9._*?=@+-]*)*/?"
Text = Annotated[str, StringConstraints(max_length=1024)]
Short = Annotated[str, StringConstraints(max_length=253)]
Quantity = Annotated[
    int | str,
    Field(json_schema_extra={"pattern": r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$", "maxLength": 20}),
]


def exactly_one(*names: str) -> str:
    """Return a CEL expression: one, and only one, of the fields is given."""
    return f"[{', '.join(f'has(self.{name})' for name in names)}].filter(x, x).size() == 1"


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """Return the schema extension holding CEL rules with their messages."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}


def immutable(model: type[BaseModel], *, mutable: Iterable[str] = (), advice: str) -> dict[str, Any]:
    """Return CEL rules that keep each field of a spec as it was created, but for the mutable ones."""
    pairs: list[tuple[str, str]] = []
    for name, field in model.model_fields.items():
        alias = field.alias or to_camel(name)
        if alias in mutable:
            continue
        message = f"spec.{alias} cannot be changed: {advice}"
        if field.is_required() or field.default is not None or field.default_factory is not None:
            pairs.append((f"self.{alias} == oldSelf.{alias}", message))
        else:
            same = (
                f"has(self.{alias}) == has(oldSelf.{alias}) && (!has(self.{alias}) || self.{alias} == oldSelf.{alias})"
            )
            pairs.append((same, message))
    return rules(*pairs)


class Model(BaseModel):
    """Written by users: frozen, camelCase outside, unknown fields refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


class Observed(BaseModel):
    """Read from the cluster: frozen, camelCase outside, unknown fields (a newer version's) ignored."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


class Metadata(Observed):
    """The part of an object's metadata that the operator reads."""

    name: str
    namespace: str
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    annotations: dict[str, str] = Field(default_factory=dict)


class Condition(Observed):
    """One observation of the object's state, as in the Kubernetes API conventions."""

    type: Annotated[str, StringConstraints(max_length=64)] = Field(description="Name of the condition.")
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: Annotated[str, StringConstraints(max_length=64)] = Field(
        description="Machine-readable cause, from a closed set (see the documentation's list of reasons)."
    )
    message: Annotated[str, StringConstraints(max_length=2048)] = Field(
        default="", description="For people: what is the case, and what to do next."
    )
    last_transition_time: datetime = Field(description="When the status last changed (not the reason or message).")
    observed_generation: int = Field(default=-1, description="The metadata.generation this was decided on.")


class Status(Observed):
    """What every status has."""

    observed_generation: int = Field(default=-1, description="The metadata.generation this status was decided on.")
    conditions: list[Condition] = Field(
        default_factory=list[Condition],
        max_length=32,
        description="Observations of the object's state; Ready, Reconciling and Stalled follow kstatus.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )


class Resource(Observed):
    """One of our objects as read from the API server."""

    metadata: Metadata


class Unreadable(Resource):
    """An object whose spec this version cannot read: its metadata and conditions alone."""

    status: Status = Field(default_factory=Status)


class ResourceList(Model):
    """Amounts of compute."""

    cpu: Quantity | None = Field(default=None, description="CPU in cores, for example 500m or 2.")
    memory: Quantity | None = Field(default=None, description="Memory in bytes, for example 512Mi.")


class Resources(Model):
    """Compute a container asks for and may use at most."""

    requests: ResourceList | None = Field(default=None, description="What the scheduler reserves.")
    limits: ResourceList | None = Field(default=None, description="What the container may use at most.")


class Toleration(Model):
    """A taint that the pods tolerate."""

    key: Short | None = Field(default=None, description="Key of the taint; absent: every key.")
    operator: Literal["Exists", "Equal"] = Field(default="Equal", description="How the value is compared.")
    value: Annotated[str, StringConstraints(max_length=63)] | None = Field(
        default=None, description="Value of the taint, for operator Equal."
    )
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint; absent: every effect."
    )
    toleration_seconds: Annotated[int, Field(ge=0, le=604800)] | None = Field(
        default=None, description="With effect NoExecute: seconds until eviction; absent: never."
    )


class LocalSecret(Model):
    """A Secret of the same namespace."""

    name: Short = Field(description="Name of the Secret.")


class Pod(Model):
    """The few settings of pods that users may need."""

    labels: (
        dict[Annotated[str, StringConstraints(max_length=317)], Annotated[str, StringConstraints(max_length=63)]] | None
    ) = Field(
        default=None,
        max_length=20,
        description="Labels added to the pods; those of Modelwright and app.kubernetes.io cannot be replaced.",
        json_schema_extra=rules(
            (
                "self.all(k, !k.startsWith('modelwright.dev/') && !k.startsWith('app.kubernetes.io/'))",
                "labels under modelwright.dev/ and app.kubernetes.io/ are the operator's: choose another prefix",
            )
        ),
    )
    node_selector: (
        dict[Annotated[str, StringConstraints(max_length=317)], Annotated[str, StringConstraints(max_length=63)]] | None
    ) = Field(default=None, max_length=20, description="Labels a node must have to run the pods.")
    tolerations: list[Toleration] | None = Field(default=None, max_length=20, description="Taints the pods tolerate.")
    priority_class_name: Short | None = Field(default=None, description="PriorityClass of the pods.")
    image_pull_secrets: list[LocalSecret] | None = Field(
        default=None, max_length=10, description="Secrets of this namespace to pull the images with."
    )
