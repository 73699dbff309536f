"""What a report shows: the Deployment's status and the sidecars' counts put together; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelwright_cli.objects import Json, name_of, number, part, parts, text, texts, whole
from modelwright_server.contract import CANARY, STABLE
from modelwright_server.contract.monitoring import CONDITIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelwright_cli.report.counts import Answer, Column
    from modelwright_cli.report.gather import Gathered

SHOWN = (*CONDITIONS, "ModelStale", "Retraining", "UpdateAvailable", "RolloutHealthy", "Ready")
TOLERATED_PSI = 0.02  # the API's default
_OTHERS_BINS = 12  # categories that are shown one by one


@dataclass(frozen=True, slots=True)
class Share:
    """A share of odd values: live and in training."""

    what: str
    live: float
    expected: float | None
    flagged: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """A column's distribution: the share of each bin, live and in training."""

    labels: tuple[str, ...]
    live: tuple[float, ...]
    baseline: tuple[float, ...]
    live_rows: int
    baseline_rows: int
    numeric: bool


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature or prediction; without a shape where only the status was at hand."""

    name: str
    datatype: str
    psi: float | None
    psi_lower: float | None
    p_value: float | None
    flagged: bool
    shares: tuple[Share, ...]
    shape: Shape | None


@dataclass(frozen=True, slots=True)
class Track:
    """The windows of one track's pods.

    Attributes:
        name: stable or canary.
        version: whose rows.
        source: which rows the figures are of, in words.
        facts: coverage and loss, as name and value.
        features: the furthest from the baseline first.
        left_out: number of further features.
        prediction: what the model said.
        lines: windows, oldest first.
        findings: of a canary, what would be conditions.
    """

    name: str
    version: str
    source: str
    facts: tuple[tuple[str, str], ...]
    features: tuple[Feature, ...]
    left_out: int
    prediction: tuple[Feature, ...]
    lines: tuple[Json, ...]
    findings: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class View:
    """A whole report.

    Attributes:
        namespace: of the Deployment.
        name: of the Deployment.
        made_at: when the report was made.
        verdict: in one sentence.
        state: of the verdict: ok, warn, bad or unknown.
        conditions: those that matter here.
        tolerated_psi: nobody needs to hear of less.
        tracks: stable, and canary if there is one.
        quality: by labels; empty: none.
        wanted: of the quality, `spec.monitoring.quality`.
        retraining: its status; empty: none.
        history: last lines, newest first.
        problems: what could not be had.
    """

    namespace: str
    name: str
    made_at: str
    verdict: str
    state: str
    conditions: tuple[Json, ...]
    tolerated_psi: float
    tracks: tuple[Track, ...]
    quality: Json
    wanted: Json
    retraining: Json
    history: tuple[Json, ...]
    problems: tuple[str, ...]


def view(gathered: Gathered, made_at: str) -> View:
    """Put it together."""
    seen = gathered.deployment
    status = part(seen, "status")
    monitoring = part(status, "monitoring")
    told = {text(item, "type"): item for item in parts(status, "conditions")}
    verdict, state = _verdict(told)
    tolerated = number(seen, "spec", "monitoring", "drift", "toleratedPSI")
    problems = [f"{answer.pod}: {answer.problem}" for answer in gathered.answers if answer.problem]
    tracks = [_track(STABLE, monitoring, gathered.answers)]
    if part(monitoring, CANARY):
        tracks.append(_track(CANARY, part(monitoring, CANARY), gathered.answers))
    return View(
        namespace=text(seen, "metadata", "namespace"),
        name=name_of(seen),
        made_at=made_at,
        verdict=verdict,
        state=state,
        conditions=tuple(told[kind] for kind in SHOWN if kind in told),
        tolerated_psi=tolerated if tolerated is not None else TOLERATED_PSI,
        tracks=tuple(tracks),
        quality=part(monitoring, "quality"),
        wanted=part(seen, "spec", "monitoring", "quality"),
        retraining=part(status, "retraining"),
        history=tuple(reversed(parts(status, "history")[-10:])),
        problems=(*gathered.problems, *problems),
    )


_VERDICTS = (
    ("DataQualityDegraded", "bad", "The data that is sent is broken: mend what sends it before anything else."),
    ("ModelQualityDegraded", "bad", "The model is not as good as asked for, by the labels that came back."),
    ("DataDriftDetected", "warn", "Live traffic is no longer what the model was trained on."),
    ("PredictionDriftDetected", "warn", "The model predicts otherwise than it did when it was tested."),
    ("ModelStale", "warn", "The model is older than it may be."),
)


def _verdict(told: dict[str, Json]) -> tuple[str, str]:
    """Return what matters most, in words, and how bad it is."""
    for kind, state, words in _VERDICTS:
        if text(told.get(kind), "status") == "True":
            return words, state
    if text(told.get("MonitoringHealthy"), "status") == "False":
        return "Monitoring itself does not work as it should: what it says may be incomplete.", "warn"
    drifts = [text(told.get(kind), "status") for kind in ("DataDriftDetected", "PredictionDriftDetected")]
    if drifts == ["False", "False"]:
        return "Live traffic looks like the data that the model was trained on.", "ok"
    return "There is not enough evidence for a verdict yet.", "unknown"


def _track(name: str, document: Json, answers: Sequence[Answer]) -> Track:
    digest = text(document, "digest")
    own = [answer for answer in answers if answer.track == name and (answer.digest == digest or not digest)]
    closers = [answer for answer in own if answer.window and text(answer.window, "track") == name]
    best = max(closers, key=lambda answer: whole(answer.window, "sequence"), default=None)
    open_rows = sum(answer.rows for answer in own)
    if best is not None:
        source = f"window {whole(best.window, 'sequence')}, closed at {text(best.window, 'closedAt')}"
        features, prediction = _closed(best.features), _closed(best.prediction)
    elif own and open_rows:
        source = f"{open_rows} rows of the open window, which nobody has judged yet"
        features, prediction = _opened([a.features for a in own]), _opened([a.prediction for a in own])
    else:
        source = f"window {whole(document, 'window', 'sequence')}, from the status: its distributions are not at hand"
        features = prediction = ()
    return Track(
        name=name,
        version=text(document, "version"),
        source=source,
        facts=_facts(document, open_rows if own else None),
        features=features or tuple(map(_from_status, parts(document, "features"))),
        left_out=own[0].left_out if features else 0,
        prediction=prediction or tuple(map(_from_status, parts(document, "prediction"))),
        lines=_lines(name, document, own),
        findings=tuple(parts(document, "findings")),
    )


def _facts(document: Json, open_rows: int | None) -> tuple[tuple[str, str], ...]:
    window, total = part(document, "window"), part(document, "total")
    rows, lost = whole(total, "rows"), whole(total, "lost")
    coverage = part(document, "coverage")
    missing = ", ".join(texts(window, "missing"))
    facts = [
        ("window", f"{whole(window, 'sequence')}"),
        ("closed at", text(window, "closedAt")),
        ("rows in it", f"{whole(window, 'rows')}"),
        ("replicas that reported", f"{whole(coverage, 'reported')} of {whole(coverage, 'replicas')}"),
        ("did not answer", missing),
        ("lost in it", f"{whole(document, 'lost')} rows"),
        ("since the version began", f"{whole(total, 'windows')} windows, {rows} rows"),
        ("lost since", f"{lost} rows ({lost / max(1, rows + lost):.2%})"),
        ("accuracy to expect, if labels still follow features as they did", _estimated(document)),
        ("counted since the window", "" if open_rows is None else f"{open_rows} rows"),
    ]
    return tuple((name, value) for name, value in facts if value)


def _estimated(document: Json) -> str:
    """Return the accuracy that the predictions' own probabilities let expect, where the sidecars estimate it."""
    found = part(document, "estimatedAccuracy")
    value, low, high, holdout = (number(found, key) for key in ("value", "low", "high", "holdout"))
    if value is None or low is None or high is None or holdout is None:
        return ""
    return f"{value:.4g} ({low:.4g} to {high:.4g}); {holdout:.4g} on the holdout; an estimate, no measurement"


def _lines(name: str, document: Json, answers: Sequence[Answer]) -> tuple[Json, ...]:
    """Return the windows that are remembered, by whoever closed each; else what the status remembers."""
    found = {whole(line, "sequence"): line for line in parts(document, "recent")}
    for answer in answers:
        found |= {whole(line, "sequence"): line for line in answer.lines if text(line, "track") == name}
    return tuple(found[sequence] for sequence in sorted(found))


def _closed(columns: Sequence[Column]) -> tuple[Feature, ...]:
    return tuple(_feature(column, column.closed, column.figures) for column in columns)


def _opened(groups: Sequence[Sequence[Column]]) -> tuple[Feature, ...]:
    """Return the sum of the replicas' open counts, for those columns that all of them have alike."""
    found: list[Feature] = []
    for column in groups[0]:
        same = [other for group in groups for other in group if other.name == column.name]
        if all(other.labels == column.labels and other.numeric == column.numeric for other in same):
            counts = tuple(map(sum, zip(*(other.opened for other in same), strict=True)))
            found.append(_feature(column, counts, {}))
    return tuple(found)


def _feature(column: Column, counts: tuple[int, ...], figures: object) -> Feature:
    bins = len(column.baseline)
    live, odd = counts[:bins], counts[bins:]
    live_rows, baseline_rows = sum(live), sum(column.baseline)
    shares = _shares(column, live_rows, odd)
    flagged = {text(item, "share") for item in parts(figures, "quality")}
    return Feature(
        name=column.name,
        datatype=column.datatype,
        psi=number(figures, "psi"),
        psi_lower=number(figures, "psiLower"),
        p_value=number(figures, "pValue"),
        flagged=part(figures).get("flagged") is True,
        shares=tuple(Share(_ODD[key], value, expected, key in flagged) for key, value, expected in shares),
        shape=_shape(column, live, live_rows, baseline_rows),
    )


_ODD = {"missing": "missing", "outOfRange": "beyond the training data's range", "unseen": "never seen in training"}


def _shares(column: Column, live_rows: int, odd: tuple[int, ...]) -> list[tuple[str, float, float | None]]:
    """Return the shares of odd values: which, live, in training."""
    whole_baseline = sum(column.baseline)
    if not column.numeric:
        expected = column.baseline_odd / max(1, whole_baseline)
        return [("unseen", odd[0] / max(1, live_rows), expected)]
    missing, below, above = odd
    expected = column.baseline_odd / max(1, whole_baseline + column.baseline_odd)
    return [
        ("missing", missing / max(1, live_rows + missing), expected),
        ("outOfRange", (below + above) / max(1, live_rows), None),
    ]


def _shape(column: Column, live: tuple[int, ...], live_rows: int, baseline_rows: int) -> Shape:
    rows = [
        (label, count / max(1, live_rows), trained / max(1, baseline_rows))
        for label, count, trained in zip(column.labels, live, column.baseline, strict=True)
    ]
    if not column.numeric and len(rows) > _OTHERS_BINS:
        rows.sort(key=lambda row: -max(row[1:]))
        rest = rows[_OTHERS_BINS - 1 :]
        others = (f"({len(rest)} others)", sum(row[1] for row in rest), sum(row[2] for row in rest))
        rows = [*rows[: _OTHERS_BINS - 1], others]
    labels, shares, trained = zip(*rows, strict=True)
    return Shape(labels, shares, trained, live_rows, baseline_rows, column.numeric)


def _from_status(figures: Json) -> Feature:
    shares = [
        Share(_ODD.get(text(item, "share"), "odd"), number(item, "live") or 0.0, number(item, "expected"), flagged=True)
        for item in parts(figures, "quality")
    ]
    return Feature(
        name=text(figures, "name"),
        datatype="",
        psi=number(figures, "psi"),
        psi_lower=number(figures, "psiLower"),
        p_value=number(figures, "pValue"),
        flagged=figures.get("flagged") is True,
        shares=tuple(shares),
        shape=None,
    )
