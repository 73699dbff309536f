"""The commands and their options; what they do is in modules of their own, imported once it is needed."""

# Typer looks at the annotations when the program runs: no `from __future__ import annotations` here.
from pathlib import Path
from typing import Annotated

import typer

from modelwright_cli.options import Context, Kubeconfig, Namespace

app = typer.Typer(
    name="kubectl-modelwright",
    help="Look at models and steer them: what they were made of, what serves, and how live traffic differs.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root() -> None:
    pass


@app.command(epilog="Example: kubectl modelwright report churn -o churn.html")
def report(
    name: Annotated[str, typer.Argument(help="Name of the Deployment.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File; - prints it. By default NAME-drift.html.")
    ] = None,
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Write the drift report of a Deployment: one HTML file that needs nothing else.

    Distributions come from the sidecars through the API server (right needed: get pods/proxy). Without them the report
    shows what the status has, and says so.
    """
    from modelwright_cli import reporting
    from modelwright_cli.access import Target

    reporting.report(Target(namespace, context, kubeconfig), name, output)
