"""Canaries that misbehave: a real listener that answers each request as it is told to."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Self

from modelwright_server.contract import FORWARDED_HEADER

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]
GOOD = (
    b'{"model_name":"churn","model_version":"v","outputs":[{"name":"label","datatype":"INT64","shape":[1],"data":[1]}]}'
)
JSON = b"application/json"


def response(body: bytes = GOOD, status: int = 200, fields: bytes = b"", kind: bytes = JSON) -> bytes:
    """A response as our server would write it."""
    head = b"HTTP/1.1 %d X\r\nContent-Type: %b\r\n%bContent-Length: %d\r\n\r\n"
    return head % (status, kind, fields, len(body)) + body


class Canary:
    """Listens in a thread of its own, so that a test may block.

    Attributes:
        requests: what came, whole.
        connections: how many were made.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        open_ = dict[asyncio.StreamWriter, asyncio.Task[None]]()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while head := await reader.readuntil(b"\r\n\r\n"):
                    sizes = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                    body = await reader.readexactly(int(sizes[0].partition(b":")[2]))
                    self.requests.append(head + body)
                    await self.behaviour(reader, writer, head + body)
                    await writer.drain()
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            open_[writer] = asyncio.create_task(serve(reader, writer))

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        while accepting := asyncio.all_tasks() - {asyncio.current_task(), *open_.values()}:
            await asyncio.wait(accepting)  # what was accepted, and has no transport when the server closes, stays open
        server.close()
        for task in open_.values():
            task.cancel()
        await asyncio.gather(*open_.values(), return_exceptions=True)
        for writer in open_:  # a task that had not begun yet closed nothing, and one whose client reads no more cannot
            writer.transport.abort()


def forwarded_by(request: bytes) -> list[bytes]:
    """The revisions that a request says it was forwarded by."""
    name = FORWARDED_HEADER.lower().encode() + b":"
    return [line.partition(b":")[2].strip() for line in request.split(b"\r\n") if line.lower().startswith(name)]


@contextmanager
def saying(*data: bytes, then: str = "keep") -> Iterator[Canary]:
    """A canary that answers every request with these bytes, a moment apart; then it keeps the connection, or not."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        assert request
        for part in data:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.005)
        if then == "close":
            writer.close()
            raise ConnectionResetError
        if then == "abort":
            writer.transport.abort()
            raise ConnectionResetError

    with Canary(answer) as canary:
        yield canary


@contextmanager
def absent() -> Iterator[int]:
    """A port that nobody listens on, nor comes to meanwhile, not even the one who connects."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextmanager
def silent() -> Iterator[Canary]:
    """A canary that takes requests and never answers."""

    async def wait(_: asyncio.StreamReader, __: asyncio.StreamWriter, request: bytes) -> None:
        assert request
        await asyncio.Event().wait()

    with Canary(wait) as canary:
        yield canary
