"""What a Deployment says, as the API server gives it: absent members are empty ones."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from modelwright_server.contract import CANARY, STABLE, monitoring

Object = Mapping[str, Any]


def part(seen: object, *path: str) -> Object:
    """Return the object at a path, empty where there is none."""
    for name in path:
        seen = cast("Object", seen).get(name) if isinstance(seen, Mapping) else None
    return cast("Object", seen) if isinstance(seen, Mapping) else {}


def parts(seen: object, *path: str) -> Sequence[Object]:
    """Return the list of objects at a path, empty where there is none."""
    *above, name = path
    found = part(seen, *above).get(name)
    items = cast("list[object]", found) if isinstance(found, list) else []
    return [cast("Object", item) for item in items if isinstance(item, Mapping)]


def monitored(seen: Object | None) -> bool:
    """Tell whether a Deployment is to be monitored."""
    return part(seen, "spec").get("monitoring") is not None


def document_of(seen: Object | None, track: str) -> Object:
    """Return what the status says of a track's windows, empty where it says nothing."""
    path = {STABLE: ("status", "monitoring"), CANARY: ("status", "monitoring", "canary")}.get(track)
    return part(seen, *path) if path is not None else {}


def sequence_of(document: Object) -> int:
    """Return the number of a track's window that was closed last; 0: none was."""
    return int(part(document, "window").get("sequence", 0))


def track_of(seen: Object | None, revision: str) -> str:
    """Return the track of a revision's pods, empty where they are on none."""
    table = part(seen, "status", "traffic")
    on = (track for track in (STABLE, CANARY) if revision and part(table, track).get("revision") == revision)
    return next(on, "")


def version_of(seen: Object | None, track: str) -> str:
    """Return the name of the version that a track runs."""
    return str(part(seen, "status", "traffic", track).get("version", ""))


def conditions_of(seen: Object | None) -> list[Object]:
    """Return the monitor's conditions of a Deployment."""
    return [item for item in parts(seen, "status", "conditions") if item.get("type") in monitoring.CONDITIONS]
