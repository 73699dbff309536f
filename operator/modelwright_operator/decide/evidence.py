"""The evidence of a rollout as it is kept in status: a bounded number of strata, added to at each look.

The newest are as long as the looks; older ones are joined with their neighbours, the shortest first, so that all are
of about the same length. Nothing is lost but when within a stratum something happened. A look that comes late (the
operator was down) only makes a longer stratum: counters grow on, and the next look takes all they grew by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelwright_operator.decide.sequential import Stratum

MOST: Final = 32
"""Strata that are kept."""
_NEWEST: Final = 8  # that are kept as they came


def added(strata: Sequence[Stratum], look: Stratum, most: int = MOST) -> tuple[Stratum, ...]:
    """Return the evidence with what came since the last look: at most `most` strata, in the order of time.

    Args:
        strata: the evidence so far.
        look: what was counted since, all under one step and weight.
        most: strata that are kept. Those of different steps are joined only where every step has but one.
    """
    kept = [*strata, look]
    while len(kept) > most:
        index = _shortest_pair(kept)
        first, second = kept[index], kept[index + 1]
        kept[index : index + 2] = [first.joined(second)]
    return tuple(kept)


def _shortest_pair(strata: Sequence[Stratum]) -> int:
    """Return where the shortest pair of neighbours of one step begins, the newest strata aside if possible."""
    same = [index for index in range(len(strata) - 1) if strata[index].step == strata[index + 1].step]
    old = [index for index in same if index + 1 < len(strata) - _NEWEST]
    candidates = old or same or range(len(strata) - 1)
    return min(candidates, key=lambda index: strata[index].seconds + strata[index + 1].seconds)
