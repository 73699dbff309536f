"""How a rollout goes, and whether it is over, from a Deployment as it is now; pure."""

from __future__ import annotations

from dataclasses import dataclass

from modelwright_cli.objects import Json, condition, number, part, parts, text, whole

_UNDER_WAY = frozenset({"Starting", "Stepping", "Promoting"})
_WIDTH = 20


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a Deployment shows.

    Attributes:
        said: in a line.
        done: whether there is nothing more to wait for.
        good: if so, whether what was wanted answers.
    """

    said: str
    done: bool = False
    good: bool = False


def look(deployment: Json, tried: frozenset[str]) -> Look:
    """Tell how it goes.

    Args:
        deployment: as the API server has it.
        tried: revisions that were under way in earlier looks: what became of them is the outcome.
    """
    if whole(deployment, "metadata", "generation") > whole(deployment, "status", "observedGeneration"):
        return Look("the operator has not seen this spec yet")
    rollout, phase = part(deployment, "status", "rollout"), text(deployment, "status", "rollout", "phase")
    if phase in _UNDER_WAY:
        return Look(_step(deployment, rollout))
    if failed := _failure(deployment, rollout, tried):
        return Look(failed, done=True)
    if part(deployment, "status", "canary"):
        canary = text(deployment, "status", "canary", "version")
        return Look(f"{canary} is brought up to replace {text(deployment, 'status', 'stable', 'version') or 'nothing'}")
    ready = condition(deployment, "Ready")
    if text(ready, "status") != "True":
        return Look(f"{text(ready, 'reason') or 'Unknown'}: {text(ready, 'message') or 'not ready yet'}")
    answers = text(deployment, "status", "stable", "version")
    watched = f"; watched until {text(rollout, 'watchUntil')}" if phase == "Watching" else ""
    promoted = "promoted" if tried else "nothing is being rolled out"
    return Look(f"{promoted}: {answers} answers{watched}", done=True, good=True)


def _failure(deployment: Json, rollout: Json, tried: frozenset[str]) -> str:
    stalled, phase = condition(deployment, "Stalled"), text(rollout, "phase")
    if text(stalled, "status") == "True":
        return f"{text(stalled, 'reason')}: {text(stalled, 'message')}"
    ended = phase in {"RolledBack", "Withdrawn"} and text(rollout, "revision") in tried
    return f"{phase}: {text(rollout, 'message')}" if ended else ""


def under_way(deployment: Json) -> str:
    """Return the revision that is being rolled out; empty: none is."""
    rollout = part(deployment, "status", "rollout")
    if text(rollout, "phase") in _UNDER_WAY:
        return text(rollout, "revision")
    return text(deployment, "status", "canary", "revision")


def _step(deployment: Json, rollout: Json) -> str:
    step, steps = whole(rollout, "step"), max(1, whole(rollout, "steps"))
    shadow = f", copies {whole(rollout, 'shadowPercent')} %" if whole(rollout, "shadowPercent") else ""
    waits = f", waits for {text(rollout, 'awaiting')}" if text(rollout, "awaiting") else ""
    message = f": {text(rollout, 'message')}" if text(rollout, "message") else ""
    where = f"step {step}/{steps}, weight {whole(rollout, 'weight')} %{shadow}{waits}"
    return f"{_bar(deployment, rollout)} {text(rollout, 'version')} {text(rollout, 'phase')} {where}{message}"


def _bar(deployment: Json, rollout: Json) -> str:
    """Return how far it is: the steps that are over, and of the present one the requests that it needs."""
    step, steps = whole(rollout, "step"), max(1, whole(rollout, "steps"))
    over = float(steps) if text(rollout, "phase") == "Promoting" else max(0, step - 1) + step_share(deployment, rollout)
    filled = min(_WIDTH, int(over / (steps + 1) * _WIDTH))
    return f"[{'#' * filled}{'.' * (_WIDTH - filled)}]"


def step_share(deployment: Json, rollout: Json) -> float:
    """Return how much of the requests that the present step needs there were, from 0 to 1."""
    step = whole(rollout, "step")
    rules = parts(deployment, "spec", "rollout", "steps")
    if not 1 <= step <= len(rules):
        return 0.0
    needed = number(rules[step - 1], "hold", "minRequests")
    counted = [item for item in parts(rollout, "evidence", "steps") if whole(item, "step") == step]
    if not needed or not counted:
        return 0.0
    seen = whole(counted[-1], "canary", "requests") + whole(counted[-1], "shadow", "sent")
    return min(1.0, seen / needed)
