"""The page that shows the metrics, on a port of its own."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from modelwright_server import contract, exposition
from modelwright_server.http.exchange import Exchange
from modelwright_server.http.messages import Limits, error_body
from modelwright_server.telemetry import Snapshot

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
LIMITS = Limits(body=0, connections=100)
_LOG = logging.getLogger("modelwright.metrics")


class MetricsPage:
    """Answers whoever collects metrics; an application for a listener."""

    def __init__(self, info: Mapping[str, str], collect: Callable[[], Snapshot | Awaitable[Snapshot]]) -> None:
        """Show the values that ``collect`` gives, at once or later, with the labels of `exposition.render`."""
        self._info = info
        self._collect = collect
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, exchange: Exchange) -> None:
        """Answer a request."""
        if exchange.target.partition(b"?")[0] != contract.METRICS_PATH.encode():
            exchange.send(404, error_body(f"unknown path: metrics are at {contract.METRICS_PATH}"))
        elif exchange.method != b"GET":
            exchange.send(405, error_body("this path takes GET"), b"Allow: GET, HEAD\r\n")
        elif isinstance(found := self._collect(), Mapping):
            self._show(exchange, found)
        else:
            task = asyncio.ensure_future(self._wait(exchange, found))
            self._tasks.add(task)  # the loop itself does not keep it
            task.add_done_callback(self._tasks.discard)

    async def _wait(self, exchange: Exchange, collecting: Awaitable[Snapshot]) -> None:
        try:
            self._show(exchange, await collecting)
        except Exception:  # noqa: BLE001 - whatever it is, the collector gets an answer
            _LOG.exception("collecting metrics failed")
            exchange.send(500, error_body("the server failed: its log says why"))

    def _show(self, exchange: Exchange, snapshot: Snapshot) -> None:
        exchange.send(200, exposition.render(self._info, snapshot), content_type=CONTENT_TYPE)
