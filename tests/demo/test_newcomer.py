"""The tutorial's five commands, run as they stand there, by somebody who has a table and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.demo.progress import DemoError
from tests.docs import pages

if TYPE_CHECKING:
    from tests.cluster.client import Cluster
    from tests.support.installation import Installation

TUTORIAL = pages.DOCS / "tutorial.md"
PROGRAMS = Path(sys.executable).parent
_CHANGES = re.compile(r"[0-9a-f]{10,64}|\d+(\.\d+)?(e[+-]\d+)?")


def transcript() -> list[tuple[str, list[str]]]:
    """Return the tutorial's first console block: each command with the lines it printed."""
    [first, *_] = pages.blocks(TUTORIAL, "console")
    found: list[tuple[str, list[str]]] = []
    for line in first.text.splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        else:
            found[-1][1].append(line)
    return found


def shape(line: str) -> str:
    """Return a line without what differs from one time to the next."""
    return " ".join(_CHANGES.sub("#", line).split())


def told(expected: list[str], printed: str) -> None:
    """Find the lines of the transcript in what was printed, in their order; `…` stands for any.

    Raises:
        DemoError: one is not there.
    """
    lines = iter(shape(line) for line in printed.splitlines())
    for line in expected:
        if line.strip() != "…" and shape(line) not in lines:
            message = f"{line!r} was not printed:\n{printed}"
            raise DemoError(message)


def environment(cluster: Cluster, installation: Installation, namespace: str, folder: Path) -> dict[str, str]:
    """Return what a user has: the programs in the path, and a kubeconfig that names their namespace."""
    own = folder / "kubeconfig"
    own.write_bytes(cluster.kubeconfig.read_bytes())
    found = cluster.environment
    found |= {"PATH": f"{PROGRAMS}{os.pathsep}{found['PATH']}", "KUBECONFIG": str(own)}
    found["MODELWRIGHT_UPLOAD_IMAGE"] = installation.images["serving"]  # no registry can be reached from here
    set_ = ["kubectl", "config", "set-context", "--current", f"--namespace={namespace}"]
    subprocess.run(set_, env=found, check=True, capture_output=True)
    return found


@pytest.mark.cluster
def test_a_table_becomes_a_model_in_five_commands(installation: Installation, namespace: str, tmp_path: Path) -> None:
    found = environment(installation.cluster, installation, namespace, tmp_path)
    commands = transcript()
    assert len(commands) == 6, "five, and one to ask it"
    assert commands[0][0].startswith("pip install 'modelwright[cli]")
    assert commands[1][0].startswith("helm install modelwright charts/modelwright ")
    assert installation.logs(), "these two were done when the tests began: from this checkout, with the same chart"
    for command, expected in commands[2:]:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=pages.REPOSITORY,
            env=found,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        print(f"$ {command}\n{done.stdout}{done.stderr}")
        assert done.returncode == 0, done.stderr
        told(expected, done.stdout)


def test_the_readme_and_the_tutorial_have_the_same_way() -> None:
    commands = [command for command, _ in transcript()]
    text = pages.read(pages.REPOSITORY / "README.md")
    for command in commands:
        assert f"$ {command}" in text, command


def test_a_line_that_is_not_printed_is_noticed() -> None:
    told(["a 1", "…", "b sha256:0123456789abcdef"], "a 22\nother\nb sha256:fedcba9876543210\n")
    with pytest.raises(DemoError, match="'b' was not printed"):
        told(["a", "b"], "b\na\n")
