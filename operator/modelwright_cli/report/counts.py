"""What a sidecar says it counted; read as if by an enemy, since whoever owns a pod may answer what he likes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

from modelwright_cli.objects import Json, number, part, parts, text, texts, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1
_MOST_FEATURES = 100
_MOST_PREDICTIONS = 2
_MOST_BINS = 64
_MOST_LINES = 64
_MOST_NAME = 256
_MOST_ROWS = 2**53
_EXTRA_NUMERIC = 3  # missing, below, above: see `modelwright_drift.counts`


class CountsError(ValueError):
    """This is no answer of a sidecar."""


@dataclass(frozen=True, slots=True)
class Column:
    """A feature or prediction: the baseline's bins, and what was counted on them.

    Attributes:
        name: its name.
        datatype: of its tensor.
        labels: of the bins.
        baseline: the baseline's rows in each bin.
        baseline_odd: the baseline's rows that are missing (a number) or unlisted (a category).
        closed: counts of the last closed window, if this replica closed one.
        opened: counts since.
        figures: what was found of the closed window.
        numeric: whether it is a number.
    """

    name: str
    datatype: str
    labels: tuple[str, ...]
    baseline: tuple[int, ...]
    baseline_odd: int
    closed: tuple[int, ...]
    opened: tuple[int, ...]
    figures: Mapping[str, Any]
    numeric: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """All that one replica says.

    Attributes:
        pod: its name, as the API server knows it.
        track: it is on.
        digest: of the version it counts.
        problem: what is wrong there.
        window: the last window that it closed; empty: none.
        lines: the windows that it closed, oldest first.
        rows: counted since.
        lost: since.
        features: columns.
        prediction: columns.
        left_out: features that are not shown.
    """

    pod: str
    track: str
    digest: str
    problem: str
    window: Json
    lines: tuple[Json, ...]
    rows: int
    lost: int
    features: tuple[Column, ...]
    prediction: tuple[Column, ...]
    left_out: int


def read(pod: str, document: Json) -> Answer:
    """Read a sidecar's answer.

    Raises:
        CountsError: it is none.
    """
    if document.get("format") != FORMAT:
        message = f"format {str(document.get('format'))[:20]!r} is not known: is this command of another release?"
        raise CountsError(message)
    window = part(document, "window")
    lines = parts(document, "lines")[-_MOST_LINES:]
    return Answer(
        pod=pod,
        track=text(document, "track")[:16],
        digest=text(document, "digest")[:80],
        problem=text(document, "problem")[:500],
        window=window,
        lines=tuple(line for line in lines if whole(line, "sequence") > 0 and number(line, "psi") is not None),
        rows=_rows(part(document, "open").get("rows")),
        lost=_rows(part(document, "open").get("lost")),
        features=_columns(document, "features", _MOST_FEATURES, closed=bool(window)),
        prediction=_columns(document, "prediction", _MOST_PREDICTIONS, closed=bool(window)),
        left_out=max(0, whole(document, "leftOut")),
    )


def _columns(document: Json, name: str, most: int, *, closed: bool) -> tuple[Column, ...]:
    items = parts(document, name)
    if len(items) > most:
        message = f"{name} are more than {most}"
        raise CountsError(message)
    return tuple(_column(item, closed=closed) for item in items)


def _column(item: Json, *, closed: bool) -> Column:
    name = text(item, "name")[:_MOST_NAME]
    numeric = item.get("type") == "Numeric"
    baseline = _counts(item, "baseline")
    labels = _ranges(item) if numeric else (*(label[:64] for label in texts(item, "categories")), "(other)")
    if not name or not baseline or len(labels) != len(baseline):
        message = f"the bins of {name[:40]!r} do not fit together"
        raise CountsError(message)
    extra = _EXTRA_NUMERIC if numeric else 1
    counted = {key: _counts(item, key) for key in ("closed", "open") if key == "open" or closed}
    if any(len(vector) != len(baseline) + extra for vector in counted.values()):
        message = f"the counts of {name[:40]!r} do not fit its bins"
        raise CountsError(message)
    return Column(
        name=name,
        datatype=text(item, "datatype")[:16],
        labels=labels,
        baseline=baseline,
        baseline_odd=_rows(item.get("missing" if numeric else "unlisted")),
        closed=counted.get("closed", ()),
        opened=counted["open"],
        figures=part(item, "figures"),
        numeric=numeric,
    )


def _ranges(item: Json) -> tuple[str, ...]:
    """Return the bins of a number in words."""
    found = item.get("edges")
    edges: list[float] = []
    for edge in cast("list[object]", found) if isinstance(found, list) else []:
        if isinstance(edge, bool) or not isinstance(edge, int | float) or not math.isfinite(edge):
            message = "an edge is no number"
            raise CountsError(message)
        edges.append(float(edge))
    if not edges:
        return ("all",)
    shown = [f"{edge:.4g}" for edge in edges]
    between = (f"{low} to {high}" for low, high in pairwise(shown))
    return (f"≤ {shown[0]}", *between, f"> {shown[-1]}")


def _counts(item: Json, name: str) -> tuple[int, ...]:
    found = item.get(name)
    numbers = cast("list[object]", found) if isinstance(found, list) else []
    if len(numbers) > _MOST_BINS:
        message = f"{name} has more than {_MOST_BINS} numbers"
        raise CountsError(message)
    return tuple(map(_rows, numbers))


def _rows(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MOST_ROWS:
        message = f"{str(value)[:40]!r} is no number of rows"
        raise CountsError(message)
    return value
