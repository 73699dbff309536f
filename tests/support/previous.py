"""Modelwright as it was before: chart and images of the last commit that differs from the checkout in what is shipped.

A clone without that history (`git clone --depth 1`, an unpacked archive) has no earlier release to upgrade from. There
the checkout itself stands in for it, with another version of the chart: an upgrade then still replaces the operator.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.cluster import ClusterError
from tests.cluster.settings import REPOSITORY
from tests.support.installation import CHART

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SHIPPED = ("charts", "operator", "model_server", "pyproject.toml", "uv.lock")
REPLACED = ("operator", "serving")
_MOST_COMMITS = "200"


@dataclass(frozen=True)
class Release:
    """A chart, and the images that go with it.

    Attributes:
        commit: which it is of; empty: there was no history, and it is the checkout's own.
        images: references by name; of those that are not named the checkout's are taken.
    """

    commit: str
    chart: Path
    images: Mapping[str, str]


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(REPOSITORY), *arguments], capture_output=True, check=False)


def _last_other_commit() -> str:
    """Return the newest commit whose shipped files are not the checkout's; empty: git has none, or there is no git."""
    if shutil.which("git") is None:
        return ""
    listed = _git("rev-list", "--first-parent", "-n", _MOST_COMMITS, "HEAD", "--", *SHIPPED)
    return next(filter(_differs, listed.stdout.decode().split()), "")


def _differs(commit: str) -> bool:
    return _git("diff", "--quiet", commit, "--", *SHIPPED).returncode == 1


def previous_release(folder: Path) -> Release:
    """Return what there was before; its sources are unpacked into an empty folder, its images built.

    Raises:
        ClusterError: it cannot be built.
    """
    commit = _last_other_commit()
    if not commit:
        return Release("", _renumbered(folder), {})
    with tarfile.open(fileobj=io.BytesIO(_git("archive", commit).stdout)) as archive:
        archive.extractall(folder, filter="data")
    done = subprocess.run(
        [sys.executable, "-m", "tests.images", "build", *REPLACED],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        message = f"the images of {commit} cannot be built: {done.stderr[-2000:]}"
        raise ClusterError(message)
    images = dict(line.split() for line in done.stdout.splitlines() if line.startswith(REPLACED))
    return Release(commit, folder / "charts" / "modelwright", images)


def _renumbered(folder: Path) -> Path:
    """Return a copy of the chart under another version, which stands in each of its objects' labels."""
    chart = folder / "modelwright"
    shutil.copytree(CHART, chart)
    description = chart / "Chart.yaml"
    text = description.read_text(encoding="utf-8")
    description.write_text(text.replace("\nversion: ", "\nversion: 0.0.0-before."), encoding="utf-8")
    return chart
