"""When and where a TrainingJob runs."""

from __future__ import annotations

from pydantic import Field

from modelwright_operator.api.meta import Model, ObjectName


class Scheduling(Model):
    """Who decides when the job may run."""

    queue_name: ObjectName = Field(
        description="LocalQueue of Kueue, in this namespace, that the batch Job waits in. Kueue must manage batch Jobs."
    )
