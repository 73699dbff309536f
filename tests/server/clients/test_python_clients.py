"""The HTTP clients Python programs have, unmodified."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp
import httpx
import pytest
import requests
import urllib3

from tests.server.clients.expected import Case, case
from tests.server.models import Built
from tests.server.process import INFER, Server


@pytest.fixture
def wanted(built: Callable[[str], Built]) -> Case:
    return case(built("logistic"), 10, 70)


@pytest.fixture
def address(logistic: Server) -> str:
    return f"http://127.0.0.1:{logistic.port}"


def pieces(body: bytes) -> Iterator[bytes]:
    yield from (body[at : at + 1000] for at in range(0, len(body), 1000))


def test_httpx(address: str, wanted: Case) -> None:
    with httpx.Client(base_url=address, trust_env=False) as client:
        assert client.get("/v2/health/ready").json() == {"ready": True}
        assert client.head("/v2").content == b""
        for _ in range(3):
            wanted.check_json(client.post(INFER, json=wanted.document).raise_for_status().json())
        wanted.check_json(client.post(INFER, content=pieces(wanted.body)).raise_for_status().json())
        packed = client.post(INFER, content=gzip.compress(wanted.body), headers={"Content-Encoding": "gzip"})
        wanted.check_json(packed.raise_for_status().json())
        assert client.post(INFER, content=b"{").status_code == 400
        wanted.check_json(client.post(INFER, json=wanted.document).raise_for_status().json())


def test_httpx_asynchronous(address: str, built: Callable[[str], Built]) -> None:
    cases = [case(built("logistic"), at, 1 + at) for at in range(20)]

    async def run() -> None:
        async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
            answers = await asyncio.gather(*(client.post(INFER, json=wanted.document) for wanted in cases))
        for wanted, answer in zip(cases, answers, strict=True):
            wanted.check_json(answer.raise_for_status().json(), tolerance=1e-6)

    asyncio.run(run())


def test_aiohttp(address: str, wanted: Case) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for piece in pieces(wanted.body):
            yield piece

    async def run() -> None:
        async with aiohttp.ClientSession(address, raise_for_status=True) as session:
            for _ in range(3):
                async with session.post(INFER, json=wanted.document) as answer:
                    wanted.check_json(await answer.json())
            async with session.post(INFER, data=parts()) as answer:
                wanted.check_json(await answer.json())
            async with session.post(INFER, data=wanted.body, expect100=True) as answer:
                wanted.check_json(await answer.json())
            for coding in ("gzip", "deflate"):
                async with session.post(INFER, data=wanted.body, compress=coding) as answer:
                    wanted.check_json(await answer.json())

    asyncio.run(run())


def test_requests(address: str, wanted: Case) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(3):
            wanted.check_json(session.post(address + INFER, json=wanted.document, timeout=30).json())
        wanted.check_json(session.post(address + INFER, data=pieces(wanted.body), timeout=30).json())
        packed = session.post(
            address + INFER, data=zlib.compress(wanted.body), headers={"Content-Encoding": "deflate"}, timeout=30
        )
        wanted.check_json(packed.json())


def test_urllib3(address: str, wanted: Case) -> None:
    with urllib3.PoolManager(maxsize=1) as pool:
        for _ in range(3):
            wanted.check_json(pool.request("POST", address + INFER, json=wanted.document).json())
        wanted.check_json(pool.request("POST", address + INFER, body=pieces(wanted.body), chunked=True).json())
        (connections,) = (pool.pools[key] for key in pool.pools.keys())  # noqa: SIM118 - no mapping
        assert connections.num_connections == 1
        assert connections.num_requests == 4
