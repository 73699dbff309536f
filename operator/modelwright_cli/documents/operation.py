"""Facts about how a version is used: where it serves, who decides, what is watched and found; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelwright_cli.documents.facts import Fact, told
from modelwright_cli.objects import condition, name_of, number, part, parts, text, texts

if TYPE_CHECKING:
    from modelwright_cli.documents.holdings import Holdings


def serving(held: Holdings) -> Fact:
    """Return where the version serves, or did."""
    said: list[str] = []
    for item in held.deployments:
        tracks = held.uses(item)
        now = f"serves as {' and '.join(tracks)}" if tracks else "served or tried it before"
        url = text(item, "status", "url") if "stable" in tracks else ""
        said.append(f"Deployment {name_of(item)}: {now}{f', at {url}' if url else ''}")
    missing = "no Deployment of the namespace uses it or says that it did: name it in spec.model of one"
    return told("where it serves", said, "modeldeployments status.stable, canary, previous, history", missing)


def hardware(held: Holdings) -> Fact:
    """Return what the version needs to serve."""
    said: list[str] = []
    for item in held.deployments:
        resources = part(item, "spec", "server", "resources")
        given = (f"{kind} {key} {value}" for kind in resources for key, value in part(resources, kind).items())
        if listed := ", ".join(given):
            said.append(f"Deployment {name_of(item)}: {listed}")
    return told(
        "compute that it is served on",
        said,
        "modeldeployments spec.server.resources",
        "set spec.server.resources of the Deployment that serves it",
    )


def oversight(held: Holdings) -> Fact:
    """Return where people decide about traffic."""
    said: list[str] = []
    for item in held.deployments:
        steps = parts(item, "spec", "rollout", "steps")
        asked = [str(at + 1) for at, step in enumerate(steps) if text(step, "approval") == "Required"]
        follow = text(item, "spec", "model", "follow")
        if asked:
            said.append(f"Deployment {name_of(item)}: step {', '.join(asked)} of a rollout waits for an approval")
        if follow == "LatestApproved":
            said.append(f"Deployment {name_of(item)}: takes approved versions only")
    missing = "set spec.model.follow to LatestApproved, or approval: Required in a step of spec.rollout"
    return told("where people decide", said, "modeldeployments spec.model, spec.rollout", missing)


def planned_changes(held: Holdings) -> Fact:
    """Return what changes the model by itself."""
    said: list[str] = []
    for item in held.deployments:
        rules = part(item, "spec", "retraining")
        if rules:
            calls = [
                *texts(rules, "triggers"),
                *([f"schedule {text(rules, 'schedule')}"] if "schedule" in rules else []),
            ]
            said.append(
                f"Deployment {name_of(item)}: trained anew by {text(rules, 'trainingJob')} on {', '.join(calls)}, "
                f"at most {text(rules, 'maxPerWeek')} times a week"
            )
    missing = "nothing changes it by itself; spec.retraining of the Deployment would"
    return told("changes determined beforehand (retraining)", said, "modeldeployments spec.retraining", missing)


def history(held: Holdings) -> Fact:
    """Return what happened to the version, and to the traffic on its account."""
    said = [
        f"{text(item, 'at')} mv/{held.name} {text(item, 'event')}: {text(item, 'message')}"
        for item in parts(held.version, "status", "history")
    ]
    for deployment in held.deployments:
        said += [
            f"{text(item, 'at')} mdep/{name_of(deployment)} {text(item, 'event')}: {text(item, 'message')}"
            for item in parts(deployment, "status", "history")
            if text(item, "version") == held.name
        ]
    return told(
        "what happened (the last 50 lines of each object)",
        sorted(said),
        "status.history of the version and its Deployments",
        "nothing happened yet; older lines are in the exported audit log",
    )


def monitoring(held: Holdings) -> Fact:
    """Return what is watched of live traffic."""
    said: list[str] = []
    for item in held.deployments:
        rules = part(item, "spec", "monitoring")
        if not rules:
            continue
        window, drift, quality = (part(rules, key) for key in ("window", "drift", "quality"))
        watched = [
            f"windows of {text(window, 'rows')} rows" if text(window, "rows") else "",
            f"drift at alpha {text(drift, 'alpha')}, PSI up to {text(drift, 'toleratedPSI')} tolerated"
            if drift
            else "",
            f"{text(quality, 'metric')} of labelled rows at least {text(quality, 'min')}"
            if text(quality, "min")
            else "",
            f"age up to {text(rules, 'maxModelAgeSeconds')} s" if "maxModelAgeSeconds" in rules else "",
            "rows captured to an object store" if "capture" in rules else "",
        ]
        said.append(f"Deployment {name_of(item)}: {'; '.join(filter(None, watched)) or 'with defaults'}")
    missing = "set spec.monitoring of the Deployment that serves it"
    return told("what is watched of live traffic", said, "modeldeployments spec.monitoring", missing)


_FOUND = (
    "MonitoringHealthy",
    "DataDriftDetected",
    "PredictionDriftDetected",
    "DataQualityDegraded",
    "ModelQualityDegraded",
    "ModelStale",
)


def findings(held: Holdings) -> Fact:
    """Return what was found of live traffic."""
    said: list[str] = []
    for item in held.deployments:
        if "stable" not in held.uses(item):
            continue
        seen = (condition(item, kind) for kind in _FOUND)
        said += [
            f"Deployment {name_of(item)}: {text(one, 'type')} {text(one, 'status')} since "
            f"{text(one, 'lastTransitionTime')}: {text(one, 'message')}"
            for one in seen
            if one
        ]
    missing = "set spec.monitoring of the Deployment that serves it, and let a window close"
    return told("what was found of live traffic", said, "modeldeployments status.conditions", missing)


def outcomes(held: Holdings) -> Fact:
    """Return how good the version is by labels that came back."""
    said: list[str] = []
    for item in held.deployments:
        quality = part(item, "status", "monitoring", "quality")
        value, low, high = (number(quality, key) for key in ("value", "low", "high"))
        if text(quality, "version") != held.name or value is None:
            continue
        interval = f" ({low:.4g} to {high:.4g})" if low is not None and high is not None else ""
        said.append(
            f"Deployment {name_of(item)}: {text(quality, 'metric')} {value:.4g}{interval} by {text(quality, 'labels')} "
            "labels"
        )
    missing = "set spec.monitoring.quality of the Deployment and send it labels (docs/feedback.md)"
    return told("outcomes: predictions against labels that came back", said, "status.monitoring.quality", missing)


def logging(held: Holdings) -> Fact:
    """Return where single predictions are kept."""
    said: list[str] = []
    for item in held.deployments:
        capture = part(item, "spec", "monitoring", "capture")
        if capture:
            share = text(capture, "samplePercent")
            said.append(f"Deployment {name_of(item)}: {share or 'a'} percent of rows to {text(capture, 'uri')}")
        if text(item, "spec", "server", "accessLog") == "true":
            said.append(f"Deployment {name_of(item)}: an access log of each request")
    missing = "set spec.monitoring.capture or spec.server.accessLog of the Deployment"
    return told("records of single predictions", said, "modeldeployments spec.monitoring.capture", missing)
