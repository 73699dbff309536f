"""The access log, and how it gets to where it is written without anyone waiting."""

import asyncio
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright_server import accesslog, exposition
from modelwright_server.accesslog import AccessLog
from modelwright_server.backlog import Backlog
from modelwright_server.journal import open_journal
from modelwright_server.record import Record
from modelwright_server.telemetry import Telemetry
from tests.server.models import Built
from tests.server.process import DEADLINE, INFER, Server, settings

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
RECORD = Record("rest", b"POST", b"/v2/models/churn/infer", 200, 0.00025, 3, 310, 120, "10.0.0.7:40112")
NOON_NS = 1_790_000_000_123_456_789


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):  # closed by the test
            os.close(end)


def test_a_line_says_what_was_answered() -> None:
    record = RECORD._replace(user_agent=b"curl/8.5.0", prediction_id=b"p-1", traceparent=TRACE)
    assert json.loads(accesslog.line(NOON_NS, record)) == {
        "time": "2026-09-21T14:13:20.123Z",
        "event": "answered",
        "protocol": "rest",
        "client": "10.0.0.7:40112",
        "method": "POST",
        "path": "/v2/models/churn/infer",
        "status": 200,
        "seconds": 0.00025,
        "rows": 3,
        "bytesIn": 310,
        "bytesOut": 120,
        "predictionId": "p-1",
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
        "userAgent": "curl/8.5.0",
    }


@pytest.mark.parametrize(
    ("client", "shown"),
    [
        ("10.0.0.7:40112", "10.0.0.7:40112"),
        ("ipv4:10.0.0.7:40112", "10.0.0.7:40112"),
        ("ipv6:%5B::1%5D:40112", "[::1]:40112"),
        ("[::1]:40112", "[::1]:40112"),
        ("", ""),
    ],
)
def test_a_client_is_its_address(client: str, shown: str) -> None:
    assert json.loads(accesslog.line(NOON_NS, RECORD._replace(client=client)))["client"] == shown


def test_what_there_is_not_is_left_out() -> None:
    record = Record("grpc", "POST", "/inference.GRPCInferenceService/ModelInfer", 3, 0.1, traceparent="00-bad")
    found = json.loads(accesslog.line(NOON_NS, record))
    assert found["status"] == "INVALID_ARGUMENT"
    assert not {"predictionId", "traceId", "userAgent"} & found.keys()


@given(path=st.binary(max_size=9000), agent=st.binary(max_size=9000))
def test_whatever_a_client_sends_is_one_bounded_line(path: bytes, agent: bytes) -> None:
    line = accesslog.line(NOON_NS, RECORD._replace(path=path, user_agent=agent, prediction_id=agent))
    assert len(line) < 4096
    assert line.endswith(b"}\n")
    assert not re.search(rb"[\x00-\x1f]", line[:-1])
    assert json.loads(line)["path"] == path.decode("utf-8", "replace")[:256]


def test_lines_of_several_writers_are_never_mixed(pipe: tuple[int, int]) -> None:
    out, into = pipe
    batch = [(NOON_NS, RECORD._replace(rows=number, user_agent="x" * 90)) for number in range(300)]
    writers = [threading.Thread(target=AccessLog(into).consume, args=(batch,)) for _ in range(4)]
    for writer in writers:
        writer.start()
    with os.fdopen(os.dup(out)) as lines:
        rows = [json.loads(lines.readline())["rows"] for _ in range(4 * 300)]
    for writer in writers:
        writer.join(DEADLINE)
    assert sorted(rows) == sorted(4 * list(range(300)))


def test_lines_nobody_reads_are_counted_as_lost(pipe: tuple[int, int]) -> None:
    out, into = pipe
    os.close(out)
    assert AccessLog(into).consume([(NOON_NS, RECORD)] * 100) == 100


async def wait_for(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - what is waited for is done by a thread
            await asyncio.sleep(0.005)


async def test_a_backlog_hands_all_over_in_order_and_in_batches() -> None:
    batches: list[list[int]] = []
    lost: list[int] = []

    def consume(values: Sequence[int]) -> int:
        batches.append(list(values))
        return 0

    backlog = Backlog("test", consume, lost.append)
    for number in range(1000):
        backlog.put(number)
    await wait_for(lambda: bool(batches))  # by itself, soon after the first came
    assert batches == [list(range(1000))]
    backlog.put(1000)
    assert await backlog.close()
    assert batches[1:] == [[1000]]
    assert lost == []


async def test_a_backlog_that_is_full_drops_and_says_so() -> None:
    """The thread hangs: the loop goes on, no more than the limit is kept, and all is counted."""
    go, began = threading.Event(), threading.Event()
    done: list[int] = []
    lost: list[int] = []

    def consume(values: Sequence[int]) -> int:
        began.set()
        go.wait()
        done.extend(values)
        return 1 if values[0] == 0 else 0

    backlog = Backlog("test", consume, lost.append, limit=10)
    for number in range(4):
        backlog.put(number)
    await asyncio.to_thread(began.wait, DEADLINE)
    for number in range(4, 50):
        backlog.put(number)
    assert sum(lost) == 40
    assert not await backlog.close(0.01)  # hangs, and does not hold us up
    go.set()
    assert await backlog.close()
    await wait_for(lambda: sum(lost) == 41)  # and the one the consumer lost
    assert done == list(range(10))


async def test_a_consumer_that_fails_loses_one_batch(caplog: pytest.LogCaptureFixture) -> None:
    lost: list[int] = []
    done: list[int] = []

    def consume(values: Sequence[int]) -> int:
        if values[0] == 0:
            raise RuntimeError
        done.extend(values)
        return 0

    backlog = Backlog("test", consume, lost.append)
    backlog.put(0)
    await wait_for(lambda: lost == [1])
    backlog.put(1)
    assert await backlog.close()
    assert done == [1]
    assert "lost 1 values" in caplog.text


async def test_nothing_is_written_unless_asked_for(tmp_path: Path) -> None:
    assert open_journal(settings(tmp_path, tmp_path), Telemetry("m", "v", "d", "n")) is None


async def test_a_journal_writes_to_stdout(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    telemetry = Telemetry("m", "v", "d", "n")
    journal = open_journal(settings(tmp_path, tmp_path, access_log=True), telemetry)
    assert journal is not None
    for rows in range(100):
        journal.write(RECORD._replace(rows=rows))
    await journal.close()
    assert [json.loads(line)["rows"] for line in capfd.readouterr().out.splitlines()] == list(range(100))
    assert 'modelwright_server_records_dropped_total{model="m",sink="log",track="stable",version="v"} 0.0' in (
        exposition.render(telemetry.info, telemetry.snapshot()).decode()
    )


@pytest.mark.parametrize("processes", [1, 2])
def test_a_server_logs_what_it_answered(built: Callable[[str], Built], tmp_path: Path, processes: int) -> None:
    """Each inference request, and nothing else; the last ones are not lost at the end."""
    model = built("logistic")
    body = {"inputs": model.inputs(model.rows.iloc[:1])}
    told = settings(model.folder, tmp_path, access_log=True, processes=processes)
    with Server(told, output=tmp_path / "stdout") as server:
        server.wait_until_ready()
        server.request("GET", "/v2/health/ready")
        good = server.infer(body, **{"User-Agent": "curl/8.5.0", "traceparent": TRACE.decode()})
        bad = server.request("POST", INFER + "?x=1", b"{")
        with server.client() as client:
            for _ in range(200):
                assert client.request("POST", INFER, body).status == 200
        server.terminate()
        assert server.process.wait(DEADLINE) == 0
    lines = [json.loads(line) for line in (tmp_path / "stdout").read_text().splitlines()]
    assert len(lines) == 202
    (line,) = (line for line in lines if line.get("userAgent") == "curl/8.5.0")
    assert (line["status"], line["rows"], line["protocol"], line["path"]) == (200, 1, "rest", INFER)
    assert line["bytesIn"] == len(json.dumps(body))
    assert line["bytesOut"] == len(good.body)
    assert line["predictionId"] == good.headers["x-prediction-id"]
    assert line["traceId"] == TRACE.decode().split("-")[1]
    assert line["client"].startswith("127.0.0.1")
    assert 0 < line["seconds"] < DEADLINE
    (line,) = (line for line in lines if line["status"] == 400)
    assert (line["rows"], line["bytesIn"], line["bytesOut"], line["path"]) == (0, 1, len(bad.body), INFER)
    assert "predictionId" not in line


def test_a_server_logs_nothing_unless_told(built: Callable[[str], Built], tmp_path: Path) -> None:
    model = built("logistic")
    with Server(settings(model.folder, tmp_path), output=tmp_path / "stdout") as server:
        server.wait_until_ready()
        assert server.infer({"inputs": model.inputs(model.rows.iloc[:1])}).status == 200
        server.terminate()
        assert server.process.wait(DEADLINE) == 0
    assert (tmp_path / "stdout").read_bytes() == b""


def test_a_log_that_nobody_reads_holds_nobody_up(built: Callable[[str], Built], tmp_path: Path) -> None:
    """A full pipe: requests are answered, memory is bounded, what is lost is counted, and the server ends."""
    model = built("logistic")
    body = {"inputs": model.inputs(model.rows.iloc[:1])}
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with Server(settings(model.folder, tmp_path, access_log=True), output=pipe) as server:
            server.wait_until_ready()
            with server.client() as client:
                for _ in range(1000):  # a pipe takes about 200 lines
                    assert client.request("POST", INFER, body).status == 200
            server.terminate()
            assert server.process.wait(DEADLINE) == 0
    finally:
        os.close(reader)
