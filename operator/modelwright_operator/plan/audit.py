"""What a status write adds to the history of an object: lines for the audit log; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from modelwright_operator import api, naming

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Line = dict[str, Any]


def added(resource: api.Resource, status: Mapping[str, Any]) -> list[Line]:
    """Return the lines that a status to be written has and the one it was decided on has not, each with its digest.

    The oldest lines may be left out of the new history; what it begins with then is what the old one ends with.
    """
    if not isinstance(resource, api.ModelVersion | api.Deployment):
        return []
    before = [line.model_dump(mode="json", by_alias=True, exclude_none=True) for line in resource.status.history]
    after = cast("Sequence[Line]", status.get("history") or ())
    common = next(size for size in range(len(before), -1, -1) if list(after[:size]) == before[len(before) - size :])
    return [{**line, "digest": _digest(resource, str(line.get("version", "")))} for line in after[common:]]


def _digest(resource: api.ModelVersion | api.Deployment, version: str) -> str:
    if isinstance(resource, api.ModelVersion):
        return resource.spec.artifact.digest
    known = (resource.status.stable, resource.status.canary, resource.status.previous)
    return next((item.digest for item in known if item is not None and item.version == version), "")


def identity(resource: api.Resource, kind: str) -> Line:
    """Return which object a line is about."""
    version = {"version": resource.metadata.name} if kind == naming.MODEL_VERSION else {}
    metadata = resource.metadata
    return {"kind": kind, "namespace": metadata.namespace, "name": metadata.name, "uid": metadata.uid, **version}
