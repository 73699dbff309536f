"""Looking into objects of the API: whatever is not there, or of another type, is empty."""

from __future__ import annotations

from typing import Any, cast

Json = dict[str, Any]


def part(value: object, *path: str) -> Json:
    """Return the map at a path, or an empty one."""
    for key in path:
        value = cast("Json", value).get(key) if isinstance(value, dict) else None
    return cast("Json", value) if isinstance(value, dict) else {}


def parts(value: object, *path: str) -> list[Json]:
    """Return the maps of the list at a path."""
    found = part(value, *path[:-1]).get(path[-1])
    items = cast("list[object]", found) if isinstance(found, list) else []
    return [cast("Json", item) for item in items if isinstance(item, dict)]


def texts(value: object, *path: str) -> list[str]:
    """Return the items of the list at a path, as texts."""
    found = part(value, *path[:-1]).get(path[-1])
    return [str(item) for item in cast("list[object]", found)] if isinstance(found, list) else []


def text(value: object, *path: str) -> str:
    """Return the text at a path; a number or truth value as YAML has it."""
    found = part(value, *path[:-1]).get(path[-1])
    if isinstance(found, bool):
        return str(found).lower()
    return str(found) if isinstance(found, str | int | float) else ""


def number(value: object, *path: str) -> float | None:
    """Return the finite number at a path."""
    found = part(value, *path[:-1]).get(path[-1])
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if abs(found) < 1e300 else None  # noqa: PLR2004 - neither infinite nor NaN


def whole(value: object, *path: str) -> int:
    """Return the whole number at a path, or 0."""
    found = number(value, *path)
    return int(found) if found is not None else 0


def name_of(value: object) -> str:
    """Return an object's name."""
    return text(value, "metadata", "name")


def condition(value: object, kind: str) -> Json:
    """Return a condition of an object, or an empty map."""
    none: Json = {}
    return next((item for item in parts(value, "status", "conditions") if item.get("type") == kind), none)
