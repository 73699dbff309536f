"""How far failures come in clusters, from how unevenly they fall: a variance inflation factor, and windows to doubt.

Ten errors of one client are one mishap, not ten. What such clusters do is make counts vary more than single
failures would, and how much more can be seen:

- between neighbouring stretches of time, how do the bad answers of one arm split? Single ones do in proportion to the
  requests (hypergeometrically); clusters fall on one side. Known early, but an outage of something both arms
  need looks like a cluster, too;
- between neighbouring stretches, how do the bad answers *of both arms* split between the arms? That is what the test
  rests on, and it does not mind when everything fails at once. It needs more failures to be known.

So the first is where the estimate starts, and the second takes over as it becomes known, each on several scales of
time, since a cluster may be longer than a stretch. Only neighbours are compared, so that slow changes cancel.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from modelwright_operator.decide.sequential import Stratum

_ASSUMED: Final = 8.0  # before anything is known; a dozen failures that came one by one bring it down to 1
_WEIGHT_IN_TIME: Final = 4.0  # of what was known before, in pairs of stretches
_WEIGHT_BETWEEN_ARMS: Final = 8.0
_SLOW_SECONDS: Final = 60.0  # between longer stretches the service itself changes
_WITHIN_ERROR: Final = 1.5  # single failures are estimated up to here by chance; the tests have that much to spare
_SCALES: Final = (1, 2, 4, 8)  # stretches taken together

WINDOW_SECONDS: Final = 30.0
"""A cluster is thought to last no longer than this."""
_PART_OF_ALL: Final = 8  # a longer stretch counts as a window if it is no more than this part of the time


@dataclass(frozen=True)
class _Pair:
    """Neighbouring stretches: how many they are out of how many, and how many of these are marked."""

    first: float
    second: float
    first_marked: float
    second_marked: float

    @property
    def spread(self) -> tuple[float, float]:
        """The squared distance of `first_marked` from its expectation, and the variance of single failures."""
        both, marked = self.first + self.second, self.first_marked + self.second_marked
        if both <= 1:
            return 0.0, 0.0
        distance = self.first_marked - self.first * marked / both
        variance = self.first / both * (self.second / both) * marked * ((both - marked) / (both - 1))
        return distance * distance, max(variance, 0.0)


def inflation(strata: Sequence[Stratum]) -> float:
    """Return how many times more the split of bad answers varies than for single ones; 1 at least.

    Args:
        strata: in the order of time. Steps are not compared with each other.
    """
    steps = [list(items) for _, items in groupby(strata, key=lambda item: item.step)]
    estimate = _ASSUMED
    for scale in _SCALES:
        joined = [list(_together(items, scale)) for items in steps]
        estimate = _updated(estimate, _WEIGHT_IN_TIME, _in_time(joined))
    for scale in _SCALES:
        joined = [list(_together(items, scale)) for items in steps]
        estimate = _updated(estimate, _WEIGHT_BETWEEN_ARMS, _between_arms(joined))
    return estimate if estimate > _WITHIN_ERROR else 1.0


def windows(strata: Sequence[Stratum]) -> Iterator[slice]:
    """Yield the longest windows in which a cluster may lie: each begins with another stratum."""
    seconds = [item.seconds for item in strata]
    longest = max(WINDOW_SECONDS, sum(seconds) / _PART_OF_ALL)
    for start in range(len(strata)):
        end, length = start, 0.0
        while end < len(strata) and length + seconds[end] <= WINDOW_SECONDS:
            length += seconds[end]
            end += 1
        if end > start:
            yield slice(start, end)
        elif seconds[start] <= longest:
            yield slice(start, start + 1)


def _updated(before: float, weight: float, pairs: Iterable[_Pair]) -> float:
    """Return the estimate with these pairs; each counts by what it can tell."""
    distances = variances = squares = 0.0
    for pair in pairs:
        distance, variance = pair.spread
        distances += distance
        variances += variance
        squares += variance * variance
    if squares <= 0:
        return before
    effective = variances * variances / squares
    return (effective * (distances / variances) + weight * before) / (effective + weight)


def _together(items: Sequence[Stratum], scale: int) -> Iterator[Stratum]:
    """Yield every `scale` strata as one, the newest in full."""
    start = len(items) % scale
    if start:
        yield _joined(items[:start])
    for begin in range(start, len(items), scale):
        yield _joined(items[begin : begin + scale])


def _joined(items: Sequence[Stratum]) -> Stratum:
    result = items[0]
    for item in items[1:]:
        result = result.joined(item)
    return result


def _in_time(steps: Iterable[Sequence[Stratum]]) -> Iterator[_Pair]:
    for items in steps:
        for one, two in pairwise(items):
            if max(one.seconds, two.seconds) > _SLOW_SECONDS:
                continue
            yield _Pair(one.canary.requests, two.canary.requests, one.canary.bad, two.canary.bad)
            yield _Pair(one.stable.requests, two.stable.requests, one.stable.bad, two.stable.bad)


def _between_arms(steps: Iterable[Sequence[Stratum]]) -> Iterator[_Pair]:
    for items in steps:
        for one, two in pairwise(items):
            yield _Pair(
                one.canary.bad + one.stable.bad, two.canary.bad + two.stable.bad, one.canary.bad, two.canary.bad
            )
