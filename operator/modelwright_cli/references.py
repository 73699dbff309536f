"""What people name: `churn`, `deployment/churn`, `mv/churn-9f2c41ab07`, `tj/first`, `pod/churn-…`; pure."""

from __future__ import annotations

import re

from modelwright_cli.errors import Fault
from modelwright_cli.objects import Json, text, whole

_KINDS = {
    "Deployment": ("deployment", "modeldeployment", "modeldeployments", "mdep"),
    "ModelVersion": ("modelversion", "modelversions", "version", "mv"),
    "TrainingJob": ("trainingjob", "trainingjobs", "job", "tj"),
    "Pod": ("po", "pods", "pod"),
}


def parse(reference: str, *allowed: str) -> tuple[str, str]:
    """Return kind and name; without a kind it is a Deployment.

    >>> parse("mv/churn-9f2c41ab07", "Deployment", "ModelVersion")
    ('ModelVersion', 'churn-9f2c41ab07')

    Raises:
        Fault: it names nothing that is meant here.
    """
    said, slash, name = reference.rpartition("/")
    kind = next((kind for kind, words in _KINDS.items() if said.lower().partition(".")[0] in words), "")
    kind = kind if slash else allowed[0]
    if kind not in allowed or not name:
        known = ", ".join(f"{_KINDS[item][-1]}/NAME" for item in allowed)
        message = f"{reference!r} names nothing that this command knows: give {known}, or a {allowed[0]}'s name alone"
        raise Fault(message)
    return kind, name


def concerns(event: Json, kind: str, name: str) -> bool:
    """Tell whether an event is about an object of ours, or about a child of it: their names say whose they are."""
    about, called = text(event, "involvedObject", "kind"), text(event, "involvedObject", "name")
    ours = text(event, "involvedObject", "apiVersion").startswith("modelwright.dev/")
    if ours and (about, called) == (kind, name):
        return True
    hashed = "[0-9a-f]{10}"
    if kind == "Deployment":
        run = ours and re.fullmatch(rf"{re.escape(name)}-retrain-{hashed}", called)
        return bool(run or (not ours and re.match(rf"{re.escape(name)}-{hashed}(-|$)", called)))
    return not ours and bool(re.match(rf"{re.escape(name[:46].rstrip('-'))}-{hashed}(-|$)", called))


def children(name: str) -> str:
    """Return the selector of what a Deployment is made of."""
    return f"modelwright.dev/kind=Deployment,modelwright.dev/name={name}"


def happened(event: Json) -> str:
    """Return when an event was last seen."""
    times = ("lastTimestamp", "eventTime", "firstTimestamp")
    last = text(event, "series", "lastObservedTime")
    return last or next((text(event, key) for key in times if text(event, key)), "")


def told(event: Json) -> str:
    """Return an event's message, with how often there was the same."""
    count = max(whole(event, "count"), whole(event, "series", "count"))
    return f"{text(event, 'message')}{f' ({count} times)' if count > 1 else ''}"
