"""Checks: what an answer says, what answers in a row say, and what becomes of the verdict."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from modelwright_operator.api.checks import Check, Hook, PrometheusQuery
from modelwright_operator.api.rollout_status import CheckStatus
from modelwright_operator.decide.checks import (
    Reading,
    brought_up_to_date,
    from_hook,
    from_prometheus,
    invalid,
    tallied,
    together,
    unavailable,
    with_checks,
)
from modelwright_operator.decide.verdict import Kind, Verdict
from modelwright_operator.reasons import Reason

UP = PrometheusQuery(query="up")
LATENCY = Check(name="latency", prometheus=UP, max=0.5)
HOOK = Check(name="revenue", hook=Hook(service="shop", port=8080, path="/revenue"), min=0.9)
START = datetime(2026, 11, 22, tzinfo=UTC)


def _vector(*samples: object) -> bytes:
    result = [{"metric": {}, "value": [1792570000.1, sample]} for sample in samples]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


def _answer(kind: str, result: object) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


@pytest.mark.parametrize(("text", "value"), [("0.25", 0.25), ("3", 3), ("1e-3", 0.001), ("+0", 0), (".5", 0.5)])
def test_a_number_of_prometheus(text: str, value: float) -> None:
    assert from_prometheus(LATENCY, 200, _vector(text)) == Reading(value)
    assert from_prometheus(LATENCY, 200, _answer("scalar", [1792570000, text])) == Reading(value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (_vector("NaN"), "latency is NaN: it must be a number"),
        (_vector("+Inf"), "latency is +Inf: it must be a number"),
        (_vector("-Inf"), "latency is -Inf"),
        (_vector("1e999"), "latency is inf"),
        (_vector("-1"), "latency is -1: below zero, which min does not provide for"),
        (_vector("fast"), "latency is fast"),
        (_vector("1_0"), "latency is 1_0"),
        (_vector("٣"), "latency is ٣"),
        (_vector(""), "it must be a number"),
        (_vector(0.25), "latency is None"),
        (_vector(), "yields no series"),
        (_vector("1", "2"), "yields 2 series"),
        (_answer("matrix", []), "yields a matrix"),
        (_answer("string", [1, "0.25"]), "yields a string"),
        (_answer("scalar", None), "latency is None"),
        (b'{"status": "success", "data": null}', "nothing that the API provides for"),
        (b'{"status": "error"}', "nothing that the API provides for"),
        (b"<html>", "nothing that the API provides for"),
        (b"", "nothing that the API provides for"),
        (b"[" * 60_000, "nothing that the API provides for"),
        (b"\xff\xfe", "nothing that the API provides for"),
    ],
)
def test_what_prometheus_answers_and_is_no_number(body: bytes, said: str) -> None:
    reading = from_prometheus(LATENCY, 200, body)
    assert (reading.value, reading.reason) == (None, Reason.METRIC_INVALID)
    assert said in reading.message


@pytest.mark.parametrize(("status", "reason"), [(400, Reason.METRIC_INVALID), (422, Reason.METRIC_INVALID)])
def test_a_query_that_is_refused_says_why(status: int, reason: Reason) -> None:
    reading = from_prometheus(LATENCY, status, b'{"status": "error", "error": "parse error:\\n bad query"}')
    assert reading.reason is reason
    assert "parse error:? bad query" in reading.message
    assert len(from_prometheus(LATENCY, status, json.dumps({"error": "x" * 9000}).encode()).message) < 300


@pytest.mark.parametrize("status", [301, 500, 503, 204])
def test_one_that_is_not_answered_is_unavailable(status: int) -> None:
    assert from_prometheus(LATENCY, status, _vector("1")).reason is Reason.METRIC_UNAVAILABLE
    assert from_hook(HOOK, status, b'{"value": 1}').reason is Reason.METRIC_UNAVAILABLE


@pytest.mark.parametrize(("body", "value"), [(b'{"value": 0.97, "more": 1}', 0.97), (b'{"value": 1}', 1.0)])
def test_a_number_of_a_hook(body: bytes, value: float) -> None:
    assert from_hook(HOOK, 200, body) == Reading(value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"0.97",
        b"{}",
        b'{"value": "0.97"}',
        b'{"value": true}',
        b'{"value": null}',
        b'{"value": NaN}',
        b'{"value": Infinity}',
        b'{"value": 1e999}',
        b'{"value": -0.5}',
        b'{"value": 1' + b"0" * 400 + b"}",
        b'{"value": 1' + b"0" * 60_000 + b"}",
        b"[" * 60_000,
    ],
)
def test_what_a_hook_answers_and_is_no_number(body: bytes) -> None:
    reading = from_hook(HOOK, 200, body)
    assert (reading.value, reading.reason) == (None, Reason.METRIC_INVALID)


def test_below_zero_is_a_number_where_min_says_so() -> None:
    check = Check(name="balance", prometheus=UP, min=-5, max=5)
    assert from_prometheus(check, 200, _vector("-1")) == Reading(-1)


@given(st.binary(max_size=300) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["status", "data", "result", "value", "resultType"]), inner, max_size=4),
).map(lambda value: json.dumps(value).encode()), st.integers(100, 599))  # fmt: skip
def test_any_answer_is_a_reading(body: bytes, status: int) -> None:
    for reading in (from_prometheus(LATENCY, status, body), from_hook(HOOK, status, body)):
        assert (reading.value is None) == (reading.reason is not None)
        assert reading.message.isprintable()
        assert len(reading.message) < 500


@pytest.mark.parametrize(
    ("service", "port", "path"),
    [
        ("", 80, "/"),
        ("shop.other", 80, "/"),
        ("shop@metadata", 80, "/"),
        ("Shop", 80, "/"),
        ("shop-", 80, "/"),
        ("127.0.0.1", 80, "/"),
        ("a" * 64, 80, "/"),
        ("shop", 0, "/"),
        ("shop", 65536, "/"),
        ("shop", 80, ""),
        ("shop", 80, "value"),
        ("shop", 80, "/value?of=all"),
        ("shop", 80, "/value#all"),
        ("shop", 80, "/a/../b"),
        ("shop", 80, "/%2e%2e/"),
        ("shop", 80, "/a b"),
        ("shop", 80, "/a\r\nHost: other"),
        ("shop", 80, "/" + "a" * 256),
    ],
)
def test_a_hook_leads_to_a_service_of_the_namespace_only(service: str, port: int, path: str) -> None:
    with pytest.raises(ValidationError):
        Hook(service=service, port=port, path=path)


@pytest.mark.parametrize("path", ["/", "/value", "/of/$canary", "/a.b/", "/v1/$namespace/$deployment:rate,5"])
def test_paths_that_are_let_through(path: str) -> None:
    assert Hook(service="shop", port=80, path=path).path == path


def _run(check: Check, *readings: Reading) -> CheckStatus | None:
    known = None
    for number, reading in enumerate(readings):
        known = tallied(check, known, reading, START + timedelta(seconds=30 * number))
    return known


def _said(check: Check, *readings: Reading) -> tuple[Kind, Reason, str]:
    known = _run(check, *readings)
    said = together([check], [known] if known is not None else [], None)
    return said.kind, said.reason, said.message


GOOD, BAD, NONE = Reading(0.2), Reading(0.7), unavailable("nobody answers")


def test_three_bad_readings_in_a_row_fail_a_check() -> None:
    kind, reason, message = _said(LATENCY, GOOD, BAD, BAD, BAD)
    assert (kind, reason) == (Kind.ROLLBACK, Reason.CHECK_FAILED)
    assert message == "check failed 3 times in a row: latency is 0.7, above max 0.5"


def test_fewer_hold_the_step() -> None:
    kind, _, message = _said(LATENCY, BAD, GOOD, BAD, BAD)
    assert kind is Kind.INCONCLUSIVE
    assert "2 of 3 readings in a row" in message


def test_what_cannot_be_read_neither_fails_nor_passes() -> None:
    assert _said(LATENCY, *[NONE] * 50)[:2] == (Kind.INCONCLUSIVE, Reason.METRIC_UNAVAILABLE)
    assert _said(LATENCY, GOOD, invalid("it is NaN"))[:2] == (Kind.INCONCLUSIVE, Reason.METRIC_INVALID)
    assert _said(LATENCY, BAD, BAD, NONE, BAD)[0] is Kind.ROLLBACK
    assert _said(LATENCY, BAD, BAD, NONE, GOOD)[0] is Kind.PROMOTE


def test_a_failed_check_stays_failed_when_it_can_no_longer_be_read() -> None:
    assert _said(LATENCY, BAD, BAD, BAD, NONE)[0] is Kind.ROLLBACK


def test_before_the_first_reading_the_step_is_held() -> None:
    assert _said(LATENCY)[0] is Kind.INCONCLUSIVE


@pytest.mark.parametrize(("value", "kind"), [(0.9, Kind.PROMOTE), (0.89, Kind.INCONCLUSIVE), (9, Kind.PROMOTE)])
def test_limits_are_within(value: float, kind: Kind) -> None:
    assert _said(HOOK, Reading(value))[0] is kind


def test_the_most_cautious_of_several_checks_counts() -> None:
    fine = _run(HOOK, Reading(1))
    assert fine is not None
    for readings, kind in (((BAD, BAD, BAD), Kind.ROLLBACK), ((NONE,), Kind.INCONCLUSIVE), ((GOOD,), Kind.PROMOTE)):
        known = _run(LATENCY, *readings)
        assert known is not None
        said = together([HOOK, LATENCY], [known, fine], None)
        assert said.kind is kind
    assert said.message == "2 of 2 checks passed"
    assert together([], [], None).kind is Kind.PROMOTE


def test_what_was_read_before_the_step_says_nothing_about_it() -> None:
    known = _run(LATENCY, GOOD)
    assert known is not None
    assert together([LATENCY], [known], START).kind is Kind.PROMOTE
    assert together([LATENCY], [known], START + timedelta(seconds=1)).kind is Kind.INCONCLUSIVE
    failed = _run(LATENCY, BAD, BAD, BAD)
    assert failed is not None
    assert together([LATENCY], [failed], START + timedelta(hours=1)).kind is Kind.ROLLBACK


def test_each_reading_is_counted_once() -> None:
    once = brought_up_to_date([LATENCY], [], {LATENCY: (START, BAD)})
    assert [item.failures for item in once] == [1]
    assert brought_up_to_date([LATENCY], once, {LATENCY: (START, BAD)}) == once
    assert brought_up_to_date([LATENCY], once, {}) == once
    twice = brought_up_to_date([LATENCY], once, {LATENCY: (START + timedelta(seconds=30), BAD)})
    assert [item.failures for item in twice] == [2]


def test_a_reading_of_another_definition_of_the_check_does_not_count() -> None:
    other = LATENCY.model_copy(update={"max": 0.9})
    assert brought_up_to_date([other], [], {LATENCY: (START, BAD)}) == ()
    assert brought_up_to_date([HOOK], [CheckStatus(name="latency", observed_at=START)], {}) == ()


@pytest.mark.parametrize("evidence", list(Kind))
@pytest.mark.parametrize("readings", [(BAD, BAD, BAD), (NONE,), (BAD,), (GOOD,)])
def test_checks_only_ever_make_a_verdict_more_cautious(evidence: Kind, readings: tuple[Reading, ...]) -> None:
    caution = [Kind.PROMOTE, Kind.UNDECIDED, Kind.INCONCLUSIVE, Kind.ROLLBACK]
    verdict = Verdict(evidence, Reason.COLLECTING_EVIDENCE, "as counted", eta_seconds=9)
    known = _run(LATENCY, *readings)
    assert known is not None
    said = together([LATENCY], [known], None)
    together_with = with_checks(verdict, said)
    assert caution.index(together_with.kind) == max(caution.index(evidence), caution.index(said.kind))
    if together_with.kind is not evidence:
        assert together_with.message == said.message
    else:
        assert together_with == verdict
