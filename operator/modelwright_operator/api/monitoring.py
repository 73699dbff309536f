"""What a Deployment watches of the model it serves."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from modelwright_operator.api.meta import Model


class Monitoring(Model):
    """What is watched of the model that answers."""

    max_model_age_seconds: Annotated[int, Field(ge=60, le=315_360_000)] | None = Field(
        default=None,
        description="Seconds after which the version that answers is stale, counted from the ModelVersion's creation; "
        "absent: never.",
    )
