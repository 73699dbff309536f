"""Who is told of each answered inference request: the access log, the traces, both or nobody."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial

from modelwright_server import contract
from modelwright_server.accesslog import AccessLog
from modelwright_server.backlog import Backlog
from modelwright_server.contract import ServerSettings, SettingsError
from modelwright_server.record import Record
from modelwright_server.telemetry import Telemetry

LOG, TRACES = "log", "traces"
_Entry = tuple[int, Record]  # when it was answered, in nanoseconds since 1970
_Sink = Callable[[Sequence[_Entry]], int]


class Journal:
    """Passes what was answered on to those who want it; see `open_journal`."""

    def __init__(self, backlogs: tuple[Backlog[_Entry], ...]) -> None:
        self._backlogs = backlogs

    def write(self, record: Record) -> None:
        """Note a request that has just been answered; never waits."""
        entry = time.time_ns(), record
        for backlog in self._backlogs:
            backlog.put(entry)

    async def close(self) -> None:
        """Let the last of it be written, or give up after some seconds."""
        await asyncio.gather(*(backlog.close() for backlog in self._backlogs))


def open_journal(settings: ServerSettings, telemetry: Telemetry) -> Journal | None:
    """Return what the settings ask for, or None where they ask for nothing; in a running event loop.

    Raises:
        SettingsError: tracing is asked for and its packages are missing.
    """
    sinks: dict[str, _Sink] = {}
    if settings.access_log:
        sinks[LOG] = AccessLog().consume
    if settings.tracing_endpoint:
        try:
            from modelwright_server.tracing import Tracer  # noqa: PLC0415 - 12 MiB for those who ask for it
        except ModuleNotFoundError as error:
            problem = (
                f"{contract.ENV_TRACING_ENDPOINT} is set, but {error.name} is missing: install modelwright[tracing]"
            )
            raise SettingsError(problem) from error
        sinks[TRACES] = Tracer(settings.tracing_endpoint, telemetry.info).consume
    if not sinks:
        return None
    for name in sinks:
        telemetry.dropped.setdefault(name, 0)
    return Journal(tuple(Backlog(name, sink, partial(_drop, telemetry, name)) for name, sink in sinks.items()))


def _drop(telemetry: Telemetry, name: str, count: int) -> None:
    telemetry.dropped[name] = telemetry.dropped.get(name, 0) + count
