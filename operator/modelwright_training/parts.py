# pyright: basic
# (scikit-learn comes without types.)
"""An estimator and everything of scikit-learn and of boosters inside it: steps, members, fitted or not."""

from collections.abc import Iterator
from typing import Any

_MAX_PARTS = 100_000
_OWN = ("sklearn.", "xgboost.sklearn", "lightgbm.sklearn")


def of(estimator: object) -> Iterator[Any]:
    """Yield an estimator and all of scikit-learn's objects inside it, fitted or not, each once."""
    waiting, seen = [estimator], {id(estimator)}
    while waiting and len(seen) < _MAX_PARTS:
        part = waiting.pop()
        if not isinstance(part, list | tuple | dict):
            yield part
        for inner in _inside(part):
            if id(inner) not in seen and (isinstance(inner, list | tuple | dict) or _is_own(inner)):
                seen.add(id(inner))
                waiting.append(inner)


def _inside(part: Any) -> list[Any]:  # noqa: ANN401 - anything
    if isinstance(part, list | tuple):
        return list(part)
    if isinstance(part, dict):
        return list(part.values())
    return list(getattr(part, "__dict__", {}).values())


def _is_own(value: object) -> bool:
    return type(value).__module__.startswith(_OWN) and hasattr(value, "__dict__")
