"""What a sidecar shows of its windows: to anybody, cutting nothing, bounded."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright_drift.baseline import Baseline
from modelwright_monitor.distributions import MOST_LINES, Distributions
from modelwright_monitor.listener import Request
from modelwright_monitor.report import Rules, Window, report
from modelwright_monitor.tally import Tally
from modelwright_monitor.windows import Windows
from modelwright_server.contract import STABLE, monitoring
from tests.monitor.replicas import Replica, baseline, replicas, rows_of

if TYPE_CHECKING:
    from pathlib import Path

Object = dict[str, Any]
RNG = np.random.default_rng(7)


def shown(replica: Replica) -> Object:
    answer = replica.session.shown.answer(Request({}, "127.0.0.1", replica.address))
    assert answer.status == 200
    found: Object = json.loads(answer.body)
    return found


def test_the_closer_shows_all_replicas_rows_beside_the_baseline(tmp_path: Path) -> None:
    with replicas(tmp_path, 2) as (api, found):
        for replica in found:
            replica.answer(rows_of(RNG, 1100, shift=0.5))
            replica.count()
        for _ in range(2):  # once to close it, once to hear that it is closed
            for replica in found:
                replica.step()
        [closer] = [item for item in map(shown, found) if item["window"]]
        assert closer["window"]["sequence"] == api.report["window"]["sequence"] == 1
        assert (closer["window"]["track"], closer["window"]["rows"], closer["window"]["reported"]) == (STABLE, 2200, 2)
        first = closer["features"][0]
        assert (first["name"], first["figures"]) == ("b", api.report["features"][0])
        bins = len(first["baseline"])
        assert (sum(first["baseline"]), sum(first["closed"][:bins]), len(first["edges"])) == (5000, 2200, bins - 1)
        assert sum(first["open"]) == 0
        assert {item["name"] for item in closer["prediction"]} == {"label", "probabilities[1]"}
        [line] = closer["lines"]
        assert (line["name"], line["drift"], line["quality"], line["judged"]) == ("b", True, False, True)
        assert line["psi"] == first["figures"]["psi"]


def test_looking_changes_nothing(tmp_path: Path) -> None:
    with replicas(tmp_path, 2) as (api, found):
        found[0].answer(rows_of(RNG, 300))
        found[0].count()
        before = found[0].session._windows.state
        assert shown(found[0])["open"] == {"rows": 300, "lost": 0}
        assert shown(found[0])["window"] is None
        assert shown(found[0])["lines"] == []
        assert [sum(item["open"][: len(item["baseline"])]) for item in shown(found[0])["features"]] == [300] * 3
        assert found[0].session._windows.state is before
        assert api.writes == []


def test_rows_of_a_window_that_is_being_closed_are_shown_as_open(tmp_path: Path) -> None:
    with replicas(tmp_path, 1) as (_, [replica]):
        replica.answer(rows_of(RNG, 300))
        replica.count()
        replica.session._windows.cut(1, "another", "127.0.0.1")
        replica.answer(rows_of(RNG, 20))
        replica.count()
        assert shown(replica)["open"]["rows"] == 320


def window(made: Baseline, sequence: int) -> Window:
    tally = Tally.empty(made)
    return Window(sequence, "", "", "pod", replace(tally, rows=0), 1, 1, (), ())


def test_what_is_shown_is_bounded(tmp_path: Path) -> None:
    [numeric, *_] = baseline(500).features
    made = Baseline(
        tuple(replace(numeric, name=f"f{number}") for number in range(monitoring.MOST_SHOWN + 7)),
        baseline(500).prediction,
    )
    gallery = Distributions("pod", "d", made, Windows(tmp_path / "state.json", made, "d"))
    for sequence in range(1, MOST_LINES + 5):
        judged = report(window(made, sequence), made, Rules(), {"digest": "d"}, {})
        gallery.judged(STABLE, window(made, sequence), judged)
        if sequence != 7:  # that one was closed by another replica
            gallery.keep()
    document = gallery.document(Tally.empty(made))
    assert (len(document["features"]), document["leftOut"]) == (monitoring.MOST_SHOWN, 7)
    assert len(document["lines"]) == MOST_LINES
    assert 7 not in {line["sequence"] for line in document["lines"]}
    assert document["lines"][-1]["sequence"] == document["window"]["sequence"] == MOST_LINES + 4
