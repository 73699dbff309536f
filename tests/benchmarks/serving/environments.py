"""Environments of the servers that are compared with ours: made once by uv, everything in them pinned."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.serving.cores import BenchmarkError
from tests.cluster.settings import REPOSITORY

_REQUIREMENTS = Path(__file__).with_name("requirements")
_PROGRAMS = Path(__file__).with_name("programs")
_CACHE = Path.home() / ".cache" / "modelwright" / "peers"
_INSTALL_SECONDS = 1800


def environment(name: str) -> Path:
    """Return the Python of the environment that `requirements/NAME.txt` describes; make it first, if it is not there.

    Raises:
        BenchmarkError: it cannot be installed.
    """
    requirements = _REQUIREMENTS / f"{name}.txt"
    folder = _CACHE / f"{name}-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        print(f"installing {name} into {folder}", file=sys.stderr, flush=True)
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        _uv("venv", "--quiet", "--relocatable", "--python", sys.executable, str(partial))
        _uv("pip", "install", "--quiet", "--python", str(partial / "bin" / "python"), "-r", str(requirements))
        partial.rename(folder)
    return folder / "bin" / "python"


def program(name: str) -> str:
    """Return the path of a server that runs in such an environment."""
    return str(_PROGRAMS / f"{name}.py")


def _uv(*arguments: str) -> None:
    uv = next((REPOSITORY / ".cache").glob("uv-*/bin/uv"), None) or shutil.which("uv")
    if uv is None:
        message = "uv is missing: `make setup` brings it"
        raise BenchmarkError(message)
    done = subprocess.run([uv, *arguments], capture_output=True, text=True, check=False, timeout=_INSTALL_SECONDS)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        message = f"uv {' '.join(arguments[:2])} failed: {lines[-1].strip()}"
        raise BenchmarkError(message)
