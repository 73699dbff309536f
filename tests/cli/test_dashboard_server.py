"""The dashboard's server: who is let in, and how little."""

from __future__ import annotations

import http.client
import re
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from modelwright_cli.dashboard.server import Dashboard
from tests.cli import a_namespace
from tests.cli.conftest import OURS
from tests.cli.test_dashboard import PAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from modelwright_cli.dashboard.routes import Site
    from tests.cli.conftest import FakeApi


@pytest.fixture
def dashboard(site: Site) -> Generator[Dashboard]:
    server = Dashboard(site, 0)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def ask(server: Dashboard, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    """Ask as a browser that was let in, unless headers say otherwise."""
    sent = {"Host": f"127.0.0.1:{server.server_port}", "Cookie": f"{server.cookie}={server.token}", **headers}
    with closing(http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)) as connection:
        connection.request(method, path, headers=sent)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()


def test_only_who_has_the_token_is_let_in(api: FakeApi, dashboard: Dashboard) -> None:
    a_namespace.fill(api)
    for path in PAGES:
        for cookie in ("", f"{dashboard.cookie}=guessed", f"other={dashboard.token}", "\x7f;;=", "x" * 4000):
            status, _, said = ask(dashboard, path, Cookie=cookie)
            assert status == 403
            assert "churn" not in said
    assert api.asked == [], "nothing is asked for strangers"
    status, headers, _ = ask(dashboard, "/?token=guessed", Cookie="")
    assert (status, "Set-Cookie" in headers) == (403, False)
    status, headers, _ = ask(dashboard, f"/?token={dashboard.token}", Cookie="")
    assert (status, headers["Location"]) == (303, "/")
    assert "HttpOnly; SameSite=Strict" in headers["Set-Cookie"]
    status, _, said = ask(dashboard, "/", Cookie=headers["Set-Cookie"].partition(";")[0])
    assert status == 200
    assert "churn" in said
    assert dashboard.token not in said


def test_the_browsers_ticket_is_good_once(dashboard: Dashboard) -> None:
    ticket = dashboard.ticket
    assert ask(dashboard, f"/?token={ticket}", Cookie="")[0] == 303
    assert ask(dashboard, f"/?token={ticket}", Cookie="")[0] == 403
    assert ask(dashboard, "/?token=", Cookie="")[0] == 403, "nor is what is left of it"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "localhost:{port}.evil.example"]
)
def test_names_of_others_are_not_answered_to(api: FakeApi, dashboard: Dashboard, host: str) -> None:
    a_namespace.fill(api)
    for path in ("/", "/dashboard.js"):
        status, _, said = ask(dashboard, path, Host=host.format(port=dashboard.server_port))
        assert status == 421
        assert "churn" not in said
    assert ask(dashboard, "/", Host=f"localhost:{dashboard.server_port}")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_it_only_reads(api: FakeApi, dashboard: Dashboard, method: str) -> None:
    a_namespace.fill(api)
    for path in PAGES:
        status, headers, said = ask(dashboard, path, method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")
        assert "churn" not in said
    assert api.asked == []


def test_every_answer_forbids_what_is_not_needed(api: FakeApi, dashboard: Dashboard) -> None:
    a_namespace.fill(api)
    for path in (*PAGES, "/nothing", "/dashboard.js", "/dashboard.css", "/favicon.svg"):
        status, headers, said = ask(dashboard, path)
        assert status == (404 if path == "/nothing" else 200)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Server"] == "modelwright"
        assert "Access-Control-Allow-Origin" not in headers
        assert set(re.findall(r"https?://[^\s\"'<)]+", said)) <= {
            "http://www.w3.org/2000/svg",
            "http://churn.team.svc/v2/models/churn",
            "https://api.example",
        }
        assert (ask(dashboard, path, "HEAD")[2], ask(dashboard, path, "HEAD")[0]) == ("", status)


def test_only_this_machine_reaches_it(dashboard: Dashboard) -> None:
    assert dashboard.socket.getsockname()[0] == "127.0.0.1"


def test_without_a_cluster_or_a_port_the_command_says_what_to_do(
    run: Callable[..., str], api: FakeApi, dashboard: Dashboard
) -> None:
    said = run("dashboard", "--no-open", code=1)
    assert "modeldeployments not found" in said
    api.answers[f"{OURS}/modeldeployments"] = (403, {"message": "modeldeployments is forbidden"})
    assert "ask an administrator for that right" in run("dashboard", "--no-open", code=1)
    api.answers[f"{OURS}/modeldeployments"] = {"metadata": {}, "items": []}
    said = run("dashboard", "--no-open", "--port", str(dashboard.server_port), code=1)
    assert f"port {dashboard.server_port} cannot be had" in said
    assert "name another with --port" in said
