"""What was counted in a window, on the bins of one baseline: adds up over processes, replicas and restarts.

It travels between sidecars and through the file that survives a worker as JSON, and is read as if by an enemy: counts
must be as many as the baseline has, whole, not negative, and not more than the rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np

from modelwright_drift import counts
from modelwright_drift.baseline import Baseline, Feature
from modelwright_drift.counts import Counts

MAX_ROWS = 2**53


class TallyError(ValueError):
    """These are no counts on this baseline."""


@dataclass(frozen=True)
class Tally:
    """Counts of a stretch of live rows; never changed, only added.

    Attributes:
        rows: rows that were counted.
        lost: rows that were answered and could not be counted.
        features: for each feature of the baseline.
        prediction: for each prediction of the baseline.
    """

    rows: int
    lost: int
    features: tuple[Counts, ...]
    prediction: tuple[Counts, ...]

    @classmethod
    def empty(cls, baseline: Baseline) -> Self:
        """Return the counts of no rows."""
        return cls(0, 0, tuple(map(counts.zeros, baseline.features)), tuple(map(counts.zeros, baseline.prediction)))

    def __add__(self, other: "Tally") -> "Tally":
        """Return both together; of one baseline."""
        return Tally(
            self.rows + other.rows,
            self.lost + other.lost,
            tuple(counts.merge((self.features, other.features))),
            tuple(counts.merge((self.prediction, other.prediction))),
        )

    def losing(self, rows: int) -> "Tally":
        """Return it with further rows lost."""
        return Tally(self.rows, self.lost + rows, self.features, self.prediction)

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "rows": self.rows,
            "lost": self.lost,
            "features": [item.tolist() for item in self.features],
            "prediction": [item.tolist() for item in self.prediction],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any], baseline: Baseline) -> Self:
        """Read it.

        Raises:
            TallyError: it is none on this baseline.
        """
        rows, lost = _whole(document.get("rows"), "rows"), _whole(document.get("lost"), "lost")
        return cls(
            rows,
            lost,
            _vectors(document.get("features"), baseline.features, rows, "features"),
            _vectors(document.get("prediction"), baseline.prediction, rows, "prediction"),
        )


def most_bytes(baseline: Baseline) -> int:
    """Return what a tally's JSON has at most, with room for what stands beside it."""
    numbers = sum(map(counts.size, (*baseline.features, *baseline.prediction)))
    return 16384 + 18 * numbers + 4 * len(baseline.features)


def _whole(value: object, what: str) -> int:
    if type(value) is not int or not 0 <= value <= MAX_ROWS:
        message = f"{what} must be a number of rows, is {value!r:.40}"
        raise TallyError(message)
    return value


def _vectors(value: object, features: Sequence[Feature], rows: int, what: str) -> tuple[Counts, ...]:
    vectors = cast("list[object]", value) if isinstance(value, list) else []
    if len(vectors) != len(features):
        message = f"{what} must be {len(features)} lists of counts"
        raise TallyError(message)
    return tuple(_vector(item, feature, rows) for item, feature in zip(vectors, features, strict=True))


def _vector(value: object, feature: Feature, rows: int) -> Counts:
    numbers = cast("list[object]", value) if isinstance(value, list) else []
    if len(numbers) != counts.size(feature):
        message = f"{feature.name!r} must have {counts.size(feature)} counts, has {len(numbers)}"
        raise TallyError(message)
    if any(_whole(number, feature.name) > rows for number in numbers):
        message = f"{feature.name!r} has more in a bin than there are rows"
        raise TallyError(message)
    return np.array(numbers, dtype=np.int64)
