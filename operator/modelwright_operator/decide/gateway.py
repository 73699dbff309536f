"""Whether the gateways that a Deployment names take its HTTPRoute: what their controllers say in its status."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from modelwright_operator.decide.observed import parse_time
from modelwright_operator.decide.pods import cut

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from modelwright_operator import api
    from modelwright_operator.decide.observed import Child

_CONDITIONS: Final = ("Accepted", "ResolvedRefs")
_SHORTEST: Final = 300
"""Bytes of what a controller says that are shown."""


class Acceptance(NamedTuple):
    """What the gateways say of a route.

    Attributes:
        kind: Accepted: each takes it; Refused: one does not, or none has answered in time; Pending: some have yet to
            answer.
        message: what is wrong or awaited, and the next step.
    """

    kind: Literal["Accepted", "Pending", "Refused"]
    message: str = ""


def acceptance(
    route: Child | None, parents: Sequence[api.ParentReference], now: datetime, deadline_seconds: int
) -> Acceptance:
    """Return what the gateways say of a route.

    Args:
        route: the route; None: it is not there yet.
        parents: the gateways it names.
        now: the time.
        deadline_seconds: of waiting for the first answer of each, from the route's creation.
    """
    if route is None:
        return Acceptance("Pending", "its HTTPRoute is not there yet")
    said: Sequence[Any] = route.status.get("parents") or ()
    namespace = str(route.metadata["namespace"])
    silent: list[str] = []
    for parent in parents:
        name = f"Gateway {parent.namespace or namespace}/{parent.name}"
        answers = [item for item in said if _names(item.get("parentRef", {}), parent, namespace)]
        found = {kind: _condition(answers, kind) for kind in _CONDITIONS}
        for kind, condition in found.items():
            if condition is not None and condition.get("status") == "False":
                words = cut(str(condition.get("message") or "it does not say why"), _SHORTEST)
                why = f"{kind} is False ({condition.get('reason')}): {words}"
                return Acceptance("Refused", f"{name} does not take HTTPRoute {route.name}: {why}")
        accepted = found["Accepted"]
        if accepted is None or accepted.get("status") != "True":
            silent.append(name)
    if not silent:
        return Acceptance("Accepted")
    created = parse_time(route.metadata.get("creationTimestamp"))
    waited = created is not None and now - created > timedelta(seconds=deadline_seconds)
    return Acceptance(
        "Refused" if waited else "Pending",
        f"{' and '.join(silent)} has not answered HTTPRoute {route.name}: see whether it exists, and whether a "
        "controller looks after its class",
    )


def _names(said: dict[str, Any], parent: api.ParentReference, namespace: str) -> bool:
    """Tell whether an answer is about a parent as it was named."""
    return (
        said.get("name") == parent.name
        and said.get("namespace", namespace) == (parent.namespace or namespace)
        and said.get("sectionName") == parent.section_name
        and said.get("port") == parent.port
    )


def _condition(answers: Sequence[Any], kind: str) -> dict[str, Any] | None:
    """Return the worst condition of a kind among the answers about one parent."""
    found = [item for answer in answers for item in answer.get("conditions") or () if item.get("type") == kind]
    return min(found, key=lambda item: item.get("status") == "True", default=None)
