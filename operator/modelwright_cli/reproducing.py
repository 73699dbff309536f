"""`reproduce`: a version's job once more, on the same data, and whether the same model comes of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import typer

from modelwright_cli.access import connect
from modelwright_cli.documents.holdings import maker
from modelwright_cli.errors import Fault
from modelwright_cli.objects import Json, condition, name_of, part, parts, text, texts
from modelwright_operator.naming import API_VERSION, short_hash

if TYPE_CHECKING:
    from modelwright_cli.access import Cluster
    from modelwright_cli.options import Target

_PAUSE_SECONDS = 1.0
_MOST_OF_NAME = 40


def reproduce(target: Target, name: str, timeout_seconds: int) -> None:
    """Train a version anew and compare digests.

    Raises:
        Fault: it cannot be trained anew, or another model comes of it.
    """
    cluster = connect(target)
    version = cluster.get("ModelVersion", name)
    manifest = once_more(version, _job(cluster, version), cluster.whoami(), str(time.monotonic_ns()))
    run = name_of(manifest)
    cluster.create("TrainingJob", manifest)
    typer.echo(f"TrainingJob {run} trains {name} once more")
    ended = _ended(cluster, run, timeout_seconds)
    if text(condition(ended, "Complete"), "status") != "True":
        failed = condition(ended, "Failed")
        message = f"TrainingJob {run} failed: {text(failed, 'reason')}: {text(failed, 'message')}"
        raise Fault(message)
    if (text(ended, "status", "reproduced"), text(ended, "status", "modelVersion")) != ("true", name):
        differs = ", ".join(texts(ended, "status", "differs", "what")) or "nothing that is recorded"
        made = text(ended, "status", "modelVersion")
        message = (
            f"{made} came of it, not {name}: what differs is {differs}; `kubectl modelwright compare {name} {made}`"
        )
        raise Fault(message)
    typer.echo(f"reproduced: {text(version, 'spec', 'artifact', 'digest')}")


def once_more(version: Json, job: Json, requester: str, nonce: str) -> Json:
    """Return the manifest of a job that does what another did, held to the data that the version was made from.

    Gates and the comparison with a champion are left out: the version exists, and what it is does not depend on them.
    """
    digests = {text(item, "name"): text(item, "digest") for item in parts(version, "spec", "provenance", "data")}
    spec = {key: value for key, value in part(job, "spec").items() if key not in {"gates", "suspend"}}
    spec["data"] = [{**item, "digest": digests.get(text(item, "name"), "")} for item in parts(job, "spec", "data")]
    if any(not item["digest"] for item in spec["data"]):
        message = f"{name_of(version)} does not say what data it was made from: it cannot be held to it"
        raise Fault(message)
    spec["evaluation"] = {key: value for key, value in part(spec, "evaluation").items() if key != "champion"}
    if text(spec, "requestedBy"):
        spec["requestedBy"] = requester
    run = f"{name_of(job)[:_MOST_OF_NAME].rstrip('-')}-again-{short_hash(name_of(version), nonce)}"
    return {"apiVersion": API_VERSION, "kind": "TrainingJob", "metadata": {"name": run}, "spec": spec}


def _job(cluster: Cluster, version: Json) -> Json:
    job = maker(cluster, version)
    if job is None:
        message = f"the TrainingJob that made {name_of(version)} is no longer there: apply it again from git"
        raise Fault(message)
    return job


def _ended(cluster: Cluster, run: str, timeout_seconds: int) -> Json:
    end = time.monotonic() + timeout_seconds
    while True:
        seen = cluster.get("TrainingJob", run)
        if any(text(condition(seen, kind), "status") == "True" for kind in ("Complete", "Failed")):
            return seen
        if time.monotonic() >= end:
            message = f"TrainingJob {run} has not ended within {timeout_seconds} s: it goes on without being watched"
            raise Fault(message)
        time.sleep(_PAUSE_SECONDS)
