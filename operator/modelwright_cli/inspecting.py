"""`get`, `tree`, `lineage`, `compare` and `events`: read from the cluster, shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from modelwright_cli.access import connect
from modelwright_cli.ancestry import family, lineage, version_node, versions_of
from modelwright_cli.comparison import compared, comparison
from modelwright_cli.documents.holdings import maker
from modelwright_cli.objects import Json, name_of, part, text
from modelwright_cli.options import Output
from modelwright_cli.overview import detail, overview
from modelwright_cli.printing import Node, clean, document, nested, table, tree
from modelwright_cli.references import children, concerns, happened, parse, told

if TYPE_CHECKING:
    from modelwright_cli.access import Cluster
    from modelwright_cli.options import Target


def show(target: Target, name: str | None, output: Output) -> None:
    """Print all Deployments of a namespace, or what matters of one.

    Raises:
        Fault: they cannot be had.
    """
    cluster = connect(target)
    if name is None:
        found = cluster.list("Deployment")
        if output is Output.JSON:
            typer.echo(document({"items": found}))
        else:
            typer.echo(overview(found) if found else f"namespace {cluster.namespace} has no Deployment of Modelwright")
        return
    one = cluster.get("Deployment", name)
    typer.echo(document(one) if output is Output.JSON else detail(one))


def show_tree(target: Target, name: str, output: Output) -> None:
    """Print what a Deployment is made of.

    Raises:
        Fault: it cannot be had.
    """
    cluster = connect(target)
    deployment = cluster.get("Deployment", name)
    workloads, pods = (cluster.list(kind, labels=children(name)) for kind in ("Workload", "Pod"))
    _draw(family(deployment, workloads, pods, cluster.list("TrainingJob")), output)


def show_lineage(target: Target, reference: str, output: Output) -> None:
    """Print where what serves came from.

    Raises:
        Fault: it cannot be had.
    """
    cluster = connect(target)
    kind, name = parse(reference, "Deployment", "ModelVersion", "Pod")
    if kind == "ModelVersion":
        _draw(_version(cluster, name), output)
        return
    pods: list[Json] = []
    if kind == "Pod":
        pods = [cluster.get("Pod", name)]
        name = text(part(pods[0], "metadata", "labels"), "modelwright.dev/name")
    deployment = cluster.get("Deployment", name)
    chosen = pods or cluster.list("Pod", labels=children(name))
    names = versions_of(deployment, chosen, only_pods=bool(pods))
    _draw(lineage(chosen, deployment, [_version(cluster, version) for version in names]), output)


def show_events(target: Target, reference: str, output: Output) -> None:
    """Print what happened to an object and its children, oldest first.

    Raises:
        Fault: it cannot be had.
    """
    cluster = connect(target)
    kind, name = parse(reference, "Deployment", "ModelVersion", "TrainingJob")
    found = [item for item in cluster.list("Event") if concerns(item, kind, name)]
    found.sort(key=happened)
    if output is Output.JSON:
        typer.echo(document({"items": found}))
    elif not found:
        typer.echo(f"nothing is known of {kind} {name}: the API server keeps events for an hour")
    else:
        rows = (
            (
                clean(happened(item)[:19]),
                text(item, "type"),
                f"{text(item, 'involvedObject', 'kind')}/{text(item, 'involvedObject', 'name')}",
                text(item, "reason"),
                told(item),
            )
            for item in found
        )
        typer.echo(table(("when", "type", "object", "reason", "message"), rows))


def show_comparison(target: Target, first: str, second: str, output: Output) -> None:
    """Print how two versions differ.

    Raises:
        Fault: they cannot be had.
    """
    cluster = connect(target)
    versions = [cluster.get("ModelVersion", name) for name in (first, second)]
    jobs = [maker(cluster, version) for version in versions]
    found = compared((versions[0], versions[1]), (jobs[0], jobs[1]))
    typer.echo(document(found) if output is Output.JSON else comparison(found))


def _draw(node: Node, output: Output) -> None:
    typer.echo(document(nested(node)) if output is Output.JSON else tree(node))


def _version(cluster: Cluster, name: str) -> Node:
    version = cluster.get("ModelVersion", name)
    return version_node(version, maker(cluster, version))


def names_of(target: Target, kind: str) -> list[str]:
    """Return the names of all objects of a kind, for completion.

    Raises:
        Fault: they cannot be had.
    """
    return sorted(map(name_of, connect(target).list(kind)))
