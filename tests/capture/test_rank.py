"""The rows that should be labelled first."""

from __future__ import annotations

import csv
import fnmatch
from typing import TYPE_CHECKING

import numpy as np
import pytest

from modelwright_capture import parquet
from modelwright_capture.parquet import ParquetError
from modelwright_capture.rank import RankError, main, rank, write
from modelwright_server.contract import capture
from tests.support.object_store import REGION, running_store

if TYPE_CHECKING:
    from pathlib import Path

SCORES = {"a": (0.9, 0.05, 0.05), "b": (0.5, 0.5, 0.0), "c": (0.4, 0.3, 0.3), "d": (0.34, 0.33, 0.33), "e": (1, 0, 0)}


class Files:
    """Files in memory."""

    def __init__(self, **files: bytes) -> None:
        self.files = {key.replace("__", "/"): data for key, data in files.items()}

    def find(self, pattern: str, limit: int) -> list[str]:
        assert limit
        return sorted(key for key in self.files if fnmatch.fnmatch(key, pattern))

    def read(self, key: str, limit: int) -> bytes:
        assert limit
        return self.files[key]


def rows(names: str = "abcde") -> bytes:
    scores = np.array([SCORES[name] for name in names])
    columns = {f"predicted_probabilities[{at}]": scores[:, at] for at in range(3)}
    return parquet.write({capture.PREDICTION_ID: list(names), "age": np.arange(len(names)), **columns})


def labels(names: str) -> bytes:
    return parquet.write({capture.PREDICTION_ID: list(names), "label": ["1"] * len(names)})


def captured(**more: bytes) -> Files:
    files = Files()
    files.files = {"version=1/date=2026-11-22/pod-0.parquet": rows(), **more}
    return files


@pytest.mark.parametrize(("measure", "order"), [("margin", "bdcae"), ("entropy", "dcbae")])
def test_the_least_certain_rows_come_first(measure: str, order: str) -> None:
    found = rank(captured(), 10, measure)
    assert "".join(row["prediction_id"] for row in found.rows) == order
    assert [row["prediction_id"] for row in rank(captured(), 2, measure).rows] == list(order[:2])


def test_rows_with_a_label_and_rows_twice_are_left_out() -> None:
    files = captured(
        **{"labels/date=2026-11-22/pod-1.parquet": labels("bd"), "version=1/date=2026-11-23/pod-1.parquet": rows("ac")}
    )
    found = rank(files, 10)
    assert [row["prediction_id"] for row in found.rows] == ["c", "a", "e"]
    assert found.unlabelled == 3


def test_a_regression_and_an_empty_place_are_refused() -> None:
    numbers = parquet.write({capture.PREDICTION_ID: ["a"], "predicted_value": np.zeros(1)})
    with pytest.raises(RankError, match="rows of a regression cannot be ranked"):
        rank(captured(**{"version=1/date=2026-11-22/pod-0.parquet": numbers}), 5)
    with pytest.raises(RankError, match="no row was captured there"):
        rank(Files(), 5)
    with pytest.raises(ParquetError, match="is no Parquet"):
        rank(captured(**{"labels/date=2026-11-22/pod-1.parquet": b"PAR1"}), 5)


def test_the_list_is_a_table_to_fill_in(tmp_path: Path) -> None:
    with (tmp_path / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        write(rank(captured(), 1), file)
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        [row] = csv.DictReader(file)
    assert (row["prediction_id"], row["label"], row["uncertainty"], row["age"]) == ("b", "", "1.0", "1")


def test_the_command_reads_a_real_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_store(tmp_path / "s3") as store:
        store.put("captured/team/churn/version=1/date=2026-11-22/pod-0.parquet", rows())
        for name, value in store.credentials.items():
            monkeypatch.setenv(name, value)
        where = ["--endpoint", store.endpoint, "--region", REGION, "--out", str(tmp_path / "rows.csv"), "--top", "3"]
        assert main(["--uri", "s3://lake/captured/team/churn", *where]) == 0
        assert capsys.readouterr().out == "3 of 5 rows without a label, the most uncertain first\n"
        assert len((tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()) == 4
        assert main(["--uri", "s3://lake/captured/team/absent", *where]) == 1
        assert "no row was captured there" in capsys.readouterr().err
