"""Go's net/http, unmodified: most of what talks to a model inside a cluster is written in Go."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server.clients.expected import case
from tests.server.models import Built
from tests.server.process import INFER, Server

SOURCE = Path(__file__).with_name("go")


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client, built with the standard library alone."""
    path = tmp_path_factory.mktemp("go") / "client"
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    subprocess.run(["go", "build", "-o", path, "."], cwd=SOURCE, env=environment, check=True)
    return path


@pytest.mark.parametrize(("name", "rows"), [("logistic", 1), ("logistic", 400), ("mixed", 5)])
def test_net_http(  # noqa: PLR0917 - fixtures
    program: Path,
    name: str,
    rows: int,
    built: Callable[[str], Built],
    serving: Callable[[str], Server],
    tmp_path: Path,
) -> None:
    wanted = case(built(name), 3, rows)
    answer = serving(name).infer(wanted.document)
    wanted.check_json(answer.json)
    (tmp_path / "request.json").write_bytes(wanted.body)
    (tmp_path / "answer.json").write_text(json.dumps(answer.json))
    address = f"http://127.0.0.1:{serving(name).port}"
    command: list[str | Path] = [program, address, INFER, tmp_path / "request.json", tmp_path / "answer.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
