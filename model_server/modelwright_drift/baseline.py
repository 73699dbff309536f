"""What is kept of the rows a model was trained and tested on: bins, counts and a few moments; never a row.

A feature is `Numeric` or `Categorical`; both hold the counts of the baseline's own rows.  Live rows are counted on the
same bins (`counts`) and compared with these (`divergence`).
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

BINS = 10  # of a numeric feature, if its values allow
CATEGORIES = 50  # with a bin of their own
KNOWN = 200  # further categories that are listed
LEAST_ROWS = 10  # a category with fewer is not listed: who is alone in it could be recognised
TEXT_BYTES = 64  # what the server's ring keeps of a text
WARN_BELOW = 2000  # rows; with fewer, drift of a PSI of 0.1 goes unseen (facts in `divergence`)
MAX_NAME = 256
MAX_FEATURES = 1000
MAX_PREDICTIONS = 2
MAX_ROWS = 2**53
MAX_VIF = 1e6


class BaselineError(ValueError):
    """A baseline that contradicts itself or its format; the text names the field."""


class VifSource(StrEnum):
    """Where a variance inflation factor is from."""

    TIME = "time"  # chunks of rows in the order of a time column
    NONE = "none"  # rows without an order: taken as independent


@dataclass(frozen=True, slots=True)
class Inflation:
    """How much more a window's chi-square varies than that of independent rows would.

    Attributes:
        vif: the factor, 1 or more; 1 where nothing is known.
        chunks: of how many stretches of time it is the mean; 0 where there is no order.
    """

    vif: float = 1.0
    chunks: int = 0

    def __post_init__(self) -> None:
        """Refuse factors that no chunks can give."""
        _check(1 <= self.vif <= MAX_VIF, "vif", f"must be between 1 and {MAX_VIF:g}")
        _check(self.chunks == 0 or self.chunks > 1, "chunks", "must be 0, or 2 or more")
        _check(self.chunks > 0 or self.vif == 1, "vif", "must be 1 without chunks")

    @property
    def source(self) -> VifSource:
        """Where it is from."""
        return VifSource.TIME if self.chunks else VifSource.NONE


@dataclass(frozen=True, slots=True)
class Numeric:
    """A column of numbers, as the server receives them.

    Bin j holds the values v with edges[j-1] < v <= edges[j]; the first and the last are open-ended.  Edges and extremes
    are written as short as their datatype allows: compare with them in that type.

    Attributes:
        name: of the column or output.
        datatype: of its tensor, in the Open Inference Protocol's words.
        edges: rising; none for a column with one value, or none.
        counts: rows in each bin, one more than there are edges.
        missing: rows without a value (NaN).
        low: smallest value.
        high: largest value.
        mean: of the values.
        deviation: of the values.
        inflation: for rows that depend on their neighbours in time.
    """

    name: str
    datatype: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    missing: int
    low: float
    high: float
    mean: float
    deviation: float
    inflation: Inflation = field(default_factory=Inflation)

    def __post_init__(self) -> None:
        """Refuse what cannot be the counts of one column."""
        _check_name(self.name)
        numbers = (*self.edges, self.low, self.high, self.mean, self.deviation)
        _check(all(math.isfinite(number) for number in numbers), "edges, min, max, mean, deviation", "must be finite")
        _check(all(a < b for a, b in pairwise(self.edges)), "edges", "must rise")
        _check(len(self.counts) == len(self.edges) + 1, "counts", "must be one more than edges")
        inside = not self.edges or self.low <= self.edges[0] <= self.edges[-1] < self.high
        _check(inside and self.low <= self.high, "edges", "must lie from min to below max")
        _check_counts("counts", (*self.counts, self.missing))
        _check(self.deviation >= 0, "deviation", "must not be negative")

    @property
    def values(self) -> int:
        """Rows with a value."""
        return sum(self.counts)

    @property
    def rows(self) -> int:
        """All rows."""
        return self.values + self.missing

    @property
    def shares(self) -> tuple[float, ...]:
        """Probability of each bin for one more value.

        Edges are order statistics, and of N+1 gaps between and beyond N independent values of any continuous
        distribution each has probability 1/(N+1); the last bin has one gap more than values (David and Nagaraja, Order
        Statistics, 2.5).
        """
        whole = self.values + 1
        return (*(count / whole for count in self.counts[:-1]), (self.counts[-1] + 1) / whole)


@dataclass(frozen=True, slots=True)
class Categorical:
    """A column of categories: texts, whole numbers in decimal digits, or class labels.

    Attributes:
        name: of the column or output.
        datatype: of its tensor.
        categories: the most frequent ones, at most 50, each with a bin of its own; none has under 10 rows.
        counts: their rows.
        known: further categories of 10 rows or more; all of them share the bin `other`.
        other: rows in no category with a bin of its own.
        unlisted: expected rows, of as many as there were, in categories that are not listed, known to the training
            rows or new: those of the categories with at most 10 rows (Good 1953: the categories that were seen r
            times have together the probability (r+1) n[r+1] / N, here added up for all r below 10).
        inflation: for rows that depend on their neighbours in time.
    """

    name: str
    datatype: str
    categories: tuple[str, ...]
    counts: tuple[int, ...]
    known: tuple[str, ...]
    other: int
    unlisted: int
    inflation: Inflation = field(default_factory=Inflation)

    def __post_init__(self) -> None:
        """Refuse what cannot be the counts of one column."""
        _check_name(self.name)
        _check(len(self.categories) <= CATEGORIES, "categories", f"must be {CATEGORIES} at most")
        _check(len(self.known) <= KNOWN, "known", f"must be {KNOWN} at most")
        listed = (*self.categories, *self.known)
        _check(len(set(listed)) == len(listed), "categories", "must be distinct")
        fits = all(len(text.encode(errors="replace")) <= TEXT_BYTES for text in listed)
        _check(fits, "categories", f"must have {TEXT_BYTES} bytes at most")
        _check(len(self.counts) == len(self.categories), "categories", "must each have a count")
        _check_counts("rows of categories", (*self.counts, self.other, self.unlisted))
        _check(all(count >= LEAST_ROWS for count in self.counts), "categories", f"must have {LEAST_ROWS} rows or more")
        _check(self.unlisted <= self.rows, "unlisted", "must not be more than there are rows")

    @property
    def rows(self) -> int:
        """All rows; a missing text is the empty text."""
        return sum(self.counts) + self.other

    @property
    def shares(self) -> tuple[float, ...]:
        """Probability of each category with a bin, and of `other`, for one more row (Jeffreys' prior)."""
        whole = self.rows + (len(self.counts) + 1) / 2
        return tuple((count + 0.5) / whole for count in (*self.counts, self.other))


Feature = Numeric | Categorical


@dataclass(frozen=True, slots=True)
class Baseline:
    """All of a model: features from training rows, predictions from rows held out (those on training rows flatter).

    Attributes:
        features: in the order of the data's columns.
        prediction: of a classifier the label and, with two classes, the second one's probability; of a regressor the
            number.
        right: of a classifier of two classes, for each bin of the score the rows whose label was the true one; else
            empty.
    """

    features: tuple[Feature, ...]
    prediction: tuple[Feature, ...]
    right: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is too much, and rows that differ in number."""
        for field_name, group, most in (
            ("features", self.features, MAX_FEATURES),
            ("prediction", self.prediction, MAX_PREDICTIONS),
        ):
            _check(1 <= len(group) <= most, field_name, f"must be 1 to {most}")
            _check(len({feature.name for feature in group}) == len(group), field_name, "must have distinct names")
            _check(len({feature.rows for feature in group}) == 1, field_name, "must all have as many rows")
            _check(group[0].rows > 0, field_name, "must have rows")
        if self.right:
            bins = self.prediction[-1].counts if isinstance(self.prediction[-1], Numeric) else ()
            fits = len(self.prediction) == MAX_PREDICTIONS and len(self.right) == len(bins)
            sound = fits and all(0 <= right <= rows for right, rows in zip(self.right, bins, strict=True))
            _check(sound, "right", "must be as many as the score has bins, and none more than its rows")

    @property
    def rows(self) -> int:
        """Training rows it is made of."""
        return self.features[0].rows

    @property
    def holdout_rows(self) -> int:
        """Rows whose predictions it is made of."""
        return self.prediction[0].rows


def _check_name(name: str) -> None:
    _check(1 <= len(name) <= MAX_NAME and name.isprintable(), "name", f"must be 1 to {MAX_NAME} printable characters")


def _check_counts(what: str, counts: tuple[int, ...]) -> None:
    _check(all(count >= 0 for count in counts) and sum(counts) <= MAX_ROWS, what, "must be numbers of rows")


def _check(sound: bool, what: str, problem: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not sound:
        message = f"{what} {problem}"
        raise BaselineError(message)
