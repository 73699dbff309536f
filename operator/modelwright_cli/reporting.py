"""`report`: gathered, put together, written."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from modelwright_cli.access import connect
from modelwright_cli.errors import Fault
from modelwright_cli.report.gather import gather
from modelwright_cli.report.page import page
from modelwright_cli.report.view import view

if TYPE_CHECKING:
    from modelwright_cli.options import Target


def report(target: Target, name: str, output: Path | None) -> None:
    """Write a Deployment's drift report.

    Raises:
        Fault: there is nothing to report, or the file cannot be written.
    """
    found = gather(connect(target), name)
    made = view(found, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))  # noqa: TID251 - when it was made
    document = page(made)
    if str(output) == "-":
        sys.stdout.write(document)
        return
    file = output or Path(f"{name}-drift.html")
    try:
        file.write_text(document, encoding="utf-8")
    except OSError as error:
        message = f"{file} cannot be written ({error.strerror}): name another file with -o"
        raise Fault(message) from None
    for problem in made.problems:
        typer.echo(f"not at hand: {problem}", err=True)
    typer.echo(f"{file}: {made.verdict}")
