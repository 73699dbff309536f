"""Copies of JSON values, many times faster than `copy.deepcopy`."""

from __future__ import annotations

import marshal
from typing import TypeVar

Value = TypeVar("Value")


def copied(value: Value) -> Value:
    """Return a copy that shares nothing with a value of dictionaries, lists and scalars."""
    copy: Value = marshal.loads(marshal.dumps(value))  # type: ignore[arg-type]  # noqa: S302  # JSON; just written
    return copy
