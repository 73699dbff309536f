"""How a rollout goes: steps, traffic, evidence; pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from modelwright_cli.course import step_share
from modelwright_cli.dashboard.pieces import NONE, bar, facts, link, percent_done, table, timeline, when
from modelwright_cli.dashboard.words import UNDER_WAY
from modelwright_cli.objects import Json, number, part, parts, text, whole
from modelwright_cli.report.markup import Markup, joined, tag

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

_WATCH_SECONDS = 300  # the API's default
_TOLERATED_RISK = 1.5  # likewise
_FAILED = frozenset({"RolledBack", "Withdrawn", "Superseded"})
_AWAITED = {
    "Pods": "for pods to get ready",
    "Gateway": "for the gateway to take the route",
    "Time": "for the step's time to pass",
    "Requests": "for more requests",
    "Evidence": "for more evidence",
    "Approval": "for somebody to approve",
    "Resume": "for somebody to resume it",
}


def steps(seen: Json) -> Markup:
    """Return the steps of a rollout, with where it is."""
    rollout, rules = part(seen, "status", "rollout"), parts(seen, "spec", "rollout", "steps")
    if not rollout or not rules:
        return NONE
    phase, at = text(rollout, "phase"), whole(rollout, "step")
    drawn = [
        _step(
            _where(phase, number_, at), _label(rule), _hold(rule), step_share(seen, rollout) if number_ == at else 0.0
        )
        for number_, rule in enumerate(rules, start=1)
    ]
    watched = number(seen, "spec", "rollout", "postPromotionWatchSeconds")
    seconds = _WATCH_SECONDS if watched is None else int(watched)
    promoted = {"Promoting": "now", "Watching": "done", "Complete": "done"}.get(phase, "todo")
    drawn.append(_step(promoted, "Takes over", "answers every request"))
    if seconds:
        watch = {"Watching": "now", "Complete": "done"}.get(phase, "todo")
        drawn.append(_step(watch, "Watch", f"{seconds} s, still able to fall back"))
    return tag("ol", *drawn, class_="steps", aria_label="Steps of the rollout")


def _where(phase: str, step: int, at: int) -> str:
    """Return whether a step is done, now, failed or to come."""
    if phase in {"Promoting", "Watching", "Complete"} or step < at:
        return "done"
    if step > at or not at:
        return "todo"
    return "failed" if phase in _FAILED else "now"


_SAID = {"done": "done", "now": "now", "failed": "failed here", "todo": "to come"}


def _step(state: str, label: str, below: str, share: float = 0.0) -> Markup:
    progress = percent_done(share, label=f"{label}: requests of this step") if state == "now" and share else NONE
    content = (
        tag("span", class_="mark", aria_hidden="true"),
        tag("strong", label),
        tag("span", f" ({_SAID[state]})", class_="unseen"),
        tag("span", below, class_="faint"),
        progress,
    )
    return tag("li", *content, class_=state, aria_current="step" if state == "now" else None)


def _label(rule: Json) -> str:
    shares = [
        f"{whole(rule, key)} % {word}".strip()
        for key, word in (("weight", ""), ("shadowPercent", "copied"))
        if whole(rule, key)
    ]
    return ", ".join(shares) or "0 %"


def _hold(rule: Json) -> str:
    hold = part(rule, "hold")
    told = [f"≥ {whole(hold, 'minRequests')} requests"] if "minRequests" in hold else []
    told += [f"≥ {whole(hold, 'minSeconds')} s"] if whole(hold, "minSeconds") else []
    told += ["approval"] if text(rule, "approval") == "Required" else []
    return ", ".join(told)


def traffic(seen: Json) -> Markup:
    """Return which version answers how much."""
    table_, stable = part(seen, "status", "traffic"), text(seen, "status", "stable", "version")
    canary = text(table_, "canary", "version") or text(seen, "status", "canary", "version")
    if not stable and not canary:
        return NONE
    weight, copies = whole(seen, "status", "rollout", "weight"), whole(seen, "status", "rollout", "shadowPercent")
    weight, copies = (weight, copies) if part(table_, "canary") else (0, 0)
    said = [_share("stable", stable or "nothing yet", f"{100 - weight} %" if stable else "")]
    if canary and canary == text(seen, "status", "previous", "version"):
        said.append(_share("kept", canary, "to fall back on"))
    elif canary:
        copied = f", copies of {copies} %" if copies else ""
        said.append(_share("canary", canary, f"{weight} %{copied}"))
    label = f"{stable} answers {100 - weight} %" + (f", {canary} {weight} %" if canary else "")
    shares = [("stable", 100.0 - weight), ("canary", float(weight))] if stable else []
    return tag("div", bar(shares, label=label), tag("p", *said, class_="legend"), class_="traffic")


def _share(track: str, version: str, share: str) -> Markup:
    swatch = tag("span", class_=f"key {track}", aria_hidden="true")
    return tag("span", swatch, f"{track} ", tag("code", version), " ", tag("strong", share))


def state_of_play(seen: Json, now: datetime, versions: Collection[str]) -> Markup:
    """Return all that is known of a rollout."""
    rollout = part(seen, "status", "rollout")
    if not rollout:
        return tag("p", "There was no rollout by steps yet: a new version takes over once it is ready.", class_="faint")
    version = text(rollout, "version")
    evidence = part(rollout, "evidence")
    waits = _AWAITED.get(text(rollout, "awaiting"), "") if text(rollout, "phase") in UNDER_WAY else ""
    told = facts(
        [
            ("Version", link("ModelVersion", version, known=version in versions)),
            ("Phase", text(rollout, "phase")),
            ("Waits", waits),
            ("Began", when(text(rollout, "startedAt"), now)),
            ("Ended", when(text(rollout, "endedAt"), now)),
            ("Really answered", _percent(number(evidence, "realisedWeight"))),
            ("Verdict", text(evidence, "verdict")),
        ]
    )
    message = "" if text(rollout, "awaiting") == "Approval" else text(rollout, "message")  # a notice has it already
    words = [tag("p", said) for said in (message, text(evidence, "message")) if said]
    return joined([steps(seen), told, *words, _risk(seen, evidence), _evidence(evidence), _checks(rollout, now)])


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.3g} %"


def _risk(seen: Json, evidence: Json) -> Markup:
    """Return how much more often the canary's answers are bad, with its limits, beside what is tolerated."""
    low, high = number(evidence, "relativeRiskLow"), number(evidence, "relativeRiskHigh")
    if low is None and high is None:
        return NONE
    most = number(seen, "spec", "rollout", "analysis", "maxRelativeRisk") or _TOLERATED_RISK
    width, left, right = 720, 20, 700

    def x(risk: float) -> float:
        share = (math.log10(min(100.0, max(0.01, risk))) + 2) / 4
        return left + share * (right - left)

    first, last = x(low if low is not None else 0.0), x(high if high is not None else math.inf)
    said = f"relative risk between {_risked(low, '0')} and {_risked(high, '∞')}, {most:g} is tolerated"
    kind = "hot" if low is not None and low > most else ("live" if high is not None and high <= most else "base")
    drawn = [
        tag("line", x1=left, x2=right, y1=34, y2=34, class_="axis"),
        *(_tick(x(value), f"{value:g} x") for value in (0.01, 0.1, 1.0, 10.0, 100.0)),
        tag(
            "rect",
            tag("title", said),
            x=round(first, 1),
            y=16,
            width=round(max(3.0, last - first), 1),
            height=10,
            rx=5,
            class_=kind,
        ),
        tag("line", x1=round(x(most), 1), x2=round(x(most), 1), y1=8, y2=34, class_="mark"),
        tag("text", f"tolerated {most:g} x", x=round(x(most) + 5, 1), y=11),
    ]
    plot = tag("svg", tag("title", said), joined(drawn), viewBox=f"0 0 {width} 54", role="img", class_="plot wide")
    caption = f"How often the canary's answers are bad, in multiples of the stable version's: {said}."
    return tag("figure", plot, tag("figcaption", caption), class_="risk")


def _tick(x: float, said: str) -> Markup:
    return joined(
        [
            tag("line", x1=round(x, 1), x2=round(x, 1), y1=32, y2=38, class_="axis"),
            tag("text", said, x=round(x, 1), y=50, text_anchor="middle"),
        ]
    )


def _risked(value: float | None, none: str) -> str:
    return none if value is None else f"{value:.2g}"


def _evidence(evidence: Json) -> Markup:
    rows = [_counted(item) for item in parts(evidence, "steps")]
    if not rows:
        return NONE
    head = (
        "Step",
        "Canary's share",
        "Canary answered",
        "of these bad",
        "Stable answered",
        "of these bad",
        "Copies",
        "agreed",
    )
    shown = table(head, rows, label="Evidence by step", numbers=range(1, len(head)))
    return tag("details", tag("summary", "Evidence by step"), shown, open="")


def _counted(item: Json) -> Sequence[object]:
    stable, canary, shadow = (part(item, key) for key in ("stable", "canary", "shadow"))
    step = whole(item, "step")
    sent = whole(shadow, "sent")
    return (
        f"{step}" if step else "watch",
        f"{whole(item, 'weight')} %",
        f"{whole(canary, 'requests')}",
        _bad(canary),
        f"{whole(stable, 'requests')}",
        _bad(stable),
        f"{sent}" if sent else "",
        f"{whole(shadow, 'agreed')} of {whole(shadow, 'compared')}" if sent else "",
    )


def _bad(answers: Json) -> str:
    bad, requests = whole(answers, "bad"), whole(answers, "requests")
    kinds = (("errors", "failed"), ("slow", "slow"), ("invalid", "invalid"), ("timedOut", "late"))
    told = ", ".join(f"{whole(answers, key)} {word}" for key, word in kinds if whole(answers, key))
    share = f" ({bad / requests:.2%}{'; ' + told if told else ''})" if bad and requests else ""
    return f"{bad}{share}"


def _checks(rollout: Json, now: datetime) -> Markup:
    items = [
        (
            text(item, "observedAt"),
            f"{text(item, 'name')}: {text(item, 'value') or text(item, 'reason')}",
            text(item, "message"),
            "warn" if whole(item, "failures") else "ok",
        )
        for item in parts(rollout, "checks")
    ]
    return joined([tag("h3", "Checks"), timeline(items, now, none="")]) if items else NONE
