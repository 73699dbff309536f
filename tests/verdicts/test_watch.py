"""What is promoted is watched, with nothing beside it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from modelwright_operator.decide.verdict import Kind, Rules
from modelwright_operator.decide.watch import watched
from modelwright_operator.reasons import Reason
from tests.verdicts.looks import seen, stratum

if TYPE_CHECKING:
    from modelwright_operator.decide.sequential import Stratum

BEFORE = seen(stratum((225, 2), (25, 0)) for _ in range(200))
PERFECT = seen(stratum((225, 0), (25, 0)) for _ in range(200))


def _after(*bad: int, times: int = 1) -> tuple[Stratum, ...]:
    return seen(stratum((0, 0), (250, count), step=1, weight=100) for count in bad * times)


def test_as_good_as_before_is_left_alone() -> None:
    verdict = watched(BEFORE, _after(2, 3, times=200), Rules())
    assert (verdict.kind, verdict.reason) == (Kind.UNDECIDED, Reason.COLLECTING_EVIDENCE)
    assert verdict.e_rollback < 1


@pytest.mark.parametrize(("bad", "looks"), [(8, 60), (20, 12), (60, 12)])
def test_worse_than_before_is_taken_back(bad: int, looks: int) -> None:
    verdict = watched(BEFORE, _after(bad, times=looks), Rules())
    assert (verdict.kind, verdict.reason) == (Kind.ROLLBACK, Reason.CANARY_WORSE)
    assert (
        f"{bad * looks} of {250 * looks} answers were bad since the promotion, 400 of 45000 before" in verdict.message
    )
    assert "more than 1.5 times as often" in verdict.message


def test_where_nothing_failed_before_little_is_enough() -> None:
    assert watched(PERFECT, _after(1, 0, times=60), Rules()).kind is Kind.ROLLBACK
    assert watched(PERFECT, _after(0, times=60), Rules()).kind is Kind.UNDECIDED


def test_one_that_answers_nothing_is_taken_back_at_the_second_look() -> None:
    assert watched(BEFORE, _after(2, 2, 250), Rules()).kind is Kind.UNDECIDED
    verdict = watched(BEFORE, _after(2, 2, 250, 250), Rules())
    assert (verdict.kind, verdict.reason) == (Kind.ROLLBACK, Reason.CANARY_BROKEN)
    assert "500 of 500 of its last answers were bad" in verdict.message


def test_however_long_it_was_fine() -> None:
    assert watched(BEFORE, _after(*[2] * 720, 250, 250), Rules()).reason is Reason.CANARY_BROKEN


def test_a_burst_of_one_client_is_not_enough() -> None:
    assert watched(BEFORE, _after(*[2] * 20, 40, *[2] * 3), Rules()).kind is Kind.UNDECIDED


def test_without_requests_nothing_is_said() -> None:
    assert watched(BEFORE, (), Rules()).reason is Reason.NO_TRAFFIC


def test_without_anything_before_only_a_breakdown_is_found() -> None:
    assert watched((), _after(100, times=50), Rules()).kind is Kind.UNDECIDED
    assert watched((), _after(250, times=5), Rules()).reason is Reason.CANARY_BROKEN


def test_an_equal_version_is_hardly_ever_taken_back_in_an_hour() -> None:
    chance = random.Random(11)

    def bad() -> int:
        return sum(chance.random() < 0.01 for _ in range(50))

    def taken_back() -> bool:
        before = seen(stratum((50, bad()), (0, 0), seconds=30) for _ in range(40))
        after: tuple[Stratum, ...] = ()
        for _ in range(40):
            look = stratum((0, 0), (50, bad()), step=1, weight=100, seconds=30)
            after = seen([*after, look])
            if watched(before, after, Rules()).kind is Kind.ROLLBACK:
                return True
        return False

    assert sum(taken_back() for _ in range(60)) <= 1
