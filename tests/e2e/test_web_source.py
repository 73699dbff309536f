"""Data of a web server, by HTTPS with an authority of its own and a token, become a model that is served."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import pytest
from sklearn.datasets import load_breast_cancer

from tests.e2e.fixtures import (
    DEPLOYMENTS,
    JOBS,
    Object,
    Team,
    claim,
    condition,
    deployment,
    is_true,
    rows_body,
    training_job,
)
from tests.support.pods import restricted_pod, service
from tests.support.web_server import make_authority

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.cluster

PORT = 8443
AUTHORIZATION = "Bearer not-a-real-token"
FILE = "cancer.parquet"
SERVER = f"""
import http.server, ssl
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.headers.get("Authorization") != {AUTHORIZATION!r}:
            return self.send_error(401)
        return super().do_GET()
server = http.server.ThreadingHTTPServer(("", {PORT}), lambda *a: Handler(*a, directory="/files"))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/server.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


def web_server(image: str, chain: str, files: dict[str, bytes]) -> list[Object]:
    """Return a pod that hands out files to those who have the token, and its Service."""
    kept = {name: base64.b64encode(content).decode() for name, content in files.items()}
    container: Object = {
        "image": image,
        "command": ["python", "-c", SERVER],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "files", "mountPath": "/files"}, {"name": "tls", "mountPath": "/tls"}],
    }
    volumes: list[Object] = [
        {"name": "files", "configMap": {"name": "files"}},
        {"name": "tls", "secret": {"secretName": "web-tls"}},
    ]
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "files"}, "binaryData": kept},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "web-tls"}, "stringData": {"server.pem": chain}},
        restricted_pod("web", container, volumes=volumes),
        service("web", "web", PORT),
    ]


def test_what_is_trained_on_it_is_served_as_if_the_data_had_been_at_hand(shared: Team, tmp_path: Path) -> None:
    authority, chain = make_authority(tmp_path, "subjectAltName=DNS:web")
    trusted = {"CA_CERTIFICATE": authority.read_text(encoding="ascii")}
    secrets: list[Object] = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}
        for name, values in (("allowed", {**trusted, "HTTP_AUTHORIZATION": AUTHORIZATION}), ("nobody", trusted))
    ]
    written = io.BytesIO()
    load_breast_cancer(as_frame=True).frame.to_parquet(written, index=False)
    files = {FILE: written.getvalue()}
    shared.apply(
        claim(), *secrets, *web_server(shared.installation.images["training"], chain.read_text(encoding="ascii"), files)
    )
    shared.wait("pods", "web", is_true("Ready"))
    data = {"name": "all", "uri": f"https://web:{PORT}/{FILE}"}
    shared.apply(
        training_job("fetched", data=[{**data, "secretName": "allowed"}]),
        training_job("refused", data=[{**data, "secretName": "nobody"}]),
        training_job("at-hand"),
    )
    jobs = {name: shared.wait(JOBS, name, is_true("Complete"), deadline=180) for name in ("fetched", "at-hand")}
    rows = rows_body(load_breast_cancer().data[:50].tolist())
    answers: list[list[float]] = []
    for name, job in jobs.items():
        shared.apply(deployment(name, {"version": job["status"]["modelVersion"]}))
        shared.wait(DEPLOYMENTS, name, is_true("Ready"))
        outputs = shared.infer(name, rows)["outputs"]
        answers.append(next(item["data"] for item in outputs if item["name"] == "probabilities"))
    fetched, at_hand = answers
    assert fetched == pytest.approx(at_hand, abs=1e-6)
    refused = shared.wait(JOBS, "refused", is_true("Failed"), deadline=90)
    assert condition(refused, "Failed")["reason"] == "StorageForbidden"
    assert "HTTP_AUTHORIZATION" in condition(refused, "Failed")["message"]
