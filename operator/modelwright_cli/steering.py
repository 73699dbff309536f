"""`approve`, `reject`, `promote`, `abort`, `retry`, `upgrade-serving`: approvals, and annotations that ask for more.

An annotation names the revision and step that the rollout is at, so that it asks nothing of any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from modelwright_cli.access import connect
from modelwright_cli.course import under_way
from modelwright_cli.errors import Fault
from modelwright_cli.objects import Json, part, parts, text, whole
from modelwright_cli.references import parse

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


def approve(target: Target, reference: str, reason: str) -> None:
    """Approve a version, or the step that a Deployment's rollout is at.

    Raises:
        Fault: it is not taken.
    """
    kind, name = parse(reference, "Deployment", "ModelVersion")
    if kind == "ModelVersion":
        decide(target, name, "Approved", reason)
        return
    if reason:
        message = "a step's approval has no --reason: a version's has"
        raise Fault(message)
    steer(target, name, "approve")


def decide(target: Target, name: str, state: str, reason: str) -> None:
    """Approve or reject a version, in the user's own name.

    Raises:
        Fault: it is not taken.
    """
    cluster = connect(target)
    approval = {"state": state, "by": cluster.whoami(), "reason": reason or None}
    cluster.patch("ModelVersion", name, {"spec": {"approval": approval}})
    typer.echo(f"ModelVersion {name} is {state.lower()} by {approval['by']}")


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


def upgrade_serving(target: Target, name: str) -> None:
    """Ask for the operator's serving image to be rolled out, unless the pods run it.

    Raises:
        Fault: there are no pods yet, or the annotation is not taken.
    """
    cluster = connect(target)
    serving = part(cluster.get("Deployment", name), "status", "serving")
    running, available = text(serving, "image"), text(serving, "available")
    if not running:
        message = (
            f"nothing answers for {name} yet, or its operator is older than this command: there is nothing to upgrade"
        )
        raise Fault(message)
    if not available:
        typer.echo(f"{name} runs the operator's serving image already: {running}")
        return
    cluster.patch("Deployment", name, _annotated({f"{_GROUP}/serving-image": available}))
    typer.echo(
        f"{available} asked of {name}, in the place of {running}: `kubectl modelwright watch {name}` shows the rollout"
    )


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
    """Return a patch."""
    return {"metadata": {"annotations": annotations}}
