"""The evidence that is kept: bounded, and nothing of it lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modelwright_operator.decide import evidence
from modelwright_operator.decide.sequential import Counts, Stratum
from tests.verdicts.looks import seen, stratum

_COUNTS = st.builds(lambda requests, bad: Counts(requests, min(requests, bad)), st.integers(0, 500), st.integers(0, 9))
_LOOKS = st.lists(
    st.builds(Stratum, st.just(0), st.just(10), st.sampled_from([5, 5, 7, 600]), _COUNTS, _COUNTS), max_size=120
)
_STEPS = st.lists(st.integers(0, 3), max_size=120)


@given(_LOOKS, _STEPS)
def test_it_stays_small_and_nothing_is_lost(looks: list[Stratum], steps: list[int]) -> None:
    numbered = [
        Stratum(step, 10, look.seconds, look.stable, look.canary)
        for look, step in zip(looks, sorted(steps), strict=False)
    ]
    kept = seen(numbered)
    assert len(kept) <= evidence.MOST
    for step in {item.step for item in numbered}:
        before = [item for item in numbered if item.step == step]
        after = [item for item in kept if item.step == step]
        assert sum((item.canary for item in after), Counts()) == sum((item.canary for item in before), Counts())
        assert sum((item.stable for item in after), Counts()) == sum((item.stable for item in before), Counts())
        assert sum(item.seconds for item in after) == sum(item.seconds for item in before)


def test_strata_are_of_about_the_same_length_and_the_newest_are_short() -> None:
    kept = seen(stratum((225, 1), (25, 0)) for _ in range(720))
    lengths = [item.seconds for item in kept[:-8]]
    assert max(lengths) <= 4 * min(lengths)
    assert [item.seconds for item in kept[-8:]] == [5] * 8


def test_more_steps_than_strata_are_joined_all_the_same() -> None:
    kept = seen(stratum((225, 1), (25, 0), step=step) for step in range(40))
    assert len(kept) == evidence.MOST
    assert sum(item.canary.requests for item in kept) == 40 * 25
