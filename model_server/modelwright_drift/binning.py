"""Where the bins of a column of numbers lie: at order statistics of the baseline's rows, whatever is live later.

Edges that follow from the baseline alone are what lets counts add across pods and windows, and makes the counts of a
window, for independent rows of any continuous distribution, exactly Dirichlet-multinomial.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from modelwright_drift.baseline import BINS

_LEAST_SHARE = 0.2  # of an even share of the rows, for a bin of its own


def edges(values: npt.NDArray[Any], bins: int = BINS) -> npt.NDArray[Any]:
    """Return the inner edges, rising, of at most so many bins of about equal numbers of rows.

    Where values repeat, an edge lies at the value below which the number of rows is nearest to what is wanted, so that
    a frequent value gets a bin of its own; bins of less than a fifth of an even share join a neighbour.

    Args:
        values: [n], numbers without NaN, in the type the server receives.
        bins: how many are wanted.
    """
    distinct, counts = np.unique(values, return_counts=True)
    below = np.cumsum(counts)  # rows up to and including each distinct value
    if len(distinct) < 2:  # noqa: PLR2004 - one value has nothing to part
        return distinct[:0]
    targets = np.round(np.arange(1, bins) * (len(values) + 1) / bins)
    at = np.searchsorted(below, targets)
    at = np.minimum(at, len(distinct) - 1)
    before = np.maximum(at - 1, 0)
    at = np.where(np.abs(below[before] - targets) < np.abs(below[at] - targets), before, at)
    cuts = [int(cut) for cut in np.unique(at) if cut < len(distinct) - 1]
    return distinct[_joined(cuts, below, _LEAST_SHARE * len(values) / bins)]


def _joined(cuts: list[int], below: npt.NDArray[np.int64], least: float) -> list[int]:
    """Take away edges until no bin has fewer rows than `least`."""
    while cuts:
        rows = np.diff([0, *(int(below[cut]) for cut in cuts), int(below[-1])])
        smallest = int(np.argmin(rows))
        if rows[smallest] >= least:
            break
        if smallest == 0:
            del cuts[0]
        elif smallest == len(cuts) or rows[smallest - 1] < rows[smallest + 1]:
            del cuts[smallest - 1]
        else:
            del cuts[smallest]
    return cuts
