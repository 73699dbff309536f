"""kopf as the event source: each handler hands its event over, and nothing else.

No create, update or delete handlers, timers, daemons, indices or finalizers: each loses events or holds deletions back
when the operator is away. What a watch misses, the periodic list repairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kopf

from modelwright_operator import naming

if TYPE_CHECKING:
    import asyncio

    from modelwright_operator.cluster.inbox import Inbox


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings: watch only, never write."""
    chosen = kopf.OperatorSettings()
    chosen.peering.standalone = True
    chosen.scanning.disabled = True
    chosen.posting.enabled = False
    chosen.posting.loggers = False
    chosen.watching.inactivity_timeout = 70
    chosen.watching.server_timeout = 300
    chosen.watching.client_timeout = 330
    chosen.watching.connect_timeout = 5
    chosen.watching.reconnect_backoff = 0.5
    chosen.watching.chunk_size = 500
    chosen.networking.request_timeout = 60
    chosen.networking.connect_timeout = 5
    chosen.networking.error_backoffs = (1, 2, 4, 8, 15, 30, 30, 30, 30, 30)
    chosen.queueing.exit_timeout = 2
    chosen.process.ultimate_exiting_timeout = 20
    chosen.persistence.finalizer = f"{naming.GROUP}/kopf-unused"
    for resource, (api_version, _) in naming.RESOURCES.items():
        if api_version != naming.API_VERSION:
            group, _, version = api_version.rpartition("/")
            chosen.watching.label_selectors[group, version, resource] = naming.MANAGED_SELECTOR
    return chosen


def registry(inbox: Inbox, stopping: asyncio.Event) -> kopf.OperatorRegistry:
    """Return the handlers: one event handler for each watched resource, and one that sets `stopping` at the end."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401  # kopf's own signature
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.cleanup(registry=handlers)
    async def cleanup(**_: Any) -> None:  # noqa: ANN401  # kopf's own signature
        stopping.set()

    def watch(resource: str) -> None:
        group, _, version = naming.RESOURCES[resource][0].rpartition("/")

        @kopf.on.event(group, version, resource, registry=handlers, id=resource)
        async def event(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401  # kopf's own signature
            inbox.event(resource, event["type"], event["object"])

    for resource in naming.RESOURCES:
        watch(resource)
    return handlers
