"""The commands and their options; what they do is in modules of their own, imported once it is needed."""

# Typer looks at the annotations when the program runs: no `from __future__ import annotations` here.
from pathlib import Path
from typing import Annotated, Literal

import typer

from modelwright_cli.exports import audit, export
from modelwright_cli.options import Context, Format, Kubeconfig, Namespace, Output, Target

app = typer.Typer(
    name="kubectl modelwright",
    help="Look at models and steer them: what they were made of, what serves, and how live traffic differs.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(audit)
app.add_typer(export)

Name = Annotated[str, typer.Argument(help="Name of the Deployment.", show_default=False)]


@app.callback()
def _root() -> None:
    pass


@app.command(epilog="Example: kubectl modelwright get churn -n team")
def get(
    name: Annotated[str | None, typer.Argument(help="Name of a Deployment; without it, all of the namespace.")] = None,
    output: Format = Output.TEXT,
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Show what serves, what is tried, and what was found of live traffic."""
    from modelwright_cli import inspecting

    inspecting.show(Target(namespace, context, kubeconfig), name, output)


@app.command(epilog="Example: kubectl modelwright tree churn")
def tree(
    name: Name,
    output: Format = Output.TEXT,
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Show what a Deployment is made of now: workloads, pods, retraining runs, and what was rejected."""
    from modelwright_cli import inspecting

    inspecting.show_tree(Target(namespace, context, kubeconfig), name, output)


@app.command(epilog="Example: kubectl modelwright lineage pod/churn-3b1f09c2aa-7c9d8f6b54-x2v9k")
def lineage(
    reference: Annotated[
        str, typer.Argument(help="A Deployment, mv/VERSION or pod/POD.", show_default=False, metavar="NAME")
    ],
    output: Format = Output.TEXT,
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Show where what serves came from: pod, version, job, data, images, parameters, approvals."""
    from modelwright_cli import inspecting

    inspecting.show_lineage(Target(namespace, context, kubeconfig), reference, output)


@app.command(epilog="Example: kubectl modelwright events tj/churn-nightly")
def events(
    reference: Annotated[
        str, typer.Argument(help="A Deployment, mv/VERSION or tj/JOB.", show_default=False, metavar="NAME")
    ],
    output: Format = Output.TEXT,
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Show what happened to an object and its children, oldest first."""
    from modelwright_cli import inspecting

    inspecting.show_events(Target(namespace, context, kubeconfig), reference, output)


@app.command(epilog="Example: kubectl modelwright compare churn-9f2c41ab07 churn-77aa01cd3e")
def compare(
    first: Annotated[str, typer.Argument(help="Name of a ModelVersion.", show_default=False)],
    second: Annotated[str, typer.Argument(help="Name of another.", show_default=False)],
    output: Format = Output.TEXT,
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Show how two versions differ: metrics with their intervals, data, image and parameters."""
    from modelwright_cli import inspecting

    inspecting.show_comparison(Target(namespace, context, kubeconfig), first, second, output)


@app.command(epilog="Example: kubectl modelwright dossier churn-9f2c41ab07 > churn.md")
def dossier(
    name: Annotated[str, typer.Argument(help="Name of the ModelVersion.", show_default=False)],
    output: Format = Output.TEXT,
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Print what auditors ask of a version: EU AI Act Annex IV and SR 26-2, of what the cluster holds; Markdown.

    What is empty is named, with what to do about it.
    """
    from modelwright_cli import exporting

    exporting.dossier(Target(namespace, context, kubeconfig), name, output)


@app.command(epilog="Example: kubectl modelwright watch churn --timeout 600 && echo promoted")
def watch(
    name: Name,
    timeout: Annotated[int, typer.Option(help="Seconds to wait.", min=1)] = 3600,
    output: Format = Output.TEXT,
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Follow a rollout; ends with 0 once the new version took over, with 1 if it was rolled back."""
    from modelwright_cli import watching

    watching.watch(Target(namespace, context, kubeconfig), name, timeout, output)


@app.command(epilog="Example: kubectl modelwright report churn -o churn.html")
def report(
    name: Name,
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

    reporting.report(Target(namespace, context, kubeconfig), name, output)


@app.command(epilog="Example: kubectl modelwright dashboard -n team")
def dashboard(
    port: Annotated[int, typer.Option(help="Port of 127.0.0.1; 0: any that is free.", min=0, max=65535)] = 8765,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = True,
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Show a namespace in the browser: models, rollouts, drift, lineage, events; it only reads, with your rights."""
    from modelwright_cli import browsing

    browsing.serve(Target(namespace, context, kubeconfig), port, opened=open_)


@app.command(epilog="Example: kubectl modelwright approve mv/churn-9f2c41ab07 --reason 'validated in March'")
def approve(
    reference: Annotated[
        str,
        typer.Argument(help="mv/VERSION, or a Deployment: the step it is at.", show_default=False, metavar="NAME"),
    ],
    reason: Annotated[str, typer.Option(help="Why, in words; of a version only.", show_default=False)] = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Approve a version in your name, or the step that a rollout is at."""
    from modelwright_cli import steering

    steering.approve(Target(namespace, context, kubeconfig), reference, reason)


@app.command(epilog="Example: kubectl modelwright reject churn-9f2c41ab07 --reason 'leaks the outcome'")
def reject(
    name: Annotated[str, typer.Argument(help="Name of the ModelVersion.", show_default=False)],
    reason: Annotated[str, typer.Option(help="Why, in words.", show_default=False)] = "",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Keep a version out of traffic, in your name."""
    from modelwright_cli import steering

    steering.decide(Target(namespace, context, kubeconfig), name.rpartition("/")[2], "Rejected", reason)


@app.command(epilog="Example: kubectl modelwright promote churn")
def promote(name: Name, namespace: Namespace = "", context: Context = "", kubeconfig: Kubeconfig = "") -> None:
    """Have the version that is tried take over, past all further steps."""
    from modelwright_cli import steering

    steering.steer(Target(namespace, context, kubeconfig), name, "promote")


@app.command(epilog="Example: kubectl modelwright abort churn")
def abort(name: Name, namespace: Namespace = "", context: Context = "", kubeconfig: Kubeconfig = "") -> None:
    """Roll back the version that is tried."""
    from modelwright_cli import steering

    steering.steer(Target(namespace, context, kubeconfig), name, "abort")


@app.command(epilog="Example: kubectl modelwright retry churn")
def retry(name: Name, namespace: Namespace = "", context: Context = "", kubeconfig: Kubeconfig = "") -> None:
    """Try again what was rolled back last."""
    from modelwright_cli import steering

    steering.retry(Target(namespace, context, kubeconfig), name)


@app.command(
    "upgrade-serving", epilog="Example: kubectl modelwright upgrade-serving churn && kubectl modelwright watch churn"
)
def upgrade_serving(name: Name, namespace: Namespace = "", context: Context = "", kubeconfig: Kubeconfig = "") -> None:
    """Roll out the operator's newer serving image, as the rollout of a new version goes."""
    from modelwright_cli import steering

    steering.upgrade_serving(Target(namespace, context, kubeconfig), name)


@app.command(epilog="Example: kubectl modelwright validate training.yaml deployment.yaml")
def validate(
    files: Annotated[list[Path], typer.Argument(help="Files of YAML or JSON.", show_default=False, metavar="FILE…")],
    output: Format = Output.TEXT,
) -> None:
    """Check objects as the API server would, without one: fields, bounds and rules."""
    from modelwright_cli import making

    making.check(files, output)


@app.command(epilog="Example: kubectl modelwright init churn.csv --target churned -o churn.yaml")
def init(
    file: Annotated[Path, typer.Argument(help="A CSV file with a header.", show_default=False, metavar="DATA.csv")],
    target: Annotated[str, typer.Option(help="Column to predict; by default found out.", show_default=False)] = "",
    task: Annotated[
        Literal["", "Classification", "Regression"],
        typer.Option(help="Classification or Regression; by default found out.", show_default=False),
    ] = "",
    name: Annotated[str, typer.Option(help="Name of the model; by default the file's.", show_default=False)] = "",
    uri: Annotated[
        str, typer.Option(help="Where the data will be; by default a claim NAME-data.", show_default=False)
    ] = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; by default it is printed.")] = None,
) -> None:
    """Draft the objects that train and serve a model of a table: types, roles of columns and task are found out."""
    from modelwright_cli import making

    making.make(file, name=name, uri=uri, target=target, task=task, output=output)


@app.command(epilog="Example: kubectl modelwright upload churn.csv")
def upload(
    file: Annotated[Path, typer.Argument(help="The file.", show_default=False)],
    name: Annotated[str, typer.Option(help="Name of the model; by default the file's.", show_default=False)] = "",
    to: Annotated[
        str, typer.Option(help="pvc://CLAIM/FILE; by default where the draft of init looks.", show_default=False)
    ] = "",
    image: Annotated[
        str, typer.Option(help="Image with a shell, of the pod that takes it.", envvar="MODELWRIGHT_UPLOAD_IMAGE")
    ] = "busybox:1.37",
    size: Annotated[str, typer.Option(help="Size of the claim, if it has to be made.")] = "1Gi",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Bring a file to a claim of the cluster, where training reads it; the claim is made if it is not there."""
    from modelwright_cli import uploading

    uploading.upload(Target(namespace, context, kubeconfig), file, name=name, to=to, image=image, size=size)


@app.command(epilog="Example: kubectl modelwright predict churn --csv customers.csv")
def predict(
    name: Name,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Rows with a header; - is the standard input.", show_default=False)
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Rows as a list of objects; - as above.", show_default=False)
    ] = None,
    output: Format = Output.TEXT,
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Send rows to a pod that serves, through a port-forward, and print what it predicts."""
    from modelwright_cli import predicting

    predicting.predict(Target(namespace, context, kubeconfig), name, csv, json, output)


@app.command(epilog="Example: kubectl modelwright reproduce churn-9f2c41ab07")
def reproduce(
    name: Annotated[str, typer.Argument(help="Name of the ModelVersion.", show_default=False)],
    timeout: Annotated[int, typer.Option(help="Seconds to wait.", min=1)] = 3600,
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Train a version once more on the same data; ends with 0 if the same model comes of it, digest for digest."""
    from modelwright_cli import reproducing

    reproducing.reproduce(Target(namespace, context, kubeconfig), name, timeout)
