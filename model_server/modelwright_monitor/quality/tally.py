"""What is counted of a set of predictions and of the labels that came for them.

Every number is a count or a sum, so tallies add in any order.  Of the scores of two classes there are counts by bins,
equal in their logits from one in ten thousand on: narrow near 0 and 1, where scores of rare classes lie.  An AUC of
these bins is up to 0.002 below that of the scores themselves (tests/quality/test_metrics.py compares them).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self, cast

from modelwright_server.contract import monitoring

BINS = monitoring.SCORE_BINS
MAX_COUNT = 2**53
MAX_SUM = 1e80  # of fourth powers of errors up to 1e15, more than there are labels

_RAREST = 1e-4
_REACH = math.log((1 - _RAREST) / _RAREST)


class TallyError(ValueError):
    """A document is no tally; the text names the field."""


def score_bin(score: float) -> int:
    """Return the bin of a score in [0, 1].

    >>> score_bin(0.0), score_bin(0.5), score_bin(1.0)
    (0, 32, 63)
    """
    if not _RAREST < score < 1 - _RAREST:
        return 0 if score < 0.5 else BINS - 1  # noqa: PLR2004 - the nearer end
    return int(BINS * (0.5 + math.log(score / (1 - score)) / (2 * _REACH)))


@dataclass(slots=True)
class Tally:
    """Counts and sums; the document has the same names in camelCase, without those that are zero.

    Those that only metrics need are in its member `counts`.

    Attributes:
        predictions: rows that were predicted.
        labels: of them with a label.
        measured: of these for predicted numbers; the others are for predicted classes.
        correct: of the others as predicted.
        foreign: of the others with a label that is no class of the model.
        delay_seconds: from prediction to label, all of them together.
        absolute: sum of the absolute errors of predicted numbers.
        squared: sum of their squares.
        fourth: sum of their fourth powers.
        negatives: labels of the first of two classes, by bins of the score; empty: none were counted.
        positives: labels of the second one.
    """

    predictions: int = 0
    labels: int = 0
    measured: int = 0
    correct: int = 0
    foreign: int = 0
    delay_seconds: int = 0
    absolute: float = 0.0
    squared: float = 0.0
    fourth: float = 0.0
    negatives: list[int] = field(default_factory=list[int])
    positives: list[int] = field(default_factory=list[int])

    def add(self, other: Self) -> None:
        """Add another tally to this one."""
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _BINNED:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine and theirs:
                theirs = [one + more for one, more in zip(mine, theirs, strict=True)]
            setattr(self, name, list(theirs or mine))

    def to_document(self) -> dict[str, Any]:
        """Return what differs from an empty tally."""
        values = {name: value for name, value in asdict(self).items() if value}
        counts = {_camel(name): value for name, value in values.items() if name not in _SHOWN}
        shown = {name: value for name, value in values.items() if name in _SHOWN}
        return {**shown, "counts": counts} if counts else shown

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read a tally; members that are not its own are passed over.

        Raises:
            TallyError: a member is not what it must be.
        """
        values: dict[str, Any] = {}
        counts = document.get("counts", {})
        if not isinstance(counts, dict):
            message = "counts must be an object"
            raise TallyError(message)
        for item in fields(cls):
            name, source = _camel(item.name), document if item.name in _SHOWN else cast("dict[str, Any]", counts)
            if name in source:
                values[item.name] = _READ.get(item.name, _count)(name, source[name])
        return cls(**values)


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def _count(name: str, value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_COUNT:
        message = f"{name} must be a whole number from 0 to 2^53"
        raise TallyError(message)
    return value


def _sum(name: str, value: object) -> float:
    if (type(value) is not float and type(value) is not int) or not 0 <= value <= MAX_SUM:
        message = f"{name} must be a number from 0 to {MAX_SUM:g}"
        raise TallyError(message)
    return float(value)


def _bins(name: str, value: object) -> list[int]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    if (items and len(items) != BINS) or not isinstance(value, list):
        message = f"{name} must be a list of {BINS}, or empty"
        raise TallyError(message)
    return [_count(name, item) for item in items]


_BINNED = ("negatives", "positives")
_SHOWN = ("predictions", "labels", *_BINNED)
_SUMS = ("absolute", "squared", "fourth")
_NUMBERS = tuple(item.name for item in fields(Tally) if item.name not in _BINNED)
_READ: Mapping[str, Any] = {**dict.fromkeys(_SUMS, _sum), **dict.fromkeys(_BINNED, _bins)}
