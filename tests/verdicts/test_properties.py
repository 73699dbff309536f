"""What holds for any evidence."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from modelwright_operator.decide.sequential import Counts, Stratum, above, below, log_e, relative_risk
from modelwright_operator.decide.verdict import Kind, Rules, Shadow, judge

_ANY = st.integers(0, 40) | st.integers(0, 10**9)


@st.composite
def _counts(draw: st.DrawFn) -> Counts:
    requests = draw(_ANY)
    return Counts(requests, draw(st.integers(0, requests) | st.integers(0, min(requests, 20))))


_STRATUM = st.builds(
    Stratum,
    st.integers(0, 3),
    st.sampled_from([0, 5, 50, 99, 100]),
    st.sampled_from([0, 5, 60]),
    _counts(),
    _counts(),
    st.integers(0, 20),
)
_STRATA = st.lists(_STRATUM, max_size=12).map(lambda items: tuple(sorted(items, key=lambda item: item.step)))
_INFLATION = st.floats(1, 50)
_BOUND = st.floats(0.2, 5)


@given(_STRATA, _BOUND, _INFLATION)
def test_every_number_is_one(strata: tuple[Stratum, ...], bound: float, inflation: float) -> None:
    for ratios in (above(strata, bound), below(strata, bound)):
        assert all(math.isfinite(ratio) for ratio in ratios)
        assert math.isfinite(log_e(ratios, inflation))


@given(_STRATA, _BOUND, _BOUND, _INFLATION)
def test_a_higher_bound_is_harder_to_exceed_and_easier_to_undercut(
    strata: tuple[Stratum, ...], one: float, two: float, inflation: float
) -> None:
    low, high = sorted((one, two))
    slack = 1e-6 * (1 + abs(log_e(above(strata, low), inflation)) + abs(log_e(below(strata, high), inflation)))
    assert log_e(above(strata, high), inflation) <= log_e(above(strata, low), inflation) + slack
    assert log_e(below(strata, low), inflation) <= log_e(below(strata, high), inflation) + slack


@given(_STRATUM, st.integers(1, 1000), _BOUND)
def test_another_bad_answer_speaks_against_the_arm_it_is_of(item: Stratum, more: int, bound: float) -> None:
    both = Counts(1000, 0) + item.canary, Counts(1000, 0) + item.stable
    before = replace(item, canary=both[0], stable=both[1])
    canary = replace(before, canary=replace(both[0], bad=min(both[0].bad + more, both[0].requests)))
    stable = replace(before, stable=replace(both[1], bad=min(both[1].bad + more, both[1].requests)))
    slack = 1e-9 * (1 + before.canary.requests + before.stable.requests)
    assert log_e(above([canary], bound)) >= log_e(above([before], bound)) - slack
    assert log_e(above([stable], bound)) <= log_e(above([before], bound)) + slack
    assert log_e(below([canary], bound)) <= log_e(below([before], bound)) + slack
    assert log_e(below([stable], bound)) >= log_e(below([before], bound)) - slack


@given(_counts(), _counts(), st.integers(1, 9), _BOUND)
def test_it_does_not_matter_how_evidence_of_one_split_is_cut(
    stable: Counts, canary: Counts, parts: int, bound: float
) -> None:
    whole = Stratum(0, 10, 60, stable, canary)
    part = Stratum(
        0,
        10,
        60 / parts,
        Counts(stable.requests / parts, stable.bad / parts),
        Counts(canary.requests / parts, canary.bad / parts),
    )
    for test in (above, below):
        for one, other in zip(test([whole], bound), test([part] * parts, bound), strict=True):
            assert math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-6)


@given(_STRATA, _BOUND, _INFLATION)
def test_of_one_bound_never_both_sides_are_certain(strata: tuple[Stratum, ...], bound: float, inflation: float) -> None:
    # A likelihood that is log-concave in the risk's logarithm cannot be higher on both sides than at the bound.
    assert log_e(above(strata, bound), inflation) <= 1e-5 or log_e(below(strata, bound), inflation) <= 1e-5


@given(_STRATA, _INFLATION)
def test_the_interval_says_what_the_tests_say(strata: tuple[Stratum, ...], inflation: float) -> None:
    interval = relative_risk(strata, 0.01, 0.05, inflation)
    exceeded = log_e(above(strata, 1.0), inflation) - math.log(100)
    undercut = log_e(below(strata, 1.5), inflation) - math.log(20)
    if abs(exceeded) > 0.05 and not 0.995 < interval.low < 1.005:
        assert (exceeded > 0) == (interval.low > 1)
    if abs(undercut) > 0.05 and not 1.49 < interval.high < 1.51:
        assert (undercut > 0) == (interval.high < 1.5)


@given(_STRATA, st.integers(0, 3), st.sampled_from([0, 10, 50, 100]), st.integers(0, 500), st.booleans())
def test_every_evidence_has_one_verdict(
    strata: tuple[Stratum, ...], step: int, weight: int, wanted: int, strict: bool
) -> None:
    rules = Rules(min_requests=wanted, tolerated_relative_risk=1.5 if strict else 1.0)
    verdict = judge(strata, rules, step, weight, Shadow(sent=9, failed=3, compared=6, agreed=5, seconds=4))
    assert verdict.message
    assert math.isfinite(verdict.e_rollback)
    assert math.isfinite(verdict.e_promote)
    assert verdict.relative_risk.low <= verdict.relative_risk.high
    assert verdict.inflation >= 1
    assert verdict.eta_seconds is None or verdict.eta_seconds >= 0
    answered = sum(item.canary.requests for item in strata if item.step == step)
    if verdict.kind is Kind.PROMOTE and weight:
        assert answered >= max(wanted, 1)
    if strict:
        assert verdict.e_rollback < 100 or verdict.e_promote < 20


@given(_STRATA, st.integers(0, 3))
def test_without_an_answer_of_the_canary_in_the_step_it_is_not_promoted(strata: tuple[Stratum, ...], step: int) -> None:
    silent = tuple(replace(item, canary=Counts()) if item.step == step else item for item in strata)
    assert judge(silent, Rules(), step, 10).kind is not Kind.PROMOTE
