"""`init`: what it drafts of a table is valid, trains unchanged, and says what became of each column."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from sklearn import datasets

from modelwright_cli import structural
from modelwright_operator import api
from modelwright_operator.render import training as render
from modelwright_operator.settings import Settings
from modelwright_training.contract import EvaluateResult
from tests.docs import pages
from tests.training.builders import Pod

if TYPE_CHECKING:
    from collections.abc import Callable

Object = dict[str, Any]
SETTINGS = Settings(serving_image="serving", training_image="training", feast_image="feast")
RNG = random.Random(7)


def written(file: Path, header: str, rows: list[list[Any]]) -> Path:
    file.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
    return file


def customers(folder: Path) -> Path:
    return Path(shutil.copy(pages.EXAMPLES / "csv" / "customers.csv", folder / "customers.csv"))


def iris(folder: Path) -> Path:
    """Texts to predict, and an index that somebody saved."""
    table = datasets.load_iris(as_frame=True)
    frame = table.frame.assign(species=[str(table.target_names[number]) for number in table.frame["target"]])
    frame.drop(columns="target").rename_axis("row").to_csv(folder / "iris.csv")
    return folder / "iris.csv"


def diabetes(folder: Path) -> Path:
    """Whole numbers to predict, too many to be classes."""
    datasets.load_diabetes(as_frame=True, scaled=False).frame.to_csv(folder / "diabetes.csv", index=False)
    return folder / "diabetes.csv"


def orders(folder: Path) -> Path:
    """Times, gaps, constants, free texts, numbers that float32 cannot hold, and the target once more."""
    rows: list[list[Any]] = []
    for number in range(400):
        amount, late = RNG.gauss(100, 20), RNG.random() < 0.3
        rows.append(
            [
                f"2026-{1 + number // 40:02}-{1 + number % 28:02}T10:00:00",
                "EU",
                f"note {number} of somebody",
                "" if number % 9 == 0 else f"{amount:.2f}",
                RNG.choice(["card", "cash", ""]),
                1_700_000_000_000 + number,
                "late" if late else "in time",
                f"{RNG.randrange(24):02}:30",
                "2026-01-01",
                RNG.randrange(5),
                amount * 0.1 + 3 * late + RNG.gauss(0, 1),
                "True" if late else "False",
            ]
        )
    header = "ordered_at,market,note,amount,paid,stamp,state,at,shipped,region,delay,is_late"
    return written(folder / "Orders 2026.csv", header, rows)


def visits(folder: Path) -> Path:
    """Several rows for each patient."""
    rows = [
        [f"p{number // 4}", RNG.randrange(20, 80), f"{RNG.gauss(120, 15):.1f}", RNG.choice(["yes", "no"])]
        for number in range(400)
    ]
    return written(folder / "visits.csv", "patient_id,age,pressure,ill", rows)


TABLES = [customers, iris, diabetes, orders, visits]


def drafted(run: Callable[..., str], file: Path, *arguments: str) -> tuple[str, list[Object]]:
    text = run("init", str(file), *arguments)
    return text, list(yaml.safe_load_all(text))


@pytest.mark.parametrize("table", TABLES)
def test_the_draft_is_valid_and_trains_unchanged(
    run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Callable[[Path], Path]
) -> None:
    file = table(tmp_path)
    output = tmp_path / "drafted.yaml"
    assert f"kubectl apply -f {output}" in run("init", str(file), "-o", str(output))
    assert "2 objects of Modelwright are valid" in run("validate", str(output))
    *claims, job, deployment = yaml.safe_load_all(output.read_text(encoding="utf-8"))
    assert [item["kind"] for item in claims] == ["PersistentVolumeClaim"] * 2
    assert deployment["spec"]["model"]["name"] == job["spec"]["model"]

    # As the API server, the operator and the pod take it.
    filled = structural.defaulted(structural.schema_of("TrainingJob"), job)
    filled["metadata"] |= {"namespace": "team", "uid": "1"}
    config = render.job_config(api.TrainingJob.model_validate(filled), SETTINGS)
    claim, _, name = job["spec"]["data"][0]["uri"].removeprefix("pvc://").partition("/")
    assert claim == claims[1]["metadata"]["name"]
    pod = Pod(tmp_path)
    for folder in ("workspace", "artifact", "measures", f"stores/{claim}", "stores/modelwright-models", "handover"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    shutil.copy(file, tmp_path / "stores" / claim / name)
    *_, evaluated, _ = pod.run(config, monkeypatch)
    assert isinstance(evaluated, EvaluateResult)


def test_what_became_of_each_column_is_said(run: Callable[..., str], tmp_path: Path) -> None:
    text, found = drafted(run, orders(tmp_path), "--target", "delay")
    spec = found[2]["spec"]
    assert (spec["model"], spec["task"], spec["target"]) == ("orders-2026", "Regression", "delay")
    assert spec["data"][0]["uri"] == "pvc://orders-2026-data/Orders_2026.csv"
    assert spec["columns"]["time"] == "ordered_at"
    assert spec["columns"]["categorical"] == ["region"]
    assert set(spec["columns"]["drop"]) == {"market", "note", "stamp", "at", "shipped"}
    for words in (
        "'delay' is predicted: regression",
        "'ordered_at' orders the rows",
        "'market' is left out: it is the same in every row",
        "'note' is left out: it tells rows apart",
        "'stamp' is left out: ",
        "'region' is taken as a category",
    ):
        assert words in text


def test_copies_of_the_target_are_left_out(run: Callable[..., str], tmp_path: Path) -> None:
    text, found = drafted(run, orders(tmp_path), "--target", "is_late")
    assert "'state' is left out: it is the target in other words" in text
    assert "state" in found[2]["spec"]["columns"]["drop"]


def test_rows_that_belong_together_stay_together(run: Callable[..., str], tmp_path: Path) -> None:
    _, found = drafted(run, visits(tmp_path), "--name", "ill", "--uri", "s3://lake/visits/*.csv")
    assert found[1]["spec"]["columns"] == {"group": "patient_id"}
    assert [item["kind"] for item in found] == ["PersistentVolumeClaim", "TrainingJob", "Deployment"]


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        (b"", (), "is empty: its first line must name the columns"),
        (b"a,b\n", (), "has 0 rows"),
        (b"a,b\n1,2\n3\n", (), "has 1 values in line 3, the header names 2"),
        (b"a,a\n1,2\n3,4\n", (), "two columns 'a'"),
        (b",a\n1,2\n3,4\n", (), "a column without a name (a saved index?)"),
        (b"a,b\n1,2\n\xe4,4\n", (), "is not UTF-8"),
        (b'a,b\n1,"2"3\n', (), "is no CSV with commas"),
        (b"a,b\n1,2\n3,4\n", ("--target", "c"), "there is no column 'c': the file has a, b"),
        (b"a,b\n1,2\n3,\n", ("--target", "b"), "is missing in 1 rows"),
        (b"a,b\n1,x\n2,x\n", ("--target", "b"), "is the same in every row"),
        (b"a,b\n1,x\n2,y\n", ("--target", "b"), "classes with a single row (x, y)"),
        (b"a,b\n1,x\n2,y\n", ("--target", "b", "--task", "Regression"), "values that are no numbers"),
        (b"a,b\n1,5\n1,6\n", ("--target", "b"), "no column is left to learn from ('a' is left out"),
        (b"a,b\n1,5\n2,6\n2,7\n", ("--name", "Not Good"), "would not be valid"),
    ],
)
def test_what_cannot_be_trained_on_is_said_so(
    run: Callable[..., str], tmp_path: Path, content: bytes, arguments: tuple[str, ...], words: str
) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(content)
    assert words in run("init", str(file), *arguments, code=1)


def test_nothing_is_overwritten(run: Callable[..., str], tmp_path: Path) -> None:
    output = tmp_path / "there.yaml"
    output.write_text("mine", encoding="utf-8")
    assert "is there already" in run("init", str(customers(tmp_path)), "-o", str(output), code=1)
    assert output.read_text(encoding="utf-8") == "mine"
