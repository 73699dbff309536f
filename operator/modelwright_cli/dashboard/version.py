"""The pages of a ModelVersion and of a TrainingJob; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelwright_cli import ancestry
from modelwright_cli.dashboard import lineage, words
from modelwright_cli.dashboard.frame import Place, page
from modelwright_cli.dashboard.pieces import (
    NONE,
    command,
    conditions,
    facts,
    link,
    notice,
    percent_done,
    pill,
    problem,
    section,
    table,
    timeline,
    when,
)
from modelwright_cli.dashboard.words import Notice
from modelwright_cli.objects import Json, condition, name_of, number, part, parts, text, texts, whole
from modelwright_cli.references import happened, told
from modelwright_cli.report.markup import Markup, tag

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from modelwright_cli.dashboard.lineage import Known

_MEGABYTE = 1 << 20


def version(place: Place, seen: Json, known: Known, problems: Sequence[str], now: datetime) -> str:
    """Return the page of a ModelVersion."""
    name, spec = name_of(seen), part(seen, "spec")
    job = known.job_of(seen)
    tree = tag("ul", lineage.details(ancestry.version_node(seen, job)), class_="tree")
    size = number(seen, "status", "sizeBytes")
    history = [
        (text(item, "at"), text(item, "event"), text(item, "message"), "calm")
        for item in reversed(parts(seen, "status", "history"))
    ]
    return page(
        place,
        name,
        [
            tag("div", tag("h1", name), pill(words.version_state(seen)), class_="title"),
            facts(
                [
                    ("Model", text(spec, "model")),
                    ("Digest", tag("code", text(spec, "artifact", "digest"))),
                    ("Size", f"{size / _MEGABYTE:.2f} MiB" if size else ""),
                    ("Used by", _links(texts(seen, "status", "usedBy"))),
                    ("Created", when(text(seen, "metadata", "creationTimestamp"), now)),
                ]
            ),
            _stalled(seen),
            problem(*problems),
            _approval(spec, name, place.namespace),
            section("Figures", _metrics(parts(spec, "metrics")), anchor="figures"),
            section(
                "Lineage",
                lineage.of_version(seen, known),
                tag("details", tag("summary", "All that is recorded"), tree),
                anchor="lineage",
            ),
            section("Conditions", conditions(seen, now), anchor="conditions"),
            section("History", timeline(history, now, none="Nothing happened yet."), anchor="history"),
        ],
        path=[tag("a", "Models", href="/"), Markup("ModelVersion")],
    )


def _links(names: Sequence[str]) -> Markup:
    return tag("span", *(tag("span", link("Deployment", name), class_="line") for name in names)) if names else NONE


def _stalled(seen: Json) -> Markup:
    item = condition(seen, "Stalled")
    if text(item, "status") != "True":
        return NONE
    return notice(Notice("bad", text(item, "reason"), text(item, "message")))


def _approval(spec: Json, name: str, namespace: str) -> Markup:
    approval = part(spec, "approval")
    if not approval:
        how = command(f"kubectl modelwright approve mv/{name} -n {namespace} --reason '…'")
        return section("Approval", tag("p", "Nobody has approved or rejected it."), how, anchor="approval")
    told_ = f"{text(approval, 'state')} by {text(approval, 'by')}"
    why = f": {text(approval, 'reason')}" if text(approval, "reason") else ""
    return section("Approval", tag("p", tag("strong", told_), why), anchor="approval")


def _metrics(items: Sequence[Json]) -> Markup:
    if not items:
        return tag("p", "No figure is recorded.", class_="faint")
    rows = [
        (text(item, "name"), _figure(number(item, "value")), _interval(item), text(item, "dataset")) for item in items
    ]
    return table(("Metric", "Value", "95 % interval", "Measured on"), rows, label="Figures", numbers=(1, 2))


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _interval(item: Json) -> str:
    low, high = number(item, "low"), number(item, "high")
    return f"{low:.4g} to {high:.4g}" if low is not None and high is not None else ""


def job(place: Place, seen: Json, known: Known, events: Sequence[Json], problems: Sequence[str], now: datetime) -> str:  # noqa: PLR0913, PLR0917 - what a page is of
    """Return the page of a TrainingJob."""
    name, status = name_of(seen), part(seen, "status")
    state, made = words.job_state(seen), text(status, "modelVersion")
    failed = next((kind for kind in ("Failed", "Stalled") if words.holds(seen, kind)), "")
    item = condition(seen, failed) if failed else {}
    done = number(status, "progress", "percent")
    running = tag(
        "p",
        percent_done((done or 0) / 100, label="Progress"),
        f" {text(status, 'stage')}: {text(status, 'progress', 'message') or 'under way'}",
        class_="running",
    )
    newest = sorted(events, key=happened, reverse=True)
    return page(
        place,
        name,
        [
            tag("div", tag("h1", name), pill(state), class_="title"),
            facts(
                [
                    ("Model", text(seen, "spec", "model")),
                    ("Trainer", _trainer(seen)),
                    ("Made", link("ModelVersion", made, known=made in known.versions)),
                    ("Attempt", f"{whole(status, 'attempt')}" if "attempt" in status else ""),
                    ("Took", _took(status)),
                    ("Created", when(text(seen, "metadata", "creationTimestamp"), now)),
                ]
            ),
            notice(Notice("bad", text(item, "reason"), text(item, "message"))) if item else NONE,
            *(notice(Notice("warn", "About the data", said)) for said in texts(status, "warnings")),
            problem(*problems),
            section("Stages", running if state.tone == "busy" else NONE, _stages(seen), anchor="stages"),
            section("Figures", _metrics(parts(status, "metrics")), _gates(parts(status, "gates")), anchor="figures"),
            section("Conditions", conditions(seen, now), anchor="conditions"),
            section(
                "Events",
                timeline(
                    [(happened(one), text(one, "reason"), told(one), "calm") for one in newest],
                    now,
                    none="None in the last hour.",
                ),
                anchor="events",
            ),
        ],
        path=[tag("a", "Models", href="/"), Markup("TrainingJob")],
    )


def _trainer(seen: Json) -> str:
    trainer = part(seen, "spec", "trainer")
    return text(trainer, "sklearn", "estimator").rpartition(".")[2] or text(trainer, "container", "image")


def _took(status: Json) -> str:
    began, ended = (words.parsed(text(status, key)) for key in ("startedAt", "finishedAt"))
    return words.lasted((ended - began).total_seconds()) if began and ended else ""


_TONES = {"Succeeded": "done", "Running": "now", "Failed": "failed"}


def _stages(seen: Json) -> Markup:
    items = parts(seen, "status", "stages")
    if not items:
        return tag("p", "No stage has begun.", class_="faint")
    drawn = [
        tag(
            "li",
            tag("span", class_="mark", aria_hidden="true"),
            tag("strong", text(item, "name")),
            tag("span", text(item, "state").lower(), class_="faint"),
            class_=_TONES.get(text(item, "state"), "todo"),
        )
        for item in items
    ]
    return tag("ol", *drawn, class_="steps", aria_label="Stages of the training")


def _gates(items: Sequence[Json]) -> Markup:
    if not items:
        return NONE
    rows = [
        (text(item, "metric"), _rule(item), _figure(number(item, "observed")), pill(_verdict(text(item, "verdict"))))
        for item in items
    ]
    return tag("div", tag("h3", "Gates"), table(("Metric", "Passes with", "Observed", "Verdict"), rows, label="Gates"))


def _rule(item: Json) -> str:
    kinds = (("min", "at least"), ("max", "at most"), ("maxRegression", "a regression of at most"))
    return next((f"{word} {number(item, key):g}" for key, word in kinds if number(item, key) is not None), "")


def _verdict(said: str) -> words.State:
    return words.State(said, "ok" if said in {"Passed", "NoChampion"} else "bad")
