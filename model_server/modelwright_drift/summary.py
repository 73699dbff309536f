"""From columns of rows to the features of a baseline; the same rows give the same bytes on any processor.

Moments are rounded to six significant digits, since processors differ in the last bits of sums; edges and extremes are
values of the data.
"""

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


def numeric(name: str, datatype: str, values: Array, *, ordered: bool = False) -> Numeric:
    """Summarise numbers [n] in the type the server receives, NaN for missing.

    Args:
        name: of the column or output.
        datatype: of its tensor.
        values: finite but for NaN, with one that is not NaN.
        ordered: whether the rows are in the order of time, so that their dependence can be estimated.
    """
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    present = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    edges = binning.edges(present)
    mean = float(np.mean(present, dtype=np.float64))
    plain = Numeric(
        name=name,
        datatype=datatype,
        edges=tuple(map(float, edges.tolist())),
        counts=tuple(np.diff([0, *np.searchsorted(np.sort(present), edges, "right"), len(present)]).tolist()),
        missing=len(values) - len(present),
        low=float(present.min()),
        high=float(present.max()),
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


def _rounded(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")
