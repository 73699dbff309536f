"""``python -m modelwright_server``: the server container."""

import os
import sys

# Before numpy is imported: linear algebra that is not used would take memory for each core.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import asyncio
from collections.abc import Coroutine
from contextlib import suppress

import uvloop

from modelwright_server import logs
from modelwright_server.contract import ExitCode, ServerSettings, SettingsError
from modelwright_server.worker import Worker

_M_ARENA_MAX = -8  # of malloc.h


def main() -> int:
    """Serve with the settings in the environment; return the exit code."""
    try:
        settings = ServerSettings.from_env(os.environ)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_chosen(settings))
    except SettingsError as error:
        sys.stderr.write(f"serve: {error}\n")
        return ExitCode.PERMANENT


def _chosen(settings: ServerSettings) -> Coroutine[None, None, ExitCode]:
    """Return what this process does: it serves alone, looks after workers, or is one of them."""
    worker = Worker.from_env(os.environ)
    if worker is None and settings.processes > 1:
        logs.configure()
        from modelwright_server import workers  # noqa: PLC0415 - each imports what it needs and no more

        return workers.supervise(settings)
    logs.configure(**({} if worker is None else {"worker": worker.index}))
    _share_one_heap()
    from modelwright_server import server  # noqa: PLC0415

    return server.serve(settings, worker)


def _share_one_heap() -> None:
    """Have glibc give all threads memory from one heap, not from one each.

    What one of grpcio's threads takes another frees, and the heaps get holes: under load they took 4 MiB more after ten
    minutes, and still grew.  Heaps of their own are of use to threads that take memory side by side; these hardly do.
    """
    import ctypes  # noqa: PLC0415 - numpy needs it anyway, the supervisor does not

    with suppress(AttributeError):  # where the C library is another
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


if __name__ == "__main__":
    sys.exit(main())
