"""What the evidence leads to, and what is said about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from modelwright_operator.decide.verdict import STICKY_SHARE_TOLERANCE, Kind, Rules, Shadow, Verdict, judge
from modelwright_operator.reasons import Reason
from tests.verdicts.looks import seen, stratum

if TYPE_CHECKING:
    from modelwright_operator.decide.sequential import Stratum

RULES = Rules(min_requests=200)
FINE = stratum((225, 2), (25, 0))
EQUAL = [stratum((225, 2), (25, 1 if index % 4 == 0 else 0)) for index in range(600)]
WORSE = [stratum((225, 2), (25, 2)) for _ in range(60)]


def _judged(looks: list[Stratum], rules: Rules = RULES, **more: object) -> Verdict:
    arguments = {"step": looks[-1].step if looks else 0, "weight": looks[-1].weight if looks else 10} | more
    return judge(seen(looks), rules, **arguments)  # type: ignore[arg-type]


def _said(verdict: Verdict) -> tuple[Kind, Reason]:
    return verdict.kind, verdict.reason


def test_a_canary_that_fails_more_often_is_rolled_back_with_the_numbers() -> None:
    verdict = _judged(WORSE)
    assert _said(verdict) == (Kind.ROLLBACK, Reason.CANARY_WORSE)
    assert "120 of 1500 of the canary's answers were bad, 120 of 13500 of stable's: risk ratio" in verdict.message
    assert "worse than stable (limit 100)" in verdict.message
    assert verdict.e_rollback >= 100
    assert verdict.relative_risk.low > 1
    assert verdict.eta_seconds is None


def test_an_equal_canary_is_promoted() -> None:
    verdict = _judged(EQUAL)
    assert _said(verdict) == (Kind.PROMOTE, Reason.CANARY_NOT_WORSE)
    assert verdict.e_promote >= 20
    assert verdict.relative_risk.high < 1.5
    assert verdict.share_percent == 10


def test_too_little_evidence_is_waited_for_and_for_how_long_is_said() -> None:
    verdict = _judged(EQUAL[:60])
    assert _said(verdict) == (Kind.UNDECIDED, Reason.COLLECTING_EVIDENCE)
    assert verdict.eta_seconds is not None
    assert 60 < verdict.eta_seconds < 3600


def test_the_time_left_is_about_right() -> None:
    verdict = _judged(EQUAL[:100])
    assert verdict.eta_seconds is not None
    later = 100 + verdict.eta_seconds // 5
    assert _judged(EQUAL[: later - 40]).kind is Kind.UNDECIDED
    assert _judged(EQUAL[: later + 40]).kind is Kind.PROMOTE


def test_without_requests_nothing_is_promoted() -> None:
    assert _said(_judged([])) == (Kind.INCONCLUSIVE, Reason.NO_TRAFFIC)
    assert _said(_judged([stratum((0, 0), (0, 0))] * 50)) == (Kind.INCONCLUSIVE, Reason.NO_TRAFFIC)


def test_requests_of_an_earlier_step_do_not_count_for_this_one() -> None:
    verdict = _judged(EQUAL, step=1, weight=50)
    assert _said(verdict) == (Kind.INCONCLUSIVE, Reason.NO_TRAFFIC)
    verdict = _judged([*EQUAL, stratum((25, 0), (25, 0), step=1, weight=50)])
    assert _said(verdict) == (Kind.INCONCLUSIVE, Reason.INSUFFICIENT_SAMPLES)
    assert "25 requests were answered by the canary, 175 fewer than minRequests 200" in verdict.message
    assert verdict.eta_seconds == 35


def test_evidence_of_earlier_steps_counts_for_the_comparison() -> None:
    verdict = _judged([*EQUAL, *[stratum((25, 0), (25, 0), step=1, weight=50)] * 8])
    assert _said(verdict) == (Kind.PROMOTE, Reason.CANARY_NOT_WORSE)


def test_a_canary_that_turns_bad_in_a_later_step_is_rolled_back() -> None:
    verdict = _judged([*EQUAL, *[stratum((125, 1), (125, 8), step=1, weight=50)] * 24])
    assert _said(verdict) == (Kind.ROLLBACK, Reason.CANARY_WORSE)


def _breaking(weight: float) -> list[Stratum]:
    """Ten seconds of a canary that answers nothing: twenty failures, then the breaker lets one request through."""
    canary = 2.5 * weight
    return [
        stratum((250 - canary, 0), (20, 20), weight=weight, skipped=canary - 20),
        stratum((249, 0), (1, 1), weight=weight, skipped=canary - 1),
    ]


def test_a_canary_whose_every_answer_is_bad_is_rolled_back_at_the_next_look() -> None:
    first, second = _breaking(10)
    suspected = _judged([*EQUAL, first])
    assert _said(suspected) == (Kind.INCONCLUSIVE, Reason.COLLECTING_EVIDENCE), "no step ends on this"
    assert "20 of 20 of the canary's last answers were bad: the next look tells" in suspected.message
    verdict = _judged([*EQUAL, first, second])
    assert _said(verdict) == (Kind.ROLLBACK, Reason.CANARY_BROKEN)
    assert "21 of 21 of its last answers were bad, 0 of 474 of stable's" in verdict.message


@pytest.mark.parametrize("weight", [10, 50, 90, 99, 100])
def test_at_any_weight(weight: int) -> None:
    looks = [stratum((250 - 2.5 * weight, 0), (2.5 * weight, 0), weight=weight)] * 100
    assert _said(_judged([*looks, *_breaking(weight)])) == (Kind.ROLLBACK, Reason.CANARY_BROKEN)


def test_a_canary_that_nothing_is_sent_to_any_more_is_broken_as_well() -> None:
    silent = stratum((250, 0), (0, 0), skipped=25)
    assert _said(_judged([*EQUAL, _breaking(10)[0], silent])) == (Kind.ROLLBACK, Reason.CANARY_BROKEN)


def test_what_fails_for_both_is_not_the_canarys_fault() -> None:
    outage = [stratum((225, 225), (25, 25))] * 12
    assert _judged([*EQUAL[:200], *outage]).kind is not Kind.ROLLBACK


def test_a_burst_of_one_client_is_not_enough() -> None:
    verdict = _judged([*[FINE] * 20, stratum((225, 2), (45, 20)), *[FINE] * 5])
    assert verdict.kind is not Kind.ROLLBACK


@pytest.mark.parametrize("stable_bad", [0, 3])
def test_a_canary_with_hardly_any_bad_answer_needs_no_comparison(stable_bad: int) -> None:
    verdict = _judged([stratum((225, stable_bad if index < 2 else 0), (25, 0)) for index in range(24)])
    assert verdict.kind is Kind.PROMOTE
    if not stable_bad:
        assert verdict.reason is Reason.FEW_BAD_ANSWERS
        assert "0 of 600 of the canary's answers were bad: certainly fewer than the 1 % that are tolerated" in (
            verdict.message
        )


def test_what_is_tolerated_can_be_less() -> None:
    looks = [stratum((225, 0), (25, 0))] * 24
    verdict = _judged(looks, Rules(min_requests=200, tolerated_bad_percent=0.1))
    assert verdict.kind is Kind.UNDECIDED
    assert verdict.eta_seconds is not None


def test_a_wrong_share_of_the_traffic_is_not_judged() -> None:
    verdict = _judged([stratum((200, 2), (50, 0))] * 40)
    assert _said(verdict) == (Kind.INCONCLUSIVE, Reason.TRAFFIC_SHARE_MISMATCH)
    assert "20 % of the requests went to the canary, 10 % were to" in verdict.message


def test_the_canary_is_not_reached_at_all() -> None:
    assert _said(_judged([stratum((250, 2), (0, 0))] * 10)) == (Kind.INCONCLUSIVE, Reason.TRAFFIC_SHARE_MISMATCH)


def test_users_differ_in_how_much_they_ask() -> None:
    rules = Rules(min_requests=200, share_tolerance=STICKY_SHARE_TOLERANCE)
    assert _judged([stratum((200, 2), (50, 0))] * 40, rules).kind is Kind.PROMOTE


def test_what_the_breaker_kept_from_the_canary_was_its_share() -> None:
    verdict = _judged([stratum((235, 2), (15, 0), skipped=10)] * 40)
    assert verdict.reason is not Reason.TRAFFIC_SHARE_MISMATCH


def test_predictions_that_disagree_count_only_where_that_is_asked_for() -> None:
    disagreeing = Shadow(sent=2000, compared=2000, agreed=1800, seconds=100)
    assert _judged([], weight=0, shadow=disagreeing).kind is Kind.PROMOTE
    verdict = _judged([], Rules(min_agreement=0.95), weight=0, shadow=disagreeing)
    assert _said(verdict) == (Kind.ROLLBACK, Reason.PREDICTIONS_DISAGREE)
    assert "1800 of 2000 predictions agreed with stable's, fewer than minAgreement 0.95" in verdict.message


@pytest.mark.parametrize("agreed", [1890, 1905, 2000])
def test_a_little_disagreement_is_chance(agreed: int) -> None:
    shadow = Shadow(sent=2000, compared=2000, agreed=agreed, seconds=100)
    assert _judged([], Rules(min_agreement=0.95), weight=0, shadow=shadow).kind is Kind.PROMOTE


def test_copies_are_waited_for_in_a_shadow_step() -> None:
    assert _said(_judged([], weight=0)) == (Kind.INCONCLUSIVE, Reason.NO_TRAFFIC)
    verdict = _judged([], weight=0, shadow=Shadow(sent=60, compared=50, agreed=50, seconds=10))
    assert _said(verdict) == (Kind.INCONCLUSIVE, Reason.INSUFFICIENT_SAMPLES)
    assert verdict.eta_seconds == 30


def test_a_canary_that_fails_its_copies_is_rolled_back() -> None:
    verdict = _judged([], weight=0, shadow=Shadow(sent=40, failed=40, seconds=5))
    assert _said(verdict) == (Kind.ROLLBACK, Reason.CANARY_BROKEN)
    assert "40 of 40 copies failed" in verdict.message


def test_one_that_fails_some_is_not_promoted() -> None:
    verdict = _judged([], weight=0, shadow=Shadow(sent=4000, failed=200, compared=3800, agreed=3800, seconds=50))
    assert verdict.kind is Kind.UNDECIDED


def test_where_nothing_but_worse_than_allowed_may_be_rolled_back_less_is_found() -> None:
    looks = [stratum((225, 2), (25, 1 if index % 3 == 0 else 0)) for index in range(1200)]  # 1.5 times
    strict = Rules(min_requests=200, tolerated_relative_risk=1.5)
    assert _judged(looks).kind is Kind.ROLLBACK
    assert _judged(looks, strict).kind is Kind.UNDECIDED


def test_a_tolerance_above_what_is_allowed_makes_no_sense() -> None:
    with pytest.raises(ValueError, match=r"tolerated_relative_risk 2 is above 1\.5"):
        Rules(tolerated_relative_risk=2)
