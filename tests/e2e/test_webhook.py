"""The alerts' webhook on a real cluster: the operator's own pod posts what events say to the address in a Secret."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.fixtures import DEPLOYMENTS, VALUES, Team, deployment, is_true
from tests.e2e.test_sidecar import eventually
from tests.support.installation import NAMESPACE, Installation, install
from tests.support.pods import restricted_pod

if TYPE_CHECKING:
    from collections.abc import Generator

pytestmark = pytest.mark.cluster

PORT = 8080
SECRET = "chat"  # noqa: S105 - its name
_HOOK = f"""
import http.server
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.path, self.rfile.read(int(self.headers["Content-Length"])).decode(), flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", {PORT}), Hook).serve_forever()
"""


@pytest.fixture
def hooked(team: Team) -> Generator[Team]:
    """Give an operator that posts to a pod of the test."""
    container = {"image": team.installation.images["serving"], "command": ["python", "-c", _HOOK]}
    team.apply(restricted_pod("hook", container))
    pod = team.wait("pods", "hook", lambda item: (item or {}).get("status", {}).get("phase") == "Running")
    url = f"http://{pod['status']['podIP']}:{PORT}/services/a-secret"
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "stringData": {"url": url}}
    team.cluster.apply(secret, NAMESPACE)
    install(team.cluster, *VALUES, f"alerts.webhook.secretName={SECRET}")
    yield team
    install(team.cluster, *VALUES)
    team.cluster.delete("secrets", SECRET, NAMESPACE)


def test_a_warning_reaches_the_hook_and_the_address_no_log(hooked: Team, installation: Installation) -> None:
    team = hooked
    team.apply(deployment("scores", {"version": "none-0123456789"}))
    stalled = team.wait(DEPLOYMENTS, "scores", is_true("Stalled"))
    assert stalled["status"]["conditions"]

    def messages() -> list[str]:
        lines = team.cluster.kubectl("logs", "hook", "-n", team.namespace).splitlines()
        assert all(line.startswith("/services/a-secret ") for line in lines), lines
        return [json.loads(line.partition(" ")[2])["text"] for line in lines]

    eventually(lambda: any(f"{team.namespace}/scores" in line for line in messages()), deadline=30)
    [told] = [line for line in messages() if f"{team.namespace}/scores" in line]
    print(told)
    assert told.startswith(f"Warning: Deployment {team.namespace}/scores VersionNotFound: ")
    assert "a-secret" not in installation.logs()
