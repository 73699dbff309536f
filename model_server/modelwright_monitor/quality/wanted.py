"""What a Deployment says of labels: whether it wants any, how good the model has to be, whose predictions are known."""

from modelwright_monitor.deployment import Object, part
from modelwright_monitor.quality.metrics import METRICS
from modelwright_monitor.quality.report import Requirement
from modelwright_server.contract import CANARY, STABLE

# The defaults are the API's.
_MAX_DELAY_SECONDS = 14 * 86_400
_MIN_LABELS = 100
_TRACKS = (STABLE, CANARY, "previous")  # the one that answers first
_KEY = slice(len("sha256:"), len("sha256:") + 10)


def requirement(seen: Object | None) -> Requirement | None:
    """Return ``spec.monitoring.quality``, which the API server has checked; None: no labels are wanted.

    What only a later release understands is as if it were not there.
    """
    document = part(seen, "spec", "monitoring", "quality")
    if str(document.get("metric")) not in METRICS:
        return None
    low, high = document.get("min"), document.get("max")
    try:
        return Requirement(
            metric=str(document["metric"]),
            low=float(low) if low is not None else None,
            high=float(high) if high is not None else None,
            max_delay_seconds=int(document.get("maxLabelDelaySeconds", _MAX_DELAY_SECONDS)),
            min_labels=int(document.get("minLabels", _MIN_LABELS)),
        )
    except (TypeError, ValueError):
        return None


def key_of(digest: str) -> str:
    """Return how prediction ids name the version of this digest."""
    return digest[_KEY]


def versions(seen: Object | None) -> tuple[str, ...]:
    """Return the keys of the versions that answer, are tried, or answered before; the first is the one that answers."""
    digests = [str(part(seen, "status", track).get("digest", "")) for track in _TRACKS]
    return tuple(dict.fromkeys(key_of(digest) for digest in digests if digest))


def models(seen: Object | None) -> frozenset[str]:
    """Return the names of their models, as they stand in request paths."""
    names = (part(seen, "status", track).get("model") for track in _TRACKS)
    return frozenset(str(name) for name in names if name)


def answering(seen: Object | None) -> str:
    """Return the name of the version that answers."""
    return str(part(seen, "status", STABLE).get("version", ""))
