"""Following the pod's own Deployment: its ``status.traffic`` becomes the table in the control folder.

    read the Deployment ──► watch it from there on ──ended, as agreed──► read it again …
          │                        │
          └───────failed───────────┴──► wait, longer each time ──► read it again …

Each turn begins with a read, so nothing depends on what a watch may have missed, and no version is kept that could
become too old.  Whatever fails, the last table stays: with the API server away the pods go on as they were told last.
A Deployment of the same name made anew is followed like the one before: the table names the revision it is meant for.
Whoever monitors is told of each change as well.
"""

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NoReturn, Protocol, cast

from modelwright_monitor.apiserver import ApiError, Connection, Object
from modelwright_monitor.control import Control
from modelwright_server.contract.traffic import Table, TableError
from modelwright_server.logs import log, log_error

# A watch that says nothing may be broken in a way that nobody notices: so often the Deployment is read anew.
WATCH_SECONDS = (90, 150)
LONGEST_PAUSE_SECONDS = 10.0
_MOST_PATIENT_SECONDS = 60.0
# A connection that held for so long was no failure at the start.
_STEADY_SECONDS = 5.0


class Connect(Protocol):
    """Opens a connection to the API server."""

    def __call__(self) -> AbstractContextManager[Connection]:
        """Give the connection."""
        ...


def pause_seconds(failures: int) -> float:
    """Return how long to wait after so many failures in a row: at random, so that not all pods come back at once."""
    return min(2.0 ** (failures - 1), LONGEST_PAUSE_SECONDS) * random.uniform(0.1, 1.0)  # noqa: S311 - jitter


class Follower:
    """Keeps the table as the Deployment's status has it."""

    def __init__(
        self,
        connect: Connect,
        control: Control,
        observe: Callable[[Object | None], object],
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._connect = connect
        self._control = control
        self._observe = observe
        self._sleep = sleep
        self._trouble: str | None = None
        self._seen: Any = None

    def run(self) -> NoReturn:
        """Follow for ever."""
        failures = 0
        while True:
            started, asked, failed = time.monotonic(), 0.0, False
            try:
                self._turn()
            except ApiError as error:
                failed, asked = True, error.retry_after_seconds
                self._say(str(error))
            except OSError as error:
                failed = True
                self._say(f"the table cannot be written: {error}")
            held = time.monotonic() - started >= _STEADY_SECONDS
            failures = int(failed) if held else failures + 1
            if failures:
                self._sleep(max(pause_seconds(failures), min(asked, _MOST_PATIENT_SECONDS)))

    def _turn(self) -> None:
        """Read the Deployment and follow its changes for some minutes.

        Raises:
            ApiError: the API server is away.
            OSError: the table cannot be written.
        """
        with self._connect() as connection:
            seen, version = connection.read()
            self._take(seen)
            self._say("")
            for changed in connection.watch(version, random.randint(*WATCH_SECONDS)):  # noqa: S311 - jitter
                self._take(changed)

    def _take(self, seen: Object | None) -> None:
        self._observe(seen)
        status = cast("Object", (seen or {}).get("status") or {})
        document = status.get("traffic")
        if document is None or document == self._seen:
            return
        try:
            table = Table.from_json(document)
        except TableError as error:
            log_error("the Deployment's status.traffic is no table: the one before stays", problem=str(error))
        else:
            if self._control.replace(table):
                log("table replaced", **table.to_document())
        self._seen = document

    def _say(self, trouble: str) -> None:
        """Log what is wrong, once."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            log_error("the Deployment cannot be followed: the table stays as it is", problem=trouble)
        else:
            log("following the Deployment")
