"""The page of a Deployment; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelwright_cli import ancestry
from modelwright_cli.dashboard import lineage, words
from modelwright_cli.dashboard.frame import Place, page
from modelwright_cli.dashboard.pieces import (
    NONE,
    conditions,
    facts,
    link,
    notice,
    pill,
    problem,
    section,
    timeline,
    when,
)
from modelwright_cli.dashboard.rollout import state_of_play, traffic
from modelwright_cli.objects import Json, name_of, part, parts, text, whole
from modelwright_cli.references import happened, told
from modelwright_cli.report.markup import Markup, joined, tag
from modelwright_cli.report.page import findings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from modelwright_cli.dashboard.lineage import Known
    from modelwright_cli.report.view import View

_MOST_EVENTS = 60
_BAD = frozenset({"RolledBack", "Aborted", "Stalled"})
_GOOD = frozenset({"Promoted", "PromotedByHand", "Retrained", "NoDrift", "Available"})


@dataclass(frozen=True, slots=True)
class Contents:
    """A Deployment with all that belongs to it.

    Attributes:
        seen: the Deployment.
        pods: its own.
        events: about it and its children.
        known: versions and jobs of the namespace.
        monitored: what its sidecars found; None: it is not monitored.
        problems: what could not be had.
    """

    seen: Json
    pods: Sequence[Json]
    events: Sequence[Json]
    known: Known
    monitored: View | None
    problems: Sequence[str]


def deployment(place: Place, found: Contents, now: datetime) -> str:
    """Return the page."""
    seen = found.seen
    name = name_of(seen)
    where = f" -n {place.namespace}"
    return page(
        place,
        name,
        [
            tag("div", tag("h1", name), pill(words.deployment_state(seen)), class_="title"),
            _facts(seen, now),
            *map(notice, words.notices(seen)),
            problem(*found.problems),
            section("Rollout", traffic(seen), state_of_play(seen, now, found.known.versions), anchor="rollout"),
            _monitoring(found.monitored, f"kubectl modelwright report {name}{where}"),
            section("Lineage", lineage.of_deployment(seen, found.pods, found.known), _tree(found), anchor="lineage"),
            _past(found, now),
            section("Conditions", conditions(seen, now), anchor="conditions"),
        ],
        path=[tag("a", "Models", href="/"), Markup("Deployment")],
    )


def _facts(seen: Json, now: datetime) -> Markup:
    model, status = part(seen, "spec", "model"), part(seen, "status")
    follows = f"{text(model, 'follow')} of {text(model, 'name')}" if text(model, "name") else "a version by its name"
    return facts(
        [
            ("Serves", link("ModelVersion", text(status, "stable", "version"))),
            ("Follows", follows),
            ("Pods", f"{whole(status, 'readyReplicas')} of {whole(status, 'replicas')} ready"),
            ("Address", tag("code", text(status, "url")) if text(status, "url") else ""),
            ("Created", when(text(seen, "metadata", "creationTimestamp"), now)),
        ]
    )


def _monitoring(found: View | None, command: str) -> Markup:
    if found is None:
        said = ("It is not monitored: ", tag("code", "monitoring: {}"), " in its spec turns it on.")
        return section("Live traffic", tag("p", *said, class_="faint"), anchor="monitoring")
    missing = problem(*found.problems) if found.problems else NONE
    # Its headings are one level lower here; texts in it cannot look like them, since they are escaped.
    drawn = Markup(findings(found).replace("h3>", "h4>").replace("h2>", "h3>"))
    keep = tag("p", "As a file: ", tag("code", command), class_="faint")
    return section("Live traffic", missing, drawn, keep, anchor="monitoring")


def _tree(found: Contents) -> Markup:
    """Return all that is recorded, as `kubectl modelwright lineage` prints it."""
    known = found.known
    names = ancestry.versions_of(found.seen, found.pods, only_pods=False)
    nodes = [
        ancestry.version_node(known.versions[name], known.job_of(known.versions[name]))
        for name in names
        if name in known.versions
    ]
    root = ancestry.lineage(found.pods, found.seen, nodes)
    return tag("details", tag("summary", "All that is recorded"), tag("ul", lineage.details(root), class_="tree"))


def _past(found: Contents, now: datetime) -> Markup:
    history = [
        (text(item, "at"), text(item, "event"), _said(item), _tone(text(item, "event")))
        for item in reversed(parts(found.seen, "status", "history"))
    ]
    newest = sorted(found.events, key=happened, reverse=True)[:_MOST_EVENTS]
    events = [(happened(item), text(item, "reason"), told(item), _weight(item)) for item in newest]
    return tag(
        "div",
        section("History", timeline(history, now, none="Nothing happened yet."), anchor="history"),
        section("Events", timeline(events, now, none="None in the last hour."), anchor="events"),
        class_="two",
    )


def _said(item: Json) -> Markup:
    version, message = text(item, "version"), text(item, "message")
    named = [] if not version or version in message else [tag("code", version), " "]
    return joined([*named, message])


def _tone(event: str) -> str:
    if event in _BAD:
        return "bad"
    return "warn" if event.endswith("Detected") else ("ok" if event in _GOOD else "calm")


def _weight(event: Json) -> str:
    return "warn" if text(event, "type") == "Warning" else "calm"
