"""Captured rows: which are kept of what was answered, and where."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from modelwright_operator.api.meta import Model
from modelwright_operator.api.stores import OBJECTS_PLACE, STORE_RULES, Store

_MOST_REDACTED = 100


class Capture(Store):
    """Which requests and predictions are kept, and where."""

    model_config = ConfigDict(json_schema_extra=STORE_RULES)

    uri: Annotated[str, StringConstraints(max_length=512, pattern=f"^{OBJECTS_PLACE}$")] = Field(
        description="s3://, gs:// or az://BUCKET/KEY; rows are below it, in NAMESPACE/DEPLOYMENT."
    )
    sample_percent: Annotated[int, Field(ge=1, le=100)] = Field(
        default=100, description="Percent of the rows that are kept, chosen by a hash of the prediction's id."
    )
    redact: list[Annotated[str, StringConstraints(min_length=1, max_length=128)]] | None = Field(
        default=None,
        max_length=_MOST_REDACTED,
        description="Features that are left out; each must be one of the model's.",
    )
    flush_seconds: Annotated[int, Field(ge=5, le=3600)] = Field(
        default=300,
        description="Seconds after which rows are sent to the store, if there are not enough of them before.",
    )


class PayloadLog(Model):
    """Which requests and responses go to a sink as CloudEvents, as KServe's logger sends them."""

    url: Annotated[str, StringConstraints(max_length=512, pattern=r"^https?://[^\s@]+$")] = Field(
        description="http:// or https:// address of the sink; each event is posted to it."
    )
    mode: Literal["All", "Request", "Response"] = Field(
        default="All", description="Request: what was asked; Response: what was answered; All: both."
    )
    sample_percent: Annotated[int, Field(ge=1, le=100)] = Field(
        default=100, description="Percent of the rows whose events are sent, chosen by a hash of the prediction's id."
    )
    redact: list[Annotated[str, StringConstraints(min_length=1, max_length=128)]] | None = Field(
        default=None,
        max_length=_MOST_REDACTED,
        description="Features that are left out; each must be one of the model's.",
    )


class CapturedData(Model):
    """Rows that a Deployment captured."""

    deployment: Annotated[
        str, StringConstraints(min_length=1, max_length=63, pattern="^[a-z]([-a-z0-9]*[a-z0-9])?$")
    ] = Field(description="Deployment of this namespace, with spec.monitoring.capture.")
