"""How often windows without drift raise an alarm, and how small a shift is seen: the whole grid, simulated."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from tests.benchmarks.report import Report, Table
from tests.drift.calibration import DISTRIBUTIONS, Cell, alarms, alarms_in_stream, autoregressive, diurnal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from concurrent.futures import Future

_ROWS = (50, 200, 500, 2000, 20_000, 100_000)
_MANY = 1000  # features
_MANY_ROWS = (500, 20_000, 100_000)
_STREAMS = {
    "AR(1), memory 0.5": autoregressive(0.5),
    "AR(1), memory 0.9": autoregressive(0.9),
    "AR(1), memory 0.97": autoregressive(0.97),
    "daily wave of 500 rows": diurnal(500),
    "daily wave of 5000 rows": diurnal(5000),
}
_SHIFTS = (0.1, 0.2, 0.3, 0.5)
_SHIFTED_ROWS = (100, 500, 1000, 5000, 20_000, 100_000)
_EACH = 5  # windows of a baseline
_LEAST_ROWS = 500  # what is promised begins here


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--windows", type=int, default=5000, help="of each cell; a fifth of them for 1000 features")


def run(chosen: argparse.Namespace) -> Report:
    """Simulate all cells, one a process."""
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        many = _many(pool, chosen.windows // 5)  # the longest first
        independent = _independent(pool, chosen.windows)
        power = _power(pool, chosen.windows // 5)
        streams = {
            name: pool.submit(_stream, name, Cell(rows=2000, windows=chosen.windows // 10, alpha=0.001))
            for name in _STREAMS
        }
        rows = {**_results(independent), **_results(many)}
        powers = _results(power)
        dependent = {name: future.result() for name, future in streams.items()}
    promised = [rate for name, rates in rows.items() for at, rate in rates.items() if at >= _LEAST_ROWS]
    return Report(
        "calibration",
        {"false_alarms": rows, "seen": powers, "false_alarms_of_streams": dependent},
        (
            _table(f"False alarms, {chosen.windows} windows each, alpha 0.01, no tolerated PSI", rows, _ROWS),
            _table("Shift seen, alpha 0.001, tolerated PSI 0.02, one feature", powers, _SHIFTED_ROWS),
            Table(
                "False alarms of dependent rows, windows of 2000, alpha 0.001",
                ("stream", "corrected", "not corrected"),
                tuple((name, f"{fixed:.4f}", f"{naive:.4f}") for name, (fixed, naive) in dependent.items()),
            ),
        ),
        {"false_alarms_worst_of_alpha": max(promised) / Cell(1).alpha},
    )


_Grid = dict[str, dict[int, "Future[float]"]]


def _independent(pool: ProcessPoolExecutor, windows: int) -> _Grid:
    grid: _Grid = {
        f"{name}, 1 feature": {rows: pool.submit(_alarms, name, Cell(rows, 1, windows, each=_EACH)) for rows in _ROWS}
        for name in DISTRIBUTIONS
    }
    grid["continuous, 20 features"] = {
        rows: pool.submit(_alarms, "continuous", Cell(rows, 20, windows, each=_EACH)) for rows in _ROWS
    }
    return grid


def _many(pool: ProcessPoolExecutor, windows: int) -> _Grid:
    cells = {rows: pool.submit(_alarms, "continuous", Cell(rows, _MANY, windows, each=_EACH)) for rows in _MANY_ROWS}
    return {f"continuous, {_MANY} features ({windows} windows)": cells}


def _power(pool: ProcessPoolExecutor, windows: int) -> _Grid:
    return {
        f"{shift} standard deviations": {
            rows: pool.submit(_alarms, "continuous", Cell(rows, 1, windows, 0.001, 0.02, shift))
            for rows in _SHIFTED_ROWS
        }
        for shift in _SHIFTS
    }


def _alarms(name: str, cell: Cell) -> float:
    return alarms(DISTRIBUTIONS[name], cell)


def _stream(name: str, cell: Cell) -> tuple[float, float]:
    return alarms_in_stream(_STREAMS[name], cell)


def _results(grid: _Grid) -> dict[str, dict[int, float]]:
    return {name: {rows: future.result() for rows, future in cells.items()} for name, cells in grid.items()}


def _table(title: str, found: dict[str, dict[int, float]], columns: Sequence[int]) -> Table:
    return Table(
        title,
        ("rows in the window", *(f"{rows:,}" for rows in columns)),
        tuple(
            (name, *(f"{rates[rows]:.4f}" if rows in rates else "" for rows in columns))
            for name, rates in found.items()
        ),
    )
