"""How the figures of a verdict are written, for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from modelwright_operator.decide.sequential import Counts, Interval

_LARGEST: Final = math.log(1e300)
_PLAIN: Final = (0.01, 1000.0)  # between these a number is written out


def bad(counts: Counts) -> str:
    """Return how many of an arm's answers were bad.

    >>> from modelwright_operator.decide.sequential import Counts
    >>> bad(Counts(requests=540, bad=1))
    '1 of 540'
    """
    return f"{counts.bad:.12g} of {counts.requests:.12g}"


def risk(interval: Interval) -> str:
    """Return what the relative risk may be.

    >>> from modelwright_operator.decide.sequential import Interval
    >>> risk(Interval(3.14, math.inf))
    'risk ratio at least 3.1'
    """
    if not interval.low and math.isinf(interval.high):
        return "risk ratio unknown"
    if math.isinf(interval.high):
        return f"risk ratio at least {interval.low:.2g}"
    if not interval.low:
        return f"risk ratio at most {interval.high:.2g}"
    return f"risk ratio {interval.low:.2g} to {interval.high:.2g}"


def number(logarithm: float) -> float:
    """Return the number of a natural logarithm, as far as one can be written down: 1e300 at most."""
    return math.exp(min(logarithm, _LARGEST))


def e_value(logarithm: float) -> str:
    """Return the e-value of a natural logarithm.

    >>> e_value(math.log(100)), e_value(math.log(243_000)), e_value(-20)
    ('100', '2.4e5', '2.1e-9')
    """
    value = number(logarithm)
    if _PLAIN[0] <= value < _PLAIN[1]:
        return f"{value:.3g}"
    return f"{value:.2g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
