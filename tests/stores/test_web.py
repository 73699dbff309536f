"""Files of a web server: redirects, failures, and what may not be connected to."""

import hashlib
import io
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelwright_server.stores import (
    Access,
    StoreAddressError,
    StoreError,
    StoreForbiddenError,
    StoreLimitError,
    StoreMissingError,
    StoreUnavailableError,
    WebAddress,
    network,
    parse,
    web,
)
from modelwright_server.stores.sink import Sink
from tests.support.web_server import Answer, Request, WebServer, running_web_server

DATA = bytes(range(256)) * 1000
TAG = {"ETag": '"v1"', "Accept-Ranges": "bytes"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PAUSE_SECONDS", 0.001)


def read(server: WebServer, path: str = "/a.csv", limit: int = 1 << 30, **credentials: str) -> bytes:
    address = parse(server.url(path))
    assert isinstance(address, WebAddress)
    file = io.BytesIO()
    sink = Sink(file, limit, "a.csv")
    web.download(address, Access(credentials={"CA_CERTIFICATE": server.authority, **credentials}), sink)
    assert sink.sha256 == hashlib.sha256(file.getvalue()).hexdigest()
    return file.getvalue()


def ranged(request: Request, cut_after: int | None = None) -> Answer:
    """Answer as a server does that knows ranges."""
    wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    if wanted is None or request.headers.get("If-Range") != TAG["ETag"]:
        return Answer(200, DATA, TAG, cut_after)
    start = int(wanted[1])
    return Answer(206, DATA[start:], {**TAG, "Content-Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"}, cut_after)


def test_a_file_is_read(tmp_path: Path) -> None:
    with running_web_server(tmp_path, ranged) as server:
        assert read(server, "/a.csv?v=1") == DATA
    assert server.seen[0].path == "/a.csv?v=1"
    assert "Authorization" not in server.seen[0].headers


def test_a_redirect_within_the_host_is_followed_with_the_credentials(tmp_path: Path) -> None:
    def answer(request: Request) -> Answer:
        return Answer(302, headers={"Location": "/b.csv"}) if request.path == "/a.csv" else Answer(200, DATA)

    with running_web_server(tmp_path, answer) as server:
        assert read(server, HTTP_AUTHORIZATION="Bearer x") == DATA
    assert [request.headers["Authorization"] for request in server.seen] == ["Bearer x", "Bearer x"]


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("https://169.254.169.254/latest/meta-data", "by which a cloud hands out credentials"),
        ("https://168.63.129.16/", "by which a cloud hands out credentials"),
        ("https://localhost:{port}/b.csv", "a redirect may not lead there"),
        ("https://10.0.0.1/b.csv", "a redirect may not lead there"),
        ("https://2130706433/b.csv", "a redirect may not lead there"),
        ("http://127.0.0.1:{port}/b.csv", "must start with"),
        ("file:///etc/passwd", "must start with"),
        ("s3://lake/b.csv", "away from https"),
        ("https://user:hush@127.0.0.1:{port}/b.csv", "must not carry a user"),
        ("https://[::1]:{port}/b.csv", "needs the name of a host"),
        ("/a.csv", "redirects more than 5 times"),
        ("", "redirects more than 5 times"),
    ],
)
def test_other_redirects_are_refused(tmp_path: Path, location: str, words: str) -> None:
    def answer(request: Request) -> Answer:
        to = location.format(port=request.headers["Host"].rpartition(":")[2])
        return Answer(307, headers={"Location": to}) if request.path == "/a.csv" else Answer(200, DATA)

    with running_web_server(tmp_path, answer) as server, pytest.raises(StoreAddressError, match=words):
        read(server, HTTP_AUTHORIZATION="Bearer x")
    assert all(request.path == "/a.csv" for request in server.seen)


def test_a_name_that_moves_after_it_was_checked_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection goes to the address that was checked, whatever the name says a moment later."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def names(host: str, *arguments: Any, **more: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1" if asked.count("localhost") == 1 else "127.9.9.9", *arguments, **more)

    with running_web_server(tmp_path, ranged) as server:
        monkeypatch.setattr(socket, "getaddrinfo", names)
        address = parse(f"https://localhost:{server.port}/a.csv")
        assert isinstance(address, WebAddress)
        file = io.BytesIO()
        web.download(address, Access(credentials={"CA_CERTIFICATE": server.authority}), Sink(file, 1 << 30, "a"))
    assert file.getvalue() == DATA
    assert asked.count("localhost") == 1


@pytest.mark.parametrize(
    ("fault", "requests"),
    [
        (lambda request: ranged(request, 100_000 if request.number == 0 else None), 2),
        (lambda request: ranged(request, 50_000 if request.number < 3 else None), 4),
        (lambda request: Answer(503) if request.number == 0 else ranged(request), 2),
        (lambda request: Answer(200, DATA, cut_after=9 if request.number < 2 else None), 3),
    ],
)
def test_what_is_cut_is_completed(tmp_path: Path, fault: Callable[[Request], Answer], requests: int) -> None:
    with running_web_server(tmp_path, fault) as server:
        assert read(server) == DATA
    assert len(server.seen) == requests


def test_a_file_that_changed_is_read_anew(tmp_path: Path) -> None:
    def answer(request: Request) -> Answer:
        return Answer(200, b"old" * 100, TAG, 30) if request.number == 0 else Answer(200, DATA, {"ETag": '"v2"'})

    with running_web_server(tmp_path, answer) as server:
        assert read(server) == DATA
    assert server.seen[1].headers["If-Range"] == TAG["ETag"]


@pytest.mark.parametrize(
    ("answer", "error", "words", "requests"),
    [
        (Answer(404), StoreMissingError, "no such file", 1),
        (Answer(403), StoreForbiddenError, "HTTP_AUTHORIZATION", 1),
        (Answer(416), StoreAddressError, "answered 416", 1),
        (Answer(503), StoreUnavailableError, "answered 503, 5 times", 5),
        (Answer(200, DATA, cut_after=10), StoreUnavailableError, "ended before the file did, 5 times", 5),
        (Answer(200, DATA, {"Content-Encoding": "gzip"}), StoreAddressError, "encoded", 1),
        (Answer(200, DATA, with_length=False), StoreAddressError, "without its length", 1),
        (Answer(200, DATA), StoreLimitError, "has 256000 bytes, the limit is 1000", 1),
    ],
)
def test_what_cannot_be_read_ends(
    tmp_path: Path, answer: Answer, error: type[StoreError], words: str, requests: int
) -> None:
    with running_web_server(tmp_path, lambda _: answer) as server, pytest.raises(error, match=words) as raised:
        read(server, "/a.csv?signature=hush", limit=1000 if error is StoreLimitError else 1 << 30)
    assert "hush" not in str(raised.value)
    assert len(server.seen) == requests


def test_an_unknown_authority_is_not_trusted(tmp_path: Path) -> None:
    with running_web_server(tmp_path, ranged) as server, pytest.raises(StoreAddressError, match="not trusted"):
        web.download(WebAddress(server.url("/a"), "/a"), Access(), Sink(io.BytesIO(), 9, "a"))
    with running_web_server(tmp_path, ranged) as server, pytest.raises(StoreForbiddenError, match="no PEM"):
        read(server, CA_CERTIFICATE="nonsense")


@pytest.mark.parametrize(
    ("address", "first", "redirected"),
    [
        ("93.184.216.34", True, True),
        ("10.0.0.1", True, False),
        ("192.168.1.1", True, False),
        ("100.64.0.1", True, False),
        ("127.0.0.1", True, False),
        ("::1", True, False),
        ("fd12::1", True, False),
        ("2606:4700::1111", True, True),
        ("169.254.169.254", False, False),
        ("169.254.0.1", False, False),
        ("fe80::1%eth0", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("2002:a9fe:a9fe::1", False, False),
        ("fd00:ec2::254", False, False),
        ("100.100.100.200", False, False),
        ("168.63.129.16", False, False),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("255.255.255.255", False, False),
    ],
)
def test_addresses(address: str, *, first: bool, redirected: bool) -> None:
    allowed = [network.refusal(address, redirected=each) is None for each in (False, True)]
    assert allowed == [first, redirected]
