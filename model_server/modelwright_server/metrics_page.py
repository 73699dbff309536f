"""The pages that show the metrics and the evidence, on a port of their own."""

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import TypeVar

from modelwright_server import contract, exposition
from modelwright_server.http.exchange import Exchange
from modelwright_server.http.messages import JSON, Limits, error_body
from modelwright_server.routing.evidence import Document
from modelwright_server.telemetry import Snapshot

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
LIMITS = Limits(body=0, connections=100)
_LOG = logging.getLogger("modelwright.metrics")
_F = TypeVar("_F")
_Found = Callable[[], _F | Awaitable[_F]]


@dataclass(frozen=True, slots=True)
class Boot:
    """One start of the server: evidence only grows within it.

    Attributes:
        revision: of the pod.
        boot: 16 hex digits, new at each start.
    """

    revision: str = ""
    boot: str = field(default_factory=lambda: secrets.token_hex(8))


class MetricsPage:
    """Answers whoever collects metrics or evidence; an application for a listener."""

    def __init__(
        self, info: Mapping[str, str], collect: _Found[Snapshot], evidence: _Found[list[Document]], boot: Boot
    ) -> None:
        """Show the values that ``collect`` and ``evidence`` give, at once or later.

        Args:
            info: labels of `exposition.render`.
            collect: gives the metrics.
            evidence: gives the evidence by step.
            boot: whose evidence it is.
        """

        def metrics(exchange: Exchange, snapshot: Snapshot) -> None:
            exchange.send(200, exposition.render(info, snapshot), content_type=CONTENT_TYPE)

        def shown(exchange: Exchange, steps: list[Document]) -> None:
            document = {"revision": boot.revision, "boot": boot.boot, "steps": steps}
            exchange.send(200, json.dumps(document, separators=(",", ":")).encode(), content_type=JSON)

        self._pages: dict[bytes, Callable[[Exchange], None]] = {
            contract.METRICS_PATH.encode(): lambda exchange: self._show(exchange, collect, metrics),
            contract.EVIDENCE_PATH.encode(): lambda exchange: self._show(exchange, evidence, shown),
        }
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, exchange: Exchange) -> None:
        """Answer a request."""
        page = self._pages.get(exchange.target.partition(b"?")[0])
        if page is None:
            problem = f"unknown path: metrics are at {contract.METRICS_PATH}, evidence at {contract.EVIDENCE_PATH}"
            exchange.send(404, error_body(problem))
        elif exchange.method != b"GET":
            exchange.send(405, error_body("this path takes GET"), b"Allow: GET, HEAD\r\n")
        else:
            page(exchange)

    def _show(self, exchange: Exchange, collect: _Found[_F], show: Callable[[Exchange, _F], None]) -> None:
        found = collect()
        if not isawaitable(found):
            show(exchange, found)
            return
        task = asyncio.ensure_future(self._wait(exchange, found, show))
        self._tasks.add(task)  # the loop itself does not keep it
        task.add_done_callback(self._tasks.discard)

    async def _wait(self, exchange: Exchange, found: Awaitable[_F], show: Callable[[Exchange, _F], None]) -> None:
        try:
            show(exchange, await found)
        except Exception:  # noqa: BLE001 - whatever it is, the collector gets an answer
            _LOG.exception("collecting metrics failed")
            exchange.send(500, error_body("the server failed: its log says why"))
