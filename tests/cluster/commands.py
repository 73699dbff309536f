"""Running the machine's own programs."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.settings import ClusterError

# Shells of ordinary users leave out the folders where networking programs live.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def run(command: Sequence[str | Path], *, stdin: str | None = None, timeout: float = 600) -> str:
    """Run a program to its end and return what it printed.

    Raises:
        ClusterError: the program failed; the message carries what it said.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env=os.environ | {"PATH": SEARCH_PATH},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        message = f"{' '.join(words)}: {error}"
        raise ClusterError(message) from error
    if done.returncode:
        message = f"{' '.join(words)} failed ({done.returncode}): {(done.stderr or done.stdout).strip()[-2000:]}"
        raise ClusterError(message)
    return done.stdout


def succeeds(command: Sequence[str | Path], *, timeout: float = 30) -> bool:
    """Tell whether a program ends well."""
    try:
        run(command, timeout=timeout)
    except ClusterError:
        return False
    return True
