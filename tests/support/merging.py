"""Server-side apply on dictionaries: what a manager applied before and applies no longer goes, the rest merges."""

from __future__ import annotations

from typing import Any

from tests.support.copying import copied

_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ownerReferences": "uid",
    "conditions": "type",
    "data": "name",
}
"""Lists that are maps, and what their elements are known by; all other lists are replaced whole."""


def merge(current: Any, last: Any, new: Any, field: str = "") -> Any:
    """Return `current` after its manager, who applied `last` before, applied `new`."""
    if isinstance(new, dict) and isinstance(current, dict):
        before = last if isinstance(last, dict) else {}
        kept = {name: value for name, value in current.items() if name in new or name not in before}
        merged = {name: merge(current[name], before.get(name), new[name], name) for name in kept if name in new}
        added = {name: copied(value) for name, value in new.items() if name not in kept}
        return {**kept, **merged, **added}
    key = _KEYS.get(field)
    if key and isinstance(new, list) and isinstance(current, list):
        return _merge_map(current, last or [], new, key)
    return copied(new)


def _merge_map(current: list[Any], last: list[Any], new: list[Any], key: str) -> list[Any]:
    there = {item[key]: item for item in current}
    before = {item[key]: item for item in last}
    wanted = {item[key]: item for item in new}
    kept = [name for name in there if name in wanted or name not in before]
    order = [*kept, *(name for name in wanted if name not in there)]
    if [name for name in order if name in wanted] != list(wanted):
        order = [*wanted, *(name for name in kept if name not in wanted)]
    return [
        merge(there.get(name, {}), before.get(name), wanted[name]) if name in wanted else there[name] for name in order
    ]


def clash(current: Any, new: Any, path: str = "") -> str | None:
    """Return a field that has another value than the new one, or None."""
    if isinstance(new, dict) and isinstance(current, dict):
        found = (clash(current[name], item, f"{path}.{name}") for name, item in new.items() if name in current)
        return next((field for field in found if field), None)
    return None if equal(current, new) else path


def equal(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are the same to an API server; 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(equal(*pair) for pair in zip(one, other, strict=True))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
