"""Groups of the holdout: how they are made, what is measured of them, and gates on them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest

from modelwright_training import gates, slices
from modelwright_training.contract import (
    Columns,
    EvaluateResult,
    Evaluation,
    Gate,
    GateResult,
    JobConfig,
    Reason,
    Task,
    Verdict,
)
from modelwright_training.errors import StageError
from tests.training.builders import LOGISTIC, Pod, job, read_json

TRAIN, HELD = np.arange(60), np.arange(60, 100)


def groups_of(values: Any) -> dict[str, int]:
    [found] = slices.read(pa.table({"c": values}), ["c"], TRAIN, HELD)
    assert len(found.group) == len(HELD)
    return {name: int(np.sum(found.group == index)) for index, name in enumerate(found.names)}


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["north", "south"] * 50, ["north", "south"]),
        ([True, None] * 50, ["(missing)", "true"]),
        ([0, 1, 2, 3] * 25, ["0", "1", "2", "3"]),
        (["a" * 100, ""] * 50, ["(missing)", "a" * 59 + "…"]),
        (pa.array(["x", "y"] * 50).dictionary_encode(), ["x", "y"]),
    ],
    ids=["texts", "truth values", "few whole numbers", "long texts", "a dictionary"],
)
def test_values_are_groups(values: Any, names: list[str]) -> None:
    assert groups_of(values) == dict.fromkeys(names, len(HELD) // len(names))


def test_numbers_are_cut_at_the_quartiles_of_the_training_rows() -> None:
    """The holdout is of greater numbers than all that were trained on: it is all in the last group."""
    assert groups_of(np.arange(100.0)) == {
        "at most 14.75": 0, "14.75 to 29.5": 0, "29.5 to 44.25": 0, "above 44.25": 40,
    }  # fmt: skip
    holey = np.where(np.arange(100) % 4 == 0, np.nan, np.arange(100) % 40)
    found = groups_of(holey)
    assert found["(missing)"] == 10
    assert sum(found.values()) == 40
    assert len(groups_of(np.zeros(100))) == 2


def test_rare_values_share_a_group() -> None:
    values = ["often"] * 300 + [f"v{row:02}" for row in range(99)] * 2
    [found] = slices.read(pa.table({"c": values}), ["c"], np.arange(10), np.arange(len(values)))
    counts = np.bincount(found.group)
    assert len(found.names) == len(counts) == slices.MAX_GROUPS
    assert found.names[-1] == slices.OTHER
    assert counts[-1] == 2 * (99 - (slices.MAX_GROUPS - 2))
    assert counts[found.names.index("often")] == 300


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pa.table({"region": ["a"] * 100}), "'reigon' is not a column of the data; did you mean region"),
        (pa.table({"reigon": pa.array([0] * 100, pa.date32())}), "has the type date32"),
        (pa.table({"reigon": pa.array([None] * 100, pa.float64())}), "has no values among the training rows"),
    ],
)
def test_a_column_that_makes_no_groups_is_refused(table: Any, said: str) -> None:
    with pytest.raises(StageError, match=said) as caught:
        slices.read(table, ["reigon"], TRAIN, HELD)
    assert caught.value.reason is Reason.DATA_INVALID
    assert str(caught.value).startswith("evaluation.slices: ")


def test_the_worst_group_decides() -> None:
    asked = [Gate("accuracy", min=0.8, slice="r"), Gate("brier", max=0.2, slice="r"), Gate("ece", max=0.2, slice="r")]
    between = Gate("selection_rate_difference", max=0.1, slice="r")
    values: dict[tuple[str, str], dict[str | None, float]] = {
        ("accuracy", "r"): {"n": 0.9, "s": 0.79},
        ("brier", "r"): {"n": 0.1, "s": 0.2},
        ("selection_rate_difference", "r"): {None: 0.3},
    }
    assert gates.judge([*asked, between], {"accuracy": 0.99, "ece": 0.01}, values) == (
        GateResult(0, Verdict.FAILED, 0.79, "s"),
        GateResult(1, Verdict.PASSED, 0.2, "s"),
        GateResult(2, Verdict.NOT_MEASURED),
        GateResult(3, Verdict.FAILED, 0.3),
    )


def customers(pod: Pod) -> JobConfig:
    """Return a job on two thousand customers of three regions, who are treated unlike; the region is no feature."""
    random = np.random.default_rng(0)
    region = random.choice(["east", "north", "west"], 2000, p=[0.45, 0.45, 0.1])
    income = random.normal(size=2000) + (region == "north")
    yes = np.where(income + random.normal(size=2000) > 0.5, "yes", "no")
    table = pa.table({"region": region, "income": income, "age": random.integers(18, 80, 2000), "bought": yes})
    pa_csv.write_csv(table, pod.root / "stores" / "lake" / "customers.csv")
    return job(
        LOGISTIC,
        uri="pvc://lake/customers.csv",
        target="bought",
        columns=Columns(("region",), ()),
        evaluation=Evaluation(None, 50, ("region", "age"), 200),
    )


def test_slices_are_measured_and_gated_on_a_column_the_model_does_not_see(
    pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = (
        Gate("accuracy", min=0.5, slice="region"),
        Gate("selection_rate_difference", max=0.1, slice="region"),
        Gate("true_positive_rate_ratio", min=0.1, slice="age"),
    )
    *_, evaluated, published = pod.run(replace(customers(pod), gates=given), monkeypatch)
    assert isinstance(evaluated, EvaluateResult)
    assert [result.verdict for result in evaluated.gates] == [Verdict.PASSED, Verdict.FAILED, Verdict.PASSED]
    assert evaluated.gates[0].group in {"east", "north"}
    document = read_json(pod.artifact / "metrics.json")
    region, age = document["slices"]
    assert region["column"] == "region"
    found = {group["name"]: group for group in region["groups"]}
    assert found["west"] == {"name": "west", "rows": found["west"]["rows"], "tooSmall": True}
    rates = {
        name: next(item for item in found[name]["metrics"] if item["name"] == "selection_rate")
        for name in ("east", "north")
    }
    assert rates["east"]["low"] < rates["east"]["value"] < rates["east"]["high"] < rates["north"]["value"]
    apart = {item["name"]: item["value"] for item in region["disparities"]}
    expected = rates["north"]["value"] - rates["east"]["value"]
    assert apart["selection_rate_difference"] == pytest.approx(expected, abs=1e-5)
    assert evaluated.gates[1].observed == apart["selection_rate_difference"]
    assert len(age["groups"]) == 4
    assert b"region" not in (pod.artifact / "schema.json").read_bytes()
    assert published.digest  # type: ignore[union-attr]
    report = read_json(pod.artifact / "report.json")
    assert [item["column"] for item in report["importance"]["columns"]] == ["income", "age"]
    assert report["importance"]["loss"] == "log_loss"
    assert report["importance"]["skipped"] == []


def test_fairness_needs_two_classes() -> None:
    asked = [Gate("selection_rate_ratio", min=0.8, slice="r")]
    gates.check(asked, Task.CLASSIFICATION, probabilities=False)
    gates.check_classes(asked, binary=True)
    with pytest.raises(StageError, match=r"gates\[0\].metric selection_rate_ratio needs a target with two classes"):
        gates.check_classes(asked, binary=False)
    with pytest.raises(StageError, match="regression has rmse"):
        gates.check(asked, Task.REGRESSION, probabilities=False)
