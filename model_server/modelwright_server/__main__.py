"""``python -m modelwright_server``: the server container."""

import os
import sys

# Before numpy is imported: linear algebra that is not used would take memory for each core.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import asyncio

import uvloop

from modelwright_server.contract import ExitCode, ServerSettings, SettingsError
from modelwright_server.server import configure_logging, serve


def main() -> int:
    """Serve with the settings in the environment; return the exit code."""
    try:
        settings = ServerSettings.from_env(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"serve: {error}\n")
        return ExitCode.PERMANENT
    configure_logging()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(settings))


if __name__ == "__main__":
    sys.exit(main())
