"""Timeouts and budgets of the HTTP layer, with short limits and a tiny application, on uvloop."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from inspect import signature
from typing import Any

import pytest
import uvloop

from modelwright_server.http.exchange import Exchange
from modelwright_server.http.listener import Listener
from modelwright_server.http.messages import Limits

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LIMITS: dict[str, Any] = {
    "head_seconds": 0.2,
    "request_seconds": 0.4,
    "idle_seconds": 0.6,
    "stalled_seconds": 0.4,
    "linger_seconds": 0.2,
}
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Coroutine[Any, Any, Streams]]


def on_uvloop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on the event loop the server has."""

    @wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(test(*arguments, **named))

    # wraps() leaves a mark by which pytest-asyncio would take it for a coroutine function
    del run.__wrapped__
    run.__signature__ = signature(test)  # type: ignore[attr-defined]
    return run


@asynccontextmanager
async def listening(application: Any, **limits: Any) -> AsyncIterator[tuple[Listener, Connect]]:
    listener = Listener(application, Limits(**{**LIMITS, **limits}))
    port = await listener.start("127.0.0.1", 0)

    async def connect() -> Streams:
        return await asyncio.open_connection("127.0.0.1", port)

    try:
        async with asyncio.timeout(20):
            yield listener, connect
    finally:
        ended = await listener.stop(10)
    assert ended


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something; the timeout around each test is the deadline."""
    while not condition():  # noqa: ASYNC110 - the server has no event for it
        await asyncio.sleep(0.005)


def echo(exchange: Exchange) -> None:
    exchange.send(200, bytes(exchange.body) or b"hello")


@on_uvloop
async def test_a_slow_head_is_ended() -> None:
    async with listening(echo) as (_, connect):
        reader, writer = await connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"Connection: close\r\n" in answer
        writer.close()


@on_uvloop
async def test_a_head_that_drips_is_ended_too() -> None:
    async with listening(echo) as (_, connect):
        reader, writer = await connect()

        async def drip() -> None:
            while not reader.at_eof():
                writer.write(b"X: y\r\n")
                await asyncio.sleep(0.01)

        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n")
        dripping = asyncio.create_task(drip())
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        dripping.cancel()
        writer.close()


@on_uvloop
async def test_a_slow_body_is_ended() -> None:
    async with listening(echo) as (listener, connect):
        reader, writer = await connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        assert listener._buffered == 0
        writer.close()


@on_uvloop
async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with listening(echo) as (_, connect):
        reader, writer = await connect()
        writer.write(GET)
        assert (await reader.read()).count(b"HTTP/1.1") == 1
        writer.close()


@on_uvloop
async def test_a_client_that_does_not_close_is_cut_off() -> None:
    async with listening(echo) as (listener, connect):
        reader, writer = await connect()
        writer.write(GET.replace(b"Host", b"Connection: close\r\nHost"))
        await reader.read()  # the server has ended its side, we keep ours
        await until(lambda: not listener._connections)
        writer.close()


@on_uvloop
async def test_a_client_that_does_not_read_is_not_read_and_then_cut_off() -> None:
    large = b"x" * (1 << 20)
    answered = 0

    def application(exchange: Exchange) -> None:
        nonlocal answered
        answered += 1
        exchange.send(200, large)

    async with listening(application, idle_seconds=60) as (listener, connect):
        reader, writer = await connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(100):
            writer.write(GET)
            await asyncio.sleep(0)
        await until(lambda: not listener._connections)
        assert answered < 100
        writer.close()
        del reader


@on_uvloop
async def test_connections_are_limited() -> None:
    async with listening(echo, connections=2, idle_seconds=60) as (_, connect):
        kept = [await connect() for _ in range(2)]
        for reader, writer in kept:
            writer.write(GET)
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 ")
        reader, writer = await connect()
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        writer.close()
        for _, writer in kept:
            writer.close()


@on_uvloop
async def test_bodies_share_a_budget_and_give_it_back() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
    async with listening(echo, buffered=1500, request_seconds=60) as (listener, connect):
        first, second = await connect(), await connect()
        first[1].write(head + b"a" * 900)
        await until(lambda: listener._buffered == 900)
        second[1].write(head + b"b" * 900)
        assert (await second[0].read()).startswith(b"HTTP/1.1 503 ")
        assert listener._buffered == 900
        first[1].write(b"a" * 100)
        assert (await first[0].readuntil(b"a" * 1000)).startswith(b"HTTP/1.1 200 ")
        assert listener._buffered == 0
        third = await connect()
        third[1].write(head + b"c" * 900)
        await until(lambda: listener._buffered == 900)
        third[1].close()
        await until(lambda: listener._buffered == 0)
        for _, writer in (first, second):
            writer.close()


@on_uvloop
async def test_answers_given_out_of_order_leave_in_order_and_bound_what_is_read() -> None:
    waiting: list[Exchange] = []

    def application(exchange: Exchange) -> None:
        if exchange.target == b"/now":
            exchange.send(200, b"now ")
        else:
            waiting.append(exchange)

    async with listening(application, pending=4) as (_, connect):
        reader, writer = await connect()
        writer.write(GET * 2 + GET.replace(b"/ ", b"/now ") + GET)
        await until(lambda: len(waiting) == 3)
        writer.write(GET * 10)  # comes too early: four answers are due
        for at in (2, 1, 0):
            assert len(waiting) == 3
            waiting[at].send(200, b"later%d " % at)
        found = b""
        while b"later2 " not in found:
            found += await reader.readuntil(b" ")
        bodies = [part.split(b"\r\n\r\n")[1] for part in found.split(b"HTTP/1.1")[1:]]
        assert bodies == [b"later0 ", b"later1 ", b"now ", b"later2 "]
        for at in range(3, 13):
            await until(lambda: len(waiting) > at)  # noqa: B023 - awaited here
            assert len(waiting) - at <= 4
            waiting[at].send(200, b"last ")
            await reader.readuntil(b"last ")
        writer.close()


@on_uvloop
async def test_a_flood_of_requests_is_answered_only_as_fast_as_answers_are_read() -> None:
    """Thousands of requests fit into one piece of data; their answers would not fit into memory."""
    large = bytes(100_000)
    answered = 0

    def application(exchange: Exchange) -> None:
        nonlocal answered
        answered += 1
        exchange.send(200, large)

    async with listening(application, stalled_seconds=60, idle_seconds=60) as (_, connect):
        reader, writer = await connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(GET * 3000)
        flood = writer.transport.get_write_buffer_size
        await until(lambda: answered > 0 and not flood())
        assert answered < 200  # what the system's buffers take
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(3000):
            await reader.readuntil(b"Content-Length: 100000\r\n\r\n")
            await reader.readexactly(len(large))
        assert answered == 3000
        writer.write(GET + b"broken\r\n\r\n" + GET)
        assert (await reader.read()).count(b"HTTP/1.1 ") == 2
        writer.close()


@on_uvloop
async def test_what_is_wrong_behind_a_flood_is_said_behind_its_answers() -> None:
    answered = 0

    def application(exchange: Exchange) -> None:
        nonlocal answered
        answered += 1
        exchange.send(200, bytes(100_000))

    async with listening(application, stalled_seconds=60) as (listener, connect):
        reader, writer = await connect()
        writer.write(GET * 200 + b"broken\r\n\r\n" + GET)
        data = await reader.read()
        assert (data.count(b"HTTP/1.1 200 "), data.count(b"HTTP/1.1 400 ")) == (200, 1)
        assert data.rindex(b"HTTP/1.1 400 ") > data.rindex(b"HTTP/1.1 200 ")
        writer.close()
        reader, writer = await connect()
        writer.write(GET * 200)
        writer.write_eof()
        assert (await reader.read()).count(b"HTTP/1.1 200 ") == 200
        writer.close()
        await until(lambda: not listener._connections)
        assert answered == 400


@on_uvloop
async def test_answers_nobody_waits_for_are_given_up() -> None:
    waiting: list[Exchange] = []
    async with listening(waiting.append) as (_, connect):
        _, writer = await connect()
        writer.write(GET * 3)
        await until(lambda: len(waiting) == 3)
        # With a plain close the client might still read: only a reset says it does not.
        plain = writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        await until(lambda: all(exchange.gone for exchange in waiting))
        for exchange in waiting:
            exchange.send(200, b"to nobody")


@on_uvloop
async def test_a_failing_application_is_a_500_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def application(_: Exchange) -> None:
        raise ZeroDivisionError

    async with listening(application) as (_, connect):
        reader, writer = await connect()
        writer.write(GET + GET)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert answer.count(b"HTTP/1.1 ") == 1
        writer.close()
    assert "ZeroDivisionError" in caplog.text
