"""What one traffic table means for the requests of this process, and where they are counted."""

from collections.abc import Sequence

import numpy as np

from modelwright_server.contract.traffic import GATEWAY_API, Canary, Table
from modelwright_server.routing.answers import Outcome
from modelwright_server.routing.choice import Blocks, Chooser
from modelwright_server.routing.counts import VersionCounts
from modelwright_server.routing.evidence import Counts, StepCounts
from modelwright_server.tensors import Array

_FAULTS = frozenset({Outcome.BROKEN, Outcome.REFUSED, Outcome.TIMEOUT, Outcome.UNREACHABLE})


class Route:
    """A table with a canary.

    Attributes:
        canary: who gets it.
        stable: revision of the stable track.
        choose: says for each request where it goes, by its headers.
        watched: names of the headers that `choose` wants to see, in lower case.
        copies: says for each answered request whether it is copied.
        active: whether each request has to be looked at: the canary gets some from here, or a gateway spreads them and
            some do not count. If not, all that are answered are counted.
        forwards: whether the canary gets any traffic from here.
        shadows: whether requests are copied.
        seconds: what the canary is given for an answer.
        slow_seconds: an answer that takes longer is slow.
        step: the evidence.
        answered: counts the requests that this process answers itself.
    """

    def __init__(
        self, table: Table, canary: Canary, step: StepCounts, forwards: VersionCounts, answered: Counts
    ) -> None:
        chooser = Chooser(table, canary)
        self.canary = canary
        self.stable = table.stable.revision
        self.choose = chooser.choose
        self.watched = chooser.watched
        self.copies = Blocks(table.shadow_percent).take
        self.shadows = table.shadow_percent > 0
        self.forwards = table.weight > 0 or self.shadows
        self.active = self.forwards or table.mode == GATEWAY_API
        self.seconds = table.canary_timeout_milliseconds / 1000
        threshold = table.latency_threshold_milliseconds
        self.slow_seconds = float("inf") if threshold is None else threshold / 1000
        self.step = step
        self.answered = answered
        self._forwards = forwards

    def own(self, seconds: float, *, error: bool, invalid: bool) -> None:
        """Count a request that was answered here, and what it took."""
        self.answered.count(error=error, invalid=invalid, slow=seconds > self.slow_seconds and not error)

    def matched(self) -> None:
        """Count a request that a gateway sent here for its header."""
        self.step.matched += 1

    def skipped(self, protocol: str, *, matched: bool) -> None:
        """Count a request that was meant for the canary and not sent there."""
        self._forwards.count(protocol, Outcome.SKIPPED)
        if matched:
            self.step.matched += 1
        else:
            self.step.skipped += 1

    def forwarded(self, protocol: str, outcome: Outcome, seconds: float, *, matched: bool) -> None:
        """Count a request that was sent to the canary, how it ended there, and what it took."""
        self._forwards.count(protocol, outcome, seconds)
        if matched:
            self.step.matched += 1
            return
        error = outcome in _FAULTS
        self.step.canary.count(
            error=error,
            slow=seconds > self.slow_seconds and not error,
            invalid=outcome is Outcome.INVALID,
            timeout=outcome is Outcome.TIMEOUT,
        )


def rows_finite(arrays: Sequence[Array]) -> bool:
    """Return whether no number in a model's outputs is infinite or none at all."""
    return all(bool(np.isfinite(array).all()) for array in arrays if array.dtype.kind == "f")
