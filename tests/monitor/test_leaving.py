"""A pod that ends leaves the rows of its open window to another one, or says that they are lost."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from modelwright_monitor.peers import Part
from modelwright_monitor.tally import most_bytes
from modelwright_server.contract import STABLE, monitoring
from tests.monitor.replicas import Replica, baseline, replicas, rows_of

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(17)


def open_rows(replica: Replica) -> int:
    return replica.session._windows.state.open.rows


def test_rows_of_a_pod_that_ends_are_in_the_window_of_another(tmp_path: Path) -> None:
    with replicas(tmp_path, 3) as (api, found):
        for replica in found:
            replica.answer(rows_of(RNG, 500))
        found[1].count()
        found[0].answer(rows_of(RNG, 100), at_once=7)  # what nobody has counted yet is as well
        found[0].leave()
        assert open_rows(found[1]) == 1100
        for replica in found[1:]:
            replica.answer(rows_of(RNG, 300))
            replica.count()
        found[1].step()
        assert api.report["window"]["rows"] == api.report["total"]["rows"] == 2200
        assert api.report["total"]["lost"] == 0
        assert len(api.writes) == 1


def test_they_survive_the_worker_that_took_them(tmp_path: Path) -> None:
    with replicas(tmp_path, 2) as (_, found):
        found[0].answer(rows_of(RNG, 500))
        found[0].leave()
        found[1].kill()
        assert open_rows(found[1]) == 500


def test_one_after_the_other_they_come_to_the_last(tmp_path: Path) -> None:
    with replicas(tmp_path, 3) as (_, found):
        for replica in found:
            replica.answer(rows_of(RNG, 100))
        found[2].count()
        found[0].leave()
        found[1].leave()
        assert open_rows(found[2]) == 300


def test_of_the_last_pod_they_are_lost_and_said_to_be(tmp_path: Path) -> None:
    with replicas(tmp_path, 1) as (api, [replica]):
        replica.answer(rows_of(RNG, 2000))
        replica.step()
        replica.answer(rows_of(RNG, 700))
        replica.leave()
        assert api.report["total"] == {"windows": 1, "rows": 2000, "lost": 700}
        assert api.report["window"]["sequence"] == 1
        assert len(api.writes) == 2


def test_a_pod_without_rows_writes_nothing(tmp_path: Path) -> None:
    with replicas(tmp_path, 1) as (api, [replica]):
        replica.leave()
        assert api.writes == []


def test_a_replica_that_is_not_reached_is_passed_over(tmp_path: Path) -> None:
    with replicas(tmp_path, 3) as (_, found):
        found[1].leave()
        found[0].addresses(["127.0.0.1", "127.0.0.2", "127.0.0.3"])
        found[0].answer(rows_of(RNG, 100))
        found[0].leave()
        assert open_rows(found[2]) == 100


def test_one_that_ends_as_well_takes_none(tmp_path: Path) -> None:
    with replicas(tmp_path, 2) as (api, found):
        found[1].answer(rows_of(RNG, 2000))
        found[1].count()
        found[1].step()
        found[1].session.leave(lambda: api.read()[0], 0.2)
        found[0].answer(rows_of(RNG, 100))
        found[0].leave()
        assert api.report["total"]["lost"] == 100


def test_a_part_that_is_being_closed_is_left_to_its_closer(tmp_path: Path) -> None:
    with replicas(tmp_path, 2) as (api, found):
        found[0].answer(rows_of(RNG, 1500))
        found[1].answer(rows_of(RNG, 1000))
        found[0].count()
        found[1].count()
        found[0].session._windows.cut(1, found[1].name, found[0].address)
        found[0].answer(rows_of(RNG, 50))
        found[0].leave(1.0)
        assert open_rows(found[1]) == 1050
        assert api.writes == [], "it is not known whether these are in: they count as in"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 200),
        ({"track": "canary"}, 409),
        ({"digest": "sha256:other"}, 409),
        ({"tally": None}, 409),
        ({"tally": {"rows": -1}}, 400),
        ({"format": 2}, 400),
    ],
)
def test_what_does_not_belong_here_is_refused(tmp_path: Path, change: dict[str, Any], status: int) -> None:
    with replicas(tmp_path, 2) as (_, found):
        found[0].answer(rows_of(RNG, 10))
        found[0].count()
        session = found[0].session
        state = session._windows.state
        part = Part("p", STABLE, state.digest, 10, 0, 1.0, "", state.open).to_document()
        assert post(found[0].address, found[1], json.dumps({**part, **change}).encode()) == status
        assert open_rows(found[1]) == (10 if status == 200 else 0)


def test_strangers_and_floods_are_refused_unread(tmp_path: Path) -> None:
    with replicas(tmp_path, 2) as (_, found):
        assert post(found[0].address, found[1], b" " * (most_bytes(baseline()) + 1)) == 400
        assert post(found[0].address, found[1], b"[" * 10_000) == 400
        assert post("127.0.0.99", found[1], b"{}") == 403


def post(sender: str, receiver: Replica, body: bytes) -> int:
    """Post to a replica as another one does, from its address."""
    connection = http.client.HTTPConnection(receiver.address, receiver._port, timeout=5, source_address=(sender, 0))
    try:
        connection.request("POST", monitoring.WINDOW_PATH, body)
        return connection.getresponse().status
    finally:
        connection.close()
