"""Conditions: kstatus, and times that move with the status alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from modelwright_operator import api
from modelwright_operator.decide import conditions
from tests.support.clock import START

LATER = START + timedelta(minutes=5)


def before(kind: str, status: str, reason: str = "Old") -> api.Condition:
    raw = {"type": kind, "status": status, "reason": reason, "message": "m", "lastTransitionTime": START}
    return api.Condition.model_validate(raw)


@pytest.mark.parametrize(
    ("observed", "time"),
    [
        pytest.param([before("Ready", "True")], START, id="same status, other reason"),
        pytest.param([before("Ready", "False")], LATER, id="other status"),
        pytest.param([before("Stalled", "True")], LATER, id="not there before"),
        pytest.param([], LATER, id="none before"),
    ],
)
def test_times_move_with_the_status_alone(observed: list[api.Condition], time: object) -> None:
    [merged] = conditions.merge(observed, conditions.ready("New", "text"), generation=3, now=LATER)
    assert merged["lastTransitionTime"] == conditions.rfc3339(time)  # type: ignore[arg-type]  # a datetime
    assert (merged["reason"], merged["message"], merged["observedGeneration"]) == ("New", "text", 3)


@pytest.mark.parametrize(
    ("shape", "kinds"),
    [
        (conditions.ready, {"Ready": "True"}),
        (conditions.reconciling, {"Ready": "False", "Reconciling": "True"}),
        (conditions.stalled, {"Ready": "False", "Stalled": "True"}),
    ],
)
def test_abnormal_conditions_are_true_or_absent(shape: object, kinds: dict[str, str]) -> None:
    marks = shape("R", "m")  # type: ignore[operator]  # one of the three functions above
    assert {mark.type: mark.status for mark in marks} == kinds


def test_what_is_no_longer_so_is_left_out() -> None:
    merged = conditions.merge([before("Stalled", "True")], conditions.ready("R", "m"), generation=1, now=LATER)
    assert [item["type"] for item in merged] == ["Ready"]


def test_a_message_longer_than_the_field_is_cut() -> None:
    [merged] = conditions.merge([], conditions.ready("R", "x" * 5000), generation=1, now=LATER)
    assert len(merged["message"]) == 2048


def test_found_and_held() -> None:
    observed = [before("Ready", "False"), before("Verified", "True")]
    assert conditions.holds(observed, "Verified")
    assert not conditions.holds(observed, "Ready")
    assert conditions.find(observed, "InUse") is None
