"""Capture without a cluster: what is written is what was answered, once, whatever ends or is away."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest

from modelwright_capture import capturing, parquet, spool
from modelwright_capture.table import RedactError
from modelwright_server.contract import capture
from tests.capture.pods import NUMBERS, TEXTS, Pod

if TYPE_CHECKING:
    from pathlib import Path

    from modelwright_server.schema import Schema

KEY = "version=44136fa355b3/date=2023-11-14/churn-abc-1-0.parquet"


@pytest.mark.parametrize("schema", [NUMBERS, TEXTS])
def test_each_row_is_written_once_with_the_id_its_client_was_given(tmp_path: Path, schema: Schema) -> None:
    pod = Pod(tmp_path, schema)
    ids = pod.answer(1)
    pod.capture.step()
    pod.issuer.serve("canary")
    ids += pod.answer(3, 1) + pod.answer(1, 4)
    pod.capture.step()
    pod.end()
    assert list(pod.store.files) == [KEY]
    table = pod.table()
    assert table["prediction_id"].tolist() == ids
    assert table["prediction_track"].tolist() == ["stable", *["canary"] * 4]
    assert set(table["prediction_version"]) == {"churn-1"}
    assert set(table["prediction_digest"]) == {pod.digest}
    assert set(table["prediction_time"].astype(str)) == {"2023-11-14 22:13:20+00:00"}
    first, label, column = "a", ["0", "1", "0", "1", "0"], "predicted_probabilities[1]"
    if schema is TEXTS:
        first, label, column = "age", ["no", "yes", "no", "yes", "no"], "predicted_probabilities[yes]"
        assert table["plan"].tolist() == [f"plan-{at} größer" for at in range(5)]
    assert table[first].tolist() == [0, 1, 2, 3, 4]
    assert table["predicted_label"].astype(str).tolist() == label
    assert table[column].tolist() == [0.75] * 5


def test_a_redacted_feature_is_not_there(tmp_path: Path) -> None:
    pod = Pod(tmp_path, redact='["ssn"]')
    pod.answer(2)
    pod.end()
    data = next(iter(pod.store.files.values()))
    assert pq.read_schema(io.BytesIO(data)).names == [
        *capture.META,
        "a",
        "b",
        "predicted_label",
        "predicted_probabilities[0]",
        "predicted_probabilities[1]",
    ]


def test_nothing_is_captured_where_a_redacted_name_is_no_feature(tmp_path: Path) -> None:
    with pytest.raises(RedactError, match=r"names 'snn', which is no feature of the model \(a, b, ssn\)"):
        Pod(tmp_path, redact='["snn"]')


def test_a_share_of_the_rows_is_chosen_by_their_ids_alone(tmp_path: Path) -> None:
    found: list[list[str]] = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        pod = Pod(tmp_path / folder, sample_percent=20)
        for start in range(0, 2000, 100):
            pod.answer(100 if folder == "one" else 1, start)
            if folder == "two":
                for row in range(start + 1, start + 100):
                    pod.answer(1, row)
            pod.capture.step()
        pod.end()
        table = pod.table()
        assert table["a"].tolist() == (-table["b"]).tolist()
        found.append([text.split(".")[4] for text in table["prediction_id"]])
        assert pod.counts.of(capture.METRIC_ROWS, "written") == len(table)
    assert found[0] == found[1]
    assert 330 < len(found[0]) < 470  # binomial, 4 standard deviations


def test_what_a_killed_worker_kept_is_sent_once(tmp_path: Path) -> None:
    pod = Pod(tmp_path)
    ids = pod.answer(5)
    pod.capture.step()
    ids += pod.answer(1, 5)  # in the ring alone
    pod.kill()
    ids += pod.answer(2, 6)
    pod.capture.step()
    pod.now += 400
    while not pod.store.files:
        pod.capture.step()
    pod.kill()  # after the file was stored, perhaps before that was noted
    ids += pod.answer(1, 8)
    pod.end()
    assert pod.table()["prediction_id"].tolist() == ids
    assert len(pod.store.files) == 2


def test_a_frame_that_was_cut_off_is_read_from_the_ring_again(tmp_path: Path) -> None:
    pod = Pod(tmp_path)
    ids = pod.answer(1)
    pod.capture.step()
    ids += pod.answer(1, 1)
    pod.capture.step()
    path = tmp_path / "spool" / "rows-00000000.spool"
    path.write_bytes(path.read_bytes()[:-5])
    pod.kill()
    pod.end()
    assert pod.table()["prediction_id"].tolist() == ids


def test_the_next_process_of_the_server_is_followed(tmp_path: Path) -> None:
    pod = Pod(tmp_path)
    ids = pod.answer(2)
    pod.capture.step()
    ids += pod.answer(1, 2)
    pod.serve(bytes(range(16, 32)))
    ids += pod.answer(2, 3)
    pod.capture.step()
    pod.end()
    assert sorted(pod.table()["prediction_id"]) == sorted(ids)


def test_rows_are_dropped_and_counted_while_the_store_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MOST_BYTES", 20_000)
    pod = Pod(tmp_path)
    pod.store.away = True
    for start in range(0, 1000, 10):
        pod.answer(10, start)
        pod.now += 20
        pod.capture.step()
    dropped = pod.counts.of(capture.METRIC_ROWS, "dropped")
    assert 0 < dropped < 1000
    assert sum(path.stat().st_size for path in (tmp_path / "spool").iterdir()) <= 20_000 + 500
    assert pod.counts.page().endswith("} 0\n")  # it does not work
    assert pod.store.puts < 80  # of 100 steps in 2000 seconds: there are pauses
    pod.store.away = False
    while pod.counts.of(capture.METRIC_ROWS, "written") < 1000 - dropped:
        pod.now += 60
        pod.capture.step()
    assert pod.counts.page().endswith("} 1\n")
    pod.end()
    assert len(set(pod.table()["prediction_id"])) == len(pod.table()) == 1000 - dropped


def test_a_file_has_the_rows_of_one_day(tmp_path: Path) -> None:
    pod = Pod(tmp_path)
    pod.now = 1_700_006_399.0  # the last second of a day
    first = pod.answer(1)
    pod.capture.step()
    pod.now += 2
    second = pod.answer(1)
    pod.capture.step()
    pod.end()
    days = {key.split("/")[1]: pq.read_table(io.BytesIO(data)) for key, data in pod.store.files.items()}
    assert {day: table["prediction_id"].to_pylist() for day, table in days.items()} == {
        "date=2023-11-14": first,
        "date=2023-11-15": second,
    }


def test_overwritten_rows_are_counted_as_lost(tmp_path: Path) -> None:
    pod = Pod(tmp_path)
    for start in range(160):
        pod.answer(1000, start)
    pod.capture.step()
    pod.end()
    lost = pod.counts.of(capture.METRIC_ROWS, "lost")
    assert lost > 0
    assert len(pod.table()) + lost == 160_000


def test_chunks_that_make_no_sense_hold_nothing_up(tmp_path: Path) -> None:
    pod = Pod(tmp_path, TEXTS)
    mark, time = pod.issuer.take(1)
    pod.ring.append(1, [b"\xff\xff\xff\x7f" + bytes(100)], mark, time)
    ids = pod.answer(1)
    pod.end()
    assert pod.table()["prediction_id"].tolist() == ids
    assert pod.counts.of(capture.METRIC_ROWS, "unreadable") == 1


def test_another_models_ring_is_refused(tmp_path: Path) -> None:
    pod = Pod(tmp_path)
    (tmp_path / "model" / "manifest.json").write_text('{"another": 1}', encoding="utf-8")
    pod.kill()
    pod.answer(3)
    pod.capture.step()
    pod.end()
    assert pod.store.files == {}


def test_ten_thousand_rows_make_a_file(tmp_path: Path) -> None:
    pod = Pod(tmp_path)
    for start in range(0, 12_000, 1000):
        pod.answer(1000, start)
        pod.capture.step()
    while not pod.store.files:
        pod.capture.step()
    assert len(pod.table()) == 10_000
    pod.end()
    assert len(pod.table()) == 12_000
    assert np.array_equal(np.sort(pod.table()["a"]), np.arange(12_000))


def step_on(pod: Pod) -> None:
    """Go on until something ends it."""
    while True:
        pod.capture.step()


def test_rows_at_which_workers_end_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = Pod(tmp_path)
    pod.answer(5)
    pod.capture.step()
    pod.now += 400

    def ends(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(parquet, "write", ends)
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                step_on(pod)
            pod.kill()
    ids = pod.answer(1, 5)
    pod.end()
    assert pod.counts.of(capture.METRIC_ROWS, "unreadable") == 5
    assert pod.table()["prediction_id"].tolist() == ids


def test_a_file_that_is_sent_for_ever_ends_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = Pod(tmp_path)
    pod.answer(5)
    pod.capture.step()
    waiting = threading.Event()
    monkeypatch.setattr(pod.store, "put", lambda *_: waiting.wait(20))
    pod.now += 400
    pod.capture.step()
    monkeypatch.setattr(capturing, "HANGS_SECONDS", 0.0)
    with pytest.raises(TimeoutError, match="has not been sent within"):
        pod.capture.step()
    waiting.set()
    pod.end()


def test_damaged_files_are_an_error_of_ours() -> None:
    for data in (b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"):
        with pytest.raises(parquet.ParquetError, match="is no Parquet"):
            parquet.read(data, 10)
    with pytest.raises(parquet.ParquetError, match="more than 2 rows"):
        parquet.read(parquet.write({"a": ["x"] * 3}), 2)


@pytest.mark.parametrize("damage", [b"", b"nonsense" * 100, bytes(1 << 20)], ids=["empty", "nonsense", "zeros"])
def test_a_ring_that_is_none_is_passed_over_until_one_comes(tmp_path: Path, damage: bytes) -> None:
    pod = Pod(tmp_path)
    (tmp_path / "ring" / "ring-0").unlink()
    (tmp_path / "ring" / "ring-0").write_bytes(damage)
    (tmp_path / "ring" / "ring-1").mkdir()
    (tmp_path / "ring" / "ring-2").symlink_to("/dev/zero")
    pod.capture.step()
    pod.serve(bytes(range(16, 32)))
    ids = pod.answer(3)
    pod.capture.step()
    pod.end()
    assert pod.table()["prediction_id"].tolist() == ids


def test_a_ring_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    pod = Pod(tmp_path)
    pod.answer(3)
    with (tmp_path / "ring" / "ring-0").open("r+b") as file:
        file.truncate(8 << 20)
    pod.capture.step()
    pod.end()
    assert pod.store.files == {}
