"""A hostile store that redirects: no other host is ever asked, whatever the request."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from modelwright_server.stores import Access, Found, ObjectAddress, StoreAddressError, StoreError, objects, parse
from modelwright_server.stores.objects import Bucket
from tests.support.object_store import BUCKET, Fault, faulty

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

LAKE = ObjectAddress("s3", BUCKET, "")
KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
KEPT = b"what is only for this host"


@contextmanager
def neighbour() -> Generator[tuple[str, list[str]]]:
    """Run a server on another address of this machine, that answers all; give its URL and what it was asked."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            seen.append(f"{self.command} {self.path}")
            self.send_response(206 if "Range" in self.headers else 200)
            head = {
                "Content-Length": str(len(KEPT)),
                "Content-Range": f"bytes 0-{len(KEPT) - 1}/{len(KEPT)}",
                "ETag": '"1"',
                "Last-Modified": "Wed, 21 Oct 2026 07:28:00 GMT",
            }
            for name, value in head.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(KEPT)

        do_GET = do_HEAD = do_PUT = do_POST = answer  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.2", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.2:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


ASKS: dict[str, Callable[[Bucket], object]] = {
    "head": lambda bucket: bucket.head("a.csv"),
    "read": lambda bucket: bucket._part(Found("a.csv", len(KEPT), None), 0),
    "list": lambda bucket: bucket.find("*.csv", 9),
    "create": lambda bucket: bucket.create("a.csv", b"x"),
    "replace": lambda bucket: bucket.replace("a.csv", b"x"),
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "RETRY", {**objects.RETRY, "max_retries": 1})
    monkeypatch.setattr(objects, "PAUSE_SECONDS", 0.001)


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_to_another_host_is_not_followed(ask: str, status: int) -> None:
    with neighbour() as (url, asked):
        away = Fault(status, {"Location": f"{url}/latest/meta-data/iam"})
        with faulty(url, lambda *_: away) as (endpoint, seen), pytest.raises(StoreAddressError) as error:
            ASKS[ask](Bucket(LAKE, Access(endpoint, "here", "lake", KEYS)))
        assert seen
        assert asked == []
    assert "redirects to another host" in str(error.value) or "another region" in str(error.value)


def test_the_hostile_store_would_have_been_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client by itself follows: without this, the tests above would hold for any reason."""
    monkeypatch.setattr(objects, "_at_home", lambda _: {})
    with neighbour() as (url, asked):
        away = Fault(307, {"Location": f"{url}/latest/meta-data/iam"})
        with faulty(url, lambda *_: away) as (endpoint, _):
            assert Bucket(LAKE, Access(endpoint, "here", "lake", KEYS)).head("a.csv").size == len(KEPT)
    assert asked == ["HEAD /latest/meta-data/iam"]


@pytest.mark.parametrize(
    ("uri", "credentials"),
    [
        ("az://lake/a.csv", {"AZURE_STORAGE_ACCOUNT_NAME": "acme", "AZURE_STORAGE_ACCOUNT_KEY": "c2VjcmV0"}),
        ("gs://lake/a.csv", {"GOOGLE_SKIP_SIGNATURE": "true"}),
        ("s3://lake/a.csv", {"AWS_SKIP_SIGNATURE": "true"}),
    ],
)
def test_no_kind_of_store_is_followed(uri: str, credentials: dict[str, str]) -> None:
    address = parse(uri)
    assert isinstance(address, ObjectAddress)
    with neighbour() as (url, asked):
        with (
            faulty(url, lambda *_: Fault(302, {"Location": f"{url}/token"})) as (endpoint, _),
            pytest.raises(StoreAddressError, match="redirects to another host"),
        ):
            Bucket(address, Access(endpoint, "", "lake", credentials)).head("a.csv")
        assert asked == []


def test_without_a_secret_no_redirect_is_followed_either() -> None:
    with neighbour() as (url, asked):
        with (
            faulty(url, lambda *_: Fault(302, {"Location": f"{url}/token"})) as (endpoint, _),
            pytest.raises(StoreError),
        ):
            Bucket(ObjectAddress("gs", BUCKET, ""), Access(endpoint)).head("a.csv")
        assert asked == []


def test_a_redirect_within_the_host_is_followed() -> None:
    def plan(_: str, path: str, __: int) -> Fault | None:
        return None if path == "/moved.csv" else Fault(302, {"Location": "/moved.csv"})

    with neighbour() as (url, asked):
        with faulty(url, plan) as (endpoint, _):
            keyless = Access(endpoint, "", "lake", {"GOOGLE_SKIP_SIGNATURE": "true"})
            assert Bucket(ObjectAddress("gs", BUCKET, ""), keyless).head("a.csv").size == len(KEPT)
        assert asked == ["HEAD /moved.csv"]
