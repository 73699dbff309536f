"""The table's file, as the sidecar replaces it: looked at twice a second, read when it is another.

What cannot be read changes nothing: the last table holds, also where the file is gone.
"""

import asyncio
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

from modelwright_server.contract.traffic import MAX_BYTES, Table, TableError

LOOK_SECONDS = 0.5
_LOG = logging.getLogger("modelwright.routing")
_State = tuple[int, int, int, int]


class TableWatch:
    """Tells of each new table in a file.

    Attributes:
        taken: tables read.
        refused: files that were no table, could not be read or were gone after there had been one.
    """

    def __init__(self, file: Path, changed: Callable[[Table], None]) -> None:
        self.taken = self.refused = 0
        self._file = file
        self._changed = changed
        self._seen: _State | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look now, and from now on; on the running event loop."""
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self.start)
        try:
            self.look()
        except Exception:  # noqa: BLE001 - logged; the next table must be seen, whatever happened with this one
            _LOG.exception("acting on a traffic table failed")

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def look(self) -> None:
        """Look whether the file is another, and read it if so."""
        try:
            found = os.stat(self._file)  # noqa: PTH116 - twice a second for as long as the process lives
        except OSError as error:
            if self._seen is not None:
                self._seen = None
                self._refuse(error)
            return
        state = found.st_mtime_ns, found.st_ino, found.st_size, found.st_ctime_ns
        if state == self._seen:
            return
        self._seen = state
        try:
            table = Table.from_json(self._read(found.st_mode))
        except (OSError, TableError) as error:
            self._refuse(error)
            return
        self.taken += 1
        self._changed(table)

    def _read(self, mode: int) -> bytes:
        if not stat.S_ISREG(mode):  # to open another kind may take for ever
            raise TableError(problem="the table must be a regular file")
        with self._file.open("rb") as file:
            return file.read(MAX_BYTES + 1)

    def _refuse(self, error: Exception) -> None:
        self.refused += 1
        fields = {"file": str(self._file), "problem": str(error)[:500]}
        _LOG.warning("traffic table not taken: the last one holds", extra={"fields": fields})
