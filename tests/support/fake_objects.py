"""Looking into objects as the API server in memory keeps them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from modelwright_operator import naming
from tests.support.copying import copied

if TYPE_CHECKING:
    from collections.abc import Mapping

Raw = dict[str, Any]


def resource_of(raw: Mapping[str, Any]) -> str:
    """Return the plural of an object's resource."""
    identity = (raw["apiVersion"], raw["kind"])
    return next(plural for plural, known in naming.KNOWN.items() if known == identity)


def managers(raw: Raw) -> list[Raw]:
    """Return who manages the spec."""
    return list(raw.get("metadata", {}).get("managedFields", ()))


def managed(raw: Raw, *entries: Raw) -> Raw:
    """Return the object with these managers of its spec, each once."""
    unique = [entry for index, entry in enumerate(entries) if entry not in entries[:index]]
    ordered = sorted(unique, key=lambda entry: (str(entry["manager"]), str(entry["operation"])))
    return {**raw, "metadata": {**raw["metadata"], "managedFields": ordered}}


def applied(manifest: Raw) -> Raw:
    """Return what is applied, without its status."""
    metadata = {name: value for name, value in manifest["metadata"].items() if name not in {"uid", "resourceVersion"}}
    return copied({**{name: value for name, value in manifest.items() if name != "status"}, "metadata": metadata})


def owners(raw: Raw) -> set[str]:
    """Return the uids of the owners."""
    return {owner["uid"] for owner in raw["metadata"].get("ownerReferences", ())}


def selected(raw: Raw, selector: str | None) -> bool:
    """Tell whether a label selector of one label finds it."""
    if selector is None:
        return True
    label, _, value = selector.partition("=")
    return bool(raw["metadata"].get("labels", {}).get(label) == value)


def check_json(value: object) -> None:
    """Refuse what JSON has no word for."""
    json.dumps(value, allow_nan=False)
