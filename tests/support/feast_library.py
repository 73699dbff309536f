"""An environment with the real Feast, made once for each lock: `python -m tests.support.feast_library`.

It is not in `.venv`, since Feast pins other releases than training needs.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.cluster.settings import REPOSITORY, cache_folder

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

KEPT = 2  # environments of other locks, which other clones may be using
LOCK = REPOSITORY / "operator" / "feast.requirements.txt"


def ensure(say: Any = print) -> Path:
    """Return the Python of the environment, which is made if it is not there."""
    cache = cache_folder() / "feast"
    cache.mkdir(parents=True, exist_ok=True)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = f"{version}-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    python = cache / name / "bin" / "python"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (cache / name / "complete").is_file():
            return python
        say(f"feast: installing {LOCK.name} (half a minute)")
        others = sorted((path for path in cache.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
        for old in others[: -KEPT or None]:
            shutil.rmtree(old)
        venv.create(cache / name, with_pip=False)
        uv = next(REPOSITORY.glob(".cache/uv-*/bin/uv"))  # which `make setup` puts there
        command = [
            str(uv),
            "pip",
            "install",
            "--quiet",
            "--python",
            str(python),
            "--compile-bytecode",
            "--require-hashes",
        ]
        subprocess.run([*command, "--requirements", str(LOCK)], check=True)
        (cache / name / "complete").touch()
    return python


class Worker:
    """A process that has Feast."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Have one thing done; return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline() or '{"error": "the worker has ended"}')
        assert "error" not in answer, answer["error"]
        return answer

    def make(self, folder: Path, program: str) -> None:
        """Make a repository, by a program that runs in its folder."""
        self.ask({"do": "make", "folder": str(folder), "program": program})

    def stage(self, environment: Mapping[str, str]) -> int:
        """Run the stage with these variables; return its exit code."""
        code: int = self.ask({"do": "stage", "environment": dict(environment)})["code"]
        return code


@contextmanager
def worker() -> Generator[Worker]:
    """Run a process with Feast."""
    paths = [REPOSITORY / "operator", REPOSITORY / "model_server", REPOSITORY]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(ensure()), "-m", "tests.support.feast_worker"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:  # which ends with its input
        yield Worker(process)


if __name__ == "__main__":
    ensure()
