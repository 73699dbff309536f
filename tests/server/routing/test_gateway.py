"""Where a gateway spreads the requests: nothing is sent on, and the pods of each track count what they answer."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from modelwright_server.contract.traffic import GATEWAY_API, Match
from tests.server.grpc.client import request
from tests.server.models import Built
from tests.server.process import DEADLINE
from tests.server.routing.tracks import CANARY, CANARY_VERSION, STABLE, STABLE_VERSION, Pod, pod, post, table, track

METHOD = "/inference.GRPCInferenceService/ModelInfer"
MATCH = Match(header="x-canary", value="always")


@pytest.fixture(scope="module")
def tracks(model: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Pod]]:
    with (
        pod(model.folder, tmp_path_factory.mktemp("stable"), STABLE) as stable,
        pod(model.folder, tmp_path_factory.mktemp("canary"), CANARY) as canary,
    ):
        yield {"stable": stable, "canary": canary}


def step(tracks: dict[str, Pod], sequence: int, **changes: Any) -> None:
    """Give both pods the same table, as their sidecars do."""
    for running in tracks.values():
        values: dict[str, Any] = {"weight": 0, "mode": GATEWAY_API, "sequence": sequence, "match": MATCH, **changes}
        running.route(table(9, **values))


@pytest.mark.parametrize("name", ["stable", "canary"])
def test_each_track_counts_its_own_answers(tracks: dict[str, Pod], body: bytes, name: str) -> None:
    sequence = 10 + len(name)
    step(tracks, sequence)
    running = tracks[name]
    version = {"stable": STABLE_VERSION, "canary": CANARY_VERSION}[name]
    with running.server.client() as client:
        for _ in range(20):  # often enough to be recognised by their bytes
            assert track(post(client, body)) == name
            assert track(post(client, body, x_canary="always")) == name
        assert post(client, b"{").status == 400
        for _ in range(3):  # a pod that has not heard of the mode yet sent it, and counts it
            assert track(post(client, body, modelwright_forwarded=STABLE)) == name
        assert client.request("POST", f"/v2/models/churn/versions/{version}/infer", body).status == 200
    counted = running.step()
    assert (counted["revision"], counted["sequence"]) == (CANARY, sequence)
    other = {"stable": "canary", "canary": "stable"}[name]
    assert counted[name]["requests"] == 21
    assert counted[name]["bad"] == 0
    assert counted[other]["requests"] == 0
    assert (counted["matched"], counted["skipped"]) == (20, 0)
    assert running.metric("modelwright_server_forwarded_requests_total") == 0


@pytest.mark.parametrize("name", ["stable", "canary"])
def test_slow_answers_are_bad(tracks: dict[str, Pod], model: Built, name: str) -> None:
    step(tracks, 30 + len(name), latency_threshold_milliseconds=1)
    rows = model.rows.sample(4000, replace=True, random_state=0)
    body = json.dumps({"inputs": model.inputs(rows)}).encode()
    with tracks[name].server.client() as client:
        assert post(client, body).status == 200
    counted = tracks[name].step()[name]
    assert (counted["requests"], counted["bad"], counted["slow"]) == (1, 1, 1)


@pytest.mark.parametrize("name", ["stable", "canary"])
def test_calls_are_counted_likewise(tracks: dict[str, Pod], model: Built, name: str) -> None:
    step(tracks, 50 + len(name))
    message = request(model.inputs(model.rows.iloc[:1]), raw=True).SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{tracks[name].server.grpc_port}") as channel:
        method: Any = channel.unary_unary(METHOD)
        for metadata in ((), (("x-canary", "always"),), (("modelwright-forwarded", STABLE),)):
            _, call = method.with_call(message, timeout=DEADLINE, metadata=metadata)
            assert dict(call.trailing_metadata())["modelwright-track"] == name
    counted = tracks[name].step()
    assert (counted[name]["requests"], counted["matched"]) == (1, 1)


def test_a_pod_of_neither_track_counts_nothing(model: Built, body: bytes, tmp_path: Path) -> None:
    with pod(model.folder, tmp_path, "0123456789", table(9, weight=0, mode=GATEWAY_API)) as running:
        with running.server.client() as client:
            assert post(client, body).status == 200
        assert running.steps() == []


def test_the_mode_may_change_at_any_time(tracks: dict[str, Pod], body: bytes) -> None:
    stable, canary = tracks["stable"], tracks["canary"]
    step(tracks, 70)
    with stable.server.client() as client:
        assert track(post(client, body)) == "stable"
        stable.route(table(canary.server.port, weight=100, sequence=71))
        assert track(post(client, body)) == "canary"
        step(tracks, 72)
        assert track(post(client, body)) == "stable"
    assert [item["canary"]["requests"] for item in stable.steps()[-3:]] == [0, 1, 0]
    assert canary.step()["canary"]["requests"] == 0
