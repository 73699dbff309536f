"""Names: deterministic, short enough, and blind to what the API server does not tell apart."""

from __future__ import annotations

import math
import re

import pytest

from modelwright_operator import naming

DNS_LABEL = re.compile(r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")


@pytest.mark.parametrize(
    "owner",
    ["a", "churn-train", "a" * 57, "a" * 45 + "-b", "a" * 46 + "-b"],
    ids=["short", "usual", "57", "dash 46", "dash 47"],
)
def test_a_job_name_is_a_label_that_leaves_room_for_its_pods(owner: str) -> None:
    name = naming.job_name(owner, "uid", "1")
    assert DNS_LABEL.match(name)
    assert len(name) <= 57
    assert "--" not in name


def test_a_job_name_tells_attempts_and_uids_apart() -> None:
    made = {naming.job_name("a", uid, attempt) for uid in ("u", "v") for attempt in ("1", "2", "11")}
    assert len(made) == 6
    assert naming.job_name("a", "u", "1") == naming.job_name("a", "u", "1")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 1}, id="order of keys"),
        pytest.param({"a": 1.0}, {"a": 1}, id="a whole number as a fraction"),
        pytest.param({"a": [1.0, {"b": 2.0}]}, {"a": [1, {"b": 2}]}, id="the same, deep"),
        pytest.param((1, 2), [1, 2], id="tuple and list"),
    ],
)
def test_equal_to_the_api_server_is_equal_in_a_hash(one: object, other: object) -> None:
    assert naming.canonical_json(one) == naming.canonical_json(other)
    assert naming.full_hash(one) == naming.full_hash(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param([1, 2], [2, 1], id="order of a list"),
        pytest.param(1, "1", id="number and text"),
        pytest.param({"a": None}, {}, id="null and absent"),
        pytest.param(0.1, 0.2, id="fractions"),
        pytest.param(1, True, id="one and true"),
    ],
)
def test_what_differs_differs_in_a_hash(one: object, other: object) -> None:
    assert naming.full_hash(one) != naming.full_hash(other)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_json_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        naming.canonical_json({"a": number})


def test_unordered_sorts_lists_of_anything() -> None:
    one = {"t": [{"key": "b"}, {"key": "a", "x": [2, 1]}], "n": [3, "a", None]}
    other = {"n": ["a", None, 3], "t": [{"x": [1, 2], "key": "a"}, {"key": "b"}]}
    assert naming.unordered(one) == naming.unordered(other)


def test_every_watched_resource_is_unique() -> None:
    assert len(set(naming.RESOURCES.values())) == len(naming.RESOURCES)
    assert set(naming.PLURALS.values()) <= set(naming.RESOURCES)
