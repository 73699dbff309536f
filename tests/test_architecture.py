"""What no single module can hold: the layout, the floors, the sizes."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "operator/modelwright_operator",
    "operator/modelwright_training",
    "operator/modelwright_cli",
    "model_server/modelwright_server",
    "model_server/modelwright_monitor",
    "model_server/modelwright_capture",
    "model_server/modelwright_drift",
)
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PURE = ("plan", "decide", "render", "api")

TOP_LEVEL = {
    ".ci",
    ".dockerignore",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "charts",
    "crds",
    "docs",
    "examples",
    "kind-config.yaml",
    "model_server",
    "operator",
    "pyproject.toml",
    "tests",
    "uv.lock",
}


def _tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("no git checkout")
    return [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def test_the_top_level_holds_what_it_should() -> None:
    assert {name.split("/", 1)[0] for name in _tracked()} == TOP_LEVEL


def test_the_folder_operator_never_becomes_a_package() -> None:
    """It would shadow Python's own `operator` for everything started from the root."""
    assert not (ROOT / "operator" / "__init__.py").exists()


@pytest.mark.parametrize("module", ["collections", "operator", "enum"])
def test_python_works_from_the_root(module: str) -> None:
    code = f"import {module}; import operator; assert operator.add(1, 2) == 3"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_imports_go_down_only() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([str(tool), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_named_for_what_it_does(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    assert path.stem not in {"utils", "util", "helpers", "helper", "manager", "common_utils", "misc"}


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.relative_to(ROOT).parts[2] in PURE],
    ids=lambda path: str(path.relative_to(ROOT / "operator")),
)
def test_pure_floors_take_only_the_models_of_the_api_client(path: Path) -> None:
    client = {name for name in _imports(path) if name.startswith("kubernetes")}
    assert all(name.startswith("kubernetes.aio.client") for name in client)
    assert not {name for name in client if "api" in name.rsplit(".", 1)[-1]}
    assert "datetime.now" not in path.read_text(encoding="utf-8")


def test_our_deployment_is_always_called_api_deployment() -> None:
    """`Deployment` alone would be taken for Kubernetes' own, which is always a workload here."""
    own = ROOT / "operator" / "modelwright_operator"
    members = {"modelwright_operator.api.Deployment", "modelwright_operator.api.deployment.Deployment"}
    offenders = [path.name for path in own.rglob("*.py") if path.parent.name != "api" and members & _imports(path)]
    assert offenders == []


def test_every_text_in_the_package_names_no_machine() -> None:
    places = ("/root/", "/work/", "/home/")
    texts = [path for path in MODULES if any(place in path.read_text(encoding="utf-8") for place in places)]
    assert texts == []
