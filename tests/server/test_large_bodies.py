"""Large bodies are read in turn, and leave the others room."""

import asyncio
import gzip
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from modelwright_server.errors import OverloadedError
from modelwright_server.http.turns import LARGE, Turns
from tests.server.hostile.wire import LIVE, infer_body, sized
from tests.server.models import Built
from tests.server.process import INFER, Server, settings


@pytest.fixture(scope="module")
def server(built: Callable[[str], Built], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(settings(built("logistic").folder, tmp_path_factory.mktemp("large"))) as running:
        yield running.wait_until_ready()


def rows(count: int) -> bytes:
    row = json.loads(infer_body())["inputs"][0]
    data = list(row["data"])[: row["shape"][1]]
    tensor = row | {"shape": [count, len(data)], "data": data * count}
    return json.dumps({"inputs": [tensor]}).encode()


def test_a_large_body_is_answered_as_its_rows_are_alone(server: Server) -> None:
    count = 20_000
    large = rows(count)
    assert len(large) > LARGE
    alone = server.infer(rows(1)).json["outputs"]
    for body, headers in ((large, {}), (gzip.compress(large), {"Content-Encoding": "gzip"})):
        answer = server.infer(body, **headers)
        assert answer.status == 200
        for output, expected in zip(answer.json["outputs"], alone, strict=True):
            assert output["shape"][0] == count
            assert output["data"] == pytest.approx(expected["data"] * count)


def test_answers_stay_in_order_when_a_large_body_waits(server: Server) -> None:
    answers = server.raw(sized(rows(20_000)) + LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert answers.startswith(b"HTTP/1.1 200")
    assert answers.index(b'"outputs"') < answers.index(b'{"live":true}')


def test_what_is_wrong_with_a_large_body_is_said(server: Server) -> None:
    nonsense = server.infer(b"[" * (2 * LARGE))
    assert nonsense.status == 400
    beyond = server.infer(gzip.compress(bytes(server.settings.max_body_bytes + 1)), **{"Content-Encoding": "gzip"})
    assert beyond.status == 413
    assert str(server.settings.max_body_bytes) in beyond.json["error"]
    broken = server.infer(gzip.compress(rows(20_000))[:-9], **{"Content-Encoding": "gzip"})
    assert broken.status == 400


def test_others_are_answered_between_large_bodies(server: Server) -> None:
    large, small, answered, over = b'{"a":[' + b"1," * (4 << 20) + b"1]}", infer_body(), [0], threading.Event()

    def others() -> None:
        with server.client() as client:
            while not over.is_set():
                assert client.request("POST", INFER, small).status == 200
                answered[0] += 1

    threads = [threading.Thread(target=others) for _ in range(6)]  # one that comes late is not nobody
    for thread in threads:
        thread.start()
    try:
        found: list[int] = []
        with server.client() as client:
            for _ in range(8):
                assert client.request("POST", INFER, large).status == 400
                found.append(answered[0])
    finally:
        over.set()
        for thread in threads:
            thread.join()
    # Between two large answers the others get three quarters of the time: many, where they got one.
    assert found[-1] - found[0] > 10 * (len(found) - 1)


def job(log: list[str], name: str) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        log.append(f"{name} begins")
        await asyncio.sleep(0)
        log.append(f"{name} ends")

    return run


async def finished(turns: Turns) -> None:
    async with asyncio.timeout(10):
        while turns.waiting:  # noqa: ASYNC110 - it has no event, since none but tests wait for this
            await asyncio.sleep(0)


async def test_one_after_the_other() -> None:
    log: list[str] = []
    turns = Turns(lambda: 0, 100)
    for name in "abc":
        turns.add(10, job(log, name))
    await finished(turns)
    assert log == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")]
    turns.add(10, job(log, "d"))  # after a pause in which none waited
    await finished(turns)
    assert log[-1] == "d ends"


async def test_more_than_there_is_room_for_is_refused() -> None:
    log: list[str] = []
    turns = Turns(lambda: 0, 100)
    turns.add(60, job(log, "a"))
    with pytest.raises(OverloadedError, match="too many large requests"):
        turns.add(41, job(log, "b"))
    turns.add(40, job(log, "c"))
    await finished(turns)
    turns.add(100, job(log, "d"))
    await finished(turns)
    assert [line for line in log if line.endswith("ends")] == ["a ends", "c ends", "d ends"]


def test_the_body_limit_holds_where_it_is_smaller_than_large(built: Callable[[str], Built], tmp_path: Path) -> None:
    with Server(settings(built("logistic").folder, tmp_path, max_body_bytes=4096)) as running:
        running.wait_until_ready()
        answer = running.infer(gzip.compress(bytes(5000)), **{"Content-Encoding": "gzip"})
        assert answer.status == 413
        assert "4096" in answer.json["error"]
