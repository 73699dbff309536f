"""Where the captured rows are that a TrainingJob names by their Deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelwright_server.contract.capture import place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelwright_operator import api


def wanted(job: api.TrainingJob) -> frozenset[str]:
    """Return the names of the Deployments whose captured rows a job reads."""
    return frozenset(data.captured.deployment for data in job.spec.data if data.captured is not None)


def resolved(job: api.TrainingJob, captures: Mapping[str, api.Capture]) -> api.TrainingJob:
    """Return the job with address and access of the rows that Deployments capture; others stay without an address."""
    if not wanted(job):
        return job
    found = [_resolved(data, captures, job.metadata.namespace) for data in job.spec.data]
    return job.model_copy(update={"spec": job.spec.model_copy(update={"data": found})})


def missing(job: api.TrainingJob) -> str | None:
    """Return what is in the way of reading captured rows, None if nothing is."""
    for data in job.spec.data:
        if data.captured is not None and data.uri is None:
            name = data.captured.deployment
            return (
                f"data set {data.name!r} is what Deployment {name} captures, but there is no such Deployment with "
                "spec.monitoring.capture in this namespace: add it there, and the run starts by itself"
            )
    return None


def _resolved(data: api.Data, captures: Mapping[str, api.Capture], namespace: str) -> api.Data:
    capture = captures.get(data.captured.deployment) if data.captured is not None else None
    if data.captured is None or capture is None:
        return data
    return data.model_copy(
        update={
            "uri": place(capture.uri, namespace, data.captured.deployment),
            "endpoint": capture.endpoint,
            "region": capture.region,
            "secret_name": capture.secret_name,
        }
    )
