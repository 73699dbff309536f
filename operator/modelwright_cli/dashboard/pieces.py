"""Small pieces of pages: pills, bars, commands, tables; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from modelwright_cli.dashboard.words import Notice, State, ago
from modelwright_cli.objects import Json, parts, text
from modelwright_cli.report.markup import Markup, joined, tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

NONE = Markup("")
_GOOD = frozenset({"Ready", "Available", "RolloutHealthy", "MonitoringHealthy", "Complete", "Verified"})
_PLAIN = frozenset({"InUse", "Approved", "UpdateAvailable", "Retraining", "Suspended", "Reconciling"})
_PAGES = {"Deployment": "deployments", "ModelVersion": "versions", "TrainingJob": "jobs"}


def pill(state: State) -> Markup:
    """Return a state as a coloured word."""
    return tag("span", tag("span", class_="dot", aria_hidden="true"), state.said, class_=f"pill {state.tone}")


def link(kind: str, name: str, *, known: bool = True) -> Markup:
    """Return a link to an object's page; its name alone if it is not there."""
    if not name:
        return NONE
    if not known:
        return tag("span", name, class_="name")
    return tag("a", name, href=f"/{_PAGES[kind]}/{quote(name, safe='')}", class_="name")


def when(moment: str, now: datetime) -> Markup:
    """Return how long ago something was, with the moment itself on the pointer."""
    said = ago(moment, now)
    return tag("time", said, datetime=moment, title=moment) if said else NONE


def command(line: str) -> Markup:
    """Return a line to be typed, with a button that copies it."""
    if not line:
        return NONE
    button = tag("button", "Copy", type="button", class_="copy", data_copy=line, aria_label=f"Copy: {line}")
    return tag("p", tag("code", line), button, class_="command")


def notice(item: Notice) -> Markup:
    """Return a notice with what to do."""
    return tag(
        "div",
        tag("strong", item.title),
        tag("p", item.message) if item.message else NONE,
        command(item.command),
        class_=f"notice {item.tone}",
    )


def problem(*said: str) -> Markup:
    """Return what could not be had."""
    return (
        tag("div", tag("strong", "Not at hand"), *(tag("p", one) for one in said), class_="notice warn")
        if said
        else NONE
    )


def section(title: str, *content: object, anchor: str) -> Markup:
    """Return a part of a page with its heading."""
    heading = tag("h2", title, id=anchor)
    return tag("section", heading, *content, aria_labelledby=anchor, data_key=anchor)


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, label: str, numbers: Sequence[int] = ()) -> Markup:
    """Return a table that scrolls by itself where there is no room; the columns `numbers` are right-aligned."""
    first = tag(
        "thead", tag("tr", *(tag("th", name, scope="col", class_=_number(at, numbers)) for at, name in enumerate(head)))
    )
    body = [
        tag("tr", *(tag("td", cell, class_=_number(at, numbers), data_label=head[at]) for at, cell in enumerate(row)))
        for row in rows
    ]
    return tag(
        "div", tag("table", first, tag("tbody", *body)), class_="scroll", tabindex=0, role="region", aria_label=label
    )


def _number(at: int, numbers: Sequence[int]) -> str | None:
    return "number" if at in numbers else None


def facts(items: Iterable[tuple[str, object]]) -> Markup:
    """Return names with values, without those that have none."""
    shown = [tag("div", tag("dt", name), tag("dd", value)) for name, value in items if value]
    return tag("dl", *shown, class_="facts") if shown else NONE


def conditions(seen: Json, now: datetime) -> Markup:
    """Return an object's conditions."""
    items = parts(seen, "status", "conditions")
    if not items:
        return tag("p", "No condition yet: the operator has not looked at it.", class_="faint")
    rows = (
        (
            pill(State(text(item, "type"), _tone(item))),
            text(item, "status"),
            tag("code", text(item, "reason")),
            text(item, "message"),
            when(text(item, "lastTransitionTime"), now),
        )
        for item in items
    )
    return table(("Condition", "Status", "Reason", "Message", "Since"), rows, label="Conditions")


def _tone(item: Json) -> str:
    kind, status = text(item, "type"), text(item, "status")
    if kind in _PLAIN:
        return "busy" if kind == "Reconciling" and status == "True" else "calm"
    if status == "Unknown":
        return "calm"
    if kind in _GOOD:
        return "ok" if status == "True" else "bad"
    return ("bad" if kind in {"Stalled", "Failed", "RolledBack"} else "warn") if status == "True" else "ok"


def timeline(items: Sequence[tuple[str, str, object, str]], now: datetime, *, none: str) -> Markup:
    """Return what happened, as given: moment, what, words, tone."""
    if not items:
        return tag("p", none, class_="faint")
    lines = [
        tag(
            "li",
            tag("span", class_="dot", aria_hidden="true"),
            tag("div", tag("strong", what), " ", when(moment, now), tag("p", said) if said else NONE),
            class_=tone,
        )
        for moment, what, said, tone in items
    ]
    return tag("ol", *lines, class_="timeline")


def bar(shares: Sequence[tuple[str, float]], *, label: str) -> Markup:
    """Return percentages side by side; each with the class of its colour."""
    at = 0.0
    drawn: list[Markup] = []
    for kind, share in shares:
        wide = max(0.0, min(share, 100.0 - at))
        drawn.append(tag("rect", x=_round(at), y=0, width=_round(wide), height=10, class_=f"fill-{kind}"))
        at += wide
    return tag(
        "svg",
        tag("title", label),
        joined(drawn),
        class_="bar",
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        role="img",
    )


def _round(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def percent_done(value: float, *, label: str) -> Markup:
    """Return how much is done, from 0 to 1."""
    share = round(100 * max(0.0, min(1.0, value)))
    return tag("progress", f"{share} %", value=share, max=100, aria_label=label)
