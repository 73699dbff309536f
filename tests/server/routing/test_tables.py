"""The table's file: replaced under load, garbage, gone; and the ways a request may come."""

import gzip
import json
import socket
import struct
import threading
from collections import Counter
from pathlib import Path

import pytest

from modelwright_server.contract.traffic import FILE
from tests.server.models import Built
from tests.server.process import DEADLINE, INFER
from tests.server.routing.tracks import STABLE, Pod, burst, eventually, pod, post, table, track, write


def test_a_table_is_replaced_under_load(stable: Pod, canary: Pod, body: bytes) -> None:
    """Ten tables one after the other: no request fails, and each step's counts are exact to a block."""
    stop = threading.Event()
    seen = Counter[tuple[int, str]]()

    def load() -> None:
        with stable.server.client() as client:
            while not stop.is_set():
                answer = post(client, body)
                seen[answer.status, track(answer)] += 1

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    first = stable.sequence + 1
    for weight in (0, 100, 5, 50, 0, 20, 100, 0, 10, 50):
        stable.next_step(canary, weight=weight)
    stop.set()
    for thread in threads:
        thread.join()
    assert set(seen) == {(200, "stable"), (200, "canary")}
    steps = [step for step in stable.steps() if step["sequence"] >= first]
    assert [step["canary"]["requests"] == 0 for step in steps][:2] == [True, False]
    assert all(step["canary"]["bad"] == step["stable"]["errors"] == 0 for step in steps)


@pytest.mark.parametrize("content", [b"", b"{", b"\x00" * 100, b"{}", b'{"format":2}', b"[" * 100_000])
def test_what_is_no_table_changes_nothing(stable: Pod, canary: Pod, body: bytes, content: bytes) -> None:
    stable.next_step(canary, weight=100)
    refused = stable.tables("refused")
    write(stable.folder, content)
    eventually(lambda: stable.tables("refused") == refused + 1)
    with stable.server.client() as client:
        assert track(post(client, body)) == "canary"


def test_a_table_that_is_gone_holds(stable: Pod, canary: Pod, body: bytes) -> None:
    stable.next_step(canary, weight=100)
    refused = stable.tables("refused")
    (stable.folder / FILE).unlink()
    eventually(lambda: stable.tables("refused") == refused + 1)
    (stable.folder / FILE).mkdir()
    eventually(lambda: stable.tables("refused") == refused + 2)
    with stable.server.client() as client:
        assert track(post(client, body)) == "canary"
    (stable.folder / FILE).rmdir()


def test_a_server_starts_without_folder_and_beside_garbage(model: Built, body: bytes, tmp_path: Path) -> None:
    with pod(model.folder, tmp_path / "pod", STABLE) as running:
        (running.folder / FILE).write_bytes(b"garbage")
        eventually(lambda: running.tables("refused") == 1)
        with running.server.client() as client:
            assert track(post(client, body)) == "stable"
        write(running.folder, table(9, weight=0))
        eventually(lambda: running.tables("taken") == 1)


def test_pipelined_requests_are_answered_in_their_order(stable: Pod, canary: Pod, model: Built) -> None:
    """Half of them by way of the canary, and others at once."""
    stable.next_step(canary, weight=50)
    wire = b""
    for at in range(60):
        body = json.dumps({"id": str(at), "inputs": model.inputs(model.rows.iloc[:1])}).encode()
        wire += b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (INFER.encode(), len(body), body)
    with socket.create_connection(("127.0.0.1", stable.server.port), timeout=DEADLINE) as connection:
        connection.sendall(wire)
        received = b""
        while received.count(b'"id":"') < 60:
            received += connection.recv(1 << 16)
    ids = [part.partition(b'"')[0] for part in received.split(b'"id":"')[1:]]
    assert ids == [b"%d" % at for at in range(60)]
    assert 0 < received.count(b"Modelwright-Track: canary") < 60


def test_every_form_of_a_request_goes_and_comes_back(stable: Pod, canary: Pod, model: Built) -> None:
    stable.next_step(canary, weight=100)
    inputs = model.inputs(model.rows.iloc[:4])
    plain = json.dumps({"inputs": inputs}).encode()
    values = inputs[0].pop("data")
    raw = struct.pack(f"<{len(values)}f", *values)
    inputs[0]["parameters"] = {"binary_data_size": len(raw)}
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    size = {"Inference-Header-Content-Length": str(len(head))}
    large = json.dumps({"inputs": model.inputs(model.rows.sample(3000, replace=True, random_state=1))}).encode()
    with stable.server.client() as client:
        answers = [
            client.request("POST", INFER, plain),
            client.request("POST", INFER, gzip.compress(plain), {"Content-Encoding": "gzip"}),
            client.request("POST", INFER, head + raw, size),
            client.request("POST", INFER + "?a=b", plain, {"Expect": "100-continue"}),
            client.request("POST", INFER, large),
        ]
        assert [(answer.status, track(answer)) for answer in answers] == [(200, "canary")] * 5
        assert answers[0].json["outputs"] == answers[1].json["outputs"] == answers[3].json["outputs"]
        assert int(answers[2].headers["inference-header-content-length"]) < len(answers[2].body)
        assert answers[2].headers["content-type"] == "application/octet-stream"
        assert answers[4].json["outputs"][0]["shape"] == [3000]
    counts = stable.step()["canary"]
    assert (counts["requests"], counts["bad"]) == (5, 0)


def test_a_drain_ends_what_is_under_way(model: Built, body: bytes, canary: Pod, tmp_path: Path) -> None:
    with pod(model.folder, tmp_path / "pod", STABLE, table(canary.server.port, weight=100)) as running:
        assert {track(answer) for answer in burst(running.server, body)} == {"canary"}
        running.server.terminate()
        assert running.server.process.wait(DEADLINE) == 0
        assert running.server.wait_for("stopped")["allAnswered"] is True
