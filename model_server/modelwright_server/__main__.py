"""``python -m modelwright_server``: the server container."""

import os
import sys

# Before numpy is imported: linear algebra that is not used would take memory for each core.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import asyncio
from collections.abc import Coroutine

import uvloop

from modelwright_server import logs
from modelwright_server.contract import ExitCode, ServerSettings, SettingsError
from modelwright_server.worker import Worker


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
    from modelwright_server import server  # noqa: PLC0415

    return server.serve(settings, worker)


if __name__ == "__main__":
    sys.exit(main())
