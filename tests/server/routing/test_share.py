"""The canary gets exactly its share, by chance, by sticky value or by header."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from modelwright_server.contract.traffic import Match
from tests.server.models import Built
from tests.server.process import INFER, Server
from tests.server.routing.tracks import (
    CANARY,
    CANARY_VERSION,
    STABLE,
    STABLE_VERSION,
    Pod,
    eventually,
    pod,
    post,
    table,
    track,
)


def count(server: Server, body: bytes, requests: int) -> Counter[str]:
    with server.client() as client:
        return Counter(track(post(client, body)) for _ in range(requests))


@pytest.mark.parametrize("weight", [0, 1, 10, 50, 99, 100])
def test_the_share_is_exact(stable: Pod, canary: Pod, body: bytes, weight: int) -> None:
    stable.next_step(canary, weight=weight)
    assert count(stable.server, body, 1000)["canary"] == 10 * weight
    seen = stable.step()
    assert (seen["canary"]["requests"], seen["stable"]["requests"]) == (10 * weight, 1000 - 10 * weight)
    assert seen["canary"]["bad"] == seen["stable"]["bad"] == seen["matched"] == seen["skipped"] == 0


def test_the_share_is_exact_in_each_of_two_processes(model: Built, canary: Pod, body: bytes, tmp_path: Path) -> None:
    """10 000 requests on 8 kept connections: as many as the weight says, to one request for each begun block."""
    content = table(canary.server.port)
    with pod(model.folder, tmp_path / "stable", STABLE, content, processes=2) as stable:
        seen = Counter[str]()
        for _ in range(8):
            seen += count(stable.server, body, 1250)
        eventually(lambda: sum(stable.step()[track]["requests"] for track in ("canary", "stable")) == 10_000)
        step = stable.step()
        assert seen["canary"] == step["canary"]["requests"]
        assert seen["stable"] == step["stable"]["requests"]
        assert abs(seen["canary"] - 1000) <= 2 * 10


def test_answers_name_version_and_track(stable: Pod, body: bytes) -> None:
    with stable.server.client() as client:
        answers = [post(client, body) for _ in range(200)]
    versions = {(track(answer), answer.headers["modelwright-version"]) for answer in answers}
    assert versions == {("stable", STABLE_VERSION), ("canary", CANARY_VERSION)}
    letters = {(track(answer), answer.headers["x-prediction-id"].split(".")[2]) for answer in answers}
    assert letters == {("stable", "s"), ("canary", "c")}
    assert {answer.json["model_version"] for answer in answers} == {STABLE_VERSION, CANARY_VERSION}


def test_an_error_names_them_too(stable: Pod, canary: Pod) -> None:
    stable.next_step(canary, weight=50)
    with stable.server.client() as client:
        answers = [post(client, b"[]") for _ in range(100)]
    assert {answer.status for answer in answers} == {400}
    assert Counter(map(track, answers)) == {"stable": 50, "canary": 50}
    step = stable.step()
    assert (step["stable"]["requests"], step["canary"]["requests"]) == (50, 50)
    assert step["stable"]["bad"] == step["canary"]["bad"] == 0  # the client is to blame


def test_a_sticky_value_stays_as_the_weight_grows_and_on_every_pod(
    model: Built, canary: Pod, body: bytes, tmp_path: Path
) -> None:
    content = table(canary.server.port, sticky_header="X-User")
    users = [f"user-{at}" for at in range(100)]
    with (
        pod(model.folder, tmp_path / "a", STABLE, content) as one,
        pod(model.folder, tmp_path / "b", STABLE, content) as other,
    ):
        before = set[str]()
        for weight in (10, 40, 100):
            found = []
            for running in (one, other):
                running.next_step(canary, sticky_header="X-User", weight=weight)
                with running.server.client() as client:
                    found.append({user for user in users if track(post(client, body, x_user=user)) == "canary"})
            assert found[0] == found[1] >= before
            assert abs(len(found[0]) - weight) <= 25  # of 100, hashed
            before = found[0]
        assert count(one.server, body, 100)["canary"] == 100  # who has no value goes by chance


def test_matching_requests_always_go_and_count_for_nothing(stable: Pod, canary: Pod, body: bytes) -> None:
    match = Match(header="X-Canary", value="always")
    stable.next_step(canary, match=match, weight=1)
    with stable.server.client() as client:
        assert {track(post(client, body, x_canary="always")) for _ in range(50)} == {"canary"}
        assert Counter(track(post(client, body, X_CANARY="Always")) for _ in range(100))["canary"] == 1
    step = stable.step()
    assert (step["matched"], step["canary"]["requests"], step["stable"]["requests"]) == (50, 1, 99)
    stable.next_step(canary, match=match, weight=0)
    with stable.server.client() as client:
        assert {track(post(client, body, x_canary="always")) for _ in range(20)} == {"stable"}


def test_only_inference_is_forwarded_and_none_that_names_its_version(stable: Pod, canary: Pod, body: bytes) -> None:
    stable.next_step(canary, weight=100)
    before = canary.server.metrics().count("x"), stable.step()["canary"]["requests"]
    with stable.server.client() as client:
        assert client.request("GET", "/v2/models/churn").json["versions"] == [STABLE_VERSION]
        assert client.request("GET", "/v2/models/churn/ready").status == 200
        assert client.request("GET", "/v2/health/ready").status == 200
        assert client.request("GET", "/openapi.json").json["info"]["version"]
        assert client.request("GET", INFER).status == client.request("HEAD", INFER).status == 405
        versioned = f"/v2/models/churn/versions/{STABLE_VERSION}/infer"
        for _ in range(5):
            assert track(client.request("POST", versioned, body)) == "stable"
        assert client.request("POST", f"/v2/models/churn/versions/{CANARY_VERSION}/infer", body).status == 404
    step = stable.step()
    assert step["canary"]["requests"] == before[1]
    assert step["stable"]["requests"] == 0


def test_what_was_forwarded_once_stays(stable: Pod, body: bytes) -> None:
    """Also where the table points at the server itself, and whoever says so."""
    stable.next_step(stable.server.port, weight=100)
    assert count(stable.server, body, 20) == {"canary": 20}  # once around, labelled as it was routed
    with stable.server.client() as client:
        for name in ("Modelwright-Forwarded", "modelwright-forwarded", "MODELWRIGHT-FORWARDED"):
            assert track(client.request("POST", INFER, body, {name: "me"})) == "stable"
        for _ in range(5):  # often enough to be recalled, were it remembered
            assert track(client.request("POST", INFER, body, {"Modelwright-Forwarded": "me"})) == "stable"
    step = stable.step()
    assert (step["canary"]["requests"], step["stable"]["requests"]) == (20, 0)


def test_labels_that_a_client_sends_mean_nothing(stable: Pod, body: bytes) -> None:
    with stable.server.client() as client:
        answers = [post(client, body, modelwright_track="canary", modelwright_version="x") for _ in range(100)]
    assert Counter(map(track, answers)) == {"stable": 90, "canary": 10}
    assert {answer.headers["modelwright-version"] for answer in answers} == {STABLE_VERSION, CANARY_VERSION}


@pytest.mark.parametrize("revision", ["", CANARY, "0000000000"])
def test_a_pod_routes_only_for_its_own_revision(
    model: Built, canary: Pod, body: bytes, tmp_path: Path, revision: str
) -> None:
    with pod(model.folder, tmp_path / "other", revision, table(canary.server.port, weight=100)) as other:
        tracks = count(other.server, body, 20)
        assert other.steps() == []
    assert tracks == {"canary" if revision == CANARY else "stable": 20}


def test_a_pod_learns_its_track_from_the_table(model: Built, body: bytes, tmp_path: Path) -> None:
    with pod(model.folder, tmp_path / "pod", CANARY) as running:
        assert count(running.server, body, 1) == {"stable": 1}
        running.route(table(9, weight=0))
        assert count(running.server, body, 2) == {"canary": 2}
        requests = "modelwright_server_requests_total"
        assert running.metric(requests, 'track="canary"') == 2
        assert running.metric(requests, 'track="stable"') == 1
        with running.server.client() as client:
            assert post(client, body).headers["x-prediction-id"].split(".")[2] == "c"


def test_metrics_name_the_canary(stable: Pod, canary: Pod, body: bytes) -> None:
    stable.next_step(canary, weight=20)
    name = "modelwright_server_forwarded_requests_total"
    labels = f'canary="{CANARY_VERSION}"', 'protocol="rest"', 'outcome="answered"', 'track="stable"'
    durations = "modelwright_server_forward_duration_seconds_count"
    before, timed = stable.metric(name, *labels), stable.metric(durations, *labels[:2])
    count(stable.server, body, 100)
    assert stable.metric(name, *labels) - before == 20
    assert stable.metric(durations, *labels[:2]) - timed == 20
    assert stable.metric("modelwright_server_canary_breakers_open") == 0
    assert f'version="{STABLE_VERSION}"' in stable.server.metrics()


def test_a_new_start_of_the_server_is_another_boot(model: Built, tmp_path: Path) -> None:
    pages: list[dict[str, Any]] = []
    for processes in (1, 2):
        with pod(model.folder, tmp_path / str(processes), STABLE, processes=processes) as running:
            pages += running.page(), running.page()
    assert [page["revision"] for page in pages] == [STABLE] * 4
    assert [page["steps"] for page in pages] == [[]] * 4
    boots = [page["boot"] for page in pages]
    assert boots[0] == boots[1] != boots[2] == boots[3]
    assert all(len(boot) == 16 for boot in boots)
