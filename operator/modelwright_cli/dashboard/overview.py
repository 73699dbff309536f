"""The first page: Deployments, TrainingJobs and ModelVersions of a namespace; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelwright_cli.dashboard import words
from modelwright_cli.dashboard.frame import Place, page
from modelwright_cli.dashboard.pieces import NONE, facts, link, percent_done, pill, problem, section, table, when
from modelwright_cli.dashboard.rollout import steps, traffic
from modelwright_cli.objects import Json, condition, name_of, number, part, parts, text, texts, whole
from modelwright_cli.overview import drift, quality, turn
from modelwright_cli.report.markup import Markup, tag

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

_MOST_CARDS = 200
_MOST_ROWS = 50
_START = "kubectl modelwright init customers.csv"


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a namespace, and what could not be had of it."""

    deployments: Sequence[Json]
    versions: Sequence[Json]
    jobs: Sequence[Json]
    problems: Sequence[str]


def overview(place: Place, found: Contents, now: datetime) -> str:
    """Return the page."""
    versions, jobs = set(map(name_of, found.versions)), set(map(name_of, found.jobs))
    ordered = sorted(found.deployments, key=lambda seen: (not words.notices(seen), name_of(seen)))
    cards = [_card(seen) for seen in ordered[:_MOST_CARDS]]
    empty = tag("p", "There is none yet. `", tag("code", _START), "` drafts one of a table of yours.", class_="faint")
    return page(
        place,
        place.namespace,
        [
            tag("h1", "Models"),
            _summary(found),
            problem(*found.problems),
            section("Deployments", tag("div", *cards, class_="cards") if cards else empty, anchor="deployments"),
            section("Training", _jobs(words.newest(found.jobs), versions, now), anchor="training"),
            section("Versions", _versions(words.newest(found.versions), jobs, now), anchor="versions"),
        ],
    )


def _summary(found: Contents) -> Markup:
    states = [words.deployment_state(seen) for seen in found.deployments]
    concerned = sum(bool(words.notices(seen)) for seen in found.deployments)
    running = sum(words.job_state(job).tone == "busy" for job in found.jobs)
    rolling = sum(part(seen, "status", "rollout").get("phase") in words.UNDER_WAY for seen in found.deployments)
    counts = (
        (len(states), "Deployment" if len(states) == 1 else "Deployments", ""),
        (rolling, "rolling out", "canary" if rolling else ""),
        (concerned, "need attention" if concerned != 1 else "needs attention", "warn" if concerned else ""),
        (running, "training now", "busy" if running else ""),
        (len(found.versions), "version" if len(found.versions) == 1 else "versions", ""),
    )
    items = [tag("li", tag("strong", f"{count}"), f" {label}", class_=tone or None) for count, label, tone in counts]
    return tag("ul", *items, class_="summary")


def _card(seen: Json) -> Markup:
    name = name_of(seen)
    told = words.notices(seen)
    rolling = text(seen, "status", "rollout", "phase") in words.UNDER_WAY
    first = (
        tag("p", tag("strong", told[0].title), " ", told[0].message, class_=f"said {told[0].tone}") if told else NONE
    )
    going = tag("p", text(seen, "status", "rollout", "message"), class_="said") if rolling and not told else NONE
    return tag(
        "article",
        tag("div", tag("h3", link("Deployment", name)), pill(words.deployment_state(seen)), class_="title"),
        traffic(seen) or tag("p", "Nothing answers yet.", class_="faint"),
        steps(seen) if rolling else NONE,
        first,
        going,
        facts(
            [
                ("Pods", f"{whole(seen, 'status', 'readyReplicas')} of {whole(seen, 'status', 'replicas')}"),
                ("Drift", _known(drift(seen))),
                ("Data", _known(turn(seen, "DataQualityDegraded", "broken", "ok"))),
                ("Quality", _known(quality(seen))),
                ("Retraining", text(condition(seen, "Retraining"), "reason")),
            ]
        ),
        class_=f"card {told[0].tone if told else ''}".strip(),
        data_key=name,
    )


def _known(said: str) -> str:
    return "" if said == "-" else said


def _jobs(jobs: Sequence[Json], versions: Collection[str], now: datetime) -> Markup:
    if not jobs:
        return tag("p", "No TrainingJob.", class_="faint")
    rows = [_job(job, versions, now) for job in jobs[:_MOST_ROWS]]
    shown = table(("Name", "Model", "State", "Progress", "Made", "Figure", "Created"), rows, label="TrainingJobs")
    return tag("div", shown, _more(len(jobs)))


def _job(job: Json, versions: Collection[str], now: datetime) -> Sequence[object]:
    made = text(job, "status", "modelVersion")
    state = words.job_state(job)
    done = number(job, "status", "progress", "percent")
    progress: object = text(job, "status", "stage") if state.tone == "busy" else ""
    if state.tone == "busy" and done is not None:
        progress = tag("span", percent_done(done / 100, label=name_of(job)), f" {text(job, 'status', 'stage')}")
    return (
        link("TrainingJob", name_of(job)),
        text(job, "spec", "model"),
        pill(state),
        progress,
        link("ModelVersion", made, known=made in versions),
        words.main_metric(parts(job, "status", "metrics")),
        when(text(job, "metadata", "creationTimestamp"), now),
    )


def _versions(versions: Sequence[Json], jobs: Collection[str], now: datetime) -> Markup:
    if not versions:
        return tag("p", "No ModelVersion.", class_="faint")
    rows = [_version(version, jobs, now) for version in versions[:_MOST_ROWS]]
    head = ("Name", "Model", "State", "Figure", "Made by", "Used by", "Created")
    return tag("div", table(head, rows, label="ModelVersions"), _more(len(versions)))


def _version(version: Json, jobs: Collection[str], now: datetime) -> Sequence[object]:
    job = text(version, "spec", "provenance", "trainingJob", "name")
    return (
        link("ModelVersion", name_of(version)),
        text(version, "spec", "model"),
        pill(words.version_state(version)),
        words.main_metric(parts(version, "spec", "metrics")),
        link("TrainingJob", job, known=job in jobs) if job else "imported",
        ", ".join(texts(version, "status", "usedBy")),
        when(text(version, "metadata", "creationTimestamp"), now),
    )


def _more(count: int) -> Markup:
    return tag("p", f"The {_MOST_ROWS} newest of {count}.", class_="faint") if count > _MOST_ROWS else NONE
