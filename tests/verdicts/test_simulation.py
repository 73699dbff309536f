"""What the verdicts promise, in thousands of simulated rollouts looked at every five seconds.

`make bench-verdicts` simulates more of them, and prints the table of docs/benchmarks.md.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.verdicts import scenarios
from tests.verdicts.simulation import Outcome, Scenario, simulate

RUNS = 2000


def _simulated(scenario: Scenario, *, stop: bool = True) -> Outcome:
    outcome = simulate(scenario, RUNS, seed=20_261_121, stop=stop)
    assert not outcome.mismatches, "the simulation is not what the modules do"
    return outcome


@pytest.mark.parametrize(
    "scenario", [scenarios.EQUAL, scenarios.STICKY_STEPS, scenarios.TOLERATED], ids=lambda scenario: scenario.name
)
def test_a_canary_as_good_as_tolerated_is_hardly_ever_rolled_back(scenario: Scenario) -> None:
    assert _simulated(scenario, stop=False).ever_rolled_back <= 0.01


def test_an_equal_canary_is_promoted() -> None:
    outcome = _simulated(replace(scenarios.EQUAL, looks=360))
    assert outcome.first_promoted > 0.7
    assert outcome.median_minutes(outcome.promoted) <= 16


def test_one_at_the_limit_is_hardly_ever_promoted() -> None:
    outcome = _simulated(scenarios.RISKS[1.5])
    assert outcome.first_promoted <= 0.05
    assert outcome.first_rolled_back > 0.8


@pytest.mark.parametrize(("risk", "minutes"), [(2.0, 6), (5.0, 2), (10.0, 1)])
def test_a_worse_canary_is_found(risk: float, minutes: float) -> None:
    outcome = _simulated(scenarios.RISKS[risk])
    assert outcome.first_rolled_back > 0.9
    assert outcome.median_minutes(outcome.rolled_back) <= minutes * 1.05


def test_bursts_of_failures_are_discounted() -> None:
    outcome = _simulated(replace(scenarios.BURSTS, looks=360), stop=False)
    assert outcome.ever_rolled_back <= 0.025


def test_a_worse_canary_is_found_in_spite_of_bursts() -> None:
    outcome = _simulated(scenarios.BURSTS_WORSE)
    assert outcome.first_rolled_back > 0.9
    assert outcome.first_promoted < 0.05
    assert outcome.median_minutes(outcome.rolled_back) < 10
