"""kopf as the event source: it watches everything, hands it over, and writes nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from modelwright_operator import handlers, naming


class Taken:
    """Takes what an inbox takes."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str | None, Any]] = []

    def event(self, resource: str, kind: str | None, raw: Any) -> None:
        self.events.append((resource, kind, raw))


async def test_every_resource_is_watched_and_each_event_handed_over() -> None:
    taken: Any = Taken()
    registry = handlers.registry(taken, asyncio.Event())
    watching = registry._watching.get_all_handlers()
    assert {str(handler.id) for handler in watching} == set(naming.RESOURCES)
    for handler in watching:
        call: Any = handler.fn
        await call(event={"type": "ADDED", "object": {"a": 1}}, patch=None, memo=None)
    assert sorted(taken.events) == [(resource, "ADDED", {"a": 1}) for resource in sorted(naming.RESOURCES)]


async def test_the_end_of_kopf_is_told() -> None:
    taken: Any = Taken()
    stopping = asyncio.Event()
    [cleanup] = [
        item for item in handlers.registry(taken, stopping)._activities.get_all_handlers() if "cleanup" in item.id
    ]
    call: Any = cleanup.fn
    await call()
    assert stopping.is_set()


def test_no_handler_of_kopf_that_holds_state_or_finalizers_is_used() -> None:
    taken: Any = Taken()
    registry = handlers.registry(taken, asyncio.Event())
    assert registry._changing.get_all_handlers() == []
    assert registry._spawning.get_all_handlers() == []
    assert registry._indexing.get_all_handlers() == []


def test_kopf_never_writes() -> None:
    settings = handlers.settings()
    assert settings.peering.standalone
    assert not settings.posting.enabled
    assert settings.scanning.disabled
    assert settings.watching.inactivity_timeout is not None


def test_children_are_watched_by_the_label_that_they_carry() -> None:
    selectors = handlers.settings().watching.label_selectors
    assert len(selectors) == len(naming.RESOURCES) - len(naming.PLURALS)
    for group, version, resource in (("batch", "v1", "jobs"), ("", "v1", "pods"), ("apps", "v1", "deployments")):
        assert selectors[group, version, resource] == naming.MANAGED_SELECTOR
