"""Who answers for a model, and who let it into traffic."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from modelwright_operator.api.meta import Model, Observed, Short, Text

RiskTier = Literal["Low", "Medium", "High"]


class Card(Model):
    """What people say of a model."""

    owner: Annotated[str, StringConstraints(min_length=1, max_length=253)] | None = Field(
        default=None, description="Who answers for the model: a person or a team."
    )
    intended_use: Text | None = Field(default=None, description="What the model is for.")
    limitations: Text | None = Field(default=None, description="What it is not for, and where it is known to be weak.")
    risk_tier: RiskTier | None = Field(
        default=None,
        description="How much harm a wrong answer may do. The operator may be set to serve versions from a tier on "
        "only once they are approved; absent counts as High.",
    )


class Approval(Model):
    """The verdict of somebody who may approve versions."""

    state: Literal["Approved", "Rejected"] = Field(description="Approved: may serve. Rejected: may not.")
    by: Annotated[str, StringConstraints(min_length=1, max_length=253)] = Field(
        description="User name of who decided; where the chart's policy is installed, it must be the requester's own."
    )
    reason: Text | None = Field(default=None, description="Why, in words.")


class VersionEvent(Observed):
    """Something that happened to a version."""

    at: datetime = Field(description="When.")
    event: Short = Field(description="What: a reason.")
    by: Short | None = Field(default=None, description="Who, of approvals and rejections.")
    message: Text = Field(default="", description="The same in words.")
