"""Probes and metrics over HTTP. The probes run on the operator's own loop, so that a blocked loop fails them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelwright_operator.cluster.telemetry import Telemetry
    from modelwright_operator.settings import Settings


def _probe(check: Callable[[], str | None]) -> Callable[[web.Request], object]:
    async def answer(_: web.Request) -> web.Response:
        problem = check()
        return web.Response(status=503 if problem else 200, text=f"{problem or 'ok'}\n")

    return answer


async def serve(
    settings: Settings, telemetry: Telemetry, live: Callable[[], str | None], ready: Callable[[], str | None]
) -> tuple[web.AppRunner, ...]:
    """Serve /healthz and /readyz on the health port and /metrics on the metrics port.

    Args:
        settings: has the ports.
        telemetry: what /metrics shows.
        live: returns what is wrong, or None.
        ready: likewise.
    """

    async def metrics(_: web.Request) -> web.Response:
        body = generate_latest(telemetry.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    probes = web.Application()
    probes.router.add_get("/healthz", _probe(live))  # type: ignore[arg-type]  # aiohttp's alias is wider
    probes.router.add_get("/readyz", _probe(ready))  # type: ignore[arg-type]  # likewise
    exposition = web.Application()
    exposition.router.add_get("/metrics", metrics)
    runners: list[web.AppRunner] = []
    for application, port in ((probes, settings.health_port), (exposition, settings.metrics_port)):
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", port).start()  # noqa: S104  # kubelet and Prometheus come from outside
        runners.append(runner)
    return tuple(runners)
