"""Prediction ids, and what is refused as one."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelwright_server.contract.prediction import MAX_LENGTH, label_text, parse
from modelwright_server.prediction import Issuer
from modelwright_server.schema import Datatype, Schema, Task, TensorSpec

INPUTS = (TensorSpec("input", Datatype.FP32, (-1, 3)),)
NONCE = "00ff00ff00ff"
VALID = f"1.9f2c41ab07.s.{NONCE}.0.18bcfe56800.0000403f.yes"


def classification(classes: int | None = 2, label: Datatype = Datatype.INT64) -> Schema:
    probabilities = TensorSpec("probabilities", Datatype.FP32, (-1, classes or 1))
    return Schema(
        INPUTS, (TensorSpec("label", label, (-1,)), *((probabilities,) if classes else ())), Task.CLASSIFICATION
    )


def regression(datatype: Datatype = Datatype.FP32) -> Schema:
    return Schema(INPUTS, (TensorSpec("prediction", datatype, (-1, 1)),), Task.REGRESSION)


def issuer(schema: Schema, **changed: Any) -> Issuer:
    stated = {"version_key": "9f2c41ab07", "now": lambda: 1_700_000_000_999_999_999, "nonce": NONCE, **changed}
    return Issuer(schema, **stated)


def f4(values: Any) -> Any:
    return np.array(values, dtype=np.float32)


def test_an_id_says_everything() -> None:
    source = issuer(classification(), track="canary")
    arrays = [np.array([1]), f4([[0.25, 0.75]])]
    assert source.ids(arrays)[0] == f"1.9f2c41ab07.c.{NONCE}.0.18bcfe56be7.0000403f.1".encode()
    read = parse(source.ids(arrays)[0].decode())
    assert (read.version_key, read.time, read.track) == ("9f2c41ab07", 1_700_000_000.999, "canary")
    assert (read.label, read.score, read.nonce, read.number) == ("1", 0.75, NONCE, 1)


@pytest.mark.parametrize(
    ("schema", "arrays", "expected"),
    [
        (classification(2), [np.array([0, 1]), f4([[0.75, 0.25], [0.5, 0.5]])], [("0", 0.25), ("1", 0.5)]),
        (classification(3), [np.array([2, -1]), f4([[0, 0.25, 0.75], [0.5, 0.25, 0.25]])], [("2", 0.75), ("-1", 0.5)]),
        (classification(1), [np.array([1]), f4([[0.125]])], [("1", 0.125)]),
        (classification(None), [np.array([7, 8])], [("7", None), ("8", None)]),
        (classification(2), [np.array([[4], [5]]), f4([[1, 0], [0, 1]])], [("4", 0), ("5", 1)]),
        (
            classification(2, Datatype.BYTES),
            [np.array(["ja", "größer als 5.0 %~"], dtype=object), f4([[1, 0], [0, 1]])],
            [("ja", 0), ("größer als 5.0 %~", 1)],
        ),
        (
            classification(2, Datatype.BOOL),
            [np.array([True, False]), f4([[0, 1], [1, 0]])],
            [("true", 1), ("false", 0)],
        ),
        (regression(), [f4([[1.5], [-3e38]])], [("", 1.5), ("", float(np.float32(-3e38)))]),
        (regression(Datatype.FP64), [np.array([[0.1], [1e300]])], [("", float(np.float32(0.1))), ("", math.inf)]),
    ],
)
def test_label_and_score_are_those_of_the_row(schema: Schema, arrays: list[Any], expected: list[Any]) -> None:
    source = issuer(schema)
    read = [parse(text.decode()) for text in source.ids(arrays)]
    assert [(found.label, found.score) for found in read] == expected


def test_a_column_of_a_larger_array_will_do() -> None:
    """The runtime's arrays need not be contiguous."""
    whole = f4([[0, 1, 2, 3], [4, 5, 6, 7]])
    source = issuer(classification(2))
    read = [parse(text.decode()).score for text in source.ids([np.array([0, 1]), whole[:, 1:3]])]
    assert read == [2, 6]


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("classes", [2, 3])
def test_no_number_breaks_an_id(classes: int, score: float) -> None:
    source = issuer(classification(classes))
    (text,) = source.ids([np.array([1]), f4([[score] * classes])])
    found = parse(text.decode()).score
    assert found is not None
    assert struct.pack("<d", found) == struct.pack("<d", score) or math.isnan(found) is math.isnan(score) is True


def test_processes_do_not_repeat_each_other() -> None:
    first, second = Issuer(regression(), version_key="a"), Issuer(regression(), version_key="a")
    ids = {text for source in (first, second) for _ in range(100) for text in source.ids([f4(np.zeros((10, 1)))])}
    assert len(ids) == 2000


def test_many_labels_do_not_fill_memory() -> None:
    source = issuer(classification(None))
    source.ids([np.arange(10_000)])
    assert len(source._labels) <= 4096
    (text,) = source.ids([np.array([3])])
    assert parse(text.decode()).label == "3"


def test_it_needs_no_runtime() -> None:
    code = "import sys, modelwright_server.prediction; print('onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"track": "shadow"}, "track is 'shadow', must be one of stable, canary"),
        ({"version_key": "a.b"}, "version 'a.b' must match"),
        ({"version_key": ""}, "version '' must match"),
        ({"nonce": "zz"}, "nonce 'zz' must match"),
    ],
)
def test_what_no_id_can_hold_is_refused_at_once(changed: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=f"^prediction id: {problem}"):
        issuer(regression(), **changed)


def test_the_valid_example_is_valid() -> None:
    assert parse(VALID).label == "yes"


def test_the_documented_example_is_one() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "monitoring-data.md"
    (example,) = [line.strip() for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("    1.")]
    read = parse(example)
    assert (read.version_key, read.time, read.label, read.score) == ("9f2c41ab07", 1_700_000_000.999, "yes", 0.75)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "begins with '', must begin with \"1.\""),
        ("2" + VALID[1:], "begins with '2', must begin with \"1.\""),
        ("f47ac10b-58cc-4372-a567-0e02b2c3d479", "begins with 'f47ac10b-58cc-4372-a', must"),
        (VALID.rpartition(".")[0], "has 7 fields, must have 8: it is cut off"),
        (VALID.replace("9f2c41ab07", "9f2c 41ab07"), "version '9f2c 41ab07' must match"),
        (VALID.replace(".s.", ".x."), "track 'x' must match"),
        (VALID.replace(NONCE, NONCE.upper()), "nonce '00FF00FF00FF' must match"),
        (VALID.replace(".0.", ".-1."), "number '-1' must match"),
        (VALID.replace(".0.", ".\u0661."), "number '\u0661' must match"),
        (VALID.replace("18bcfe56800", ""), "time '' must match"),
        (VALID.replace("0000403f", "0.75"), "score '0' must match"),
        (VALID + "\n", r"label 'yes\\n' must match"),
        (VALID + "%20", "label 'yes%20' must match"),
        (VALID + "~2", "label 'yes~2' must match"),
        (VALID + "~FF", "label is not UTF-8"),
        (VALID + "s" * 62, "label has 65 bytes, at most 64 are possible"),
        (VALID + "s" * 1_000_000, f"has 1000054 characters, at most {MAX_LENGTH} are possible"),
    ],
)
def test_what_is_no_id_is_refused_by_what_is_wrong_with_it(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^prediction id: {problem}"):
        parse(text)


def test_a_label_in_feedback_can_be_compared() -> None:
    assert label_text(True) == "true"
    assert label_text(5) == "5"
    assert label_text("é" * 40) == "é" * 32
