"""Metrics, in the Prometheus text format.

Counting happens for every request, rendering once in a while: so counts are plain numbers, and the
text is made when it is asked for.  Labels are bounded: the model, its version and the status codes
that this server answers with.
"""

from bisect import bisect_left

from modelwright_server import contract

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

# Upper bounds in seconds; tabular models answer in fractions of a millisecond.
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Telemetry:
    """The server's counts since its start.

    Attributes:
        in_flight: inference requests being answered now.
        connections: open client connections.
        rows: rows answered.
        ready: whether the server takes traffic.
    """

    def __init__(self, model: str, version: str, deployment: str, namespace: str) -> None:
        self.in_flight = 0
        self.connections = 0
        self.rows = 0
        self.ready = False
        self._codes: dict[int, int] = {}
        self._counts = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self._labels = f'model="{_escaped(model)}",version="{_escaped(version)}"'
        self._info = f'{self._labels},deployment="{_escaped(deployment)}",namespace="{_escaped(namespace)}"'

    def answered(self, code: int, seconds: float) -> None:
        """Count an answered inference request and what it took."""
        self._codes[code] = self._codes.get(code, 0) + 1
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self._seconds += seconds

    def refused(self, code: int) -> None:
        """Count a request refused before it was read as a whole; it has no duration."""
        self._codes[code] = self._codes.get(code, 0) + 1

    def render(self) -> bytes:
        """Return the exposition."""
        labels = self._labels
        lines = _family(contract.METRIC_REQUESTS, "counter", "Inference requests answered, by HTTP status code.")
        lines += [
            f'{contract.METRIC_REQUESTS}{{{labels},code="{code}"}} {count}'
            for code, count in sorted(self._codes.items())
        ]
        lines += self._histogram()
        for name, kind, text, value in (
            (contract.METRIC_ROWS, "counter", "Rows answered.", self.rows),
            (contract.METRIC_IN_FLIGHT, "gauge", "Inference requests being answered.", self.in_flight),
            (contract.METRIC_CONNECTIONS, "gauge", "Open client connections.", self.connections),
            (contract.METRIC_READY, "gauge", "1 while the server takes traffic.", int(self.ready)),
        ):
            lines += [*_family(name, kind, text), f"{name}{{{labels}}} {value}"]
        lines += _family(contract.METRIC_MODEL_INFO, "gauge", "The model served, as labels.")
        lines.append(f"{contract.METRIC_MODEL_INFO}{{{self._info}}} 1")
        return "\n".join([*lines, ""]).encode()

    def _histogram(self) -> list[str]:
        name, labels = contract.METRIC_DURATION, self._labels
        lines = _family(name, "histogram", "Seconds from a complete request to its answer.")
        total = 0
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self._counts, strict=True):
            total += count
            lines.append(f'{name}_bucket{{{labels},le="{bound}"}} {total}')
        return [*lines, f"{name}_sum{{{labels}}} {self._seconds!r}", f"{name}_count{{{labels}}} {total}"]


def _family(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
