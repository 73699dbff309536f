"""The file: one page of HTML without scripts, fonts or pictures from anywhere; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from modelwright_cli.objects import Json, number, parts, text, whole
from modelwright_cli.report import charts
from modelwright_cli.report.markup import Markup, joined, tag
from modelwright_cli.report.style import CSS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from modelwright_cli.report.view import Feature, Track, View

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
# What is bad when it is True: the others are when they are False.
_ABNORMAL = frozenset(
    {
        "DataDriftDetected",
        "PredictionDriftDetected",
        "DataQualityDegraded",
        "ModelQualityDegraded",
        "ModelStale",
    }
)
_MOST_CARDS = 60
_WORD = 30


def page(view: View) -> str:
    """Return the report; everything in it but its own words is escaped."""
    title = f"Drift report: {view.namespace}/{view.name}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(CSS)),
    )
    body = [
        tag("h1", title),
        tag("p", _subtitle(view), class_="faint"),
        _verdict(view),
        *(tag("p", f"Not at hand: {problem}", class_="problem") for problem in view.problems),
        _conditions(view.conditions),
        _found(view),
        _history(view.history),
        tag("p", f"Made by kubectl modelwright report at {view.made_at}.", class_="faint"),
    ]
    return f"<!doctype html>\n{tag('html', head, tag('body', joined(body)), lang='en')}\n"


def findings(view: View) -> Markup:
    """Return what was found of live traffic, for a page that says the rest itself."""
    return joined([_verdict(view), _found(view)])


def _verdict(view: View) -> Markup:
    return tag("div", tag("strong", view.verdict), _named(view), class_=f"verdict {view.state}")


def _found(view: View) -> Markup:
    return joined(
        [
            *(_track(track, view.tolerated_psi) for track in view.tracks if track.name == "stable"),
            _quality(view.quality, view.wanted),
            *(_canary(track, view.tolerated_psi) for track in view.tracks if track.name != "stable"),
            _retraining(view),
        ]
    )


def _subtitle(view: View) -> str:
    serves = " and ".join(f"{track.name} {track.version}" for track in view.tracks if track.version)
    return f"{serves or 'no version was monitored yet'} · {view.made_at}"


def _named(view: View) -> Markup:
    """Return what the conditions that are out of order say."""
    return joined(
        tag("p", text(item, "message"))
        for item in view.conditions
        if text(item, "type") in _ABNORMAL and text(item, "status") == "True"
    )


def _conditions(conditions: Sequence[Json]) -> Markup:
    if not conditions:
        return tag("p", "The status has no condition yet.")
    return joined(
        [
            tag("h2", "Conditions"),
            _table(
                ("condition", "status", "reason", "message", "since"),
                (
                    (
                        text(item, "type"),
                        _status(item),
                        text(item, "reason"),
                        text(item, "message"),
                        text(item, "lastTransitionTime"),
                    )
                    for item in conditions
                ),
            ),
        ]
    )


def _status(item: Json) -> Markup:
    status, kind = text(item, "status"), text(item, "type")
    healthy = kind in {"MonitoringHealthy", "RolloutHealthy", "Ready"}
    bad = (kind in _ABNORMAL and status == "True") or (healthy and status == "False")
    return tag("span", status, class_="true" if bad else None)


def _track(track: Track, tolerated: float) -> Markup:
    parts_of: list[Markup] = [
        tag("h2", "Features"),
        tag("p", f"Of {track.source}.", class_="faint"),
        charts.psi_bars(track.features, tolerated)
        if any(item.psi is not None for item in track.features)
        else Markup(),
        _key(),
        _cards(track.features, track.left_out),
    ]
    if track.prediction:
        parts_of += [tag("h2", "Predictions"), _cards(track.prediction, 0)]
    if track.lines:
        parts_of += [tag("h2", "Windows"), charts.timeline(track.lines, tolerated), _timeline_key()]
    parts_of += [tag("h2", "Coverage and loss"), _table((), track.facts)]
    return joined(parts_of)


def _canary(track: Track, tolerated: float) -> Markup:
    findings = [(text(item, "type"), _status(item), text(item, "message")) for item in track.findings]
    return joined(
        [
            tag("h2", f"Canary: {track.version}"),
            tag("p", "The pods that are tried; their windows are apart, and turn no condition.", class_="faint"),
            _table(("finding", "status", "message"), findings) if findings else Markup(),
            _track(track, tolerated),
        ]
    )


def _key() -> Markup:
    swatches = (("base", "in training"), ("live", "live"), ("hot", "live, drifted"))
    return tag("p", *(joined([tag("span", class_=f"swatch {kind}"), said]) for kind, said in swatches), class_="faint")


def _timeline_key() -> Markup:
    said = [
        tag("span", class_="swatch hot"),
        "largest PSI of a feature, and windows that were flagged",
        tag("span", class_="swatch live"),
        "largest PSI of a prediction",
    ]
    return tag("p", *said, class_="faint")


def _cards(features: Sequence[Feature], left_out: int) -> Markup:
    shown = features[:_MOST_CARDS]
    more = len(features) - len(shown) + left_out
    cards = tag("div", *map(_card, shown), class_="grid")
    return joined([cards, tag("p", f"{more} further features are not shown.", class_="faint")]) if more else cards


def _card(item: Feature) -> Markup:
    told = [f"PSI {item.psi:.3g}"] if item.psi is not None else ["not judged yet"]
    if item.flagged and item.psi_lower:
        told.append(f"at least {item.psi_lower:.3g}")
    if item.p_value is not None:
        told.append(f"p {item.p_value:.2g}")
    drawn = [tag("h3", item.name), tag("figcaption", " · ".join([*told, *([item.datatype] if item.datatype else [])]))]
    if item.shape is not None:
        draw = charts.histogram if item.shape.numeric else charts.categories
        title = f"{item.name}: {item.shape.live_rows} live rows, {item.shape.baseline_rows} in training"
        drawn.append(draw(item.shape, flagged=item.flagged, title=title))
    for share in item.shares:
        expected = f" (in training {share.expected:.2%})" if share.expected is not None else ""
        said = f"{share.live:.2%} {share.what}{expected}"
        drawn.append(tag("figcaption", tag("span", said, class_="true" if share.flagged else None)))
    return tag("figure", *drawn, class_="card hot" if item.flagged else "card")


def _quality(quality: Json, wanted: Json) -> Markup:
    if not wanted and not quality:
        return Markup()
    value = number(quality, "value")
    if value is None:
        told = f"No {text(wanted, 'metric') or 'metric'} yet: {whole(quality, 'labels')} labels came back."
        return joined([tag("h2", "Quality by labels"), tag("p", told)])
    low, high = number(quality, "low"), number(quality, "high")
    interval = f" (95 %: {low:.4g} to {high:.4g})" if low is not None and high is not None else ""
    coverage = number(quality, "coverage") or 0.0
    told = (
        f"{text(quality, 'metric')} {value:.4g}{interval} of {text(quality, 'version')}, by {whole(quality, 'labels')} "
        f"labels of {whole(quality, 'predictions')} predictions ({coverage:.1%})."
    )
    days = [item for item in parts(quality, "cohorts") if number(item, "value") is not None]
    drawn = charts.cohorts(days, {"metric": text(quality, "metric"), **wanted}) if days else Markup()
    return joined([tag("h2", "Quality by labels"), tag("p", told), drawn])


def _retraining(view: View) -> Markup:
    none: Json = {}
    said = next((item for item in view.conditions if text(item, "type") == "Retraining"), none)
    if not said and not view.retraining:
        return Markup()
    rows = [(key, _flat(value)) for key, value in view.retraining.items()]
    return joined(
        [
            tag("h2", "Retraining"),
            tag("p", f"{text(said, 'reason')}: {text(said, 'message')}") if said else Markup(),
            _table((), rows) if rows else Markup(),
        ]
    )


def _flat(value: object) -> str:
    """Return a part of the status on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_flat(item)}" for key, item in cast("Json", value).items())
    if isinstance(value, list):
        return "; ".join(map(_flat, cast("list[object]", value)))
    return str(value)


def _history(history: Sequence[Json]) -> Markup:
    if not history:
        return Markup()
    rows = ((text(item, "at"), text(item, "event"), text(item, "message")) for item in history)
    return joined([tag("h2", "History"), _table(("when", "what", "message"), rows)])


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Markup:
    """Return a table; without a head the first cell of each row is its own."""
    body = [tag("tr", *(_cell("td" if head or at else "th", cell) for at, cell in enumerate(row))) for row in rows]
    first = [tag("thead", tag("tr", *(tag("th", name) for name in head)))] if head else []
    return tag("table", *first, tag("tbody", *body))


def _cell(kind: str, cell: object) -> Markup:
    """Return a cell; short words, like those of conditions, stay whole."""
    return tag(kind, cell, class_="word" if isinstance(cell, Markup) or len(str(cell)) <= _WORD else None)
