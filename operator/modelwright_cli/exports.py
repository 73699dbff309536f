"""`export`: the group of commands that write a version in the formats of others."""

# Typer looks at the annotations when the program runs: no `from __future__ import annotations` here.
from pathlib import Path
from typing import Annotated

import typer

from modelwright_cli.options import Context, Kubeconfig, Namespace, Target

export = typer.Typer(name="export", help="Write a version in the formats of others.", no_args_is_help=True)

Version = Annotated[str, typer.Argument(help="Name of the ModelVersion.", show_default=False)]
File = Annotated[Path | None, typer.Option("--output", "-o", help="File; by default it is printed.")]


@export.command(epilog="Example: kubectl modelwright export cyclonedx churn-9f2c41ab07 -o churn.cdx.json")
def cyclonedx(
    name: Version,
    output: File = None,
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Write the bill of materials of a version: CycloneDX 1.6, the model with its card, data and images by digest."""
    from modelwright_cli import exporting

    exporting.cyclonedx(Target(namespace, context, kubeconfig), name, output)


@export.command("model-card", epilog="Example: kubectl modelwright export model-card churn-9f2c41ab07 -o README.md")
def model_card(
    name: Version,
    output: File = None,
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Write the model card of a version: Markdown, with the front matter of Hugging Face's model cards."""
    from modelwright_cli import exporting

    exporting.model_card(Target(namespace, context, kubeconfig), name, output)
