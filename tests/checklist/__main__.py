"""`python -m tests.checklist`: goes through the checklist on a real cluster, and keeps the table in the docs."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

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
    parser.add_argument("rows", nargs="*", type=int, help="only these numbers; the page is not written then")
    parser.add_argument(
        "--report", type=Path, help="JUnit file of a run of all tests at this commit: none is run once more"
    )
    arguments = parser.parse_args()
    chosen: Sequence[int] = arguments.rows
    end_tidily()
    rows = [row for row in ROWS if not chosen or row.number in chosen]
    with running_cluster() as cluster:
        version = cluster.kubectl("version", "-o", "json")
        installation = install(cluster, *VALUES)
        with fresh_namespace(cluster, _NAMESPACE) as namespace:
            cluster.kubectl("apply", "-f", str(REPOSITORY / "examples" / "quickstart"), "-n", namespace)
            cluster.wait(DEPLOYMENTS, NAME, namespace, is_true("Ready"), deadline=300)
            world = World(installation, namespace, arguments.report)
            results = {row.number: _checked(row, world) for row in rows}
    held = sum(holds for holds, _ in results.values())
    if not chosen:
        PAGE.write_text(_HEAD + _table(rows, results, version), encoding="utf-8")
        print(f"written to {PAGE.relative_to(REPOSITORY)}")
    print(f"{held} of {len(results)} rows hold")
    return 0 if held == len(results) else 1


def _checked(row: Row, world: World) -> tuple[bool, str]:
    try:
        holds, found = True, row.check(world)
    except (NotHeldError, ClusterError, ApiError, AssertionError, subprocess.TimeoutExpired) as error:
        holds, found = False, " ".join(str(error).split())[:300]
    print(f"{row.number:3} {'holds' if holds else 'DOES NOT HOLD':14} {row.what}: {found}", flush=True)
    return holds, found


def _table(rows: Sequence[Row], results: dict[int, tuple[bool, str]], version: str) -> str:
    server = json.loads(version)["serverVersion"]["gitVersion"]
    held = sum(holds for holds, _ in results.values())
    lines = [
        f"{time.strftime('%Y-%m-%d', time.gmtime())}, Kubernetes {server}: {held} of {len(results)} hold.",
        "",
        "| # | Must hold | Command | | Found |",
        "|---:|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: row.number):
        holds, found = results[row.number]
        cells = (str(row.number), row.what, f"`{row.command}`", "yes" if holds else "**no**", found)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
