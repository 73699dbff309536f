"""Reading checks from servers that answer, and from those that do what they like."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from modelwright_operator.api.checks import Check, Hook, PrometheusQuery
from modelwright_operator.cluster import checks as client
from modelwright_operator.cluster.checks import CheckClient, ServiceResolver, vetted
from modelwright_operator.decide.checks import Reading
from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

NAMES = {"namespace": "team", "deployment": "churn", "canary": "churn-9f2c41ab07", "stable": "churn-0000000000"}


class _Here(AbstractResolver):
    """Every Service is this machine."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        del family
        self.asked.append(host)
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=socket.AI_NUMERICHOST
            )
        ]

    async def close(self) -> None:
        pass


@contextlib.asynccontextmanager
async def _serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[int]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def _raw(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[int]:
    """A server that speaks as it likes, until the client has gone."""

    gone: list[asyncio.Task[None]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        gone.append(task)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)


async def _called(port: int, path: str = "/value", resolver: AbstractResolver | None = None) -> Reading:
    async with CheckClient(resolver=resolver or _Here()) as reads:
        return await reads.read(Check(name="revenue", hook=Hook(service="shop", port=port, path=path), min=0.5), NAMES)


async def test_a_hook_is_asked_in_the_namespace_without_anything_about_us() -> None:
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"value": 0.97})

    resolver = _Here()
    async with _serving(answer) as port:
        assert await _called(port, "/of/$canary/$other", resolver) == Reading(0.97)
    (request,) = seen
    assert resolver.asked == ["shop.team.svc"]
    assert (request.method, request.path) == ("GET", "/of/churn-9f2c41ab07/$other")
    assert not {"Authorization", "Cookie", "Referer"} & set(request.headers)


async def test_prometheus_is_asked_for_the_query_with_names_put_in() -> None:
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response(
            {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "0.25"]}]}}
        )

    check = Check(name="latency", prometheus=PrometheusQuery(query='max(latency{version="$canary"}) > 0 & 1 # $'))
    async with _serving(answer) as port, CheckClient(f"http://127.0.0.1:{port}/p?ns={{namespace}}") as reads:
        assert await reads.read(check, NAMES) == Reading(0.25)
    (request,) = seen
    assert request.path == "/p/api/v1/query"
    assert dict(request.query) == {"ns": "team", "query": 'max(latency{version="churn-9f2c41ab07"}) > 0 & 1 # $'}


async def test_a_query_cannot_change_what_the_settings_say() -> None:
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"status": "success", "data": {"resultType": "scalar", "result": [1, "1"]}})

    async with _serving(answer) as port, CheckClient(f"http://127.0.0.1:{port}/?ns={{namespace}}") as reads:
        await reads.read(Check(name="sneaky", prometheus=PrometheusQuery(query="up&ns=other#/../../admin")), NAMES)
    assert seen[0].query.getall("ns") == ["team"]
    assert seen[0].path == "/api/v1/query"


async def test_without_a_prometheus_in_the_settings_none_is_asked() -> None:
    async with CheckClient() as reads:
        reading = await reads.read(Check(name="latency", prometheus=PrometheusQuery(query="up")), NAMES)
    assert reading.reason is Reason.METRIC_INVALID
    assert "operator's settings name none" in reading.message


async def test_redirects_are_not_followed() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=302, headers={"Location": "http://169.254.169.254/latest/meta-data"})

    async with _serving(answer) as port:
        reading = await _called(port)
    assert (reading.reason, asked) == (Reason.METRIC_UNAVAILABLE, ["/value"])


async def test_an_error_is_no_number() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"value": 1}, status=500)

    async with _serving(answer) as port:
        assert (await _called(port)).reason is Reason.METRIC_UNAVAILABLE


async def test_an_endless_body_is_given_up_early() -> None:
    sent = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        while sent < 1 << 30:
            writer.write(b" " * 65_536)
            await writer.drain()
            sent += 65_536

    async with _raw(talk) as port:
        reading = await _called(port)
    assert reading.reason is Reason.METRIC_UNAVAILABLE
    assert "more than 65536 bytes" in reading.message
    assert sent < 32 << 20  # what fits into the buffers of both ends


async def test_a_packed_body_is_not_unpacked() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=b"\x1f\x8b\x08", headers={"Content-Encoding": "gzip"})

    async with _serving(answer) as port:
        assert (await _called(port)).reason is Reason.METRIC_INVALID


@pytest.mark.parametrize("how", ["silent", "slow body", "slow head"])
async def test_who_hangs_is_given_up(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SECONDS", 0.3)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if how == "slow body":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        while how != "silent" and not reader.at_eof():
            writer.write(b" " if how == "slow body" else b"H")
            await writer.drain()
            await asyncio.sleep(0.01)
        await reader.read()

    async with _raw(talk) as port:
        reading = await _called(port)
    assert reading.reason is Reason.METRIC_UNAVAILABLE


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 two hundred\r\n\r\n", b"\x00" * 100, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
     b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz"],
)  # fmt: skip
async def test_who_does_not_speak_http_is_unavailable(said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()

    async with _raw(talk) as port:
        assert (await _called(port)).reason is Reason.METRIC_UNAVAILABLE


async def test_who_is_not_there_is_unavailable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert (await _called(free.getsockname()[1])).reason is Reason.METRIC_UNAVAILABLE


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.8.8.8", "169.254.169.254", "0.0.0.0", "224.0.0.1", "::1", "fe80::1%eth0", "::ffff:127.0.0.1",
     "::ffff:169.254.169.254", "::"],
)  # fmt: skip
def test_an_address_that_no_service_has_is_refused(address: str) -> None:
    with pytest.raises(OSError, match="which no Service may have"):
        vetted("shop.team.svc", [("shop.team.svc.cluster.local", "10.96.0.7"), ("", address)])


@pytest.mark.parametrize("name", ["metadata.google.internal", "shop.team.svcevil.org", "other.team.svc.cluster.local"])
def test_another_name_of_something_else_is_refused(name: str) -> None:
    with pytest.raises(OSError, match="only another name of"):
        vetted("shop.team.svc", [(name, "10.96.0.7")])


@pytest.mark.parametrize("canonical", ["", "shop.team.svc", "shop.team.svc.cluster.local", "shop.team.svc.k8s.corp."])
def test_a_service_is_let_through(canonical: str) -> None:
    vetted("shop.team.svc", [(canonical, "10.96.0.7"), ("", "fd00::7")])


async def test_the_systems_resolver_does_not_lead_to_this_pod() -> None:
    with pytest.raises(OSError, match="which no Service may have"):
        await ServiceResolver().resolve("localhost", 80, socket.AF_UNSPEC)


async def test_a_hook_whose_service_leads_here_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"value": 1})

    async def resolved(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "shop.team.svc.cluster.local", ("127.0.0.1", 0))]

    async with _serving(answer) as port:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolved)
        reading = await _called(port, resolver=ServiceResolver())
    assert (reading.reason, asked) == (Reason.METRIC_UNAVAILABLE, [])
    assert "which no Service may have" in reading.message
