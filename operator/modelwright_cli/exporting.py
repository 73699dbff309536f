"""`dossier` and `export`: documents of a version, printed or written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from modelwright_cli.access import connect
from modelwright_cli.documents.bom import bill
from modelwright_cli.documents.card import card
from modelwright_cli.documents.dossier import compiled, markdown
from modelwright_cli.documents.holdings import gather
from modelwright_cli.documents.mlflow import MODEL, files
from modelwright_cli.errors import Fault
from modelwright_cli.fetching import Copy, Pod, model, pod_of
from modelwright_cli.options import Output
from modelwright_cli.printing import document

if TYPE_CHECKING:
    from pathlib import Path

    from modelwright_cli.options import Target


def dossier(target: Target, name: str, output: Output) -> None:
    """Print what auditors ask of a version.

    Raises:
        Fault: it cannot be had.
    """
    made = compiled(gather(connect(target), name), _now())
    typer.echo(document(made) if output is Output.JSON else markdown(made), nl=output is Output.JSON)


def cyclonedx(target: Target, name: str, output: Path | None) -> None:
    """Write the bill of materials of a version.

    Raises:
        Fault: it cannot be had, or the file cannot be written.
    """
    _write(document(bill(gather(connect(target), name), _now())) + "\n", output)


def model_card(target: Target, name: str, output: Path | None) -> None:
    """Write the model card of a version.

    Raises:
        Fault: it cannot be had, or the file cannot be written.
    """
    _write(card(gather(connect(target), name)), output)


def mlflow(target: Target, name: str, to: Path, artifact: Path | None) -> None:
    """Write a version as a model of MLflow.

    Raises:
        Fault: it cannot be had, is not what its digest says, or the folder cannot be written.
    """
    cluster = connect(target)
    held = gather(cluster, name)
    if to.exists():
        message = f"{to} is there already: name another folder with --to, or remove it"
        raise Fault(message)
    source = Copy(artifact) if artifact is not None else Pod(cluster, pod_of(cluster, held))
    data = model(source, held)
    try:
        to.mkdir(parents=True)
        (to / MODEL).write_bytes(data)
        for file, said in files(held, _now()).items():
            (to / file).write_text(said, encoding="utf-8")
    except OSError as error:
        message = f"{to} cannot be written ({error.strerror}): name another folder with --to"
        raise Fault(message) from None
    typer.echo(f"written: {to}, as `mlflow.pyfunc.load_model` takes it")


def _write(said: str, output: Path | None) -> None:
    if output is None:
        typer.echo(said, nl=False)
        return
    try:
        output.write_text(said, encoding="utf-8")
    except OSError as error:
        message = f"{output} cannot be written ({error.strerror}): name another file with -o"
        raise Fault(message) from None
    typer.echo(f"written: {output}")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: TID251 - when it was made
