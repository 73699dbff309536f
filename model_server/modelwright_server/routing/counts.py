"""What the metrics say of routing, in the form of `telemetry`'s snapshots."""

from bisect import bisect_left

from modelwright_server import contract
from modelwright_server.routing.answers import Outcome
from modelwright_server.routing.evidence import ShadowCounts
from modelwright_server.telemetry import BUCKETS, Histogram, Snapshot


class VersionCounts:
    """Requests meant for the canaries of one version, and copies sent to them.

    Attributes:
        shadow: copies, of all steps.
    """

    def __init__(self, version: str) -> None:
        self.shadow = ShadowCounts()
        self._version = version
        self._outcomes: dict[tuple[str, Outcome], int] = {}
        self._durations: dict[str, Histogram] = {}

    def count(self, protocol: str, outcome: Outcome, seconds: float | None = None) -> None:
        """Count a request, and what it took if it was sent."""
        key = protocol, outcome
        self._outcomes[key] = self._outcomes.get(key, 0) + 1
        if seconds is not None:
            durations = self._durations.get(protocol)
            if durations is None:
                durations = self._durations[protocol] = Histogram(BUCKETS)
            durations.counts[bisect_left(BUCKETS, seconds)] += 1
            durations.total += seconds

    def values(self, track: str) -> Snapshot:
        """Return its part of a snapshot."""
        shadow, version = self.shadow, self._version
        copies = {"sent": shadow.sent, "dropped": shadow.dropped, "failed": shadow.failed}
        rows = {"agreed": shadow.agreed, "disagreed": shadow.compared - shadow.agreed}
        return {
            **{
                (contract.METRIC_FORWARDED, track, protocol, version, str(outcome)): (count,)
                for (protocol, outcome), count in self._outcomes.items()
            },
            **{
                (contract.METRIC_FORWARD_DURATION, track, protocol, version): histogram.values()
                for protocol, histogram in self._durations.items()
            },
            **{(contract.METRIC_SHADOW, track, version, name): (count,) for name, count in copies.items()},
            **{(contract.METRIC_SHADOW_ROWS, track, version, name): (count,) for name, count in rows.items()},
        }
