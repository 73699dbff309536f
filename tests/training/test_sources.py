import hashlib
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_breast_cancer

from modelwright_training import bundled, sources
from modelwright_training.contract import DataSource, Reason
from modelwright_training.errors import StageError


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    folder = tmp_path / "lake"
    (folder / "churn").mkdir(parents=True)
    return folder


def read(lake: Path, uri: str, digest: str | None = None) -> sources.Fetched:
    return sources.read(DataSource("train", uri, digest), lake.parent)


def refusal(lake: Path, uri: str, digest: str | None = None) -> StageError:
    with pytest.raises(StageError) as error:
        read(lake, uri, digest)
    assert "'train'" in str(error.value)
    return error.value


@pytest.mark.parametrize("name", bundled.NAMES)
def test_bundled_data_sets(lake: Path, name: str) -> None:
    first, second = read(lake, f"sklearn://{name}"), read(lake, f"sklearn://{name}")
    assert first.digest == second.digest
    assert first.table.column_names[-1] == "target"


def test_bundled_values_are_untouched(lake: Path) -> None:
    bunch = load_breast_cancer()
    table = read(lake, "sklearn://breast_cancer").table
    assert np.array_equal(np.column_stack([table.column(i).to_numpy() for i in range(30)]), bunch.data)
    assert np.array_equal(table.column("target").to_numpy(), bunch.target)
    assert pa.types.is_int64(table.column("target").type)


def test_unknown_bundled_name_lists_the_known(lake: Path) -> None:
    error = refusal(lake, "sklearn://titanic")
    assert error.reason is Reason.DATA_NOT_FOUND
    assert "breast_cancer, diabetes, digits, iris, wine" in str(error)


def test_csv(lake: Path) -> None:
    text = b'\xef\xbb\xbfage,plan,member,note\n31,"a, b",true,\n,c,false,NA\n1,,,x\n'
    (lake / "churn/a.csv").write_bytes(text)
    fetched = read(lake, "pvc://lake/churn/a.csv")
    assert fetched.digest == "sha256:" + hashlib.sha256(text).hexdigest()
    assert fetched.table.to_pydict() == {
        "age": [31, None, 1],
        "plan": ["a, b", "c", ""],
        "member": [True, False, None],
        "note": ["", "NA", "x"],
    }


def test_csv_types_come_from_all_rows(lake: Path) -> None:
    (lake / "a.csv").write_text("x\n" + "1\n" * 2_000_000 + "1.5\n")
    assert pa.types.is_float64(read(lake, "pvc://lake/a.csv").table.column("x").type)


def test_glob_joins_in_order_and_has_a_digest_of_the_list(lake: Path) -> None:
    for name, value in (("b", 2), ("a", 1)):
        pq.write_table(pa.table({"x": [value], "y": [value / 2]}), lake / f"churn/{name}.parquet")
    first = read(lake, "pvc://lake/churn/*.parquet")
    assert first.table.to_pydict() == {"x": [1, 2], "y": [0.5, 1.0]}
    (lake / "churn/b.parquet").rename(lake / "churn/c.parquet")
    assert read(lake, "pvc://lake/churn/*.parquet").digest != first.digest


def test_glob_promotes_whole_numbers_and_orders_columns(lake: Path) -> None:
    (lake / "a.csv").write_text("x,y\n1,\n")
    (lake / "b.csv").write_text("y,x\nfoo,2.5\n")
    assert read(lake, "pvc://lake/*.csv").table.to_pydict() == {"x": [1.0, 2.5], "y": [None, "foo"]}


def test_given_digest_is_checked(lake: Path) -> None:
    (lake / "a.csv").write_text("x\n1\n")
    digest = read(lake, "pvc://lake/a.csv").digest
    assert read(lake, "pvc://lake/a.csv", digest).digest == digest
    error = refusal(lake, "pvc://lake/a.csv", "sha256:" + "0" * 64)
    assert error.reason is Reason.DATA_DIGEST_MISMATCH
    assert digest in str(error)


@pytest.mark.parametrize(
    ("uri", "reason", "named"),
    [
        ("ftp://lake/a.csv", Reason.DATA_INVALID, "use pvc://, s3://, gs://, az://, https:// or sklearn://NAME"),
        ("sklearn://linnerud", Reason.DATA_INVALID, "three targets"),
        ("pvc://nowhere/a.csv", Reason.STORAGE_UNAVAILABLE, "PersistentVolumeClaim 'nowhere'"),
        ("pvc://lake/missing.csv", Reason.DATA_NOT_FOUND, "holds bad.parquet, binary.csv, churn"),
        ("pvc://lake/none/*.csv", Reason.DATA_NOT_FOUND, "no folder 'none'"),
        ("pvc://lake/../a.csv", Reason.DATA_INVALID, "wrong address"),
        ("pvc://lake/out.csv", Reason.DATA_INVALID, "outside its claim"),
        ("pvc://lake/o*.csv", Reason.DATA_INVALID, "outside its claim"),
        ("pvc://lake/churn", Reason.DATA_INVALID, "churn/*.parquet"),
        ("pvc://lake/folder.csv", Reason.DATA_INVALID, "not a regular file"),
        ("pvc://lake/pipe.csv", Reason.DATA_INVALID, "not a regular file"),
        ("pvc://lake/empty.csv", Reason.DATA_INVALID, "not CSV"),
        ("pvc://lake/header.csv", Reason.DATA_INVALID, "no rows"),
        ("pvc://lake/ragged.csv", Reason.DATA_INVALID, "Expected 2 columns, got 3"),
        ("pvc://lake/twice.csv", Reason.DATA_INVALID, "column 'a' twice"),
        ("pvc://lake/semicolon.csv", Reason.DATA_INVALID, "separated by ';'"),
        ("pvc://lake/bad.parquet", Reason.DATA_INVALID, "not Parquet"),
        ("pvc://lake/mixed-*.csv", Reason.DATA_INVALID, "'a' is a number (int64) in 'mixed-1.csv' of data set"),
        ("pvc://lake/other-*.csv", Reason.DATA_INVALID, "'other-1.csv' of data set 'train' has the column 'b', "),
    ],
)
def test_bad_sources(lake: Path, uri: str, reason: Reason, named: str) -> None:
    outside = lake.parent / "secret.csv"
    outside.write_text("x\n1\n")
    (lake / "out.csv").symlink_to(outside)
    (lake / "folder.csv").mkdir()
    os.mkfifo(lake / "pipe.csv")
    texts = {
        "empty": "",
        "header": "a,b\n",
        "ragged": "a,b\n1,2\n1,2,3\n",
        "twice": "a,a\n1,2\n",
        "semicolon": "a;b\n1;2\n",
        "mixed-1": "a\n1\n",
        "mixed-2": "a\nfoo\n",
        "other-1": "a,b\n1,2\n",
        "other-2": "a,c\n1,2\n",
    }
    for name, text in texts.items():
        (lake / f"{name}.csv").write_text(text)
    (lake / "binary.csv").write_bytes(b"\xff\xfe\x00")
    (lake / "bad.parquet").write_bytes(b"PAR1nonsense")
    error = refusal(lake, uri)
    assert error.reason is reason
    assert named in str(error)
