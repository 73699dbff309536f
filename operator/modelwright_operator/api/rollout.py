"""How a Deployment moves traffic to its next version: steps, what is judged, and who says yes."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints

from modelwright_operator.api.checks import Check
from modelwright_operator.api.meta import Model, ObjectName, exactly_one, rules
from modelwright_server.contract.traffic import RESERVED_HEADERS

Percent = Annotated[int, Field(ge=1, le=100)]
HeaderName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9-]+$")]


class HeaderMatch(Model):
    """Requests that carry a header with a certain value."""

    header: HeaderName = Field(description="Name of the header, in any case; of gRPC calls the metadata key.")
    value: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[!-~]+$")] = Field(
        description="Value it must have, exactly."
    )


SectionName = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
    ),
]
HostName = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=253,
        pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    ),
]


class ParentReference(Model):
    """A Gateway that takes requests in."""

    name: ObjectName = Field(description="Name of the Gateway.")
    namespace: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)] | None = (
        Field(
            default=None, description="Its namespace; absent: the Deployment's own. Its listeners say who may use it."
        )
    )
    section_name: SectionName | None = Field(
        default=None, description="Name of one of its listeners; absent: all that take this route."
    )
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        default=None, description="Port of its listeners; absent: any."
    )


class Gateway(Model):
    """Where the HTTPRoute of a Deployment is attached."""

    parent_refs: list[ParentReference] = Field(
        min_length=1, max_length=8, description="Gateways that take requests in; all of them must accept the route."
    )
    hostnames: list[HostName] = Field(
        default_factory=list[HostName],
        max_length=16,
        description="Names by which clients call, as in the Host header; none: all that the listeners take.",
    )


_RESERVED: Final = "[" + ", ".join(f"'{name}'" for name in sorted(RESERVED_HEADERS)) + "]"


class Traffic(Model):
    """Which requests go to the next version while it is tried."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                f"!has(self.match) || !(self.match.header.lowerAscii() in {_RESERVED})",
                "spec.traffic.match.header says how a message travels, and cannot choose a version",
            ),
            (
                f"!has(self.stickyHeader) || !(self.stickyHeader.lowerAscii() in {_RESERVED})",
                "spec.traffic.stickyHeader says how a message travels, and cannot choose a version",
            ),
            (
                "(self.mode == 'GatewayAPI') == has(self.gateway)",
                "spec.traffic.gateway goes with spec.traffic.mode GatewayAPI: give both or neither",
            ),
            (
                "self.mode != 'GatewayAPI' || !has(self.stickyHeader)",
                "spec.traffic.stickyHeader is nothing that an HTTPRoute can do: remove it, or set mode to InServer",
            ),
        )
    )

    mode: Literal["InServer", "GatewayAPI"] = Field(
        default="InServer",
        description="Who spreads the requests. InServer: the stable pods, whatever clients call through. GatewayAPI: a "
        "gateway, by an HTTPRoute that the operator makes; all clients have to call through it.",
    )
    gateway: Gateway | None = Field(default=None, description="Where the HTTPRoute is attached; of mode GatewayAPI.")
    match: HeaderMatch | None = Field(
        default=None,
        description="Requests that always go to the canary while it takes traffic; they are left out of verdicts.",
    )
    sticky_header: HeaderName | None = Field(
        default=None,
        description="Header whose value decides where a request goes, so that a user stays with one version; requests "
        "without it are spread exactly. Absent: every request is.",
    )


class Hold(Model):
    """How long a step lasts, at least and at most."""

    model_config = ConfigDict(
        json_schema_extra=rules(("self.minSeconds <= self.maxSeconds", "hold.minSeconds is above hold.maxSeconds"))
    )

    min_seconds: Annotated[int, Field(ge=0, le=2_592_000)] = Field(default=60, description="Seconds, at least.")
    min_requests: Annotated[int, Field(ge=1, le=1_000_000_000)] = Field(
        default=100, description="Requests that the canary answered, or of which it got a copy, at least."
    )
    max_seconds: Annotated[int, Field(ge=1, le=7_776_000)] = Field(
        default=86_400,
        description="Seconds after which a step that cannot be decided ends as analysis.onInconclusive says.",
    )


class Step(Model):
    """One step of a rollout: a share of the traffic, and what must be seen before the next."""

    model_config = ConfigDict(
        json_schema_extra=rules((exactly_one("weight", "shadowPercent"), "give either weight or shadowPercent"))
    )

    weight: Percent | None = Field(default=None, description="Percent of the requests that the canary answers.")
    shadow_percent: Percent | None = Field(
        default=None, description="Percent of the requests of which the canary gets a copy; no client sees its answers."
    )
    hold: Hold = Field(default_factory=Hold, description="How long the step lasts.")
    approval: Literal["Required"] | None = Field(
        default=None, description="Required: the step ends only once somebody has approved it."
    )


class Analysis(Model):
    """How answers of the canary are compared with those of the stable version."""

    rollback_alpha: Annotated[float, Field(ge=0.0001, le=0.5)] = Field(
        default=0.01, description="Largest probability of rolling back a canary that is no worse than tolerated."
    )
    promote_alpha: Annotated[float, Field(ge=0.0001, le=0.5)] = Field(
        default=0.05, description="Largest probability of promoting a canary that is worse than tolerated."
    )
    max_relative_risk: Annotated[float, Field(ge=1.05, le=10)] = Field(
        default=1.5, description="How many times as often as the stable version's may the canary's answers be bad."
    )
    tolerated_bad_percent: Annotated[float, Field(ge=0, le=100)] = Field(
        default=1.0,
        description="With certainly fewer bad answers than that, in percent, a canary need not be compared to go on.",
    )
    latency_threshold_milliseconds: Annotated[int, Field(ge=1, le=600_000)] | None = Field(
        default=None, description="An answer that takes longer is bad; absent: slowness is not judged."
    )
    min_agreement: Annotated[float, Field(ge=0.01, le=0.999)] | None = Field(
        default=None,
        description="Share of shadow copies that the canary must answer as the stable version did; absent: not judged, "
        "since a model that was trained against drift should disagree.",
    )
    checks: list[Check] = Field(
        default_factory=list[Check],
        max_length=8,
        description="Numbers from elsewhere that must be within limits, too.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    on_inconclusive: Literal["Hold", "Rollback"] = Field(
        default="Hold", description="What becomes of a step that could not be decided within hold.maxSeconds."
    )


class Approved(Model):
    """An approval given in the manifest, as by a commit."""

    version: ObjectName = Field(description="Name of the ModelVersion that is approved.")
    step: Annotated[int, Field(ge=1, le=20)] = Field(description="The last step that is approved, counted from 1.")


class Rollout(Model):
    """How the next version takes over; absent, it replaces the present one as soon as it is ready."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.steps.exists(s, has(s.weight))",
                "spec.rollout.steps needs a step with weight: copies alone decide nothing",
            ),
            (
                "self.steps.map(s, has(s.weight) ? s.weight : 0).isSorted()",
                "spec.rollout.steps: weights must grow from step to step, after the steps with shadowPercent",
            ),
            (
                "self.steps.all(s, !has(s.weight) || self.steps.exists_one(t, has(t.weight) && t.weight == s.weight))",
                "spec.rollout.steps: two steps have the same weight",
            ),
            (
                "!has(self.approved) || self.approved.step <= self.steps.size()",
                "spec.rollout.approved.step: there are fewer steps",
            ),
        )
    )

    steps: list[Step] = Field(
        min_length=1, max_length=20, description="Steps, in order; after the last the canary is promoted."
    )
    analysis: Analysis = Field(default_factory=Analysis, description="How the canary is judged.")
    canary_timeout_milliseconds: Annotated[int, Field(ge=10, le=60_000)] = Field(
        default=1000, description="Milliseconds that the canary has for an answer, before the stable version gives it."
    )
    post_promotion_watch_seconds: Annotated[int, Field(ge=0, le=604_800)] = Field(
        default=300,
        description="Seconds after a promotion for which the version before is kept at full size, to fall back on.",
    )
    allow_schema_change: bool = Field(
        default=False,
        description="Whether a version may be tried whose inputs differ from the present one's: requests fit only one.",
    )
    paused: bool = Field(default=False, description="Whether to stay at the present step; rollback goes on guarding.")
    approved: Approved | None = Field(
        default=None, description="Steps that are approved, for those who approve by a commit."
    )
