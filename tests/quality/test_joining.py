"""A label and the id of its prediction: what they add, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelwright_monitor.quality.cohorts import Key
from modelwright_monitor.quality.joining import Refusal, RefusedError, Rules, join
from modelwright_monitor.quality.tally import Tally, score_bin
from modelwright_server.contract.prediction import parse
from modelwright_server.prediction import Issuer
from modelwright_server.schema import Datatype, Schema, Task, TensorSpec

DAY = 86_400
NOW = 1_800_000_000.0
MADE = NOW - 3 * DAY
VERSION = "9f2c41ab07"
RULES = Rules(14 * DAY, (VERSION, "aaaaaaaaaa"), {VERSION: ("no", "yes")}, binned=True)
INPUTS = (TensorSpec("input", Datatype.FP32, (-1, 3)),)


def predicted(label: Any = "yes", score: float = 0.75, *, version: str = VERSION, made: float = MADE) -> Any:
    """Return the id of a prediction as the server makes it."""
    outputs = (TensorSpec("label", Datatype.BYTES, (-1,)), TensorSpec("probabilities", Datatype.FP32, (-1, 2)))
    issuer = Issuer(Schema(INPUTS, outputs, Task.CLASSIFICATION), version_key=version, now=lambda: int(made * 1e9))
    arrays = [np.array([label], dtype=object), np.array([[1 - score, score]], dtype=np.float32)]
    return parse(issuer.ids(arrays)[0].decode())


def number(value: float) -> Any:
    outputs = (TensorSpec("prediction", Datatype.FP32, (-1, 1)),)
    issuer = Issuer(Schema(INPUTS, outputs, Task.REGRESSION), version_key=VERSION, now=lambda: int(MADE * 1e9))
    return parse(issuer.ids([np.array([[value]], dtype=np.float32)])[0].decode())


def test_a_label_goes_to_the_day_of_the_prediction() -> None:
    key, tally = join(predicted(), "yes", NOW, RULES, NOW)
    assert key == Key(VERSION, int(MADE // DAY))
    assert (tally.labels, tally.correct, tally.delay_seconds) == (1, 1, 3 * DAY)
    assert tally.positives[score_bin(0.75)] == sum(tally.positives) == 1
    assert tally.negatives == []
    _, wrong = join(predicted(), "no", NOW, RULES, NOW)
    assert (wrong.labels, wrong.correct, sum(wrong.negatives), wrong.positives) == (1, 0, 1, [])


@pytest.mark.parametrize(
    ("label", "name", "same"),
    [
        ("yes", "yes", True),
        (1, "1", True),
        (1.0, "1", True),
        (True, "true", True),
        (True, "True", True),
        (False, "true", False),
        ("01", "1", False),
        (2, "1", False),
        ("ü" * 50, "ü" * 32, True),
    ],
)
def test_labels_are_compared_as_ids_hold_them(label: Any, name: str, *, same: bool) -> None:
    rules = Rules(14 * DAY, (VERSION,))
    _, tally = join(predicted(name), label, NOW, rules, NOW)
    assert tally.correct == int(same)
    assert (tally.foreign, tally.positives, tally.negatives) == (0, [], [])


def test_what_is_no_class_of_the_model_is_wrong_and_said() -> None:
    _, tally = join(predicted(), "perhaps", NOW, RULES, NOW)
    assert (tally.labels, tally.correct, tally.foreign) == (1, 0, 1)
    assert tally.positives == tally.negatives == []


def test_another_versions_classes_are_those_of_the_one_that_answers_if_its_label_is_among_them() -> None:
    _, known = join(predicted(version="aaaaaaaaaa"), "yes", NOW, RULES, NOW)
    assert sum(known.positives) == 1
    _, other = join(predicted("blue", version="aaaaaaaaaa"), "blue", NOW, RULES, NOW)
    assert (other.correct, other.foreign, other.positives) == (1, 0, [])


def test_numbers_are_measured() -> None:
    _, tally = join(number(2.5), 4, NOW, RULES, NOW)
    assert (tally.absolute, tally.squared, tally.fourth, tally.measured) == (1.5, 2.25, 5.0625, 1)


@pytest.mark.parametrize("label", ["4", True, float("nan"), float("inf"), -1e300, 10**400])
def test_what_is_no_number_is_refused(label: Any) -> None:
    with pytest.raises(RefusedError, match="must be one") as caught:
        join(number(2.5), label, NOW, RULES, NOW)
    assert caught.value.refusal is Refusal.NOT_A_LABEL


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_a_prediction_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(RefusedError, match="no number"):
        join(number(value), 1, NOW, RULES, NOW)


@pytest.mark.parametrize(
    ("made", "time", "version", "refusal"),
    [
        (MADE, NOW, "0000000000", Refusal.UNKNOWN_VERSION),
        (NOW + 400, NOW + 400, VERSION, Refusal.IN_THE_FUTURE),
        (MADE, NOW + 400, VERSION, Refusal.IN_THE_FUTURE),
        (NOW - 15 * DAY, NOW, VERSION, Refusal.TOO_LATE),
        (0.0, NOW, VERSION, Refusal.TOO_LATE),
        (MADE, MADE - 400, VERSION, Refusal.BEFORE_PREDICTION),
    ],
)
def test_times_and_versions_that_cannot_be_are_refused(
    made: float, time: float, version: str, refusal: Refusal
) -> None:
    with pytest.raises(RefusedError) as caught:
        join(predicted(made=made, version=version), "yes", time, RULES, NOW)
    assert caught.value.refusal is refusal


def test_clocks_may_differ_by_minutes() -> None:
    for made, time in ((NOW + 200, NOW + 250), (NOW, NOW - 200)):
        _, tally = join(predicted(made=made), "yes", time, RULES, NOW)
        assert tally.delay_seconds in {0, 50}


def test_scores_are_counted_only_where_an_auc_is_wanted() -> None:
    _, tally = join(predicted(), "yes", NOW, Rules(14 * DAY, (VERSION,), {VERSION: ("no", "yes")}), NOW)
    assert tally == Tally(labels=1, correct=1, delay_seconds=3 * DAY)
