"""Helm itself renders the chart; the tests look at what it says."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.binaries import ensure_binaries
from tests.cluster.settings import REPOSITORY

CHART = REPOSITORY / "charts" / "modelwright"
NAMESPACE = "modelwright-system"

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]
Helm = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def helm_program() -> Path:
    return ensure_binaries(("helm",), print)["helm"]


@pytest.fixture
def helm(helm_program: Path, tmp_path: Path) -> Helm:
    """Run Helm on the chart, away from the user's own settings and cluster; values come as keyword arguments."""

    def run(*arguments: str, **values: Any) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(values), encoding="utf-8")
        return subprocess.run(
            [helm_program, *arguments, "--values", file],
            capture_output=True,
            text=True,
            check=False,
            env={"HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "none")},
        )

    return run


@pytest.fixture
def render(helm: Helm) -> Render:
    def run(*arguments: str, **values: Any) -> list[Manifest]:
        place = ["--namespace", NAMESPACE, "--kube-version", "1.35.0"]
        done = helm("template", "release", str(CHART), *place, *arguments, **values)
        assert done.returncode == 0, done.stderr
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    return run


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def environment(manifests: list[Manifest]) -> dict[str, str]:
    """Return what the operator's container gets as its environment."""
    (deployment,) = of_kind(manifests, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value", "pod-name") for entry in container["env"]}
