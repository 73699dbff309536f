"""`predict`: rows to a Deployment's own pods, through a port-forward."""

from __future__ import annotations

import http.client
import json
import sys
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import kubernetes.client as k8s
import kubernetes.stream
import typer

from modelwright_cli.access import connect
from modelwright_cli.errors import Fault
from modelwright_cli.objects import Json, name_of, part, parts, text
from modelwright_cli.options import Output
from modelwright_cli.printing import document, table
from modelwright_cli.requests import Row, answers, from_csv, from_json, requests, rows_of
from modelwright_server.contract import REST_PORT

if TYPE_CHECKING:
    from pathlib import Path

    from modelwright_cli.access import Cluster
    from modelwright_cli.options import Target

_SECONDS = 30.0
_MOST_BYTES = 64 << 20


def predict(target: Target, name: str, table_file: Path | None, json_file: Path | None, output: Output) -> None:
    """Print what a Deployment predicts for rows.

    Raises:
        Fault: there are no rows, or no pod that answers.
    """
    if (table_file is None) == (json_file is None):
        message = "give the rows by exactly one of --csv and --json"
        raise Fault(message)
    rows = from_csv(_content(table_file)) if table_file is not None else from_json(_content(cast("Path", json_file)))
    cluster = connect(target)
    deployment = cluster.get("Deployment", name)
    model = quote(text(deployment, "status", "stable", "model"), safe="")
    pod = _ready_pod(cluster, deployment)
    metadata = _ask(cluster, pod, "GET", f"/v2/models/{model}")
    found: list[Row] = []
    for request in requests(rows, metadata):
        answer = _ask(cluster, pod, "POST", f"/v2/models/{model}/infer", request)
        found += answers(answer, metadata, rows_of(request))
    if output is Output.JSON:
        typer.echo(document(found))
        return
    head = list(found[0])
    typer.echo(table(("row", *head), ((at + 1, *map(row.get, head)) for at, row in enumerate(found))))


def _content(file: Path) -> str:
    try:
        data = sys.stdin.buffer.read(_MOST_BYTES + 1) if str(file) == "-" else file.read_bytes()
    except OSError as error:
        message = f"{file} cannot be read ({error.strerror}): name a file, or - for the standard input"
        raise Fault(message) from None
    if len(data) > _MOST_BYTES:
        message = f"{file} has more than {_MOST_BYTES} bytes: send it in parts"
        raise Fault(message)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        message = f"{file} is not UTF-8: save it so"
        raise Fault(message) from None


def _ready_pod(cluster: Cluster, deployment: Json) -> str:
    """Return a pod of what clients reach."""
    name, revision = name_of(deployment), text(deployment, "status", "stable", "revision")
    labels = f"modelwright.dev/kind=Deployment,modelwright.dev/name={name},modelwright.dev/revision={revision}"
    pods = cluster.list("Pod", labels=labels) if revision else []
    ready = [pod for pod in pods if any(map(_says_ready, parts(pod, "status", "conditions")))]
    if not ready:
        message = f"no pod of {name} answers: `kubectl modelwright get {name}` says why"
        raise Fault(message)
    return name_of(ready[0])


def _says_ready(condition: Json) -> bool:
    return (condition.get("type"), condition.get("status")) == ("Ready", "True")


def _ask(cluster: Cluster, pod: str, method: str, path: str, body: Json | None = None) -> Json:
    """Send one request to a pod; each through a connection of its own."""
    stream: Any = kubernetes.stream  # the client types its models only
    core = k8s.CoreV1Api(cluster.api)
    open_to = core.connect_get_namespaced_pod_portforward
    try:
        forward = stream.portforward(open_to, pod, cluster.namespace, ports=str(REST_PORT))
    except (k8s.ApiException, OSError) as error:
        message = f"pod {pod} cannot be reached by port-forward ({_line(error)}): may you create pods/portforward?"
        raise Fault(message) from None
    connection = http.client.HTTPConnection("localhost", timeout=_SECONDS)
    connection.sock = forward.socket(REST_PORT)
    connection.sock.settimeout(_SECONDS)
    try:
        data = json.dumps(body).encode() if body is not None else None
        connection.request(method, path, data, {"Content-Type": "application/json", "Connection": "close"})
        answer = connection.getresponse()
        said: object = json.loads(answer.read(_MOST_BYTES))
    except (OSError, http.client.HTTPException, ValueError) as error:
        told = forward.error(REST_PORT) or _line(error)
        message = f"pod {pod} did not answer ({told}): `kubectl logs {pod} -c server` may say why"
        raise Fault(message) from None
    finally:
        connection.close()
        forward.close()
    if answer.status != http.HTTPStatus.OK:
        message = f"the model server refused this: {text(said, 'error') or answer.status}"
        raise Fault(message)
    return part(said)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
