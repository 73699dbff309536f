"""What a rollout is doing, and what it has seen."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from modelwright_operator.api.meta import Observed, Short, Text
from modelwright_operator.api.rollout import HeaderMatch, HeaderName

Phase = Literal["Starting", "Stepping", "Promoting", "Watching", "Complete", "RolledBack", "Superseded", "Withdrawn"]
Awaiting = Literal["Pods", "Gateway", "Time", "Requests", "Evidence", "Approval", "Resume"]
Message = Annotated[str, StringConstraints(max_length=1024)]


class Track(Observed):
    """One of the two sets of pods that share the traffic."""

    revision: Short = Field(description="Hash of everything the pods run.")
    version: Short = Field(description="Name of the ModelVersion.")


class CanaryTrack(Track):
    """The pods that are tried, and where they are reached."""

    host: Short = Field(description="Name of their Service.")
    rest_port: int = Field(description="Its port for REST.")
    grpc_port: int = Field(description="Its port for gRPC.")


class TrafficStatus(Observed):
    """The table by which the stable pods spread requests; their sidecars hand it to the servers."""

    stable: Track = Field(description="The pods that get every request, and spread them.")
    canary: CanaryTrack | None = Field(default=None, description="The pods that get a share; absent: none do.")
    sequence: int = Field(
        default=0,
        description="Grows with each step of each rollout: what is counted in one is never mixed with others.",
    )
    weight: int = Field(default=0, description="Percent of the requests that the canary answers.")
    shadow_percent: int = Field(default=0, description="Percent of the requests of which the canary gets a copy.")
    match: HeaderMatch | None = Field(default=None, description="Requests that always go to the canary.")
    sticky_header: HeaderName | None = Field(default=None, description="Header that decides where a request goes.")
    canary_timeout_milliseconds: int = Field(default=1000, description="Time the canary has for an answer.")
    latency_threshold_milliseconds: int | None = Field(default=None, description="An answer that takes longer is bad.")
    mode: Literal["InServer", "GatewayAPI"] = Field(
        default="InServer",
        description="Who spreads the requests; with GatewayAPI a gateway does, and weight and shadowPercent are 0.",
    )
    changed_at: datetime | None = Field(default=None, description="When the table last changed.")


class Answers(Observed):
    """Answers of one track, as the servers counted them."""

    requests: int = Field(default=0, ge=0, description="Number of answers.")
    bad: int = Field(default=0, ge=0, description="Those with a fault of any kind.")
    errors: int = Field(default=0, ge=0, description="Those that failed.")
    slow: int = Field(default=0, ge=0, description="Those slower than analysis.latencyThresholdMilliseconds.")
    invalid: int = Field(default=0, ge=0, description="Those with a NaN or an infinite number.")
    timed_out: int = Field(default=0, ge=0, description="Those that did not come in time; the canary's only.")


class Copies(Observed):
    """Copies of requests that the canary answered for nobody but the comparison."""

    sent: int = Field(default=0, ge=0, description="Number of copies.")
    dropped: int = Field(default=0, ge=0, description="Requests not copied, since too many copies were under way.")
    failed: int = Field(default=0, ge=0, description="Copies without a usable answer.")
    compared: int = Field(default=0, ge=0, description="Answers compared with the stable version's.")
    agreed: int = Field(default=0, ge=0, description="Those with the same labels.")


class StepEvidence(Observed):
    """What was counted during one step."""

    sequence: int = Field(description="The traffic table's sequence.")
    step: int = Field(description="Number of the step, from 1; 0: the watch after the promotion.")
    weight: int = Field(default=0, description="Percent of the requests that the canary was to answer.")
    stable: Answers = Field(default_factory=Answers, description="Answers of the stable version.")
    canary: Answers = Field(default_factory=Answers, description="Answers of the canary.")
    matched: int = Field(default=0, ge=0, description="Requests sent by their header, which do not count.")
    skipped: int = Field(
        default=0, ge=0, description="Requests kept from the canary after it had failed too often in a row."
    )
    shadow: Copies = Field(default_factory=Copies, description="Copies for the canary.")


class Stratum(Observed):
    """A stretch of time with one split of the traffic: what the test rests on."""

    sequence: int = Field(description="The traffic table's sequence.")
    weight: int = Field(default=0, description="Percent of the requests that the canary was to answer.")
    seconds: int = Field(default=0, description="How long it lasted.")
    stable_requests: int = Field(default=0, description="Answers of the stable version.")
    stable_bad: int = Field(default=0, description="Bad ones among them.")
    canary_requests: int = Field(default=0, description="Answers of the canary.")
    canary_bad: int = Field(default=0, description="Bad ones among them.")
    skipped: int = Field(default=0, description="Requests of the canary's share that it was not asked to answer.")


class CheckStatus(Observed):
    """What is known of a check."""

    name: Short = Field(description="Name of the check.")
    value: float | None = Field(default=None, description="The number last read; absent: it could not be read.")
    failures: int = Field(default=0, ge=0, description="Readings in a row outside the limits.")
    reason: Short | None = Field(default=None, description="Why there is no number, in a word.")
    message: Message = Field(default="", description="The same in words.")
    observed_at: datetime = Field(description="When it was last read.")


class Evidence(Observed):
    """What was seen of the canary, and what follows from it."""

    observed_at: datetime | None = Field(default=None, description="When these figures were taken from the pods.")
    steps: list[StepEvidence] = Field(default_factory=list[StepEvidence], max_length=48, description="By step.")
    strata: list[Stratum] = Field(
        default_factory=list[Stratum], max_length=48, description="The same by stretches of time, older ones joined."
    )
    realised_weight: float | None = Field(
        default=None, description="Percent of the requests that the canary really answered in the present step."
    )
    verdict: Literal["Rollback", "Promote", "Undecided", "Inconclusive"] | None = Field(
        default=None, description="What the test says."
    )
    message: Message = Field(default="", description="The verdict in words, with its numbers.")
    relative_risk_low: float | None = Field(default=None, description="Lower limit of the relative risk.")
    relative_risk_high: float | None = Field(default=None, description="Upper limit of the relative risk.")
    eta_seconds: int | None = Field(default=None, description="Seconds to a verdict at the present rates.")


class RolloutStatus(Observed):
    """The rollout under way, or the last one."""

    phase: Phase = Field(description="What is being done.")
    revision: Short = Field(description="Hash of everything the pods of the version in question run.")
    version: Short = Field(description="Name of that ModelVersion.")
    step: int = Field(default=0, description="Number of the present step, from 1.")
    steps: int = Field(default=0, description="Number of steps.")
    weight: int = Field(default=0, description="Percent of the requests wanted for the canary now.")
    shadow_percent: int = Field(default=0, description="Percent of the requests wanted as copies now.")
    awaiting: Awaiting | None = Field(default=None, description="What the next step waits for.")
    message: Message = Field(default="", description="What is awaited, or how it ended, in words.")
    started_at: datetime = Field(description="When the rollout began.")
    step_started_at: datetime | None = Field(
        default=None, description="When the present step's traffic began; absent: its pods are not ready yet."
    )
    waiting_since: datetime | None = Field(default=None, description="Since when pods of the canary are awaited.")
    watch_until: datetime | None = Field(default=None, description="When the watch after the promotion ends.")
    ended_at: datetime | None = Field(default=None, description="When it ended.")
    evidence: Evidence = Field(default_factory=Evidence, description="What was seen.")
    checks: list[CheckStatus] = Field(
        default_factory=list[CheckStatus], max_length=8, description="What analysis.checks found."
    )


class Rejection(Observed):
    """A revision that was rolled back: it is not tried again before spec.model changes, or somebody asks for it."""

    revision: Short = Field(description="Hash of everything its pods ran.")
    version: Short = Field(description="Name of the ModelVersion.")
    reason: Short = Field(description="Why it was rolled back.")
    message: Message = Field(default="", description="The same in words.")
    attempts: int = Field(default=1, description="How often it was rolled back; a retry names revision/attempts.")
    reference: Short = Field(default="", description="Hash of the spec.model under which that was.")
    at: datetime = Field(description="When it was last rolled back.")


class HistoryEntry(Observed):
    """Something that happened to the traffic."""

    at: datetime = Field(description="When.")
    event: Short = Field(description="What: a reason.")
    version: Short = Field(description="Name of the ModelVersion concerned.")
    message: Text = Field(default="", description="The same in words.")
