"""Several serving processes on one port, as one server."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc

from modelwright_server import contract
from modelwright_server.worker import Worker, from_items, to_items
from tests.server.models import Built
from tests.server.process import DEADLINE, INFER, Client, Server, settings
from tests.server.test_metrics import Samples, samples, value

Builder = Callable[[str], Built]
PROCESSES = 2


def several(model: Built, folder: Path, **changes: Any) -> Server:
    return Server(settings(model.folder, folder, processes=PROCESSES, **changes))


def workers(server: Server) -> list[int]:
    """Process ids of the workers, in their order of start."""
    pid = server.process.pid
    return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def settled(server: Server, late: int = 0) -> Samples:
    """Return the counts once so many processes, and no more, are late: one that the machine holds up may be."""
    found: Samples = {}

    def as_expected() -> bool:
        found.clear()
        found.update(samples(server.metrics()))
        states = {"late": late, "answered": PROCESSES - late}
        return all(value(found, contract.METRIC_PROCESSES, state=state) == count for state, count in states.items())

    wait_for(as_expected)
    return found


LISTENING, ESTABLISHED = "0A", "01"


def sockets(pid: int, port: int, state: str) -> int:
    """How many sockets of a process have this local port and this state."""
    folder = Path(f"/proc/{pid}")
    held = {str(entry.readlink()) for entry in (folder / "fd").iterdir() if entry.is_symlink()}
    tables = [(folder / "net" / name).read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == state and f"socket:[{row[9]}]" in held for row in rows)


def test_processes_share_a_port_and_their_counts_add_up(built: Builder, tmp_path: Path) -> None:
    """Connections are spread over both, one is not half of the counts, and all rows have a ring."""
    model = built("logistic")
    body = {"inputs": model.inputs(model.rows.iloc[:3])}
    rings = tmp_path / "rings"
    rings.mkdir()
    with several(model, tmp_path, ring_dir=str(rings)) as server:
        ready = server.wait_for("ready")
        server.port, server.metrics_port = ready["restPort"], ready["metricsPort"]
        assert {"seconds", "callMicroseconds", "restPort", "grpcPort", "metricsPort"} <= ready.keys()
        assert ready["processes"] == PROCESSES
        assert sorted(entry["worker"] for entry in server.log if entry["event"] == "worker ready") == [0, 1]
        pids = workers(server)
        assert len(pids) == PROCESSES
        clients = list[Client]()
        try:
            while not all(sockets(pid, server.port, ESTABLISHED) for pid in pids):
                assert len(clients) < 100  # by chance once in 2 ** 99
                clients.append(Client(server.port))
                assert clients[-1].request("GET", "/v2").status == 200
            for client in clients:
                for _ in range(5):
                    assert client.request("POST", INFER, body).status == 200
            found = settled(server)
            requests = 5 * len(clients)
            assert value(found, contract.METRIC_REQUESTS, protocol="rest", code="200") == requests
            assert value(found, contract.METRIC_DURATION + "_count", protocol="rest") == requests
            assert value(found, contract.METRIC_ROWS) == 3 * requests
            assert value(found, contract.METRIC_CONNECTIONS) == len(clients)
            assert value(found, contract.METRIC_READY) == 1
            assert value(found, contract.METRIC_PROCESSES, state="answered") == PROCESSES
        finally:
            for client in clients:
                client.close()
        assert sorted(path.name for path in rings.iterdir()) == ["ring-0", "ring-1"]
        server.terminate()
        assert server.process.wait(DEADLINE) == 0
        assert all(map(gone, pids))


def test_grpc_is_shared_too(built: Builder, tmp_path: Path) -> None:
    with several(built("logistic"), tmp_path) as server:
        ready = server.wait_for("ready")
        port = ready["grpcPort"]
        assert all(sockets(pid, port, LISTENING) for pid in workers(server))
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            live: Any = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
            assert live(b"", timeout=DEADLINE) == b"\x08\x01"


def test_the_end_loses_no_request(built: Builder, tmp_path: Path) -> None:
    """Clients that connect anew where they are told to, until the drain's end, see no failure."""
    model = built("logistic")
    body = {"inputs": model.inputs(model.rows.iloc[:2])}
    with several(model, tmp_path, drain_seconds=60) as server:
        server.wait_until_ready()
        answered, failures = [0], list[str]()
        leave = threading.Event()

        def run() -> None:
            client = Client(server.port)
            while not leave.is_set():
                answer = client.request("POST", INFER, body)
                answered[0] += 1
                if answer.status != 200:
                    failures.append(str(answer))
                if answer.closes:
                    client.close()
                    client = Client(server.port)
            client.close()

        def guarded() -> None:
            try:
                run()
            except Exception as error:  # noqa: BLE001 - the test tells
                failures.append(repr(error))

        threads = [threading.Thread(target=guarded, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        wait_for(lambda: answered[0] > 300 or bool(failures))
        server.terminate()
        server.wait_for("draining")
        count = answered[0]
        wait_for(lambda: answered[0] > count + 100 or bool(failures))  # it goes on answering
        leave.set()
        for thread in threads:
            thread.join(DEADLINE)
        server.terminate()  # who asks twice is in a hurry
        assert server.process.wait(DEADLINE) == 0
        assert failures == []
        assert server.wait_for("all workers ended")["codes"] == [0, 0]


def test_one_that_dies_ends_all(built: Builder, tmp_path: Path) -> None:
    with several(built("logistic"), tmp_path) as server:
        server.wait_until_ready()
        pids = workers(server)
        os.kill(pids[1], signal.SIGKILL)
        assert server.process.wait(DEADLINE) == 1
        ended = server.wait_for("worker ended")
        assert (ended["pid"], ended["code"], ended["level"]) == (pids[1], -9, "error")
        assert ended["worker"] in {0, 1}
        assert all(map(gone, pids))


def test_one_that_is_told_to_end_ends_all_with_a_failure(built: Builder, tmp_path: Path) -> None:
    """Nobody should, but then the container must start anew."""
    with several(built("logistic"), tmp_path) as server:
        server.wait_until_ready()
        os.kill(workers(server)[0], signal.SIGTERM)
        assert server.process.wait(DEADLINE) == 1


def test_workers_do_not_outlive_their_supervisor(built: Builder, tmp_path: Path) -> None:
    with several(built("logistic"), tmp_path) as server:
        server.wait_until_ready()
        pids = workers(server)
        server.process.kill()
        wait_for(lambda: all(map(gone, pids)))


def test_counts_of_one_that_does_not_answer_are_its_last(built: Builder, tmp_path: Path) -> None:
    """A counter never falls, and the page says that something is late."""
    model = built("logistic")
    body = {"inputs": model.inputs(model.rows.iloc[:1])}
    with several(model, tmp_path) as server:
        server.wait_until_ready()
        for _ in range(20):
            assert server.infer(body).status == 200
        assert value(settled(server), contract.METRIC_ROWS) == 20
        stopped = workers(server)[0]
        os.kill(stopped, signal.SIGSTOP)
        try:
            for _ in range(2):
                assert value(settled(server, late=1), contract.METRIC_ROWS) == 20
        finally:
            os.kill(stopped, signal.SIGCONT)

        def all_answer() -> bool:
            return value(samples(server.metrics()), contract.METRIC_PROCESSES, state="late") == 0

        wait_for(all_answer)


def test_a_model_that_cannot_be_loaded_ends_all_for_good(built: Builder, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"nonsense")
    (folder / "schema.json").write_bytes((built("logistic").folder / "schema.json").read_bytes())
    with Server(replace(settings(folder, tmp_path), processes=PROCESSES)) as server:
        assert server.process.wait(DEADLINE) == 2
        assert "ModelRejected" in (tmp_path / "termination-log").read_text()


def test_a_port_somebody_has_is_an_error_at_once(built: Builder, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = several(built("logistic"), tmp_path, rest_port=port)
        result = subprocess.run(
            [sys.executable, "-m", "modelwright_server"],
            env={**os.environ, **server.settings.to_env()},
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )
    assert result.returncode == 1
    assert f"127.0.0.1:{port}".encode() in result.stderr


def test_a_supervisor_carries_no_model(built: Builder, tmp_path: Path) -> None:
    with several(built("logistic"), tmp_path) as server:
        server.wait_until_ready()
        maps = Path(f"/proc/{server.process.pid}/maps").read_text()
        assert "onnxruntime" not in maps
        assert "numpy" not in maps
        assert all("onnxruntime" in Path(f"/proc/{pid}/maps").read_text() for pid in workers(server))


def test_snapshots_are_the_same_on_the_other_side() -> None:
    snapshot: dict[tuple[str, ...], tuple[float, ...]] = {
        ("a", "stable", "rest", "200"): (1, 2.5),
        ("b", "canary"): (0,),
    }
    assert from_items([(list(key), list(values)) for key, values in to_items(snapshot)]) == snapshot


def test_who_serves_alone_is_no_worker() -> None:
    assert Worker.from_env({}) is None
