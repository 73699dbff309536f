"""Environments of the servers that are measured: made once by uv, everything in them pinned, all of the same Python.

That is not always the Python of this program: one that was built without its compiler's optimisations, as pyenv does
by default, takes up to half as long again for the same work.  The images have Debian's, which is optimised; what
decides here is a measurement, since a build does not say of itself how it was optimised.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.benchmarks.serving.cores import BenchmarkError
from tests.cluster.settings import REPOSITORY

_REQUIREMENTS = Path(__file__).with_name("requirements")
_PROGRAMS = Path(__file__).with_name("programs")
_CACHE = Path.home() / ".cache" / "modelwright" / "peers"
_INSTALL_SECONDS = 1800
OWN = "modelwright"
"""The environment of our server: what uv.lock says, as in its image."""
_EMBEDDED = {"pytriton"}
"""Their programs load libpython as a library, which may lack what Debian builds into its interpreter."""
_BASE: str = getattr(sys, "_base_executable", sys.executable)
_SYSTEM_PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3")
_CONTEST = """
import sys, time
assert sys.version_info >= (3, 11)
class Kept:
    def __init__(self, value): self.value = value
def work():
    seen = {}
    for at in range(40000):
        kept = Kept(at)
        seen[at % 97] = b"%d-%b" % (kept.value, b"x")
    return seen
spans = []
for _ in range(9):
    begun = time.perf_counter()
    work()
    spans.append(time.perf_counter() - begun)
print(sys.version.split()[0], min(spans))
"""
"""Prints its version and the seconds of some ordinary work."""


@cache
def interpreter() -> tuple[Path, str]:
    """Return the fastest Python here, and its version; `MODELWRIGHT_BENCH_PYTHON` names another."""
    named = os.environ.get("MODELWRIGHT_BENCH_PYTHON")
    found: dict[Path, tuple[float, str]] = {}
    for path in [named] if named else [_BASE, *filter(os.path.exists, _SYSTEM_PYTHONS)]:
        done = subprocess.run([path, "-c", _CONTEST], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            version, seconds = done.stdout.split()
            found[Path(path).resolve()] = float(seconds), version
    if not found:
        message = f"{named or _BASE} is no Python from 3.11 on"
        raise BenchmarkError(message)
    fastest = min(found, key=lambda path: found[path])
    return fastest, found[fastest][1]


def environment(name: str) -> Path:
    """Return the Python of the environment that `requirements/NAME.txt` describes; make it first, if it is not there.

    Raises:
        BenchmarkError: it cannot be installed.
    """
    requirements = _locked() if name == OWN else _REQUIREMENTS.joinpath(f"{name}.txt").read_text(encoding="utf-8")
    python, version = interpreter() if name not in _EMBEDDED else (Path(_BASE), platform.python_version())
    identity = f"{python} {version} {requirements}"
    folder = _CACHE / f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    if not folder.exists():
        print(f"installing {name} into {folder}", file=sys.stderr, flush=True)
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        _uv("venv", "--quiet", "--relocatable", "--python", str(python), str(partial))
        stated = partial / "requirements.txt"
        stated.write_text(requirements, encoding="utf-8")
        _uv("pip", "install", "--quiet", "--python", str(partial / "bin" / "python"), "-r", str(stated))
        partial.rename(folder)
    return folder / "bin" / "python"


@cache
def _locked() -> str:
    options = ("--frozen", "--no-dev", "--no-emit-project", "--no-header", "--no-annotate", "--quiet")
    return _uv("export", *options, "--extra", "serving", "--project", str(REPOSITORY))


def program(name: str) -> str:
    """Return the path of a server that runs in such an environment."""
    return str(_PROGRAMS / f"{name}.py")


def _uv(*arguments: str) -> str:
    uv = next((REPOSITORY / ".cache").glob("uv-*/bin/uv"), None) or shutil.which("uv")
    if uv is None:
        message = "uv is missing: `make setup` brings it"
        raise BenchmarkError(message)
    done = subprocess.run([uv, *arguments], capture_output=True, text=True, check=False, timeout=_INSTALL_SECONDS)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        message = f"uv {' '.join(arguments[:2])} failed: {lines[-1].strip()}"
        raise BenchmarkError(message)
    return done.stdout
