"""Where what serves came from, as lanes from the data to the pods; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelwright_cli.ancestry import REVISION
from modelwright_cli.dashboard.pieces import NONE, link
from modelwright_cli.dashboard.words import State, digest_of, main_metric, version_state
from modelwright_cli.objects import Json, name_of, part, parts, text, texts, whole
from modelwright_cli.report.markup import Markup, tag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelwright_cli.printing import Node

_MOST_DATA = 3
_MOST_USERS = 10
_TRACKS = ("stable", "canary", "previous")


@dataclass(frozen=True, slots=True)
class Known:
    """The objects of a namespace, by their names."""

    versions: Mapping[str, Json]
    jobs: Mapping[str, Json]

    def job_of(self, version: Json) -> Json | None:
        """Return the TrainingJob that made a version, if it is still the one."""
        reference = part(version, "spec", "provenance", "trainingJob")
        job = self.jobs.get(text(reference, "name"))
        return job if job is not None and text(job, "metadata", "uid") == text(reference, "uid") else None


def of_deployment(seen: Json, pods: Sequence[Json], known: Known) -> Markup:
    """Return a lane for each version that has a part in a Deployment."""
    status = part(seen, "status")
    lanes: list[Markup] = []
    for track in _TRACKS:
        name, revision = text(status, track, "version"), text(status, track, "revision")
        if not name:
            continue
        own = [pod for pod in pods if text(part(pod, "metadata", "labels"), REVISION) == revision]
        share = _share(status, track)
        serving = _box("Deployment", link("Deployment", name_of(seen)), f"{track}{share}", _pods(own), tone=track)
        lanes.append(_lane(name, known, serving, f"{track}: {name}"))
    return tag("div", *lanes, class_="lineage") if lanes else tag("p", "Nothing serves yet.", class_="faint")


def of_version(version: Json, known: Known) -> Markup:
    """Return the lane of a version, with the Deployments that use it."""
    users = texts(version, "status", "usedBy")[:_MOST_USERS]
    shown = [tag("span", link("Deployment", user), class_="line") for user in users]
    serving = _box("Used by", tag("span", *shown), "", "", tone="stable") if shown else NONE
    return tag("div", _lane(name_of(version), known, serving, name_of(version)), class_="lineage")


def _share(status: Json, track: str) -> str:
    if not part(status, "canary") or track == "previous":
        return ", kept to fall back on" if track == "previous" else ""
    weight = whole(status, "rollout", "weight") if part(status, "traffic", "canary") else 0
    return f", {100 - weight if track == 'stable' else weight} % of requests"


def _pods(pods: Sequence[Json]) -> str:
    ready = sum(
        any(item.get("type") == "Ready" and item.get("status") == "True" for item in parts(pod, "status", "conditions"))
        for pod in pods
    )
    return f"{ready} of {len(pods)} pods ready" if pods else "no pod"


def _lane(name: str, known: Known, serving: Markup, label: str) -> Markup:
    version = known.versions.get(name)
    boxes: list[Markup] = []
    if version is not None:
        provenance = part(version, "spec", "provenance")
        boxes += [_data(provenance), _job(provenance, known.job_of(version))] if provenance else [_imported()]
    boxes.append(_version(name, version))
    lane = [tag("li", box) for box in (*boxes, serving) if box]
    return tag("ol", *lane, class_="lane", aria_label=label, data_key=label)


def _data(provenance: Json) -> Markup:
    items = parts(provenance, "data")
    said = [
        tag(
            "span",
            tag("strong", text(item, "name")),
            f" {whole(item, 'rows')} rows ",
            tag("code", digest_of(text(item, "digest")), title=f"{text(item, 'uri')} {text(item, 'digest')}"),
            class_="line",
        )
        for item in items[:_MOST_DATA]
    ]
    more = f"and {len(items) - _MOST_DATA} more" if len(items) > _MOST_DATA else ""
    return _box("Data", tag("span", *said), more, "") if items else NONE


def _job(provenance: Json, job: Json | None) -> Markup:
    name = text(provenance, "trainingJob", "name")
    trainer = part(job, "spec", "trainer") if job else {}
    made_by = text(trainer, "sklearn", "estimator").rpartition(".")[2] or text(trainer, "container", "image")
    seed = f"seed {text(provenance, 'seed')}" if "seed" in provenance else ""
    gone = "" if job else "no longer there"
    return _box("TrainingJob", link("TrainingJob", name, known=job is not None), made_by or gone, seed)


def _imported() -> Markup:
    return _box("Imported", "", "nothing is recorded of how it was made", "")


def _version(name: str, version: Json | None) -> Markup:
    if version is None:
        return _box("ModelVersion", name, "no longer there", "")
    state = version_state(version)
    below = f"{state.said.lower()}{_by(version)}"
    return _box(
        "ModelVersion",
        link("ModelVersion", name),
        below,
        main_metric(parts(version, "spec", "metrics")),
        tone=_tone(state),
    )


def _by(version: Json) -> str:
    by = text(version, "spec", "approval", "by")
    return f" by {by}" if by else ""


def _tone(state: State) -> str:
    return "bad" if state.tone == "bad" else ""


def _box(kind: str, name: object, first: str, second: str, tone: str = "") -> Markup:
    told = [tag("span", said, class_="line faint") for said in (first, second) if said]
    return tag(
        "div", tag("span", kind, class_="kind"), tag("span", name, class_="line"), *told, class_=f"box {tone}".strip()
    )


def details(node: Node) -> Markup:
    """Return a tree as nested lists."""
    below = tag("ul", *(details(child) for child in node.below)) if node.below else NONE
    return tag("li", node.said, below)
