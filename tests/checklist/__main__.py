"""`python -m tests.checklist`: goes through the checklist on a real cluster, and keeps the table in the docs."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.checklist import definitions, objects, operations
from tests.checklist.row import NAME, NotHeldError, Row, World
from tests.cluster.api import ApiError
from tests.cluster.settings import REPOSITORY, ClusterError
from tests.e2e.fixtures import DEPLOYMENTS, VALUES, is_true
from tests.support.clusters import end_tidily, fresh_namespace, running_cluster
from tests.support.installation import install

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = REPOSITORY / "docs" / "checklist.md"
_RESULTS = REPOSITORY / "build" / "checklist.json"
Results = dict[str, dict[str, Any]]
ROWS: tuple[Row, ...] = (*definitions.ROWS, *objects.ROWS, *operations.ROWS)
_NAMESPACE = "modelwright-checklist"
_HEAD = """\
# Checklist

What a platform team looks at before it installs an operator: forty conventions, each with a command that shows
whether it holds. `make checklist` goes through all of them on a real cluster and writes this page; nothing here is
written by hand. Rows that name tests run them, on a real cluster, too, or take what a run of all tests made of them.

"""


def main() -> int:
    """Go through the rows; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.checklist", description=__doc__)
    parser.add_argument("rows", nargs="*", type=int, help="only these numbers; the page keeps the others as they were")
    parser.add_argument(
        "--report", type=Path, help="JUnit file of a run of all tests at this commit: none is run once more"
    )
    arguments = parser.parse_args()
    chosen: Sequence[int] = arguments.rows
    end_tidily()
    rows = [row for row in ROWS if not chosen or row.number in chosen]
    results = dict(_kept()) if chosen else {}
    with running_cluster() as cluster:
        version = json.loads(cluster.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"]
        installation = install(cluster, *VALUES)
        with fresh_namespace(cluster, _NAMESPACE) as namespace:
            cluster.kubectl("apply", "-f", str(REPOSITORY / "examples" / "quickstart"), "-n", namespace)
            cluster.wait(DEPLOYMENTS, NAME, namespace, is_true("Ready"), deadline=300)
            world = World(installation, namespace, arguments.report)
            for row in rows:
                results[str(row.number)] = _checked(row, world)
                _keep(results)
    PAGE.write_text(_HEAD + _table(results, version), encoding="utf-8")
    held = sum(result["holds"] for result in results.values())
    print(f"{held} of {len(results)} rows hold; written to {PAGE.relative_to(REPOSITORY)}")
    return 0 if held == len(results) else 1


def _kept() -> Results:
    """Return what was found when some rows were gone through before."""
    return json.loads(_RESULTS.read_text(encoding="utf-8")) if _RESULTS.exists() else {}


def _keep(results: Results) -> None:
    _RESULTS.parent.mkdir(parents=True, exist_ok=True)
    _RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _checked(row: Row, world: World) -> dict[str, Any]:
    try:
        holds, found = True, row.check(world)
    except (NotHeldError, ClusterError, ApiError, AssertionError, subprocess.TimeoutExpired) as error:
        holds, found = False, " ".join(str(error).split())[:300]
    print(f"{row.number:3} {'holds' if holds else 'DOES NOT HOLD':14} {row.what}: {found}", flush=True)
    return {"holds": holds, "found": found, "date": time.strftime("%Y-%m-%d", time.gmtime())}


def _table(results: Results, version: str) -> str:
    held = sum(result["holds"] for result in results.values())
    lines = [
        f"Kubernetes {version}: {held} of {len(ROWS)} hold.",
        "",
        "| # | Must hold | Command | | Found | Date |",
        "|---:|---|---|---|---|---|",
    ]
    for row in sorted(ROWS, key=lambda row: row.number):
        result = results.get(str(row.number))
        verdict = ["", "not gone through", ""]
        if result is not None:
            verdict = ["yes" if result["holds"] else "**no**", result["found"], result["date"]]
        cells = (str(row.number), row.what, f"`{row.command}`", *verdict)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
