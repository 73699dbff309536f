"""Counting: what a server has done since its start, as plain numbers.

Counting happens for every request and takes a fraction of a microsecond; reading happens once in a
while.  What is read is a `Snapshot`, a plain mapping: those of several processes are added up by
`merged`, and `exposition` turns one into Prometheus' text.  Labels are bounded: model, version and
track of the server, the protocol, and the status codes it answers with.  Standard library only.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import add

from modelwright_server import contract

STABLE = contract.STABLE

# Upper bounds in seconds; tabular models answer in fractions of a millisecond.
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
CALL_BUCKETS = (0.000005, 0.00001, 0.000025, 0.00005, *BUCKETS)
SIZE_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0, 16384.0)

# The names of gRPC's status codes, by number: https://grpc.io/docs/guides/status-codes
GRPC_CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
_CODES = 600  # every status code of HTTP, and of gRPC


@dataclass(frozen=True, slots=True)
class Family:
    """A metric.

    Attributes:
        name: as Prometheus sees it.
        kind: ``counter``, ``gauge`` or ``histogram``.
        text: what it says, with its unit.
        labels: names of its labels besides model, version and track.
        bounds: upper bounds of a histogram's buckets, without infinity.
    """

    name: str
    kind: str
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


FAMILIES = (
    Family(contract.METRIC_REQUESTS, "counter", "Inference requests answered, by status code.", ("protocol", "code")),
    Family(
        contract.METRIC_REFUSED,
        "counter",
        "Requests refused before they were read as a whole; they are among the requests, too.",
        ("protocol", "code"),
    ),
    Family(contract.METRIC_OVERLOADED, "counter", "Inference requests refused because too many wait for the model."),
    Family(
        contract.METRIC_DURATION,
        "histogram",
        "Seconds from a complete inference request to its answer.",
        ("protocol",),
        BUCKETS,
    ),
    Family(contract.METRIC_ROWS, "counter", "Rows the model answered."),
    Family(
        contract.METRIC_QUEUE_WAIT,
        "histogram",
        "Seconds the oldest request of a call of the model waited for it.",
        bounds=CALL_BUCKETS,
    ),
    Family(contract.METRIC_BATCH_ROWS, "histogram", "Rows in a call of the model.", bounds=SIZE_BUCKETS),
    Family(contract.METRIC_BATCH_REQUESTS, "histogram", "Requests in a call of the model.", bounds=SIZE_BUCKETS),
    Family(contract.METRIC_CALL, "histogram", "Seconds a call of the model took.", bounds=CALL_BUCKETS),
    Family(contract.METRIC_IN_FLIGHT, "gauge", "Inference requests being answered."),
    Family(contract.METRIC_QUEUE_DEPTH, "gauge", "Inference requests waiting for the model."),
    Family(contract.METRIC_CONNECTIONS, "gauge", "Open connections of REST clients."),
    Family(contract.METRIC_READY, "gauge", "1 while the server takes traffic."),
    Family(contract.METRIC_PROCESSES, "gauge", "Serving processes, by whether they told their counts.", ("state",)),
    Family(
        contract.METRIC_RECORDS_DROPPED,
        "counter",
        "Answered requests missing from the access log or the traces, because these could not keep up.",
        ("sink",),
    ),
    Family(
        contract.METRIC_FORWARDED,
        "counter",
        "Inference requests meant for the canary, by how they ended there; all but those answered stable answered.",
        ("protocol", "canary", "outcome"),
    ),
    Family(
        contract.METRIC_FORWARD_DURATION,
        "histogram",
        "Seconds from a complete inference request to the end of it at the canary.",
        ("protocol", "canary"),
        BUCKETS,
    ),
    Family(contract.METRIC_SHADOW, "counter", "Copies of inference requests for the canary.", ("canary", "outcome")),
    Family(
        contract.METRIC_SHADOW_ROWS,
        "counter",
        "Rows of copies that both tracks answered, by whether they agree.",
        ("canary", "outcome"),
    ),
    Family(
        contract.METRIC_BREAKERS_OPEN,
        "gauge",
        "Serving processes that send the canary nothing but probes.",
        ("protocol", "kind"),
    ),
    Family(contract.METRIC_TABLES, "counter", "Traffic tables found, by whether they were taken.", ("result",)),
)

# One family's values for one set of labels, under (name, track, *labels): one number, or for a
# histogram the count of each bucket, of what is above them, and the sum.
_Values = dict[tuple[str, ...], tuple[float, ...]]
Snapshot = Mapping[tuple[str, ...], tuple[float, ...]]


def merged(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Return the sums of several processes' values; ready only if all are."""
    total: _Values = {}
    for snapshot in snapshots:
        for key, values in snapshot.items():
            if key not in total:
                total[key] = values
            elif key[0] == contract.METRIC_READY:
                total[key] = min(total[key], values)
            else:
                total[key] = tuple(map(add, total[key], values))
    return total


class Histogram:
    """Counts of what was at most each bound, and the sum; `observe` says how to count."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def values(self) -> tuple[float, ...]:
        """Return what a `Snapshot` has of it."""
        return (*self.counts, self.total)

    def clear(self) -> None:
        """Begin anew."""
        self.counts[:] = [0] * len(self.counts)
        self.total = 0.0


class Requests:
    """The requests that came by one protocol; its methods may be bound once and kept."""

    __slots__ = ("codes", "durations", "protocol", "refusals")

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.codes = [0] * _CODES
        self.refusals = [0] * _CODES
        self.durations = Histogram(BUCKETS)

    def answered(self, code: int, seconds: float) -> None:
        """Count an answered inference request, its status (of HTTP or gRPC, as a number), and what it took."""
        self.codes[code] += 1
        durations = self.durations
        durations.counts[bisect_left(BUCKETS, seconds)] += 1  # `observe`, without the price of a call
        durations.total += seconds

    def refused(self, code: int) -> None:
        """Count a request refused before it was read as a whole; it has no duration."""
        self.codes[code] += 1
        self.refusals[code] += 1

    def values(self, track: str) -> Snapshot:
        """Return its part of a snapshot."""
        found: _Values = {(contract.METRIC_DURATION, track, self.protocol): self.durations.values()}
        for name, counts in ((contract.METRIC_REQUESTS, self.codes), (contract.METRIC_REFUSED, self.refusals)):
            found |= {
                (name, track, self.protocol, GRPC_CODES[code] if code < len(GRPC_CODES) else str(code)): (count,)
                for code, count in enumerate(counts)
                if count
            }
        return found

    def clear(self) -> None:
        """Begin anew."""
        self.codes[:] = self.refusals[:] = [0] * _CODES
        self.durations.clear()


class Telemetry:
    """One process's counts since its start.

    Attributes:
        rest: requests of the REST protocol.
        grpc: requests of gRPC.
        in_flight: inference requests being answered now.
        queued: inference requests waiting for the model now.
        connections: open connections of REST clients.
        rows: rows answered.
        overloaded: requests refused because too many wait for the model.
        dropped: answered requests that a sink of records did not keep, by the sink's name.
        ready: whether the server takes traffic.
    """

    def __init__(self, model: str, version: str, deployment: str, namespace: str) -> None:
        self.labels = {"model": model, "version": version}
        self.info = {**self.labels, "deployment": deployment, "namespace": namespace}
        self.rest, self.grpc = Requests("rest"), Requests("grpc")
        self.refused = self.rest.refused  # a listener counts here what never became a request
        self.in_flight = self.queued = self.connections = 0
        self.rows = self.overloaded = 0
        self.dropped: dict[str, int] = {}
        self.ready = False
        self._waits, self._calls = Histogram(CALL_BUCKETS), Histogram(CALL_BUCKETS)
        self._batch_rows, self._batch_requests = Histogram(SIZE_BUCKETS), Histogram(SIZE_BUCKETS)
        self._of_calls = (self._batch_requests, self._batch_rows, self._waits, self._calls)
        self._track = STABLE
        self._earlier: Snapshot = {}

    def answered(self) -> int:
        """Return how many inference requests were answered on this track."""
        return sum(self.rest.durations.counts) + sum(self.grpc.durations.counts)

    def called(self, requests: int, rows: int, waited: float, seconds: float) -> None:
        """Count a call of the model.

        Args:
            requests: requests it answered.
            rows: rows it answered, of all of them.
            waited: seconds the oldest of them waited for it.
            seconds: what it took.
        """
        self.rows += rows
        for histogram, value in zip(self._of_calls, (requests, rows, waited, seconds), strict=True):
            histogram.counts[bisect_left(histogram.bounds, value)] += 1  # `observe`, without the price of a call
            histogram.total += value

    @property
    def track(self) -> str:
        """The track served, ``stable`` until a traffic table says otherwise."""
        return self._track

    @track.setter
    def track(self, track: str) -> None:
        """Count for another track from now on; what was counted stays where it was."""
        if track == self._track:
            return
        self._earlier = merged((self._earlier, self._counters()))
        self.rest.clear()
        self.grpc.clear()
        for histogram in self._histograms().values():
            histogram.clear()
        self.rows = self.overloaded = 0
        self.dropped.clear()
        self._track = track

    def snapshot(self) -> Snapshot:
        """Return the present values."""
        now = {
            contract.METRIC_IN_FLIGHT: self.in_flight,
            contract.METRIC_QUEUE_DEPTH: self.queued,
            contract.METRIC_CONNECTIONS: self.connections,
            contract.METRIC_READY: int(self.ready),
        }
        gauges: _Values = {(name, self._track): (value,) for name, value in now.items()}
        return {**merged((self._earlier, self._counters())), **gauges}

    def _counters(self) -> Snapshot:
        """Return what only grows."""
        track = self._track
        counts: _Values = {
            (contract.METRIC_OVERLOADED, track): (self.overloaded,),
            (contract.METRIC_ROWS, track): (self.rows,),
            **{(contract.METRIC_RECORDS_DROPPED, track, sink): (count,) for sink, count in self.dropped.items()},
        }
        histograms: _Values = {(name, track): histogram.values() for name, histogram in self._histograms().items()}
        return {**self.rest.values(track), **self.grpc.values(track), **counts, **histograms}

    def _histograms(self) -> dict[str, Histogram]:
        return {
            contract.METRIC_QUEUE_WAIT: self._waits,
            contract.METRIC_BATCH_ROWS: self._batch_rows,
            contract.METRIC_BATCH_REQUESTS: self._batch_requests,
            contract.METRIC_CALL: self._calls,
        }
