"""Labels on their way: from a request at the sidecar, over the shared folder, into the store."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from modelwright_capture import labels
from modelwright_monitor.feedback import handover
from modelwright_monitor.feedback.handover import Handover, Taken
from modelwright_monitor.feedback.intake import Feedback, Wanted
from modelwright_monitor.quality.joining import Rules
from modelwright_monitor.quality.ledger import Ledger
from modelwright_monitor.quality.memory import Memory
from modelwright_server.contract import capture
from tests.capture.pods import Pod

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def feedback(pod: Pod, folder: Path) -> tuple[Feedback, Handover]:
    left = Handover(folder / "labels", lambda: pod.now)
    memory = Memory()
    rules = Rules(86_400, (pod.digest[7:17],), {})
    found = Feedback(Ledger(), lambda: memory, lambda: None, lambda: pod.now, left)
    found.wanted = Wanted(frozenset({"churn"}), rules)
    return found, left


def post(found: Feedback, items: list[dict[str, Any]]) -> Any:
    return found.answer("churn", json.dumps(items).encode()).document


def table(pod: Pod) -> list[dict[str, Any]]:
    keys = sorted(key for key in pod.store.files if key.startswith("labels/"))
    return [row for key in keys for row in pq.read_table(io.BytesIO(pod.store.files[key])).to_pylist()]


def test_a_label_that_was_posted_is_in_the_store(tmp_path: Path) -> None:
    pod = Pod(tmp_path, flush_seconds=5)
    ids = pod.answer(3)
    found, _ = feedback(pod, tmp_path)
    said = post(
        found,
        [
            {"prediction_id": ids[0], "label": 1, "time": pod.now - 1},
            {"prediction_id": ids[1], "label": True},
            {"prediction_id": "nonsense", "label": 1},
        ],
    )
    assert said["accepted"] == 2
    assert pod.capture.step() > 0
    assert not table(pod), "they wait for others"
    pod.now += 6
    while not table(pod):
        pod.capture.step()
    rows = table(pod)
    assert [(row["prediction_id"], row["label"]) for row in rows] == [(ids[0], "1"), (ids[1], "true")]
    assert (rows[0]["taken_at"] - rows[0]["label_time"]).total_seconds() == 1
    assert next(key for key in pod.store.files if key.startswith("labels/")).startswith("labels/date=2023-11-14/churn-")
    pod.end()
    assert not list((tmp_path / "labels").iterdir())
    assert pod.counts.of(capture.METRIC_LABELS, "written") == 2


def test_a_request_that_is_repeated_loses_no_label(tmp_path: Path) -> None:
    pod = Pod(tmp_path)
    ids = pod.answer(1)
    found, _ = feedback(pod, tmp_path)
    post(found, [{"prediction_id": ids[0], "label": 1}])
    for path in (tmp_path / "labels").iterdir():
        path.unlink()  # the sidecar was killed before it had left the label
    assert post(found, [{"prediction_id": ids[0], "label": 1}])["duplicates"] == 1
    pod.end()
    assert [row["label"] for row in table(pod)] == ["1"]


def test_labels_that_nobody_fetches_are_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "MOST_FILES", 3)
    left = Handover(tmp_path, lambda: 1.0)
    for _ in range(5):
        left.give([Taken("id", "1", 0.0, 1.0)] * 2)
    assert (len(list(tmp_path.iterdir())), left.dropped) == (3, 4)
    missing = Handover(tmp_path / "missing", lambda: 1.0)
    missing.give([Taken("id", "1", 0.0, 1.0)])
    assert missing.dropped == 1


def test_what_is_no_label_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "labels-1700000000000000000-00ff.jsonl"
    good = '["1.a.s", "yes", 1.5, 2]'
    bad = [
        '["only one"]',
        "[" * 5000,
        "nonsense",
        '[1, "x", 1, 1]',
        '["x", "y", "z", 1]',
        '["x", "y", 1e300, 1]',
        "\xff",
    ]
    path.write_text("\n".join([*bad, good, json.dumps(["x" * 1000, "y", 1, 1])]), encoding="latin-1")
    (tmp_path / "labels-2-00.jsonl").write_bytes(b"x" * (3 << 20))
    (tmp_path / "other").write_text(good, encoding="utf-8")
    columns, used = labels.read(labels.waiting(tmp_path))
    assert columns[capture.PREDICTION_ID] == ["1.a.s"]
    assert len(used) == 2
