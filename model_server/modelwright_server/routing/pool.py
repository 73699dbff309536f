"""Requests to the canary over HTTP/1.1: raw bytes on connections that stay open, one request on each at a time.

Every request ends within its time and by exactly one call of who sent it, whatever the other side does: nothing, not
HTTP, no end, or an end in the middle.  A kept connection that dies before the first byte of an answer was most likely
closed by the other side just then: its request is sent once more, on another.
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from modelwright_server.routing import answers
from modelwright_server.routing.answers import Answer, BrokenAnswerError, Head, Outcome

CONNECT_SECONDS = 5.0
# A connection is given up after so long, so that load follows when the canary gets more pods.
CONNECTION_SECONDS = 30.0
Payload = Sequence[bytes | bytearray | memoryview]
Done = Callable[[Answer | Outcome], None]


class Sent:
    """A request on its way."""

    __slots__ = ("connection", "done", "payload", "pool", "retried", "size", "timer")

    def __init__(self, pool: "Pool", payload: Payload, size: int, done: Done) -> None:
        self.pool = pool
        self.payload: Payload = payload
        self.size = size
        self.done: Done | None = done
        self.connection: Connection | None = None
        self.retried = False
        self.timer: asyncio.TimerHandle | None = None

    def expire(self) -> None:
        """Give up: the time is over."""
        connection = self.connection
        self.finish(Outcome.TIMEOUT)
        if connection is not None:
            connection.abort()

    def finish(self, result: Answer | Outcome) -> None:
        """Tell who sent it; the first result counts."""
        done = self.done
        if done is None:
            return
        self.done = self.connection = None
        self.payload = ()
        if self.timer is not None:
            self.timer.cancel()
        self.pool.ended(self)
        done(result)


class Connection(asyncio.Protocol):
    """A connection to the canary."""

    __slots__ = ("_body", "_head", "_held", "_part", "_pool", "_sent", "_transport", "born", "used")

    def __init__(self, pool: "Pool", now: float) -> None:
        self._pool = pool
        self._sent: Sent | None = None
        self._head: Head | None = None
        self._part = b""  # of a head
        self._body = bytearray()
        self._held = 0  # bytes of the pool's room for answers
        self.born = now
        self.used = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    @property
    def gone(self) -> bool:
        """Whether the other side closed it, or we did."""
        return self._transport.is_closing()

    def send(self, sent: Sent) -> None:
        """Send a request."""
        self._sent = sent
        sent.connection = self
        payload = sent.payload
        if len(payload) == 1:
            self._transport.write(payload[0])
        else:
            self._transport.writelines(payload)

    def abort(self) -> None:
        """Give the connection up."""
        self._sent = None
        self._transport.abort()

    def close(self) -> None:
        """Close a connection that is idle."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer, or all of it."""
        if self._sent is None:
            self._transport.abort()  # nobody asked
            return
        try:
            self._take(data)
        except BrokenAnswerError:
            self._fail(Outcome.BROKEN)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """End a request without an answer, or have it sent again."""
        sent, begun = self._sent, bool(self._part or self._head)
        self._sent = None
        self._clear()
        self._pool.lost(self)
        if sent is None:
            return
        if self.used and not begun and not sent.retried:
            sent.retried = True
            self._pool.again(sent)
        else:
            sent.finish(Outcome.BROKEN if begun else Outcome.UNREACHABLE)

    def _take(self, data: bytes) -> None:
        found = self._head
        if found is None:
            data = self._part + data if self._part else data
            end = data.find(answers.END_OF_HEAD)
            if (len(data) if end < 0 else end) > answers.MAX_HEAD:
                raise BrokenAnswerError(problem="the answer's head is too long")
            if end < 0:
                self._part = data
                return
            found = self._head = answers.head(data[:end])
            data = data[end + len(answers.END_OF_HEAD) :]
            if found.length > self._pool.most_answer_bytes:
                raise BrokenAnswerError(problem="the answer is too large")
        missing = found.length - len(self._body) - len(data)
        if missing < 0:
            raise BrokenAnswerError(problem="the answer is longer than it says")
        if missing:
            if not self._pool.reserve(len(data)):
                raise BrokenAnswerError(problem="too many large answers at once")
            self._held += len(data)
            self._body += data
            return
        answer = Answer(found, self._body + data if self._body else data)
        sent = cast("Sent", self._sent)
        self._sent = None
        self._clear()
        self.used = True
        if found.keep:
            self._pool.free(self)
        else:
            self._transport.close()
        sent.finish(answer)

    def _fail(self, outcome: Outcome) -> None:
        sent = self._sent
        self.abort()
        if sent is not None:
            sent.finish(outcome)

    def _clear(self) -> None:
        self._head = None
        self._part = b""
        if self._held:
            self._body = bytearray()
            self._pool.release(self._held)
            self._held = 0


class Pool:
    """The connections of this process to one address, and the requests on them.

    Attributes:
        most_answer_bytes: of one answer, and of all incomplete ones together.
    """

    def __init__(self, host: str, port: int, *, most: int, most_request_bytes: int, most_answer_bytes: int) -> None:
        """Prepare; nothing is connected to yet.

        Args:
            host: name or address.
            port: of it.
            most: connections, and requests under way.
            most_request_bytes: of all requests under way.
            most_answer_bytes: of one answer, and of all incomplete ones.
        """
        self.most_answer_bytes = most_answer_bytes
        self._host, self._port = host, port
        self._most = most
        self._most_request_bytes = most_request_bytes
        self._loop = asyncio.get_running_loop()
        self._idle: deque[Connection] = deque()
        self._all: set[Connection] = set()
        self._waiting: deque[Sent] = deque()
        self._connecting: set[asyncio.Task[None]] = set()
        self._under_way = self._request_bytes = self._answer_bytes = 0
        self._address: str | None = None
        self._retired = False

    def send(self, payload: Payload, seconds: float, done: Done) -> bool:
        """Send a request, and have ``done`` told its answer or how it failed, once, within ``seconds``.

        Returns:
            Whether there was room for it; if not, ``done`` is never called.
        """
        size = sum(map(len, payload))
        if self._under_way >= self._most or self._request_bytes + size > self._most_request_bytes:
            return False
        sent = Sent(self, payload, size, done)
        self._under_way += 1
        self._request_bytes += size
        sent.timer = self._loop.call_later(seconds, sent.expire)
        if self._idle:
            self._idle.popleft().send(sent)
        else:
            self._waiting.append(sent)
            self._connect()
        return True

    def retire(self) -> None:
        """Take no new requests; what is under way ends, and each connection with it."""
        self._retired = True
        while self._idle:
            self._idle.popleft().close()

    def close(self) -> None:
        """End everything; who waits is told that the canary cannot be reached."""
        self._retired = True
        for task in self._connecting:
            task.cancel()
        for connection in list(self._all):
            connection.close()
        while self._waiting:
            self._waiting[0].finish(Outcome.UNREACHABLE)

    # For requests and connections

    def ended(self, sent: Sent) -> None:
        """Forget a request."""
        self._under_way -= 1
        self._request_bytes -= sent.size
        with contextlib.suppress(ValueError):
            self._waiting.remove(sent)

    def free(self, connection: Connection) -> None:
        """Take back a connection whose answer has come."""
        if self._waiting:
            connection.send(self._waiting.popleft())
        elif self._retired or self._loop.time() - connection.born > CONNECTION_SECONDS:
            connection.close()
        else:
            self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        """Forget a connection."""
        self._all.discard(connection)
        with contextlib.suppress(ValueError):
            self._idle.remove(connection)
        self._connect()  # if somebody waits, there is room again

    def again(self, sent: Sent) -> None:
        """Send a request once more."""
        sent.connection = None
        self._waiting.appendleft(sent)
        self._connect()

    def reserve(self, size: int) -> bool:
        """Take room for a part of an answer; return whether there is any."""
        if self._answer_bytes + size > self.most_answer_bytes:
            return False
        self._answer_bytes += size
        return True

    def release(self, size: int) -> None:
        """Give back what `reserve` gave."""
        self._answer_bytes -= size

    def _connect(self) -> None:
        """Open a connection for each request that waits for one."""
        while len(self._connecting) < len(self._waiting) and len(self._connecting) + len(self._all) < self._most:
            task = self._loop.create_task(self._open())
            self._connecting.add(task)
            task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        """Go on for requests that came while a connection was about to have been opened, or not."""
        self._connecting.discard(task)
        self._connect()

    async def _open(self) -> None:
        """Open a connection; if that fails, so does the request that has waited longest."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                address = await self._resolved()
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self, self._loop.time()), address, self._port
                )
        except OSError:  # also of a timeout
            connection = None
        if connection is None or connection.gone:
            self._address = None
            if self._waiting:
                self._waiting[0].finish(Outcome.UNREACHABLE)
        else:
            self._all.add(connection)
            self.free(connection)

    async def _resolved(self) -> str:
        """Return the address, which is looked up again once connecting to it has failed.

        Raises:
            OSError: there is none.
        """
        if self._address is None:
            found = await self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            self._address = str(found[0][4][0])
        return self._address
