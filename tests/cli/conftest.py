"""The command as a program of its own, beside an API server that has what a test gives it."""

from __future__ import annotations

import http.server
import json
import sys
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from modelwright_cli.__main__ import main
from modelwright_cli.access import Cluster, connect
from modelwright_cli.dashboard.frame import Place
from modelwright_cli.dashboard.routes import Site
from modelwright_cli.dashboard.shelf import Shelf
from modelwright_cli.options import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

Object = dict[str, Any]
OURS = "/apis/modelwright.dev/v1alpha1/namespaces/team"
CORE = "/api/v1/namespaces/team"


class FakeApi(http.server.ThreadingHTTPServer):
    """Answers from a map of paths; what is no object is called with the request's body."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Object | Callable[[Object], Object | tuple[int, Object]] | tuple[int, Object]] = {}
        self.asked: list[tuple[str, str, Object]] = []

    def put(self, *objects: Object) -> None:
        """Have objects of ours, each under its name and in the list of its kind."""
        plurals = {"Deployment": "modeldeployments", "ModelVersion": "modelversions", "TrainingJob": "trainingjobs"}
        for item in objects:
            path = f"{OURS}/{plurals[item['kind']]}"
            self.answers[f"{path}/{item['metadata']['name']}"] = item
            listed = self.answers.setdefault(path, {"metadata": {}, "items": []})
            assert isinstance(listed, dict)
            listed["items"].append(item)


class _Handler(http.server.BaseHTTPRequestHandler):
    def _answer(self) -> None:
        api: Any = self.server
        path = urlsplit(self.path)
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
        api.asked.append((self.command, self.path, body))
        found = api.answers.get(path.path)
        if callable(found):
            found = found({"method": self.command, "body": body, "query": parse_qs(path.query)})
        status, document = found if isinstance(found, tuple) else (200, found)
        if document is None:
            status, document = 404, {"kind": "Status", "message": f"{path.path} not found"}
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PATCH = do_POST = do_DELETE = _answer  # noqa: N815 - as the library has it

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the library has it
        pass


@pytest.fixture
def api() -> Generator[FakeApi]:
    server = FakeApi()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def kubeconfig(api: FakeApi, tmp_path: Path) -> Path:
    file = tmp_path / "kubeconfig"
    cluster = {"name": "fake", "cluster": {"server": f"http://127.0.0.1:{api.server_port}"}}
    contexts = [
        {"name": name, "context": {"cluster": "fake", "user": "me", "namespace": space}}
        for name, space in (("main", "team"), ("other", "elsewhere"))
    ]
    user = {"name": "me", "user": {"token": "secret"}}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "contexts": contexts,
        "users": [user],
        "current-context": "main",
    }
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return file


@pytest.fixture
def run(
    kubeconfig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Return a function that runs a command and returns what it printed; `code` is the exit code it must have."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.chdir(tmp_path)

    def ran(*arguments: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["kubectl-modelwright", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = "".join(capsys.readouterr())
        assert (ended.value.code or 0) == code, said
        assert "\x1b" not in said, "no colours without a terminal, and none of other people's"
        return said

    return ran


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster(kubeconfig: Path) -> Cluster:
    return connect(Target(kubeconfig=str(kubeconfig)))


@pytest.fixture
def site(cluster: Cluster, clock: Clock) -> Site:
    return Site(Shelf(cluster, clock), Place("team", "https://api.example"))
