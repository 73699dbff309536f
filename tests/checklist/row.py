"""A row of the checklist, and what checking it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from tests.cluster.settings import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.cluster.client import Cluster
    from tests.support.installation import Installation

NAME = "breast-cancer"
DEPLOYMENT = f"modeldeployment/{NAME}"
_MINUTES = 60.0


class NotHeldError(Exception):
    """A row does not hold; the text says what was found instead."""


def must(holds: object, found: object) -> None:
    """Refuse what does not hold.

    Raises:
        NotHeldError: it does not.
    """
    if not holds:
        raise NotHeldError(str(found)[:500])


@dataclass(frozen=True)
class World:
    """A cluster with Modelwright, and the quickstart served in a namespace.

    Attributes:
        installation: of the chart.
        namespace: where the quickstart is.
        report: the JUnit file of a run of all tests, where these need not be run once more.
    """

    installation: Installation
    namespace: str
    report: Path | None = None

    @property
    def cluster(self) -> Cluster:
        """Where it is installed."""
        return self.installation.cluster

    def kubectl(self, *words: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Run kubectl in the quickstart's namespace; return what it prints.

        Raises:
            ClusterError: it failed.
        """
        return self.cluster.kubectl(*words, "-n", self.namespace, stdin=stdin, timeout=timeout)

    def refused(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl, which must fail; return what it says."""
        return self.cluster.kubectl(*words, "-n", self.namespace, stdin=stdin, check=False)

    def definition(self, plural: str) -> dict[str, Any]:
        """Return one of the CustomResourceDefinitions."""
        found: dict[str, Any] = json.loads(self.cluster.kubectl("get", f"crd/{plural}.modelwright.dev", "-o", "json"))
        return found

    def deployment(self) -> dict[str, Any]:
        """Return the quickstart's Deployment."""
        found: dict[str, Any] = json.loads(self.kubectl("get", DEPLOYMENT, "-o", "json", "--show-managed-fields"))
        return found


@dataclass(frozen=True)
class Row:
    """One convention.

    Attributes:
        number: in the list.
        what: must hold.
        command: shows whether it does.
        check: does it; returns what was found, or raises NotHeldError or ClusterError.
    """

    number: int
    what: str
    command: str
    check: Callable[[World], str]


def run(*command: str, minutes: float = 2) -> str:
    """Run a command in the checkout; return the last line that it prints.

    Raises:
        NotHeldError: it fails.
    """
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=REPOSITORY, timeout=minutes * _MINUTES, check=False
    )
    lines = (done.stdout + done.stderr).strip().splitlines() or [""]
    must(done.returncode == 0, "; ".join(lines[-5:]))
    return lines[-1]


def passed(*nodes: str) -> str:
    """Run tests, on the cluster that is there; return pytest's last line.

    Raises:
        NotHeldError: one fails, or none was run.
    """
    said = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *nodes, minutes=20)
    must("passed" in said, said)
    return said.strip("= ")


def reported(report: Path, nodes: Sequence[str]) -> str:
    """Return what a run of all tests made of some of them, by its JUnit file.

    Raises:
        NotHeldError: one failed, or none was run.
    """
    wanted = [node.removesuffix(".py").replace("/", ".").replace(".py::", "::") for node in nodes]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written by our own run
        module = case.get("classname", "")
        name = f"{module}::{case.get('name', '').partition('[')[0]}"
        if any(each in {module, name} or module.startswith(f"{each}.") for each in wanted):
            outcome = "failed" if {"failure", "error"} & {child.tag for child in case} else "passed"
            counts["skipped" if case.find("skipped") is not None else outcome] += 1
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    must(counts["passed"] and not counts["failed"], said or "none was run")
    return said


def tests(number: int, what: str, *nodes: str) -> Row:
    """Return a row that tests show."""

    def check(world: World) -> str:
        return reported(world.report, nodes) if world.report is not None else passed(*nodes)

    return Row(number, what, f"pytest {' '.join(nodes)}", check)
