"""Several serving processes on the same ports, and the process that looks after them.

Each worker is this program anew, with a session, an event loop and sockets of its own; the kernel
spreads connections over them (SO_REUSEPORT).  A worker listens only once its model is warm, so no
connection waits for one that is not.  The supervisor imports neither numpy nor onnxruntime, takes no
request, and answers for the metrics: the sum of what the workers say.  It lives as long as all
workers do: when one ends, the others are drained and the container ends, so that it is restarted.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Generator
from time import perf_counter
from typing import Any

from modelwright_server import contract, worker
from modelwright_server.contract import ExitCode, ServerSettings
from modelwright_server.http.listener import Listener
from modelwright_server.logs import log, log_error
from modelwright_server.metrics_page import LIMITS, Boot, MetricsPage
from modelwright_server.routing.evidence import Document
from modelwright_server.routing.evidence import merged as merged_evidence
from modelwright_server.telemetry import STABLE, Snapshot, Telemetry, merged

SNAPSHOT_SECONDS = 1.0
# More than a worker takes to end after its drain; then it hangs.
LAST_SECONDS = 30.0
_NOT_READY: Snapshot = {(contract.METRIC_READY, STABLE): (0,)}


async def supervise(settings: ServerSettings) -> ExitCode:
    """Serve with as many processes as the settings ask for, until SIGTERM or SIGINT; return the exit code.

    Raises:
        OSError: an address cannot be listened on.
    """
    started = perf_counter()
    with _reserved(settings.host, settings.rest_port) as rest, _reserved(settings.host, settings.grpc_port) as grpc:
        env = {**os.environ, contract.ENV_REST_PORT: str(rest), contract.ENV_GRPC_PORT: str(grpc)}
        supervisor = _Supervisor(settings)
        return await supervisor.run(env, started)


@contextlib.contextmanager
def _reserved(host: str, port: int) -> Generator[int]:
    """Keep a port for the workers, any free one for 0: bound, but not listened on, so it gets no connection.

    Raises:
        OSError: somebody else has it.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as reservation:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            reservation.bind(address)
        except OSError as error:
            raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
        yield int(reservation.getsockname()[1])


class _Link:
    """A worker, as its supervisor sees it.

    Attributes:
        index: its number.
        process: its process.
        counts: what it last said of itself.
        evidence: likewise, of stable and canary.
        ready: what it says when it is ready.
    """

    def __init__(self, index: int, process: asyncio.subprocess.Process, writer: asyncio.StreamWriter) -> None:
        self.index = index
        self.process = process
        self.counts = _NOT_READY
        self.evidence: list[Document] = []
        self.ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._writer = writer
        self._asked: asyncio.Future[None] | None = None

    async def listen(self, reader: asyncio.StreamReader) -> None:
        """Take what the worker says until it ends."""
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                message = worker.decode(line)
                if "ready" in message:
                    self.ready.set_result(message["ready"])
                    continue
                self.counts = worker.from_items(message["snapshot"])
                self.evidence = message["evidence"]
                if self._asked is not None:
                    self._asked.set_result(None)
                    self._asked = None

    async def refresh(self) -> None:
        """Have `counts` renewed; a worker that still owes an answer is not asked again."""
        if self._asked is None:
            self._asked = asyncio.get_running_loop().create_future()
            if not self._writer.is_closing():
                self._writer.write(b"\n")
        await asyncio.shield(self._asked)  # which stays, for the next who asks

    def end(self, number: int = signal.SIGTERM) -> None:
        """Tell the worker to end; told again, it hurries."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)


class _Supervisor:
    """Starts workers, speaks for them, and ends with them."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._links: list[_Link] = []
        self._listening: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._info = Telemetry(
            settings.model_name, settings.model_version, settings.deployment, settings.namespace
        ).info

    async def run(self, env: dict[str, str], started: float) -> ExitCode:
        """Start workers with these variables, wait for their end, return the worst of their exit codes."""
        settings = self._settings
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        boot = Boot(settings.revision)
        page = Listener(MetricsPage(self._info, self.collect, self._evidence, boot), LIMITS)
        port = await page.start(settings.host, settings.metrics_port)
        try:
            for index in range(settings.processes):
                self._links.append(await self._start(index, env))
            ends = {asyncio.create_task(link.process.wait()): link for link in self._links}
            ready = asyncio.gather(*(link.ready for link in self._links))
            stop = asyncio.create_task(self._stop.wait())
            over: list[asyncio.Future[Any]] = [stop, *ends]
            await asyncio.wait([ready, *over], return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                self._say_ready(ready.result(), port, perf_counter() - started)
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
            stop.cancel()
            return await self._end(ends)
        finally:
            for link in self._links:
                link.end(signal.SIGKILL)  # none is left, but after an error
            await page.stop(0)

    async def collect(self) -> Snapshot:
        """Return the sum of the workers' counts; of one that does not answer in time, the last that is known.

        A sum without it would fall, and Prometheus takes a counter that falls for one that began anew.
        """
        late = await self._refresh()
        counts = merged([_NOT_READY] if not self._links else [link.counts for link in self._links])
        track = next(key[1] for key in counts if key[0] == contract.METRIC_READY)
        processes = {"answered": len(self._links) - late, "late": late}
        return {
            **counts,
            **{(contract.METRIC_PROCESSES, track, state): (number,) for state, number in processes.items()},
        }

    async def _evidence(self) -> list[Document]:
        """Return the sum of the workers' evidence, likewise."""
        await self._refresh()
        return merged_evidence(link.evidence for link in self._links)

    async def _refresh(self) -> int:
        """Ask all workers how they are; return how many did not answer in time."""
        asking = [asyncio.create_task(link.refresh()) for link in self._links]
        if not asking:
            return 0
        late = (await asyncio.wait(asking, timeout=SNAPSHOT_SECONDS))[1]
        for task in late:
            task.cancel()
        return len(late)

    async def _start(self, index: int, env: dict[str, str]) -> _Link:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                contract.SERVER_MODULE,
                env={**env, worker.ENV_WORKER: f"{index}:{theirs.fileno()}"},
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # so that Ctrl-C in a terminal comes by way of us only
            )
        reader, writer = await asyncio.open_connection(sock=ours, limit=worker.MAX_MESSAGE_BYTES)
        link = _Link(index, process, writer)
        self._listening.append(asyncio.create_task(link.listen(reader)))
        return link

    def _on_signal(self) -> None:
        self._stop.set()
        for link in self._links:
            link.end()

    def _say_ready(self, said: list[dict[str, Any]], metrics_port: int, seconds: float) -> None:
        """Write the line that one process alone would write."""
        slowest = max(said, key=lambda fields: float(fields.get("callMicroseconds", 0)))
        ports = {"metricsPort": metrics_port, "processes": len(said)}
        log("ready", **{**slowest, **ports, "seconds": round(seconds, 3)})

    async def _end(self, ends: dict[asyncio.Task[int], _Link]) -> ExitCode:
        """Let all workers end once one has, or once they were told to."""
        expected = self._stop.is_set()
        if not expected:
            for end, link in ends.items():
                if end.done():
                    code = end.result()
                    log_error("worker ended", worker=link.index, pid=link.process.pid, code=code)
                link.end()
        _, hanging = await asyncio.wait(ends, timeout=self._settings.drain_seconds + LAST_SECONDS)
        for end in hanging:
            link = ends[end]
            log_error("worker hangs", worker=link.index, pid=link.process.pid)
            link.end(signal.SIGKILL)
        codes = await asyncio.gather(*ends)
        log("all workers ended", codes=codes)
        if ExitCode.PERMANENT in codes:
            return ExitCode.PERMANENT
        return ExitCode.DONE if expected and not any(codes) else ExitCode.RETRY
