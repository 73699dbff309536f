"""From columns of rows to the features of a baseline; the same rows give the same bytes on any processor.

Moments are rounded to six significant digits, since processors differ in the last bits of sums.  Edges and extremes of
given values are such values; those of computed ones, a model's predictions, lie between and around them with as few
digits as that takes, so that last bits neither change the bytes nor move equal predictions to another bin.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from modelwright_drift import binning, counts, divergence
from modelwright_drift.baseline import (
    CATEGORIES,
    KNOWN,
    LEAST_ROWS,
    MAX_VIF,
    Categorical,
    Inflation,
    Numeric,
)

Array = npt.NDArray[Any]

CHUNKS = 40  # at most, of the rows in the order of time
LEAST_CHUNKS = 8  # with fewer, an estimated inflation says too little
CHUNK_ROWS = 100  # at least
_DIGITS = 6
_EXACT_DIGITS = 18  # of a double


def numeric(name: str, datatype: str, values: Array, *, ordered: bool = False, computed: bool = False) -> Numeric:
    """Summarise numbers [n] in the type the server receives, NaN for missing.

    Args:
        name: of the column or output.
        datatype: of its tensor.
        values: finite but for NaN.
        ordered: whether the rows are in the order of time, so that their dependence can be estimated.
        computed: whether they are a model's predictions.
    """
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    present = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    if not len(present):
        return Numeric(name, datatype, (), (0,), len(values), 0.0, 0.0, 0.0, 0.0)
    edges = binning.edges(present)
    low, high = _shortest(present.min()), _shortest(present.max())
    if computed:
        edges = _between(edges, np.unique(present))
        low, high = _rounded(low, down=True), _rounded(high, up=True)
    mean = float(np.mean(present, dtype=np.float64))
    plain = Numeric(
        name=name,
        datatype=datatype,
        edges=tuple(map(_shortest, edges)),
        counts=tuple(
            np.diff(
                [0, *np.searchsorted(np.sort(present), edges.astype(present.dtype), "right"), len(present)]
            ).tolist()
        ),
        missing=len(values) - len(present),
        low=low,
        high=high,
        mean=_rounded(mean),
        deviation=_rounded(float(np.sqrt(np.mean((present.astype(np.float64) - mean) ** 2)))),
    )
    if not ordered:
        return plain
    bins = len(plain.counts)
    parts = [counts.count_numbers(plain, chunk)[:bins] for chunk in _chunks(present)]
    inflated = inflation(parts, plain.shares, plain.values)
    return replace(plain, inflation=inflated)


def categorical(name: str, datatype: str, values: Iterable[str], *, ordered: bool = False) -> Categorical:
    """Summarise categories as texts; the arguments are those of `numeric`."""
    texts = [counts.cut(value) for value in values]
    rows = Counter(texts)
    ranked = sorted(rows.items(), key=_most_first)
    listed = [(text, count) for text, count in ranked if count >= LEAST_ROWS]
    own, further = listed[:CATEGORIES], listed[CATEGORIES : CATEGORIES + KNOWN]
    unlisted = sum(count for _, count in ranked if count <= LEAST_ROWS)
    unlisted += sum(count for _, count in listed[CATEGORIES + KNOWN :] if count > LEAST_ROWS)
    plain = Categorical(
        name=name,
        datatype=datatype,
        categories=tuple(text for text, _ in own),
        counts=tuple(count for _, count in own),
        known=tuple(sorted(text for text, _ in further)),
        other=len(texts) - sum(count for _, count in own),
        unlisted=unlisted,
    )
    if not ordered:
        return plain
    bins = len(plain.counts) + 1
    chunks = _chunks(np.array(texts, dtype=object))
    inflated = inflation([counts.count_categories(plain, chunk)[:bins] for chunk in chunks], plain.shares, plain.rows)
    return replace(plain, inflation=inflated)


def inflation(parts: Sequence[npt.NDArray[np.int64]], shares: tuple[float, ...], rows: int) -> Inflation:
    """Estimate how much more chunks of a baseline differ from it than independent rows would.

    VIF = max(1, mean over chunks of χ² / (B-1)), where a chunk of c out of N rows drawn without order has
    E χ² = (B-1) (N-c) / (N-1).

    Args:
        parts: counts of each chunk of rows in the order of time.
        shares: of the bins.
        rows: in all of the baseline.
    """
    if len(parts) < LEAST_CHUNKS or len(shares) < 2:  # noqa: PLR2004 - one bin has no shape
        return Inflation()
    ratios: list[float] = []
    for part in parts:
        size = int(part.sum())
        live, expected = divergence.pooled(part, np.array(shares), size)
        if len(expected) > 1:
            ratio = float(np.sum((live - size * expected) ** 2 / (size * expected))) / (len(expected) - 1)
            ratios.append(ratio * (rows - 1) / (rows - size))
    if len(ratios) < LEAST_CHUNKS:
        return Inflation()
    return Inflation(_rounded(min(max(1.0, float(np.mean(ratios))), MAX_VIF)), len(ratios))


def _chunks(values: Array) -> list[Array]:
    """Cut rows into stretches of equal length, as many as allowed."""
    count = min(CHUNKS, len(values) // CHUNK_ROWS)
    return np.array_split(values, count) if count >= LEAST_CHUNKS else []


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return (-item[1], item[0])


def _between(edges: Array, distinct: Array) -> Array:
    """Move each edge, itself a value, to between it and the next value."""
    found: list[float] = []
    for edge, following in zip(edges, distinct[np.searchsorted(distinct, edges, "right")], strict=True):
        middle = (float(edge) + float(following)) / 2
        short = (float(f"{middle:.{digits}g}") for digits in range(_DIGITS, _EXACT_DIGITS))
        found.append(next((number for number in short if edge < distinct.dtype.type(number) < following), float(edge)))
    return np.array(found)


def _shortest(value: np.generic) -> float:
    """Return the decimal with the fewest digits that is this value in its own type: 0.1 for float32's nearest to it."""
    return float(str(value))


def _rounded(number: float, *, up: bool = False, down: bool = False) -> float:
    """Round to six significant digits; up or down by one more in the last place if that is needed to get there."""
    near = float(f"{number:.{_DIGITS}g}")
    if (up and near <= number) or (down and near >= number):
        step = 10.0 ** (math.floor(math.log10(abs(near))) - _DIGITS + 1) if near else 10.0**-_DIGITS
        near = float(f"{near + (step if up else -step):.{_DIGITS}g}")
    return near
