"""`validate` and `init`: files checked, and files made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
import yaml

from modelwright_cli import tabular
from modelwright_cli.drafting import draft, model_name, stored_at
from modelwright_cli.errors import Fault
from modelwright_cli.options import Output
from modelwright_cli.printing import clean, document
from modelwright_cli.validation import validate, wrong

if TYPE_CHECKING:
    from pathlib import Path


def check(files: list[Path], output: Output) -> None:
    """Check files offline.

    Raises:
        Fault: something is wrong with one of them.
    """
    found = validate(files)
    if output is Output.JSON:
        problems = [problem.to_document() for problem in found.problems]
        typer.echo(document({"checked": found.objects, "notOurs": found.others, "problems": problems}))
    else:
        for problem in found.problems:
            typer.echo(clean(f"{problem.file}: {problem.object}: {problem.problem}"))
        others = f"; {len(found.others)} of other groups were not looked at" if found.others else ""
        if not found.problems:
            typer.echo(f"{len(found.objects)} objects of Modelwright are valid{others}")
    if found.problems:
        message = f"{len(found.problems)} problems in {len(found.objects)} objects: change what is named above"
        raise Fault(message)
    if not found.objects:
        message = "no object of modelwright.dev is in there: is it the right file?"
        raise Fault(message)


def make(  # noqa: PLR0913 - an option is a parameter
    file: Path, *, name: str, uri: str, target: str, task: str, output: Path | None
) -> None:
    """Write the objects that train and serve a model of a CSV file.

    Raises:
        Fault: it cannot be trained on, or the objects cannot be written.
    """
    model = name or model_name(file.stem)
    where = uri or stored_at(model, file.name)
    drafted = draft(tabular.read(file), name=model, uri=where, target=target, task=task)
    for item in drafted.objects:
        if item["apiVersion"] != "v1" and (problem := next(wrong(item), "")):
            message = f"{item['kind']} {item['metadata']['name']} would not be valid: {problem}"
            raise Fault(message)
    notes = "".join(f"# - {clean(note)}\n" for note in drafted.notes)
    text = f"# Made by kubectl modelwright init of {clean(file.name)}:\n{notes}" + "---\n".join(
        yaml.safe_dump(item, sort_keys=False, allow_unicode=True, width=120) for item in drafted.objects
    )
    if output is None:
        typer.echo(text, nl=False)
        return
    if output.exists():
        message = f"{output} is there already: name another file with -o, or remove it"
        raise Fault(message)
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"{output} cannot be written ({error.strerror}): name another file with -o"
        raise Fault(message) from None
    for note in drafted.notes:
        typer.echo(clean(note))
    bring = f"kubectl modelwright upload {file}" if where == stored_at(model, file.name) else f"have it at {where}"
    typer.echo(f"{output}: `{bring}`, then `kubectl apply -f {output}`")
