"""Plots as inline SVG, in the page's colours, so that they follow light, dark and print; titles have the numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from modelwright_cli.objects import Json, number, text, whole
from modelwright_cli.report.markup import Markup, joined, tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from modelwright_cli.report.view import Feature, Shape

_WIDTH = 340
_CUSTOMARY = (0.1, 0.25)  # by custom worth a look, and much
_MOST_BARS = 40
_NAME = 34  # characters of a name beside a bar
_TICKS = 3


def histogram(shape: Shape, *, flagged: bool, title: str) -> Markup:
    """Return the bins of a number, live beside the baseline."""
    height, left, bottom = 150, 34, 22
    top = max((*shape.live, *shape.baseline, 0.01))
    step = (_WIDTH - left) / len(shape.labels)
    bars: list[Markup] = []
    for at, (label, live, trained) in enumerate(zip(shape.labels, shape.live, shape.baseline, strict=True)):
        said = tag("title", f"{label}: live {live:.1%}, in training {trained:.1%}")
        x = left + at * step
        for share, offset, kind in ((trained, 0.1, "base"), (live, 0.5, "hot" if flagged else "live")):
            tall = share / top * (height - bottom - 8)
            bars.append(
                tag(
                    "rect",
                    said,
                    x=_at(x + offset * step),
                    y=_at(height - bottom - tall),
                    width=_at(0.4 * step),
                    height=_at(tall),
                    class_=kind,
                )
            )
    axis = [
        tag("line", x1=left, x2=_WIDTH, y1=height - bottom, y2=height - bottom, class_="axis"),
        _text(f"{top:.0%}", left - 4, 14, "end"),
        _text("0", left - 4, height - bottom, "end"),
        _text(_short(shape.labels[0]), left, height - 6, "start"),
        _text(_short(shape.labels[-1]), _WIDTH, height - 6, "end"),
    ]
    if len(shape.labels) > _TICKS:
        middle = len(shape.labels) // 2
        axis.append(_text(_short(shape.labels[middle]), left + (middle + 0.5) * step, height - 6, "middle"))
    return _svg(_WIDTH, height, title, (*bars, *axis))


def categories(shape: Shape, *, flagged: bool, title: str) -> Markup:
    """Return the categories of a column, live under the baseline."""
    row, left = 24, 120
    top = max((*shape.live, *shape.baseline, 0.01))
    height = row * len(shape.labels) + 4
    drawn: list[Markup] = []
    for at, (label, live, trained) in enumerate(zip(shape.labels, shape.live, shape.baseline, strict=True)):
        said = tag("title", f"{label}: live {live:.1%}, in training {trained:.1%}")
        y = at * row + 4
        drawn.append(_text(_short(label or "(empty)"), left - 6, y + 13, "end"))
        for share, offset, kind in ((trained, 0, "base"), (live, 9, "hot" if flagged else "live")):
            wide = share / top * (_WIDTH - left - 46)
            drawn.append(tag("rect", said, x=left, y=y + offset, width=_at(wide), height=8, class_=kind))
        drawn.append(_text(f"{live:.1%}", left + max(live, trained) / top * (_WIDTH - left - 46) + 4, y + 13, "start"))
    return _svg(_WIDTH, height, title, drawn)


def psi_bars(features: Sequence[Feature], tolerated: float) -> Markup:
    """Return all features' indices, the largest first, beside what is tolerated."""
    shown = sorted((item for item in features if item.psi is not None), key=lambda item: -(item.psi or 0))[:_MOST_BARS]
    row, left, width, head = 20, 240, 720, 18
    top = max([*(item.psi or 0 for item in shown), _CUSTOMARY[-1] * 1.1])
    height = head + row * len(shown) + 6

    def x(psi: float) -> float:
        return left + max(0.0, psi) / top * (width - left - 60)

    drawn: list[Markup] = []
    for mark, label in ((tolerated, "tolerated"), *((value, f"{value:g}") for value in _CUSTOMARY)):
        if mark <= top:
            drawn.append(tag("line", x1=_at(x(mark)), x2=_at(x(mark)), y1=head - 4, y2=height, class_="mark"))
            drawn.append(_text(label, x(mark), head - 7, "middle"))
    for at, item in enumerate(shown):
        psi, y = item.psi or 0.0, head + at * row
        said = tag("title", f"{item.name}: PSI {psi:.4g}, p {item.p_value if item.p_value is not None else 1:.2g}")
        drawn.append(_text(_short(item.name, _NAME), left - 6, y + 12, "end"))
        bar = tag("rect", said, x=left, y=y + 2, width=_at(x(psi) - left), height=13, class_=_kind(item))
        drawn.append(bar)
        drawn.append(_text(f"{psi:.3g}{' drift' if item.flagged else ''}", x(psi) + 4, y + 12, "start"))
    return _svg(width, height, "Population stability index of each feature", drawn)


def timeline(lines: Sequence[Json], tolerated: float) -> Markup:
    """Return the windows: the largest index of each, and below what was found."""
    height, left, width, strip = 190, 90, 720, 60
    step = (width - left - 10) / len(lines)
    marks: dict[str, list[float | None]] = {
        "hot": [number(line, "psi") for line in lines],
        "live": [number(line, "predictionPsi") for line in lines],
    }
    top = max([tolerated * 1.5, 0.05, *(value for values in marks.values() for value in values if value is not None)])

    def y(psi: float) -> float:
        return (height - strip) - psi / top * (height - strip - 14)

    drawn = [
        tag("line", x1=left, x2=width, y1=_at(y(tolerated)), y2=_at(y(tolerated)), class_="mark"),
        _text("tolerated", left - 6, y(tolerated) + 4, "end"),
        tag("line", x1=left, x2=width, y1=height - strip, y2=height - strip, class_="axis"),
        _text(f"{top:.2g}", left - 6, 14, "end"),
    ]
    for kind, values in marks.items():
        points = [(left + (at + 0.5) * step, y(value)) for at, value in enumerate(values) if value is not None]
        path = "M" + " L".join(f"{_at(a)} {_at(b)}" for a, b in points) if points else "M0 0"
        drawn.append(tag("path", d=path, class_=f"stroke {kind}-line"))
        drawn += [tag("circle", cx=_at(a), cy=_at(b), r=2.5, class_=kind) for a, b in points]
    for row, (flag, label) in enumerate((("drift", "features"), ("prediction", "predictions"), ("quality", "data"))):
        top_of_row = height - strip + 6 + row * 14
        drawn.append(_text(label, left - 6, top_of_row + 9, "end"))
        for at, line in enumerate(lines):
            found = line.get(flag) is True
            said = tag("title", f"{_line_title(line)}: {label} {'flagged' if found else 'as in training'}")
            wide = max(1.0, min(step - 2, 26))
            x = left + (at + 0.5) * step - wide / 2
            kind = "hot" if found else "calm"
            drawn.append(tag("rect", said, x=_at(x), y=top_of_row, width=_at(wide), height=10, class_=kind))
    drawn.append(_text(str(whole(lines[0], "sequence")), left + step / 2, height - 2, "middle"))
    if len(lines) > 1:
        drawn.append(_text(str(whole(lines[-1], "sequence")), left + (len(lines) - 0.5) * step, height - 2, "middle"))
    return _svg(width, height, "The last windows", drawn)


def cohorts(items: Sequence[Json], wanted: Json) -> Markup:
    """Return a metric by day of the prediction, with its intervals and what is asked for."""
    height, left, width = 180, 60, 720
    limit = number(wanted, "min") if number(wanted, "min") is not None else number(wanted, "max")
    known = [
        value
        for item in items
        for value in (number(item, key) for key in ("low", "value", "high"))
        if value is not None
    ] + ([limit] if limit is not None else [])
    low, high = min(known), max(known)
    room = (high - low) * 0.1 or max(abs(high) * 0.05, 0.01)
    low, high = low - room, high + room
    step = (width - left) / len(items)

    def y(value: float) -> float:
        return height - 24 - (value - low) / (high - low) * (height - 36)

    drawn = [_text(f"{high:.3g}", left - 6, 16, "end"), _text(f"{low:.3g}", left - 6, height - 24, "end")]
    drawn.append(tag("line", x1=left, x2=width, y1=height - 24, y2=height - 24, class_="axis"))
    if limit is not None:
        drawn.append(tag("line", x1=left, x2=width, y1=_at(y(limit)), y2=_at(y(limit)), class_="mark"))
        drawn.append(_text(f"asked for: {limit:g}", width, y(limit) - 4, "end"))
    for at, item in enumerate(items):
        value, x = number(item, "value"), left + (at + 0.5) * step
        if value is None:
            continue
        below, above = (number(item, key) for key in ("low", "high"))
        if below is not None and above is not None:
            drawn.append(tag("line", x1=_at(x), x2=_at(x), y1=_at(y(below)), y2=_at(y(above)), class_="live-line"))
        said = f"{text(item, 'day')}, {text(item, 'version')}: {value:.4g} of {whole(item, 'labels')} labels"
        drawn.append(tag("circle", tag("title", said), cx=_at(x), cy=_at(y(value)), r=4, class_="live"))
    drawn.append(_text(text(items[0], "day"), left, height - 6, "start"))
    if len(items) > 1:
        drawn.append(_text(text(items[-1], "day"), width, height - 6, "end"))
    return _svg(width, height, f"{text(wanted, 'metric')} by day of the prediction", drawn)


def _kind(item: Feature) -> str:
    return "hot" if item.flagged else "live"


def _line_title(line: Json) -> str:
    rows = f", {whole(line, 'rows')} rows" if "rows" in line else ""
    return f"window {whole(line, 'sequence')}{rows}"


def _svg(width: float, height: float, title: str, content: Iterable[Markup]) -> Markup:
    return tag(
        "svg",
        tag("title", title),
        joined(content),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_at(width)} {_at(height)}",
        role="img",
        class_="plot wide" if width > _WIDTH else "plot",
    )


def _text(said: str, x: float, y: float, anchor: str) -> Markup:
    return tag("text", said, x=_at(x), y=_at(y), text_anchor=anchor)


def _short(said: str, most: int = 16) -> str:
    return said if len(said) <= most else f"{said[: most - 1]}…"


def _at(value: float) -> str:
    """Return a coordinate; what cannot be one is 0."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if math.isfinite(value) else "0"
