"""Whether a canary has stopped answering: found by itself, since at a large weight a comparison would not find it.

A test of its bad answers against a share of a quarter, with the alternative of 95 %, from every stratum on to the
newest (Page's CUSUM), at a limit that allows for ten thousand beginnings: about a dozen bad answers in a row. Two looks
must show it, since one can be full of a single client, and stable must not fail as well. Where no pod of the canary has
been ready since, and so none was asked any more, the time of that stands for the second look. What one look shows is a
suspicion: nothing may go on before the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from modelwright_operator.decide import sequential
from modelwright_operator.decide.sequential import Counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelwright_operator.decide.sequential import Stratum

_SHARE: Final = 0.25  # of bad answers that a canary which still answers may have
_EXPECTED: Final = 0.95  # of one that does not
_BEGINNINGS: Final = 1e4
_SECONDS: Final = 6.0  # more than one look
_STABLE_BETTER: Final = 0.5  # stable's share of bad answers may be this part of the canary's


@dataclass(frozen=True)
class Breakdown:
    """What was answered since the canary stopped to answer properly.

    Attributes:
        canary, stable: by whom.
        certain: whether two looks show it.
    """

    canary: Counts
    stable: Counts
    certain: bool


def breakdown(strata: Sequence[Stratum], alpha: float, silent_seconds: float = 0.0) -> Breakdown | None:
    """Return since when a canary does not answer properly; None: it does.

    Args:
        strata: of the present step, in the order of time.
        alpha: chance of being wrong.
        silent_seconds: for how long no pod of the canary has been ready.
    """
    limit = math.log(_BEGINNINGS / alpha)
    bad, good = math.log(_EXPECTED / _SHARE), math.log((1 - _EXPECTED) / (1 - _SHARE))
    canary, stable, seconds = Counts(), Counts(), silent_seconds
    suspicion: Breakdown | None = None
    for item in reversed(strata):
        canary, stable = canary + item.canary, stable + item.stable
        seconds += item.seconds if item.canary.bad or item.skipped else 0.0
        if canary.bad * bad + (canary.requests - canary.bad) * good < limit:
            continue
        if stable.bad * canary.requests <= _STABLE_BETTER * canary.bad * stable.requests:
            if seconds >= _SECONDS:
                return Breakdown(canary, stable, certain=True)
            suspicion = suspicion or Breakdown(canary, stable, certain=False)
    return suspicion


def failing(copies: float, failed: float, alpha: float) -> bool:
    """Return whether more than a quarter of the copies that a canary gets fail, for certain."""
    if failed <= _SHARE * copies:
        return False
    return sequential.log_e_share(failed, copies, 0.0, _SHARE, _EXPECTED) >= -math.log(alpha)
