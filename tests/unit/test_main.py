"""The operator's process: how it begins and ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

UNREACHABLE = "https://127.0.0.1:1"


def kubeconfig(folder: Path) -> Path:
    path = folder / "kubeconfig"
    named = {
        "clusters": [{"name": "none", "cluster": {"server": UNREACHABLE}}],
        "users": [{"name": "none", "user": {}}],
        "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    }
    document = {"apiVersion": "v1", "kind": "Config", "current-context": "none", **named}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@contextmanager
def operator(**settings: str) -> Generator[subprocess.Popen[str]]:
    """Run the operator's process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MODELWRIGHT_")}
    command = [sys.executable, "-m", "modelwright_operator"]
    with subprocess.Popen(command, env=environment | settings, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_who_stands_by_ends_well_on_sigterm(tmp_path: Path) -> None:
    settings = {
        "KUBECONFIG": str(kubeconfig(tmp_path)),
        "MODELWRIGHT_SERVING_IMAGE": "serving",
        "MODELWRIGHT_TRAINING_IMAGE": "training",
        "MODELWRIGHT_FEAST_IMAGE": "feast",
        "MODELWRIGHT_LEASE_NAMESPACE": "system",
        "MODELWRIGHT_HEALTH_PORT": "0",  # any that is free
        "MODELWRIGHT_METRICS_PORT": "0",
    }
    with operator(**settings) as process:
        assert process.stderr is not None
        assert any("lease not reached" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0, said


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    with operator(KUBECONFIG=str(kubeconfig(tmp_path)), MODELWRIGHT_SERVING_IMAGE="serving") as process:
        _, said = process.communicate(timeout=30)
        assert process.returncode == 2
        assert "MODELWRIGHT_TRAINING_IMAGE" in said
