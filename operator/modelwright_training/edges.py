"""Rows that no holdout is sure to have.

Extremes, midpoints between neighbouring values (where trees split), large whole numbers, missing values, unseen
categories.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from modelwright_training.features import Array, Kind, Values

MAX_COLUMNS = 200  # one after the other; beyond, only all together
EXACT_WHOLE = 2**24  # the largest whole number below which float32 has them all
_QUANTILES = (0.2, 0.4, 0.6, 0.8)
MISSING = "missing value"  # this group's name
UNSEEN = "\u2047 unseen"  # beyond ASCII, so that its encoding is tested as well


def groups(train: Values) -> Iterator[tuple[str, Values]]:
    """Yield named groups of rows, made from the training rows' medians."""
    yield "extreme", _extremes(train)
    for group, rows in (("midpoint", _midpoints(train)), ("large whole number", _large(train))):
        if len(rows):
            yield group, rows
    yield MISSING, _missing(train)
    if train.features.categorical:
        yield "unseen category", _unseen(train)


def _base(train: Values) -> tuple[npt.NDArray[np.float64], Array]:
    """Return a plain row: medians, whole where the feature is, and the first row's texts."""
    numbers = np.nanmedian(train.numbers, axis=0) if train.numbers.shape[1] else train.numbers[0]
    return np.where(_whole(train), np.round(numbers), numbers), train.texts[0].copy()


def _whole(train: Values) -> npt.NDArray[np.bool_]:
    return np.array([feature.kind is not Kind.FLOAT for feature in train.features.numeric], dtype=bool)


def _varied(train: Values, numbers: list[npt.NDArray[np.float64]], texts: list[Array] | None = None) -> Values:
    """Put each vector of numbers (and of texts) in place of the base's, all columns together and one after the other.

    NaN in a vector of numbers means missing; infinity means: leave this column alone.
    """
    base_numbers, base_texts = _base(train)
    rows: list[tuple[npt.NDArray[np.float64], Array]] = []
    for vector in numbers:
        changed = np.flatnonzero(~np.isinf(vector))
        rows.extend((_replaced(base_numbers, vector, columns), base_texts) for columns in _choices(changed))
    for vector in texts or []:
        changed = np.arange(len(vector))
        rows.extend((base_numbers, _replaced(base_texts, vector, columns)) for columns in _choices(changed))
    if not rows:
        return train.take(np.empty(0, dtype=np.int64))
    return Values(train.features, np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows]))


def _choices(columns: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    return [columns, *(columns[[index]] for index in range(min(len(columns), MAX_COLUMNS)))] if len(columns) else []


def _replaced(base: Array, vector: Array, columns: npt.NDArray[np.int64]) -> Array:
    row = base.copy()
    row[columns] = vector[columns]
    return row


def _extremes(train: Values) -> Values:
    if not train.numbers.shape[1]:
        return train.take(np.arange(1))
    return _varied(train, [np.nanmin(train.numbers, axis=0), np.nanmax(train.numbers, axis=0)])


def _midpoints(train: Values) -> Values:
    """Put each number between two neighbouring training values, at some quantiles; whole numbers have no between."""
    vectors = np.full((len(_QUANTILES), train.numbers.shape[1]), np.inf)
    for index, feature in enumerate(train.features.numeric):
        known = np.unique(train.numbers[:, index].astype(np.float32)).astype(np.float64)
        known = known[~np.isnan(known)]
        if len(known) > 1 and (feature.kind is Kind.FLOAT or train.features.is_matrix):
            places = (np.array(_QUANTILES) * (len(known) - 1)).astype(np.int64)
            vectors[:, index] = (known[places] + known[places + 1]) / 2
    return _varied(train, list(vectors))


def _large(train: Values) -> Values:
    """Step by one around the extremes of columns whose whole numbers float32 cannot all hold."""
    if not train.numbers.shape[1]:
        return train.take(np.empty(0, dtype=np.int64))
    low, high = np.nanmin(train.numbers, axis=0), np.nanmax(train.numbers, axis=0)
    large = np.maximum(np.abs(low), np.abs(high)) > EXACT_WHOLE
    steps: list[npt.NDArray[np.float64]] = [low + 1, high - 1, np.floor((low + high) / 2) + 1]
    return _varied(train, [np.where(large, step, np.inf) for step in steps])


def _missing(train: Values) -> Values:
    """Take values away in every input that can say so: all together, and one after the other."""
    possible = ~_whole(train) if not train.features.is_matrix else np.ones(train.numbers.shape[1], dtype=bool)
    texts = np.array(["" for _ in train.features.categorical], dtype=object)
    wholes = [feature.kind is Kind.INTEGER for feature in train.features.categorical]
    texts = np.where(wholes, train.texts[0], texts) if len(texts) else texts
    return _varied(train, [np.where(possible, np.nan, np.inf)], [texts])


def _unseen(train: Values) -> Values:
    vector = [
        str(max(map(int, train.texts[:, index])) + 1) if feature.kind is Kind.INTEGER else UNSEEN
        for index, feature in enumerate(train.features.categorical)
    ]
    return _varied(train, [], [np.array(vector, dtype=object)])
