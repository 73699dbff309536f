"""How unlike a classifier of two classes treats groups, in fairlearn's terms.

    selection_rate         share of a group's rows that are said to be positive
    true_positive_rate     of its positive rows, the share that are said to be
    false_positive_rate    of its negative rows, the share that are said to be

`…_difference` is the greatest rate less the least one, `…_ratio` the least divided by the greatest. (fairlearn's
demographic_parity_difference is selection_rate_difference, its equal_opportunity_difference is
true_positive_rate_difference.)

The groups with the extreme rates are only found by looking, so an interval for their difference alone would be too
narrow: each pair of groups has one at a level that allows for their number (Bonferroni), and the true extremes are at
least as far apart as any pair surely is, and no farther than the pair that may be farthest.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Final

import numpy as np

from modelwright_training.classification import Classified
from modelwright_training.estimates import LEVEL, Array, Estimate, bracket, difference, proportion, ratio

LEAST_ROWS: Final = 30  # of the class that a rate is about

_Counts = tuple[int, int]


def _counts(rows: Classified, among: Array) -> _Counts:
    return int(np.sum(among & (rows.label == rows.positive))), int(among.sum())


RATES: Final[Mapping[str, Callable[[Classified], _Counts]]] = {
    "selection_rate": lambda rows: _counts(rows, np.ones(len(rows), bool)),
    "true_positive_rate": lambda rows: _counts(rows, rows.target == rows.positive),
    "false_positive_rate": lambda rows: _counts(rows, rows.target != rows.positive),
}


def rates(rows: Classified) -> dict[str, Estimate]:
    """Return the rates of one group that enough rows tell."""
    found = {name: count(rows) for name, count in RATES.items()}
    return {name: proportion(hits, among) for name, (hits, among) in found.items() if among >= LEAST_ROWS}


def disparities(groups: Sequence[Classified]) -> dict[str, Estimate]:
    """Return difference and ratio of each rate that two groups or more have."""
    found: dict[str, Estimate] = {}
    for name, count in RATES.items():
        counts = [pair for pair in map(count, groups) if pair[1] >= LEAST_ROWS]
        if len(counts) > 1:
            found[f"{name}_difference"] = _apart(counts)
            if (quotient := _quotient(counts)) is not None:
                found[f"{name}_ratio"] = quotient
    return found


def _pairs(counts: Sequence[_Counts]) -> list[tuple[Estimate, Estimate]]:
    """Return the rates of every pair of groups, greater first, at a level that allows for the number of pairs."""
    level = 1 - (1 - LEVEL) / (len(counts) * (len(counts) - 1) / 2)
    found = [proportion(*pair, level) for pair in counts]
    ordered = (sorted(pair, key=lambda item: -item.value) for pair in combinations(found, 2))
    return [(greater, less) for greater, less in ordered]


def _apart(counts: Sequence[_Counts]) -> Estimate:
    found = [difference(greater, less) for greater, less in _pairs(counts)]
    lows, highs = ([getattr(item, side) or 0.0 for item in found] for side in ("low", "high"))
    return bracket(max(item.value for item in found), max(lows), max(highs), 0, 1)


def _quotient(counts: Sequence[_Counts]) -> Estimate | None:
    """Return the least rate divided by the greatest; None where all are zero."""
    found = [ratio(less, greater) for greater, less in _pairs(counts) if greater.value > 0]
    if not found:
        return None
    lows, highs = ([getattr(item, side) or 0.0 for item in found] for side in ("low", "high"))
    return bracket(min(item.value for item in found), min(lows), min(highs), 0, 1)
