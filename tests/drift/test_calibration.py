"""False alarms come as often as asked for; the whole grid is `make calibrate`."""

from __future__ import annotations

import pytest

from tests.drift.calibration import DISTRIBUTIONS, Cell, alarms, alarms_in_stream, autoregressive

MOST = 1.5  # times alpha


@pytest.mark.parametrize("features", [1, 20])
@pytest.mark.parametrize("rows", [500, 5000])
def test_independent_rows_raise_no_more_false_alarms_than_asked_for(rows: int, features: int) -> None:
    cell = Cell(rows, features)
    assert alarms(DISTRIBUTIONS["continuous"], cell) <= MOST * cell.alpha


@pytest.mark.parametrize("kind", [name for name in DISTRIBUTIONS if name != "continuous"])
def test_so_do_values_that_repeat_or_lie_far_out(kind: str) -> None:
    cell = Cell(rows=2000)
    assert alarms(DISTRIBUTIONS[kind], cell) <= MOST * cell.alpha


@pytest.mark.parametrize(("moved", "rows", "least"), [(0.3, 500, 0.5), (0.3, 1000, 0.88), (0.5, 500, 0.99)])
def test_a_shift_is_seen_as_often_as_the_formulas_promise(moved: float, rows: int, least: float) -> None:
    """Figures of facts: alpha 0.001 and a tolerated PSI of 0.02, 10 000 rows in the baseline."""
    cell = Cell(rows, windows=1000, alpha=0.001, margin=0.02, moved=moved)
    assert alarms(DISTRIBUTIONS["continuous"], cell) >= least


def test_the_correction_repairs_most_of_what_dependent_rows_do() -> None:
    corrected, naive = alarms_in_stream(autoregressive(0.9), Cell(rows=2000, windows=300, alpha=0.001))
    assert corrected < 0.03
    assert naive > 0.3
