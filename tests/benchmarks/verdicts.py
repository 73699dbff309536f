"""What the verdicts on canaries do in simulated rollouts: how often they are wrong, and how long they take."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from modelwright_operator.decide.sequential import Counts, Stratum
from modelwright_operator.decide.verdict import Rules, judge
from tests.benchmarks.report import Report, Table
from tests.verdicts import scenarios
from tests.verdicts.simulation import Outcome, Scenario, simulate

if TYPE_CHECKING:
    import argparse

_SEED = 7


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--runs", type=int, default=4000, help="rollouts of each kind")


def run(chosen: argparse.Namespace) -> Report:
    """Simulate all scenarios."""
    first = [_simulated(scenario, chosen.runs, stop=True) for scenario in scenarios.RISKS.values()]
    ever = [
        _simulated(scenario, chosen.runs, stop=False)
        for scenario in (
            scenarios.EQUAL,
            scenarios.STEPS,
            scenarios.STICKY,
            scenarios.STICKY_STEPS,
            scenarios.QUIET,
            scenarios.TOLERATED,
            scenarios.BURSTS,
            scenarios.LONG_BURSTS,
        )
    ]
    bursts = [
        _simulated(scenario, chosen.runs, stop=True)
        for scenario in (scenarios.BURSTS_WORSE, scenarios.LONG_BURSTS_WORSE)
    ]
    milliseconds = _judging()
    return Report(
        "verdicts",
        {item.scenario.name: _figures(item) for item in (*first, *ever, *bursts)}
        | {"judge_milliseconds": milliseconds},
        (
            _decided(f"The first verdict, {chosen.runs} rollouts each", [*first, *bursts]),
            Table(
                "Rolled back at any look of an hour, wrongly",
                ("scenario", "share of the rollouts"),
                tuple((item.scenario.name, f"{item.ever_rolled_back:.4f}") for item in ever),
            ),
            Table("Judging once", ("evidence", "ms"), (("32 strata", f"{milliseconds:.1f}"),)),
        ),
        {
            "equal_rolled_back": ever[0].ever_rolled_back,
            "risk_2_median_minutes": first[4].median_minutes(first[4].rolled_back),
            "risk_5_median_minutes": first[5].median_minutes(first[5].rolled_back),
        },
    )


def _simulated(scenario: Scenario, runs: int, *, stop: bool) -> Outcome:
    outcome = simulate(scenario, runs, _SEED, stop=stop)
    assert not outcome.mismatches, outcome.mismatches
    return outcome


def _decided(title: str, outcomes: list[Outcome]) -> Table:
    return Table(
        title,
        ("scenario", "rolled back", "median, min", "promoted", "median, min", "undecided"),
        tuple(
            (
                item.scenario.name,
                f"{item.first_rolled_back:.3f}",
                _minutes(item.median_minutes(item.rolled_back)),
                f"{item.first_promoted:.3f}",
                _minutes(item.median_minutes(item.promoted)),
                f"{1 - item.first_rolled_back - item.first_promoted:.3f}",
            )
            for item in outcomes
        ),
    )


def _minutes(value: float) -> str:
    return "" if math.isinf(value) else f"{value:.1f}"


def _figures(item: Outcome) -> dict[str, float | None]:
    medians = {
        "rolled_back_median_minutes": item.median_minutes(item.rolled_back),
        "promoted_median_minutes": item.median_minutes(item.promoted),
    }
    return {
        "ever_rolled_back": item.ever_rolled_back,
        "first_rolled_back": item.first_rolled_back,
        "first_promoted": item.first_promoted,
        **{name: None if math.isinf(value) else value for name, value in medians.items()},
    }


def _judging() -> float:
    """Return how long one look takes, the best of many."""
    strata = [Stratum(0, 10, 100, Counts(4500, 40 + index % 9), Counts(500, 5 + index % 3)) for index in range(32)]
    best = math.inf
    for _ in range(50):
        begun = time.perf_counter()
        judge(strata, Rules(), 0, 10)
        best = min(best, time.perf_counter() - begun)
    return best * 1000
