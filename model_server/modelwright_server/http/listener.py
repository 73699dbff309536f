"""A listening socket and its connections: budgets they share, timeouts, and the end of both."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from modelwright_server.http.connection import Connection
from modelwright_server.http.exchange import Exchange
from modelwright_server.http.head import HeaderNames
from modelwright_server.http.messages import KEPT_HEADERS, Limits
from modelwright_server.http.whole import Shortcut

Application = Callable[[Any], None]

_SWEEPS = 4  # looks at every connection within its shortest timeout


class Observer(Protocol):
    """Who counts connections and what was refused before it became a request."""

    connections: int

    def refused(self, code: int) -> None:
        """Count a refusal with this status code."""
        ...


class Listener:
    """Serves one application on one port.

    Attributes:
        application: is given each complete request, and answers it.
        exchange: makes what stands for one request.
        shortcut: takes usual requests.
        limits: what clients may take.
        names: headers that matter.
        call_soon: of the event loop.
        clock: seconds, as of the last look at the connections.
        draining: each further answer is the last of its connection.
    """

    def __init__(  # noqa: PLR0913 - what clients are served by
        self,
        application: Application,
        limits: Limits,
        observer: Observer | None = None,
        *,
        exchange: Callable[[Connection], Any] = Exchange,
        shortcut: Shortcut | None = None,
        kept_headers: frozenset[bytes] = KEPT_HEADERS,
    ) -> None:
        self.application = application
        self.exchange = exchange
        self.shortcut = shortcut
        self.limits = limits
        self.names = HeaderNames(kept_headers)
        self.draining = False
        self._observer = observer
        self._connections: set[Connection] = set()
        self._buffered = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._loop = asyncio.get_running_loop()
        self.call_soon = self._loop.call_soon
        self.clock = self._loop.time()
        self._interval = min(limits.head_seconds, limits.linger_seconds) / _SWEEPS
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int, *, reuse_port: bool = False) -> int:
        """Listen, on a port shared with other processes if asked; return it, which matters where 0 was asked for.

        Raises:
            OSError: the address cannot be listened on.
        """
        self._server = await self._loop.create_server(
            lambda: Connection(self), host, port, backlog=1024, reuse_port=reuse_port
        )
        self._sweeper = self._loop.call_later(self._interval, self._sweep)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self, seconds: float) -> bool:
        """Stop listening, let what was begun end, cut off what has not ended within ``seconds``.

        Returns:
            Whether all had ended.
        """
        self.draining = True
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.finish()
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            for connection in list(self._connections):
                connection.abort()
            return False
        finally:
            if self._sweeper is not None:
                self._sweeper.cancel()
        return True

    # For connections

    def enter(self, connection: Connection) -> bool:
        """Note a connection; return whether there is room for it."""
        self._connections.add(connection)
        self._empty.clear()
        self._count()
        return len(self._connections) <= self.limits.connections

    def leave(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        self._count()
        if not self._connections:
            self._empty.set()

    def reserve(self, size: int) -> bool:
        """Take ``size`` bytes for an incomplete body; return whether they are to be had."""
        if self._buffered + size > self.limits.buffered:
            return False
        self._buffered += size
        return True

    def release(self, size: int) -> None:
        """Give back what `reserve` gave."""
        self._buffered -= size

    def refused(self, status: int) -> None:
        """Count a request that never became one."""
        if self._observer is not None:
            self._observer.refused(status)

    def _count(self) -> None:
        if self._observer is not None:
            self._observer.connections = len(self._connections)

    def _sweep(self) -> None:
        """Look for clients that take too long."""
        self.clock = now = self._loop.time()
        for connection in list(self._connections):
            connection.expire(now, self._interval)
        self._sweeper = self._loop.call_later(self._interval, self._sweep)
