"""Copies: after the answer, compared with it, bounded, and never in its way."""

import json
from collections import Counter
from pathlib import Path

from tests.server.models import Built
from tests.server.process import Answer, Server
from tests.server.routing.canaries import forwarded_by, response, saying, silent
from tests.server.routing.tracks import SHORT_MILLISECONDS, STABLE, Pod, burst, eventually, post, track

CERTAIN = (
    b'{"outputs":[{"name":"label","datatype":"INT64","shape":[1],"data":[%d]},'
    b'{"name":"probabilities","datatype":"FP32","shape":[1,2],"data":[0.5,0.5]}]}'
)


def rows(model: Built, count: int, **members: object) -> bytes:
    return json.dumps({"inputs": model.inputs(model.rows.iloc[:count]), **members}).encode()


def ask(server: Server, body: bytes, requests: int) -> list[Answer]:
    with server.client() as client:
        return [post(client, body) for _ in range(requests)]


def test_copies_are_exact_and_equal_models_agree(stable: Pod, canary: Pod, model: Built) -> None:
    stable.next_step(canary, weight=0, shadow_percent=30)
    answers = ask(stable.server, rows(model, 3), 100)
    assert Counter(map(track, answers)) == {"stable": 100}
    eventually(lambda: sum(stable.step()["shadow"]["latencyDifferences"]) == 30)
    step = stable.step()
    shadow = step["shadow"]
    assert (shadow["sent"], shadow["dropped"], shadow["failed"]) == (30, 0, 0)
    assert (shadow["compared"], shadow["agreed"]) == (90, 90)
    assert shadow["scoreDifferences"] == [90] + [0] * 8
    assert step["stable"]["requests"] == 100  # also at weight 0
    assert stable.metric("modelwright_server_shadow_rows_total", 'outcome="disagreed"') == 0


def test_disagreement_is_counted_by_row_and_distance(stable: Pod, body: bytes) -> None:
    label = ask(stable.server, body, 1)[0].json["outputs"][0]["data"][0]
    with saying(response(CERTAIN % (1 - label))) as canary:
        stable.next_step(canary.port, weight=0, shadow_percent=100)
        ask(stable.server, body, 10)
        eventually(lambda: stable.step()["shadow"]["compared"] == 10)
        assert forwarded_by(canary.requests[0]) == [STABLE.encode()]
    shadow = stable.step()["shadow"]
    assert shadow["agreed"] == 0
    assert shadow["scoreDifferences"][7] == 10  # a certain answer is half away from an undecided one
    assert sum(shadow["latencyDifferences"]) == 10


def test_answers_that_cannot_be_compared_fail_or_say_nothing(stable: Pod, body: bytes, model: Built) -> None:
    with saying(response(CERTAIN % 1)) as canary:
        stable.next_step(canary.port, weight=0, shadow_percent=100)
        ask(stable.server, rows(model, 2), 5)  # the answer has one row
        eventually(lambda: stable.step()["shadow"]["failed"] == 5)
        assert stable.step()["shadow"]["compared"] == 0
        ask(stable.server, b"{}", 5)  # what stable refused is not copied
        ask(stable.server, body, 1)
        eventually(lambda: stable.step()["shadow"]["compared"] == 1)
        assert stable.step()["shadow"]["sent"] == 6


def test_a_frozen_canary_bounds_what_waits(stable: Pod, body: bytes) -> None:
    """16 copies are under way, the others wait or are dropped; every answer is there meanwhile."""
    with silent() as canary:
        stable.next_step(canary.port, weight=0, shadow_percent=100, canary_timeout_milliseconds=60_000)
        answers = burst(stable.server, body, connections=10, each=40)
        assert {(answer.status, track(answer)) for answer in answers} == {(200, "stable")}
        eventually(lambda: len(canary.requests) == 16)
        shadow = stable.step()["shadow"]
        assert shadow["sent"] == 16
        assert shadow["dropped"] >= 400 - 16 - 256
        assert shadow["failed"] == 0


def test_copies_to_a_canary_that_never_answers_stop(stable: Pod, body: bytes) -> None:
    with silent() as canary:
        stable.next_step(canary.port, weight=0, shadow_percent=100, canary_timeout_milliseconds=SHORT_MILLISECONDS)
        with stable.server.client() as client:

            def stopped() -> bool:
                post(client, body)
                return stable.metric("modelwright_server_canary_breakers_open", 'kind="copies"') == 1

            eventually(stopped)
        shadow = stable.step()["shadow"]
        assert shadow["failed"] >= 20
        assert shadow["agreed"] == shadow["compared"] == 0


def test_large_bodies_are_answered_and_not_copied(stable: Pod, canary: Pod, model: Built, tmp_path: Path) -> None:
    large = rows(model, 500)
    assert len(large) > 128 << 10, tmp_path
    stable.next_step(canary, weight=0, shadow_percent=100)
    assert {answer.status for answer in ask(stable.server, large, 3)} == {200}
    eventually(lambda: stable.step()["shadow"]["dropped"] == 3)
    assert stable.step()["shadow"]["sent"] == 0
