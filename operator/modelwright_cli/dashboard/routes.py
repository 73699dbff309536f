"""Which page a path names, and what it needs of the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote

from modelwright_cli.dashboard import deployment as deployment_page
from modelwright_cli.dashboard import overview as overview_page
from modelwright_cli.dashboard import version as version_page
from modelwright_cli.dashboard.frame import Place, page
from modelwright_cli.dashboard.lineage import Known
from modelwright_cli.dashboard.pieces import command, problem
from modelwright_cli.objects import Json, name_of, part
from modelwright_cli.references import children, concerns
from modelwright_cli.report.markup import tag
from modelwright_cli.report.view import View, view

if TYPE_CHECKING:
    from datetime import datetime

    from modelwright_cli.dashboard.shelf import Shelf

_KINDS = {"deployments": "Deployment", "versions": "ModelVersion", "jobs": "TrainingJob"}


@dataclass(frozen=True, slots=True)
class Site:
    """What is shown, and of where."""

    shelf: Shelf
    place: Place


@dataclass(slots=True)
class _Asked:
    """Lists of a namespace, and what was wrong with them."""

    site: Site
    problems: list[str]

    def items(self, kind: str, labels: str = "") -> list[Json]:
        found, said = self.site.shelf.items(kind, labels)
        if said and said not in self.problems:
            self.problems.append(said)
        return found

    def known(self) -> Known:
        versions, jobs = self.items("ModelVersion"), self.items("TrainingJob")
        return Known({name_of(one): one for one in versions}, {name_of(one): one for one in jobs})


def answer(site: Site, path: str, now: datetime) -> tuple[HTTPStatus, str]:
    """Return a page."""
    asked = _Asked(site, [])
    if path == "/":
        deployments, versions, jobs = (asked.items(kind) for kind in _KINDS.values())
        found = overview_page.Contents(deployments, versions, jobs, asked.problems)
        return HTTPStatus.OK, overview_page.overview(site.place, found, now)
    _, _, rest = path.partition("/")
    plural, _, name = rest.partition("/")
    kind, name = _KINDS.get(plural, ""), unquote(name)
    if not kind or not name:
        return _nothing(asked, "There is no such page.")
    seen = next((one for one in asked.items(kind) if name_of(one) == name), None)
    if seen is None:
        return _nothing(asked, f"There is no {kind} {name} here.")
    return HTTPStatus.OK, _page(asked, kind, seen, now)


def _page(asked: _Asked, kind: str, seen: Json, now: datetime) -> str:
    place, name, known = asked.site.place, name_of(seen), asked.known()
    if kind == "ModelVersion":
        return version_page.version(place, seen, known, asked.problems, now)
    events = [one for one in asked.items("Event") if concerns(one, kind, name)]
    if kind == "TrainingJob":
        return version_page.job(place, seen, known, events, asked.problems, now)
    pods = asked.items("Pod", children(name))
    monitored = _monitored(asked, seen, now)
    found = deployment_page.Contents(seen, pods, events, known, monitored, asked.problems)
    return deployment_page.deployment(place, found, now)


def _monitored(asked: _Asked, seen: Json, now: datetime) -> View | None:
    if "monitoring" not in part(seen, "spec"):
        return None
    gathered, said = asked.site.shelf.sidecars(name_of(seen))
    if said:
        asked.problems.append(said)
    return view(gathered, now.strftime("%Y-%m-%dT%H:%M:%SZ")) if gathered is not None else None


def _nothing(asked: _Asked, said: str) -> tuple[HTTPStatus, str]:
    content = [
        tag("h1", said),
        problem(*asked.problems),
        tag("p", tag("a", "All models of the namespace", href="/")),
        command(f"kubectl get mlops -n {asked.site.place.namespace}"),
    ]
    return HTTPStatus.NOT_FOUND, page(asked.site.place, said, content)
