"""One of several serving processes, seen from within: who it is, and what it tells its supervisor.

The channel is a socket that the supervisor leaves open for it.  Both send JSON, one message a line:
the worker says once that it is ready, and gives its counts and its evidence whenever it is asked.  The channel's end
means that the supervisor is gone, and nobody would ever end this process.
"""

import asyncio
import json
import socket
from collections.abc import Callable, MutableMapping
from typing import Any, cast

from modelwright_server.telemetry import Snapshot

ENV_WORKER = "MODELWRIGHT_WORKER"  # "index:descriptor", between supervisor and worker only
MAX_MESSAGE_BYTES = 1 << 20


def encode(message: dict[str, Any]) -> bytes:
    """Return a message as it is sent."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Return a message as it was before `encode`."""
    return cast("dict[str, Any]", json.loads(line))


def to_items(snapshot: Snapshot) -> list[tuple[tuple[str, ...], tuple[float, ...]]]:
    """Return a snapshot in a form JSON has."""
    return list(snapshot.items())


def from_items(items: list[tuple[list[str], list[float]]]) -> Snapshot:
    """Return the snapshot that `to_items` was given."""
    return {tuple(key): tuple(values) for key, values in items}


class Worker:
    """This process's place among several.

    Attributes:
        index: its number, from 0.
    """

    def __init__(self, index: int, channel: socket.socket) -> None:
        self.index = index
        self._channel = channel
        self._writer: asyncio.StreamWriter | None = None
        self._serving: asyncio.Task[None] | None = None

    @classmethod
    def from_env(cls, env: MutableMapping[str, str]) -> "Worker | None":
        """Return what the supervisor said, and forget it; None for a process that serves alone."""
        said = env.pop(ENV_WORKER, None)
        if said is None:
            return None
        index, _, descriptor = said.partition(":")
        channel = socket.socket(fileno=int(descriptor))
        channel.set_inheritable(False)
        return cls(int(index), channel)

    async def connect(
        self, snapshot: Callable[[], Snapshot], evidence: Callable[[], list[Any]], orphaned: Callable[[], None]
    ) -> None:
        """Begin to answer the supervisor; ``orphaned`` is called if it goes away."""
        reader, self._writer = await asyncio.open_connection(sock=self._channel, limit=MAX_MESSAGE_BYTES)

        def told() -> bytes:
            return encode({"snapshot": to_items(snapshot()), "evidence": evidence()})

        self._serving = asyncio.create_task(self._answer(reader, self._writer, told, orphaned))

    def ready(self, **fields: object) -> None:
        """Tell the supervisor that this process takes requests."""
        if self._writer is not None:
            self._writer.write(encode({"ready": fields}))

    async def _answer(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        told: Callable[[], bytes],
        orphaned: Callable[[], None],
    ) -> None:
        """Answer each line, which asks for the counts, until there are no more."""
        try:
            while await reader.readline():
                writer.write(told())
                await writer.drain()
        except ConnectionError:
            pass
        orphaned()
