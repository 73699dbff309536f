"""The control folder, shared with the server: what the sidecar leaves there is whole at every moment."""

from pathlib import Path

from modelwright_server.contract import traffic


class Control:
    """Replaces the traffic table, where it changed."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / traffic.FILE
        self._new = folder / f".{traffic.FILE}.new"

    def replace(self, table: traffic.Table) -> bool:
        """Make this the table; tell whether it was another one.

        Raises:
            OSError: it cannot be written; the table before is still there.
        """
        data = table.to_json()
        if self._present() == data:
            return False
        self._new.write_bytes(data)
        self._new.replace(self._file)
        return True

    def _present(self) -> bytes | None:
        try:
            return self._file.read_bytes()
        except FileNotFoundError:
            return None
