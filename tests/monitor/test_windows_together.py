"""Windows over replicas: counts add up, the first to write closes, and each row is in one window."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from modelwright_monitor.apiserver import ApiError
from modelwright_monitor.keeper import NO_PART
from modelwright_monitor.listener import Request
from modelwright_monitor.peers import Part
from modelwright_server.contract import monitoring
from tests.monitor.replicas import RULES, FakeObject, Replica, baseline, new_ring, replicas, rows_of

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(7)


def close(found: list[Replica]) -> None:
    for replica in found:
        replica.step()


def test_counts_of_all_replicas_are_judged_together(tmp_path: Path) -> None:
    with replicas(tmp_path, 2) as (api, found):
        found[0].answer(rows_of(RNG, 1200))
        found[1].answer(rows_of(RNG, 900), at_once=30)
        found[1].count()
        close(found)
        assert len(api.writes) == 1
        assert api.report["window"]["rows"] == 2100
        assert api.report["coverage"] == {"replicas": 2, "reported": 2}
        assert api.report["lost"] == 0
        assert api.condition(monitoring.DATA_DRIFT)["status"] == "False"
        assert api.condition(monitoring.MONITORING_HEALTHY)["status"] == "True"


def test_an_accuracy_is_expected_without_labels_as_long_as_the_data_is_whole(tmp_path: Path) -> None:
    with replicas(tmp_path, 2) as (api, found):
        found[0].answer(rows_of(RNG, 2000))
        found[0].count()
        found[1].step()
        expected = api.report["estimatedAccuracy"]
        assert (expected["value"], expected["holdout"]) == pytest.approx((0.9, 0.9), abs=0.005)
        assert 0.88 < expected["low"] < 0.9 < expected["high"] < 0.92
        assert (expected["rows"], expected["assumes"]) == (2000, "NoConceptDrift")
        rows = rows_of(RNG, 2000)
        rows[:, 2] = np.nan
        found[0].answer(rows)
        found[0].count()
        found[1].step()
        assert api.report["window"]["sequence"] == 2
        assert "estimatedAccuracy" not in api.report, "broken data says nothing of it"


def test_a_shifted_feature_is_named_within_two_windows(tmp_path: Path) -> None:
    with replicas(tmp_path, 2) as (api, found):
        for window in (1, 2):
            for replica in found:
                replica.answer(rows_of(RNG, 1100, shift=0.5))
                replica.count()
            close(found)
            assert api.report["window"]["sequence"] == window
        drift = api.condition(monitoring.DATA_DRIFT)
        assert (drift["status"], drift["reason"]) == ("True", "DriftDetected")
        assert "b (PSI 0.2" in drift["message"]
        assert "a (" not in drift["message"]
        assert api.report["features"][0]["name"] == "b"
        assert api.report["features"][0]["flagged"] is True
        assert api.condition(monitoring.PREDICTION_DRIFT)["status"] == "False"
        assert len(api.writes) == 2


def test_one_write_for_each_window_however_many_close_it_at_once(tmp_path: Path) -> None:
    with replicas(tmp_path, 3) as (api, found):
        sent = 0
        for _ in range(5):
            for replica in found:
                replica.answer(rows_of(RNG, 800), at_once=8)
                replica.count()
                sent += 800
            threads = [threading.Thread(target=replica.step) for replica in found]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for replica in found:
                replica.count()
        sequences = [write["monitoring"]["window"]["sequence"] for write in api.writes]
        assert sequences == list(range(1, len(sequences) + 1))
        assert len(sequences) >= 4
        counted = sum(write["monitoring"]["window"]["rows"] for write in api.writes)
        left = sum(_left(replica) for replica in found)
        assert counted + left == sent


def _left(replica: Replica) -> int:
    replica.session._tick_at = 0
    replica.session.count(replica.api.read()[0])
    state = replica.session._windows.state
    return state.open.rows + (state.frozen.tally.rows if state.frozen is not None else 0)


def test_conflicts_of_others_are_no_end(tmp_path: Path) -> None:
    with replicas(tmp_path, 1) as (api, [replica]):
        read = api.read
        calls: list[int] = []

        def moving() -> tuple[dict[str, object], str]:
            seen = read()
            if len(calls) < 3:
                calls.append(1)
                api.touch()
            return seen

        api.read = moving  # type: ignore[method-assign]
        replica.answer(rows_of(RNG, 2000))
        replica.step()
        api.read = read  # type: ignore[method-assign]
        assert api.report["window"]["rows"] == 2000


def test_a_worker_killed_at_any_moment_counts_no_row_twice(tmp_path: Path) -> None:
    with replicas(tmp_path, 2) as (api, found):
        sent = 0
        for number in range(12):
            for replica in found:
                replica.answer(rows_of(RNG, 300))
                sent += 300
            if number % 3 == 0:
                found[number % 2].kill()  # with rows in the ring that nobody counted
            for replica in found:
                replica.count()
            if number % 4 == 1:
                found[0].kill()
                found[1].kill()
            close(found)
        counted = sum(write["monitoring"]["window"]["rows"] for write in api.writes)
        assert sum(write["monitoring"]["lost"] for write in api.writes) == 0
        assert counted + sum(map(_left, found)) == sent


def test_a_part_whose_window_was_closed_without_it_is_in_the_next(tmp_path: Path) -> None:
    with replicas(tmp_path, 2) as (api, found):
        first, second = found
        for replica in found:
            replica.answer(rows_of(RNG, 1500))
            replica.count()
        first.addresses(["127.0.0.1", "127.0.0.9"])  # where nobody listens
        first.answer(rows_of(RNG, 1500))
        first.step()
        assert api.report["window"]["rows"] == 3000
        assert api.report["coverage"] == {"replicas": 2, "reported": 1}
        assert api.condition(monitoring.MONITORING_HEALTHY)["reason"] == "ReplicasMissing"
        second.addresses(["127.0.0.1", "127.0.0.2"])
        second.answer(rows_of(RNG, 600))
        second.step()
        assert api.report["window"]["rows"] == 2100
        assert api.report["total"]["rows"] == 5100


def test_a_window_that_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    with replicas(tmp_path, 2) as (api, found):
        for replica in found:
            replica.answer(rows_of(RNG, 1100))
            replica.count()
        api.down = True
        found[0].session._writer._connect = _refusing  # type: ignore[assignment]
        found[0].step()
        assert api.writes == []
        api.down = False
        found[1].step()
        assert api.report["window"]["rows"] == 2200


def _refusing() -> object:
    message = "away"
    raise ApiError(message)


def test_too_few_rows_are_said_to_be_so_and_how_many_are_missing(tmp_path: Path) -> None:
    rules = {"window": {**RULES["window"], "maxSeconds": 0}}
    with replicas(tmp_path, 1, rules) as (api, [replica]):
        replica.step()
        assert api.writes == [], "an empty window is not closed"
        replica.answer(rows_of(RNG, 120))
        replica.step()
        drift = api.condition(monitoring.DATA_DRIFT)
        assert (drift["status"], drift["reason"]) == ("Unknown", "InsufficientRows")
        assert "380 are missing" in drift["message"]
        assert api.report["recent"] == []


def test_broken_data_is_named_before_drift(tmp_path: Path) -> None:
    with replicas(tmp_path, 1) as (api, [replica]):
        for _ in range(2):
            rows = rows_of(RNG, 2000, shift=0.5)
            rows[::2, 2] = np.nan
            replica.answer(rows, at_once=100)
            replica.step()
        quality = api.condition(monitoring.DATA_QUALITY)
        assert (quality["status"], quality["reason"]) == ("True", "MissingValues")
        assert "50.0% of c are missing" in quality["message"]
        drift = api.condition(monitoring.DATA_DRIFT)
        assert (drift["status"], drift["reason"]) == ("Unknown", "BrokenData")


def test_what_a_ring_lost_is_reported(tmp_path: Path) -> None:
    with replicas(tmp_path, 1) as (api, [replica]):
        replica.answer(rows_of(RNG, 160_000), at_once=10)  # more than a ring holds
        replica.step()
        report = api.report
        assert report["lost"] > 0
        assert report["window"]["rows"] + report["lost"] == 160_000
        assert api.condition(monitoring.MONITORING_HEALTHY)["reason"] == "RowsLost"


def test_a_server_that_began_anew_is_followed(tmp_path: Path) -> None:
    with replicas(tmp_path, 1) as (api, [replica]):
        replica.answer(rows_of(RNG, 700))
        replica.count()
        digest = replica.session._model.digest
        replica.ring = new_ring(replica.folders.ring, digest)
        replica.answer(rows_of(RNG, 1400))
        replica.count()
        replica.step()
        assert api.report["window"]["rows"] == 2100
        assert api.report["lost"] == 0


def test_windows_of_a_canary_are_apart(tmp_path: Path) -> None:
    with replicas(tmp_path, 1) as (api, [replica]):
        table = {
            "stable": {"revision": "9999999999", "version": "churn-0"},
            "canary": {"revision": "0123456789", "version": "churn-1"},
        }
        stable = {"window": {"sequence": 7, "rows": 1}, "digest": "sha256:other", "revision": "9999999999"}
        drift = {"type": "DataDriftDetected", "status": "False", "reason": "NoDrift", "lastTransitionTime": "t"}
        ready = {"type": "Ready", "status": "True", "reason": "Available", "lastTransitionTime": "t"}
        with api.lock:
            api.touch_locked({"traffic": table, "monitoring": stable, "conditions": [drift, ready]})
        for _ in range(2):
            replica.step()
            replica.answer(rows_of(RNG, 2100, shift=0.6))
            replica.step()
        canary = api.report["canary"]
        assert canary["window"]["sequence"] == 2
        assert {item["type"]: item["status"] for item in canary["findings"]}["DataDriftDetected"] == "True"
        assert api.report["window"] == {"sequence": 7, "rows": 1}
        assert api.writes[-1]["conditions"] == [drift], (
            "the conditions are the stable track's, and never the operator's"
        )


def test_rows_that_are_in_no_window_yet_go_with_the_pod_onto_its_next_track(tmp_path: Path) -> None:
    """The Service has a pod before the status says so, and a canary's answers do not end with its promotion."""
    other, mine = {"revision": "9999999999", "version": "churn-0"}, {"revision": "0123456789", "version": "churn-1"}
    with replicas(tmp_path, 1) as (api, [replica]):
        for table, rows in (
            ({"stable": other}, 300),
            ({"stable": other, "canary": mine}, 600),
            ({"stable": mine}, 1200),
        ):
            with api.lock:
                api.touch_locked({"traffic": table})
            replica.count()
            replica.answer(rows_of(RNG, rows))
            replica.count()  # the pod is not told of the next track yet
            replica.kill()
        assert api.writes == []
        replica.step()
        assert api.report["window"]["rows"] == api.report["total"]["rows"] == 2100


def test_a_version_that_was_replaced_closes_no_window_of_its_successor(tmp_path: Path) -> None:
    with replicas(tmp_path, 1) as (api, found):
        replica = found[0]
        stale, _version = api.read()
        replica.answer(rows_of(RNG, 2100, shift=2.0))
        replica.count()
        with api.lock:
            api.touch_locked({"traffic": {"stable": {"revision": "fedcba9876", "version": "churn-2"}}})
        replica.session._look_at = float("-inf")
        replica.session.look(stale)  # the pod was not told yet
        assert api.writes == []
        assert replica.session._windows.state.frozen is not None, "it tried"


def test_nobody_but_a_sidecar_cuts_a_window(tmp_path: Path) -> None:
    with replicas(tmp_path, 1) as (api, [replica]):
        replica.answer(rows_of(RNG, 100))
        replica.count()
        ours = {"digest": replica.session._model.digest, "track": "stable"}
        asked = {**ours, "sequence": "1", "by": "me"}
        assert replica.session.answer_window(Request(asked, "10.0.0.9", "127.0.0.1")).status == 403
        assert replica.session._windows.state.frozen is None
        for sequence in ("2", "0", "-1", "x", "9" * 400):
            answer = replica.session.answer_window(Request({**asked, "sequence": sequence}, "127.0.0.1", "127.0.0.1"))
            assert answer.status == 409, sequence
        assert replica.session._windows.state.open.rows == 100
        assert isinstance(api, FakeObject)


def test_who_cannot_be_monitored_is_missing_from_no_window() -> None:
    part = Part.from_document(NO_PART, baseline(), "sha256:mine")
    assert (part.digest, part.track, part.rows) == ("", "", 0)
