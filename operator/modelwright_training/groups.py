"""How the model does on each group of the holdout's slices, and how unlike it treats them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelwright_training import fairness
from modelwright_training.classification import Classified
from modelwright_training.contract import Metric
from modelwright_training.measure import Answers, measure, metric
from modelwright_training.slices import Slice
from modelwright_training.strict_json import encode


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one group, and their metrics; None: they are too few to be measured."""

    name: str
    rows: int
    metrics: tuple[Metric, ...] | None


@dataclass(frozen=True, slots=True)
class Measured:
    """A slice: its groups, and differences and ratios between them, for two classes."""

    column: str
    groups: tuple[Group, ...]
    disparities: tuple[Metric, ...]


def measured(answers: Answers, slices: Sequence[Slice], least: int) -> tuple[Measured, ...]:
    """Measure every group that has at least so many rows."""
    return tuple(_measured(answers, item, least) for item in slices)


def document(found: Sequence[Measured]) -> list[dict[str, Any]]:
    """Return what metrics.json has of the slices."""
    return [
        {
            "column": item.column,
            "groups": [
                {"name": group.name, "rows": group.rows}
                | ({"tooSmall": True} if group.metrics is None else {"metrics": encode(group.metrics)})
                for group in item.groups
            ],
            "disparities": encode(item.disparities),
        }
        for item in found
    ]


def observed(found: Sequence[Measured]) -> dict[tuple[str, str], Mapping[str | None, float]]:
    """Return the values that gates judge, by metric and slice: one for each group, or for None what is between them."""
    values: dict[tuple[str, str], dict[str | None, float]] = {}
    for item in found:
        for group in item.groups:
            for known in group.metrics or ():
                values.setdefault((known.name, item.column), {})[group.name] = known.value
        for known in item.disparities:
            values[known.name, item.column] = {None: known.value}
    return dict(values)


def _measured(answers: Answers, item: Slice, least: int) -> Measured:
    parts = [answers.take(np.flatnonzero(item.group == index)) for index in range(len(item.names))]
    large = [part for part in parts if len(part) >= least]
    groups = tuple(
        Group(name, len(part), _metrics(part) if len(part) >= least else None)
        for name, part in zip(item.names, parts, strict=True)
        if len(part)
    )
    return Measured(item.column, groups, _disparities(large))


def _metrics(rows: Answers) -> tuple[Metric, ...]:
    rates = fairness.rates(rows) if isinstance(rows, Classified) and rows.is_binary else {}
    return (*measure(rows), *(metric(name, rate) for name, rate in rates.items()))


def _disparities(groups: Sequence[Answers]) -> tuple[Metric, ...]:
    binary = [part for part in groups if isinstance(part, Classified) and part.is_binary]
    return tuple(metric(name, found) for name, found in fairness.disparities(binary).items())
