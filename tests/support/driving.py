"""Coroutines that never wait, run to their end at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

Result = TypeVar("Result")


def driven(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Return what a coroutine returns.

    Raises:
        AssertionError: it would have to wait for something.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    message = "the coroutine waits for something that no simulated world has"
    raise AssertionError(message)
