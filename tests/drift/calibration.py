"""How often windows raise an alarm, with drift and without: simulated, and judged by the product's own code.

Independent rows are drawn as counts: given a baseline's edges, a window's counts are multinomial with the
probabilities that the rows' distribution has between them.  Streams with a memory are drawn row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import signal, stats

from modelwright_drift import counts, summary, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from modelwright_drift.baseline import Numeric

Array = npt.NDArray[Any]

BASELINE_ROWS = 10_000
_NOTHING_ELSE = np.zeros(counts.EXTRA_NUMERIC, dtype=np.int64)  # neither missing nor out of range


@dataclass(frozen=True)
class Rows:
    """A distribution of independent rows.

    Attributes:
        draw: rows, so many.
        upto: probability of values up to each of these, of live rows that moved by so much (0: not at all).
    """

    draw: Callable[[np.random.Generator, int], Array]
    upto: Callable[[Array, float], Array]


DISTRIBUTIONS: Mapping[str, Rows] = {
    "continuous": Rows(
        lambda rng, rows: rng.standard_normal(rows),
        lambda edges, moved: stats.norm.cdf(edges - moved),
    ),
    "heavy-tailed (Cauchy)": Rows(
        lambda rng, rows: rng.standard_cauchy(rows),
        lambda edges, moved: stats.cauchy.cdf(edges - moved),
    ),
    "discrete (Poisson of 3)": Rows(
        lambda rng, rows: rng.poisson(3, rows),
        lambda edges, moved: stats.poisson.cdf(np.floor(edges), 3 + moved),
    ),
    "ties (tenths)": Rows(
        lambda rng, rows: np.round(rng.standard_normal(rows), 1),
        lambda edges, moved: stats.norm.cdf(edges + 0.05 - moved),
    ),
}


@dataclass(frozen=True)
class Cell:
    """One cell of the table: windows of `rows` rows of `features` independent features.

    Attributes:
        rows: n.
        features: d.
        windows: how many are drawn.
        alpha: probability of a false alarm that was asked for.
        margin: tolerated PSI.
        moved: what is added to one feature's values, or to its mean; 0: nothing.
        each: windows of each baseline. Where they are as large as the baseline, its own chance decides: take few.
    """

    rows: int
    features: int = 1
    windows: int = 5000
    alpha: float = 0.01
    margin: float = 0.0
    moved: float = 0.0
    each: int = 50

    @property
    def settings(self) -> verdict.Settings:
        """What the windows are judged by, however few their rows."""
        return verdict.Settings(self.alpha, self.margin, least_rows=1)


def alarms(rows: Rows, cell: Cell, seed: int = 7) -> float:
    """Return the share of windows in which some feature is found to have drifted."""
    rng = np.random.default_rng(seed)
    found = 0
    for start in range(0, cell.windows, cell.each):
        baseline = [_summary(rows.draw(rng, BASELINE_ROWS)) for _ in range(cell.features)]
        likely = [_probabilities(rows, feature, 0.0 if index else cell.moved) for index, feature in enumerate(baseline)]
        for _ in range(min(cell.each, cell.windows - start)):
            drawn = [np.concatenate([rng.multinomial(cell.rows, share), _NOTHING_ELSE]) for share in likely]
            found += bool(verdict.judge(baseline, drawn, cell.settings).drifted)
    return found / cell.windows


def _summary(values: Array, *, ordered: bool = False) -> Numeric:
    return summary.numeric("x", "FP64", values.astype(np.float64), ordered=ordered)


def _probabilities(rows: Rows, feature: Numeric, moved: float) -> Array:
    return np.diff([0.0, *rows.upto(np.array(feature.edges), moved), 1.0])


CHUNKED_ROWS = 20_000  # of a baseline in the order of time: 40 chunks of 500


def autoregressive(memory: float) -> Callable[[np.random.Generator, int], Array]:
    """Return a stream of standard deviation 1 whose rows depend on the one before (AR(1))."""

    def draw(rng: np.random.Generator, rows: int) -> Array:
        noise = rng.standard_normal(rows) * np.sqrt(1 - memory**2)
        state = [memory * rng.standard_normal()]
        values: Array = signal.lfilter([1.0], [1.0, -memory], noise, zi=state)[0]
        return values

    return draw


def diurnal(period: int) -> Callable[[np.random.Generator, int], Array]:
    """Return a stream whose mean goes up and down by one standard deviation in a period of rows, from any hour on."""

    def draw(rng: np.random.Generator, rows: int) -> Array:
        hour = rng.integers(period) if rows < CHUNKED_ROWS else 0
        wave: Array = np.sin(2 * np.pi * (np.arange(rows) + hour) / period)
        return wave + rng.standard_normal(rows)

    return draw


def alarms_in_stream(
    draw: Callable[[np.random.Generator, int], Array], cell: Cell, seed: int = 7
) -> tuple[float, float]:
    """Return the share of windows of one feature with an alarm, with and without the correction for dependence."""
    rng = np.random.default_rng(seed)
    corrected = naive = 0
    for start in range(0, cell.windows, cell.each):
        values = draw(rng, CHUNKED_ROWS)
        ordered, plain = _summary(values, ordered=True), _summary(values)
        for _ in range(min(cell.each, cell.windows - start)):
            window = [counts.count_numbers(plain, draw(rng, cell.rows))]
            corrected += bool(verdict.judge([ordered], window, cell.settings).drifted)
            naive += bool(verdict.judge([plain], window, cell.settings).drifted)
    return corrected / cell.windows, naive / cell.windows
