"""What this process does with the traffic table: its track, the route in force, and all that outlives a table."""

import logging
from collections.abc import Callable
from pathlib import Path

from modelwright_server import contract
from modelwright_server.contract import CANARY, STABLE
from modelwright_server.contract.traffic import FILE, GATEWAY_API, Canary, Table
from modelwright_server.routing.breaker import Breaker
from modelwright_server.routing.counts import VersionCounts
from modelwright_server.routing.evidence import Evidence
from modelwright_server.routing.route import Route
from modelwright_server.routing.watch import TableWatch
from modelwright_server.telemetry import Snapshot

MOST_VERSIONS = 8  # whose counts are kept for the metrics, the newest: each is a set of labels
FORWARDS, COPIES = "forwards", "copies"
_LOG = logging.getLogger("modelwright.routing")


class Traffic:
    """The traffic of one process.

    Attributes:
        revision: of this process, empty if it routes no requests.
        track: the one it serves, `STABLE` until a table says otherwise.
        route: what the table in force means for requests; None if there is no canary, or they are no concern of this
            revision's: it is another one, or the canary's and gets only what stable pods forward and count.
        evidence: what was seen.
    """

    def __init__(self, revision: str) -> None:
        self.revision = revision
        self.track = STABLE
        self.route: Route | None = None
        self.evidence = Evidence()
        self._followers: list[Callable[[], None]] = []
        self._versions: dict[str, VersionCounts] = {}
        self._breakers: dict[tuple[str, str], Breaker] = {}
        self._canary: Canary | None = None
        self._watch: TableWatch | None = None

    def follow(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called after each change of the track or the route."""
        self._followers.append(changed)

    def take(self, table: Table) -> None:
        """Act on a new table."""
        canary = table.canary
        if self.revision == table.stable.revision:
            self.track = STABLE
        elif canary is not None and self.revision == canary.revision:
            self.track = CANARY  # of neither: it is about to end, and stays what it was
        counting = canary is not None and table.mode == GATEWAY_API and self.revision == canary.revision
        if canary is None or not (counting or self.revision == table.stable.revision):
            self.route = None
        else:
            if canary != self._canary:
                self._breakers.clear()
            self.route = self._routed(table, canary)
        self._canary = canary
        fields = {
            "track": self.track,
            "mode": table.mode,
            "canary": None if self.route is None else self.route.canary.version,
            "sequence": table.sequence,
            "weight": table.weight if self.route is not None else 0,
            "shadowPercent": table.shadow_percent if self.route is not None else 0,
        }
        _LOG.info("traffic table taken", extra={"fields": fields})
        for changed in self._followers:
            changed()

    def watch(self, folder: Path) -> None:
        """Follow the table in a folder from now on."""
        self._watch = TableWatch(folder / FILE, self.take)
        self._watch.start()

    def close(self) -> None:
        """Follow it no more."""
        if self._watch is not None:
            self._watch.stop()

    def breaker(self, protocol: str, kind: str = FORWARDS) -> Breaker:
        """Return what guards one way to the canary; a new canary begins with new ones."""
        breaker = self._breakers.get((protocol, kind))
        if breaker is None:
            breaker = self._breakers[protocol, kind] = Breaker()
        return breaker

    def snapshot(self) -> Snapshot:
        """Return what the metrics have of it."""
        found: dict[tuple[str, ...], tuple[float, ...]] = {
            (contract.METRIC_BREAKERS_OPEN, STABLE, protocol, kind): (int(breaker.open),)
            for (protocol, kind), breaker in self._breakers.items()
        }
        if self._watch is not None:
            tables = {"taken": self._watch.taken, "refused": self._watch.refused}
            found |= {(contract.METRIC_TABLES, STABLE, result): (count,) for result, count in tables.items()}
        for counts in self._versions.values():
            found |= counts.values(STABLE)  # only stable forwards
        return found

    def _routed(self, table: Table, canary: Canary) -> Route:
        counts = self._versions.pop(canary.version, None) or VersionCounts(canary.version)
        self._versions[canary.version] = counts
        while len(self._versions) > MOST_VERSIONS:
            del self._versions[next(iter(self._versions))]
        step = self.evidence.at(canary.revision, table.sequence)
        step.shadow.whole = counts.shadow
        answered = step.canary if self.revision == canary.revision else step.stable
        return Route(table, canary, step, counts, answered)
