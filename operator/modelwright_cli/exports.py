"""`export` and `audit`: the groups of commands that write a version in the formats of others, and check the log."""

# Typer looks at the annotations when the program runs: no `from __future__ import annotations` here.
from pathlib import Path
from typing import Annotated

import typer

from modelwright_cli.options import Context, Format, Kubeconfig, Namespace, Output, Target

export = typer.Typer(name="export", help="Write a version in the formats of others.", no_args_is_help=True)

audit = typer.Typer(name="audit", help="Check the exported audit log.", no_args_is_help=True)

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


@export.command(epilog="Example: kubectl modelwright export mlflow churn-9f2c41ab07 --to churn-model")
def mlflow(
    name: Version,
    to: Annotated[Path, typer.Option(help="Folder to make.", show_default=False)],
    artifact: Annotated[
        Path | None,
        typer.Option(help="Folder with the version's artifact; by default a pod that serves it has it."),
    ] = None,
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Write a version as a folder that MLflow loads: ONNX flavour, signature, metrics and origin as metadata.

    The model is read in a pod that serves the version (right needed: create pods/exec), or from a copy of its artifact,
    and held to the version's digest either way.
    """
    from modelwright_cli import exporting

    exporting.mlflow(Target(namespace, context, kubeconfig), name, to, artifact)


@audit.command(epilog="Example: kubectl modelwright audit verify ./audit --head sha256:5d41…")
def verify(
    place: Annotated[
        str,
        typer.Argument(
            help="A folder with the log's files, one of them, or s3://, gs:// or az://BUCKET/KEY.",
            show_default=False,
            metavar="PLACE",
        ),
    ],
    head: Annotated[
        str, typer.Option(help="Hash of a record that must be there, from elsewhere.", show_default=False)
    ] = "",
    beginning: Annotated[
        bool, typer.Option(help="With --no-beginning the first records may be gone, as retention leaves it.")
    ] = True,
    endpoint: Annotated[str, typer.Option(help="Base URL of the object store.", show_default=False)] = "",
    region: Annotated[str, typer.Option(help="Region of the bucket.", show_default=False)] = "",
    output: Format = Output.TEXT,
) -> None:
    """Check that no record of the exported audit log was changed, removed, put in or moved; needs no cluster.

    That records are missing at the end shows only by --head: the hash that the export printed, or that the ConfigMap
    keeps. Credentials of a store are taken from the environment, as AWS_ACCESS_KEY_ID.
    """
    from modelwright_cli import auditing

    auditing.verify(place, head, output, beginning=beginning, endpoint=endpoint, region=region)
