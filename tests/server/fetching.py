"""The real fetch container as a process, and what it leaves behind."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelwright_server.contract import FetchSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

# Runs the module as `python -m` does, and writes its own peak memory and its largest child's to a file at the end.
_MEASURED = """
import atexit, resource, runpy, sys
def measure(path=sys.argv.pop(1)):
    with open("/proc/self/status") as status, open(path, "w") as file:
        own = next(line.split()[1] for line in status if line.startswith("VmHWM:"))
        print(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=file)
atexit.register(measure)
runpy.run_module("modelwright_server.fetch", run_name="__main__", alter_sys=True)
"""


class Fetch:
    """Runs fetch and reads what it leaves behind.

    Attributes:
        stderr: what the last run wrote there.
        peaks: bytes of memory the last run took at most: itself, and its largest child.
    """

    def __init__(self, tmp: Path) -> None:
        self.target = tmp / "model"
        self.log = tmp / "termination-log"
        self.stderr = ""
        self.peaks = (0, 0)
        self._measured = tmp / "peaks"

    def __call__(self, uri: str, digest: str, stores: Path, *flags: str, **changes: Any) -> tuple[int, dict[str, Any]]:
        """Return exit code and termination message; `env` among the changes is added to the container's environment."""
        env: Mapping[str, str] = changes.pop("env", {})
        self.log.unlink(missing_ok=True)
        settings = FetchSettings(
            artifact_uri=uri,
            artifact_digest=digest,
            stores_dir=str(stores),
            model_dir=str(self.target),
            termination_log=str(self.log),
            **changes,
        )
        result = subprocess.run(
            [sys.executable, "-c", _MEASURED, str(self._measured), *flags],
            env={**os.environ, **settings.to_env(), **env},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        assert result.stdout == ""
        self.stderr = result.stderr
        own, child = (int(size) << 10 for size in self._measured.read_text().split())
        self.peaks = own, child
        data = self.log.read_bytes() if self.log.exists() else b"{}"
        assert len(data) <= 1536
        return result.returncode, json.loads(data)
