"""An environment with the real MLflow, made once, where it is asked for: `make mlflow`.

It is not in `.venv`, since it is as large as all the rest.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from typing import TYPE_CHECKING, Any

from tests.cluster.settings import REPOSITORY, cache_folder

if TYPE_CHECKING:
    from pathlib import Path

WANTED = ("mlflow-skinny==3.17.2", "onnx==1.23.2", "onnxruntime==1.32.0", "pandas==3.1.1", "numpy==2.4.6")


def python() -> Path | None:
    """Return the Python of the environment; None: it was not asked for."""
    found = _folder() / "bin" / "python"
    return found if (_folder() / "complete").is_file() else None


def _folder() -> Path:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return cache_folder() / "mlflow" / f"{version}-{hashlib.sha256(' '.join(WANTED).encode()).hexdigest()[:12]}"


def ensure(say: Any = print) -> None:
    """Make the environment if it is not there."""
    if python() is not None:
        return
    say("mlflow: installing (a minute)")
    venv.create(_folder(), with_pip=False)
    uv = next(REPOSITORY.glob(".cache/uv-*/bin/uv"))  # which `make setup` puts there
    target = str(_folder() / "bin" / "python")
    subprocess.run([str(uv), "pip", "install", "--quiet", "--python", target, *WANTED], check=True)
    (_folder() / "complete").touch()


if __name__ == "__main__":
    ensure()
