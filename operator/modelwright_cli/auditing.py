"""`audit verify`: whether the exported log is whole; offline."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from modelwright_audit.chain import BrokenError, Head, follow
from modelwright_audit.places import Folder, Objects, Unusable, from_environment
from modelwright_audit.segments import MOST_BYTES, lines_of, segments
from modelwright_cli.errors import Fault
from modelwright_cli.options import Output
from modelwright_cli.printing import clean, document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelwright_audit.segments import Readable


def verify(  # noqa: PLR0913 - an option is a parameter
    place: str, head: str, output: Output, *, beginning: bool, endpoint: str, region: str
) -> None:
    """Check a log.

    Raises:
        Fault: it is broken, or cannot be read.
    """
    try:
        where, names = _opened(place, endpoint, region)
        found = _summary(where, names, head, Head() if beginning else None)
    except (BrokenError, Unusable) as error:
        raise Fault(str(error)) from None
    except ModuleNotFoundError as error:
        message = f"{error.name} is not installed: `pip install 'modelwright[cli,stores]'` reads object stores"
        raise Fault(message) from None
    except OSError as error:
        message = f"{place} cannot be read ({error.strerror or error}): name a folder, a file or an address"
        raise Fault(message) from None
    if not found["records"]:
        message = f"{place} has no record: it should have files like 000000000001.jsonl"
        raise Fault(message)
    if head and not found["headFound"]:
        message = f"no record has the hash {head}: records are missing at the end, or it is another log's"
        raise Fault(message)
    if output is Output.JSON:
        typer.echo(document(found))
        return
    typer.echo(
        clean(
            f"{found['records']} records in {found['files']} files are whole, from {found['from']} to {found['to']}; "
            f"the last is {found['sequence']}, {found['head']}"
        )
    )
    if not head:
        typer.echo("whether records are missing at the end shows only by --head: see docs/audit.md", err=True)


def _opened(place: str, endpoint: str, region: str) -> tuple[Readable, list[str]]:
    if "://" in place:
        found = Objects(place, from_environment(os.environ, endpoint, region))
        return found, segments(found)
    path = Path(place)
    if path.is_dir():
        return (folder := Folder(path)), segments(folder)
    return Folder(path.parent), [path.name]


def _summary(where: Readable, names: list[str], head: str, start: Head | None) -> dict[str, Any]:
    found: dict[str, Any] = {"records": 0, "files": len(names), "headFound": False}
    for record in follow(_lines(where, names), start):
        found["records"] += 1
        found.setdefault("from", record.get("at", ""))
        found |= {"to": record.get("at", ""), "sequence": record["sequence"], "head": record["hash"]}
        found["headFound"] = found["headFound"] or record["hash"] == head
    return found


def _lines(where: Readable, names: list[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        data = where.read(name, MOST_BYTES)
        if data is None:
            problem = "it is not there"
            raise BrokenError(name, problem)
        yield from lines_of(name, data)
