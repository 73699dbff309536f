"""curl, unmodified, which also speaks the corners of HTTP/1.1 that other clients leave out."""

import gzip
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.server.clients.expected import Case, case
from tests.server.models import Built
from tests.server.process import INFER, Server

Curl = Callable[..., str]


@pytest.fixture
def wanted(built: Callable[[str], Built]) -> Case:
    return case(built("logistic"), 0, 500)


@pytest.fixture
def body(wanted: Case, tmp_path: Path) -> str:
    """A body above 1 MiB, for which curl waits to be told to go on."""
    path = tmp_path / "body.json"
    path.write_bytes(wanted.body + b" " * (1 << 20))
    return f"@{path}"


@pytest.fixture
def curl(logistic: Server) -> Curl:
    def run(*arguments: str, data: bytes | None = None, path: str = INFER) -> str:
        command = ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "60", *arguments]
        address = f"http://127.0.0.1:{logistic.port}{path}"
        done = subprocess.run([*command, address], input=data, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    return run


def test_a_large_body_waits_to_be_told_to_go_on(curl: Curl, body: str, wanted: Case) -> None:
    arguments = ("--header", "Expect: 100-continue", "--expect100-timeout", "60")
    shown = curl(*arguments, "--include", "--data-binary", body)
    first, second, answer = shown.split("\r\n\r\n", 2)
    assert first == "HTTP/1.1 100 Continue"
    assert second.startswith("HTTP/1.1 200 OK")
    wanted.check_json(json.loads(answer))


def test_chunked(curl: Curl, body: str, wanted: Case) -> None:
    wanted.check_json(json.loads(curl("--header", "Transfer-Encoding: chunked", "--data-binary", body)))


def test_compressed(curl: Curl, wanted: Case) -> None:
    packed = ("--compressed", "--header", "Content-Encoding: gzip", "--data-binary", "@-")
    wanted.check_json(json.loads(curl(*packed, data=gzip.compress(wanted.body))))
    chunked = (*packed, "--header", "Transfer-Encoding: chunked")
    wanted.check_json(json.loads(curl(*chunked, data=gzip.compress(wanted.body))))


def test_http_1_0(curl: Curl, wanted: Case) -> None:
    wanted.check_json(json.loads(curl("--http1.0", "--data-binary", "@-", data=wanted.body)))


def test_an_offer_of_http_2_is_not_taken_up(curl: Curl, wanted: Case) -> None:
    shown = curl("--http2", "--include", "--data-binary", "@-", data=wanted.body)
    head, answer = shown.rsplit("\r\n\r\n", 1)
    assert "HTTP/1.1 200 OK" in head
    assert "101" not in head.splitlines()[0]
    wanted.check_json(json.loads(answer))


def test_head_and_get(curl: Curl) -> None:
    assert curl("--head", path="/v2").startswith("HTTP/1.1 200 OK\r\n")
    assert json.loads(curl(path="/v2/health/live")) == {"live": True}


def test_one_connection_serves_many_requests(curl: Curl, body: str, wanted: Case, logistic: Server) -> None:
    address = f"http://127.0.0.1:{logistic.port}{INFER}"
    count = ("--write-out", "\\n%{num_connects}\\n", "--data-binary", body)
    lines = curl(*count, *[address] * 9, "--output", "-").splitlines()
    answers: list[Any] = [json.loads(line) for line in lines if line.startswith("{")]
    assert len(answers) == 10
    for answer in answers:
        wanted.check_json(answer)
    assert [line for line in lines if line.isdigit()] == ["1"] + ["0"] * 9


def test_a_broken_body_is_shown_with_its_reason(logistic: Server) -> None:
    address = f"http://127.0.0.1:{logistic.port}{INFER}"
    command = ["curl", "--silent", "--noproxy", "*", "--fail-with-body", "--data-binary", "{", address]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 22
    assert "the body is not JSON" in json.loads(done.stdout)["error"]
