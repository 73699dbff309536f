"""`approve`, `promote`, `abort`, `retry`, …: the annotations that steer a rollout, naming what it is at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from modelwright_cli.access import connect
from modelwright_cli.course import under_way
from modelwright_cli.errors import Fault
from modelwright_cli.objects import Json, parts, text, whole

if TYPE_CHECKING:
    from modelwright_cli.options import Target

_GROUP = "modelwright.dev"


def steer(target: Target, name: str, action: str) -> None:
    """Ask something of the step that a rollout is at.

    Args:
        target: where.
        name: of the Deployment.
        action: approve, skip, promote, abort or pause.

    Raises:
        Fault: no rollout is under way, or the annotation is not taken.
    """
    cluster = connect(target)
    seen = cluster.get("Deployment", name)
    cluster.patch("Deployment", name, _annotated({f"{_GROUP}/{action}": step_of(seen)}))
    typer.echo(f"{action} {step_of(seen)} asked of {name}: `kubectl modelwright watch {name}` shows what becomes of it")


def retry(target: Target, name: str) -> None:
    """Ask for what was rolled back last to be tried again; an abort of it is taken back.

    Raises:
        Fault: nothing was rolled back, or the annotation is not taken.
    """
    cluster = connect(target)
    seen = cluster.get("Deployment", name)
    asked = rejection_of(seen)
    cluster.patch("Deployment", name, _annotated({f"{_GROUP}/retry": asked, f"{_GROUP}/abort": None}))
    typer.echo(f"retry {asked} asked of {name}: `kubectl modelwright watch {name}` shows what becomes of it")


def step_of(deployment: Json) -> str:
    """Return revision and step of the rollout under way.

    Raises:
        Fault: there is none.
    """
    rollout = f"{text(deployment, 'status', 'rollout', 'revision')}/{whole(deployment, 'status', 'rollout', 'step')}"
    phase = text(deployment, "status", "rollout", "phase")
    if phase == "Watching" or (phase in {"Starting", "Stepping", "Promoting"} and under_way(deployment)):
        return rollout
    message = f"no rollout of {text(deployment, 'metadata', 'name')} is under way: there is no step to steer"
    raise Fault(message)


def rejection_of(deployment: Json) -> str:
    """Return revision and attempts of what was rolled back last.

    Raises:
        Fault: nothing was.
    """
    rejected = parts(deployment, "status", "rejected")
    if not rejected:
        message = f"nothing of {text(deployment, 'metadata', 'name')} was rolled back: there is nothing to try again"
        raise Fault(message)
    last = max(rejected, key=lambda item: text(item, "at"))
    return f"{text(last, 'revision')}/{whole(last, 'attempts')}"


def _annotated(annotations: dict[str, str | None]) -> Json:
    """Return a patch; since a value names revision and step, it asks nothing of any other."""
    return {"metadata": {"annotations": annotations}}
