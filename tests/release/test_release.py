"""What a release needs, as far as it can be tried without one: versions, workflows, the chart with pinned images."""

from __future__ import annotations

import re
import runpy
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cluster.binaries import ACTIONLINT, ensure_binaries
from tests.images.inputs import IMAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CHART = ROOT / "charts" / "modelwright"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
DIGEST = "sha256:" + "ab" * 32


def loaded(path: Path) -> dict[Any, Any]:
    document: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def steps() -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in WORKFLOWS:
        for job in loaded(path)["jobs"].values():
            yield from ((path, step) for step in job.get("steps", []))


def test_the_version_is_the_same_wherever_it_is_written() -> None:
    chart = loaded(CHART / "Chart.yaml")
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)
    locked = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    assert [item["version"] for item in locked if item["name"] == "modelwright"] == [VERSION]
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)


def test_workflows_are_as_github_takes_them() -> None:
    program = ensure_binaries((ACTIONLINT,), print)[ACTIONLINT]
    done = subprocess.run([program, "-no-color", *WORKFLOWS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_workflow_would_be_noticed(tmp_path: Path) -> None:
    program = ensure_binaries((ACTIONLINT,), print)[ACTIONLINT]
    wrong = tmp_path / "wrong.yml"
    text = (
        WORKFLOWS[0]
        .read_text(encoding="utf-8")
        .replace("needs.version.outputs.version", "needs.version.outputs.nothing")
    )
    wrong.write_text(text, encoding="utf-8")
    assert subprocess.run([program, wrong], cwd=ROOT, capture_output=True, check=False).returncode == 1


def test_actions_are_pinned_and_leave_no_credentials() -> None:
    for path, step in steps():
        used = step.get("uses", "")
        if used:
            assert re.fullmatch(r"[\w./-]+@([0-9a-f]{40}|v\d+)", used), f"{path.name}: {used}"
            assert re.search(r"@[0-9a-f]{40}$", used) or used.startswith("actions/"), f"{path.name}: {used}"
        if used.startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False, path.name


def test_jobs_have_no_right_that_they_do_not_name() -> None:
    for path in WORKFLOWS:
        workflow = loaded(path)
        assert workflow["permissions"] in ({}, {"contents": "read"}), path.name
        for name, job in workflow["jobs"].items():
            granted = job.get("permissions", workflow["permissions"])
            writes = {key for key, value in granted.items() if value == "write"}
            assert not writes or path.name == "release.yml", name
            assert "uses" in job or job["timeout-minutes"] <= 90, name


def test_nothing_of_others_is_put_into_a_script() -> None:
    """Names of branches and titles are others': in `run` they would be code."""
    for path, step in steps():
        assert "${{" not in step.get("run", ""), f"{path.name}: {step}"


def test_three_minors_of_kubernetes_are_tried() -> None:
    matrix = loaded(ROOT / ".github" / "workflows" / "test.yml")["jobs"]["test"]["strategy"]["matrix"]["include"]
    nodes = [item["node"] for item in matrix]
    assert len({node.rpartition(".")[0] for node in (node.partition("@")[0] for node in nodes)}) == 3
    assert all(re.fullmatch(r"v1\.\d+\.\d+@sha256:[0-9a-f]{64}", node) for node in nodes)
    assert "image: kindest/node:" in (ROOT / "kind-config.yaml").read_text(encoding="utf-8")


def test_every_image_is_released() -> None:
    matrix = loaded(ROOT / ".github" / "workflows" / "release.yml")["jobs"]["images"]["strategy"]["matrix"]["include"]
    assert matrix == [{"name": image.name, "dockerfile": image.dockerfile} for image in IMAGES]


def test_the_released_chart_names_images_by_digest() -> None:
    pinned: Callable[..., str] = runpy.run_path(str(ROOT / ".github" / "pin_images.py"))["pinned"]
    before = (CHART / "values.yaml").read_text(encoding="utf-8")
    after = pinned(before, "ghcr.io/o/modelwright", {image.name: DIGEST for image in IMAGES})
    old, new = yaml.safe_load(before), yaml.safe_load(after)
    assert new.pop("images") == {
        image.name: {"repository": f"ghcr.io/o/modelwright/{image.name}", "tag": "", "digest": DIGEST}
        for image in IMAGES
    }
    old.pop("images")
    assert new == old
    for wrong in ({"operator": "latest"}, {"operator": DIGEST}, {"nothing": DIGEST}):
        with pytest.raises(ValueError, match=r"digest|published|nothing"):
            pinned(before, "ghcr.io/o/modelwright", wrong)
