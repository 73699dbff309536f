"""Prometheus' view of a `Snapshot`, by prometheus-client, and the page that shows it.

The library sees the counts only when somebody looks: nothing of it is in the way of a request.
"""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from modelwright_server import contract
from modelwright_server.telemetry import FAMILIES, Family, Snapshot

_COMMON = ("model", "version", "track")


def render(info: Mapping[str, str], snapshot: Snapshot) -> bytes:
    """Return the text exposition (format 0.0.4) of a snapshot.

    Args:
        info: the labels ``model`` and ``version`` of every metric, and what else the model's own has.
        snapshot: the values.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshots(info, snapshot))
    return generate_latest(registry)


class _Snapshots(Collector):
    """A collector that prometheus-client asks for its families."""

    def __init__(self, info: Mapping[str, str], snapshot: Snapshot) -> None:
        self._info = info
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        """Yield every family, also those without a value yet."""
        by_name: dict[str, list[tuple[list[str], tuple[float, ...]]]] = {family.name: [] for family in FAMILIES}
        common = [self._info["model"], self._info["version"]]
        for (name, *labels), values in sorted(self._snapshot.items()):
            by_name[name].append((common + labels, values))
        for family in FAMILIES:
            yield _metric(family, by_name[family.name])
        model = GaugeMetricFamily(contract.METRIC_MODEL_INFO, "The model served, as labels.", labels=list(self._info))
        model.add_metric(list(self._info.values()), 1)
        yield model


def _metric(family: Family, samples: Iterable[tuple[list[str], tuple[float, ...]]]) -> Metric:
    """Return one family in the library's terms."""
    labels = [*_COMMON, *family.labels]
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.text, labels=labels)
        for key, values in samples:
            histogram.add_metric(key, _cumulative(family.bounds, values[:-1]), values[-1])
        return histogram
    plain = (CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily)(
        family.name, family.text, labels=labels
    )
    for key, (value,) in samples:
        plain.add_metric(key, value)
    return plain


def _cumulative(bounds: tuple[float, ...], counts: tuple[float, ...]) -> list[tuple[str, float]]:
    """Return the buckets as Prometheus counts them: each with all that is below it."""
    buckets: list[tuple[str, float]] = []
    total = 0.0
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
