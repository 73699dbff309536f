"""Checks of a rollout beside its own evidence: a number from Prometheus or from a Service, and its limits."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from modelwright_operator.api.meta import Model, exactly_one, rules

CheckName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
ServiceName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")]
Limit = Annotated[float, Field(ge=-1_000_000_000_000, le=1_000_000_000_000)]
# No part begins with a dot, so none is `..`; nothing is escaped, and there is no query.
HookPath = Annotated[
    str, StringConstraints(max_length=256, pattern=r"^/$|^(/[A-Za-z0-9_~$=:@,+-][A-Za-z0-9._~$=:@,+-]*)+/?$")
]


class PrometheusQuery(Model):
    """A number that the Prometheus of the operator's settings knows."""

    query: Annotated[str, StringConstraints(min_length=1, max_length=2048)] = Field(
        description="Instant query that yields one number. $namespace, $deployment, $canary and $stable in it stand "
        "for the names of the namespace, of this object and of the two ModelVersions."
    )


class Hook(Model):
    """A Service in the Deployment's own namespace that answers GET with `{"value": <number>}`."""

    service: ServiceName = Field(description="Name of the Service.")
    port: Annotated[int, Field(ge=1, le=65_535)] = Field(description="Its port, plain HTTP.")
    path: HookPath = Field(default="/", description="Path; $namespace, $deployment, $canary and $stable as in queries.")


class Check(Model):
    """A number and its limits."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (exactly_one("prometheus", "hook"), "a check needs either prometheus or hook"),
            ("has(self.min) || has(self.max)", "a check needs min, max or both"),
            ("!has(self.min) || !has(self.max) || self.min <= self.max", "min is above max"),
        )
    )

    name: CheckName = Field(description="Name of the check, unique in this list.")
    prometheus: PrometheusQuery | None = Field(default=None, description="Asks Prometheus.")
    hook: Hook | None = Field(default=None, description="Asks a Service.")
    min: Limit | None = Field(default=None, description="Lowest number that is fine; absent: none is too low.")
    max: Limit | None = Field(default=None, description="Highest number that is fine; absent: none is too high.")
    failure_limit: Annotated[int, Field(ge=1, le=100)] = Field(
        default=3, description="Readings in a row outside the limits that roll the canary back."
    )
    interval_seconds: Annotated[int, Field(ge=5, le=3600)] = Field(
        default=30, description="Seconds from one reading to the next."
    )
