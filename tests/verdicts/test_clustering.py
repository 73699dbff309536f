"""How clusters of failures show, and what is held against them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from modelwright_operator.decide.clustering import inflation, windows
from tests.verdicts.looks import seen, stratum

if TYPE_CHECKING:
    from modelwright_operator.decide.sequential import Stratum


def _looks(cluster: int, seed: int, count: int = 200, both: bool = False) -> list[Stratum]:
    """Failures at 1 % of 50 requests a second, in clusters within a look; `both`: clusters that hit both arms alike."""
    chance = random.Random(seed)
    looks = []
    for _ in range(count):
        stable = canary = 0
        if both and chance.random() < 2.5 / cluster:
            canary = sum(chance.random() < 0.1 for _ in range(cluster))
            stable = cluster - canary
        elif not both:
            stable = sum(cluster for _ in range(225) if chance.random() < 0.01 / cluster)
            canary = sum(cluster for _ in range(25) if chance.random() < 0.01 / cluster)
        looks.append(stratum((225, min(stable, 225)), (25, min(canary, 25))))
    return looks


def _typical(cluster: int, both: bool = False) -> float:
    found = sorted(inflation(seen(_looks(cluster, seed, both=both))) for seed in range(21))
    return found[10]


def test_single_failures_are_not_inflated() -> None:
    assert _typical(1) < 1.2


def test_clusters_inflate_by_about_their_size() -> None:
    assert 7 < _typical(10) < 13


def test_failures_of_both_arms_at_once_are_no_clusters() -> None:
    assert _typical(10, both=True) < 2


def test_before_anything_is_known_clusters_are_assumed() -> None:
    assert inflation([]) == 8
    assert inflation([stratum((225, 0), (25, 0))]) == 8


def test_a_dozen_failures_one_by_one_lift_that() -> None:
    quiet, one = stratum((225, 0), (25, 0)), stratum((225, 1), (25, 0))
    assert inflation([one, quiet, quiet] * 12) < 1.5


def test_steps_are_not_compared_with_each_other() -> None:
    few = [stratum((225, 1), (25, 0), step=0)] * 16
    many = [stratum((225, 40), (25, 5), step=1)] * 16
    assert inflation([*few, *many]) == 1


def test_what_changes_within_minutes_is_no_cluster() -> None:
    waves = [stratum((4500, 20 if index % 2 else 70), (500, 2 if index % 2 else 8), seconds=100) for index in range(16)]
    assert inflation(waves) < 2


def test_a_window_is_half_a_minute() -> None:
    found = list(windows([stratum((9, 0), (1, 0), seconds=10)] * 5))
    assert found == [slice(0, 3), slice(1, 4), slice(2, 5), slice(3, 5), slice(4, 5)]


def test_a_longer_stretch_is_a_window_if_it_is_a_small_part() -> None:
    long = [stratum((9, 0), (1, 0), seconds=60)]
    assert list(windows(long * 4)) == []
    assert list(windows(long * 8)) == [slice(index, index + 1) for index in range(8)]
