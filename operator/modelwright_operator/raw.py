"""Objects as JSON gives them: maps and lists of anything, looked into without surprises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

Raw = Mapping[str, Any]


def is_map(value: object) -> TypeGuard[dict[str, Any]]:
    """Tell whether a value is a JSON object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Tell whether a value is a JSON array."""
    return isinstance(value, list)


def part(raw: Raw | None, *names: str) -> dict[str, Any]:
    """Return an object inside an object; an empty one where it, or anything on the way, is absent or null.

    >>> part({"a": {"b": {"c": 1}}}, "a", "b"), part({"a": None}, "a", "b")
    ({'c': 1}, {})
    """
    found: Any = raw
    for name in names:
        found = found.get(name) if found else None
    return found if is_map(found) else {}
