"""Laws of the values that names, hashes and comparisons are made of."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelwright_operator import api, naming
from modelwright_operator.decide import conditions
from modelwright_operator.reasons import Reason
from modelwright_operator.render import serving
from modelwright_operator.render.common import contains
from modelwright_operator.render.quantities import canonical
from tests.support import builders as make
from tests.support import merging
from tests.support.clock import START

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=4),
    max_leaves=12,
)
suffixes = {
    name: Decimal(1000) ** power for name, power in {"m": -1, "": 0, "k": 1, "M": 2, "G": 3, "T": 4}.items()
} | {name: Decimal(1024) ** power for name, power in {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4}.items()}
larger = {"P": Decimal(10) ** 15, "E": Decimal(10) ** 18, "Pi": Decimal(2) ** 50, "Ei": Decimal(2) ** 60}
quantities = st.builds(
    lambda whole, fraction, suffix: f"{whole}{f'.{fraction}' if fraction else ''}{suffix}",
    st.integers(0, 10**6),
    st.integers(0, 999),
    st.sampled_from(sorted(suffixes)),
)


def amount(text: str) -> Decimal:
    number = text.rstrip("mkKMGTPEi")
    return Decimal(number) * {**suffixes, **larger}[text[len(number) :]]


@given(quantities)
def test_the_canonical_form_is_final_and_the_same_amount(text: str) -> None:
    once = canonical(text)
    if once.lstrip("0123456789") in suffixes:  # a user may write no larger one
        assert canonical(once) == once
    smallest = 1 if text.endswith("i") else Decimal("0.001")
    assert 0 <= amount(once) - amount(text) < smallest


@given(quantities, quantities)
def test_equal_amounts_of_one_kind_have_one_form(one: str, other: str) -> None:
    if one.endswith("i") == other.endswith("i") and canonical(one) == canonical(other):
        assert abs(amount(one) - amount(other)) < 1


@given(json_values)
def test_canonical_json_is_stable(value: Any) -> None:
    text = naming.canonical_json(value)
    assert naming.canonical_json(json.loads(text)) == text


@given(st.lists(json_values, max_size=5), st.randoms(use_true_random=False))
def test_order_does_not_matter_where_it_should_not(values: list[Any], random: Any) -> None:
    shuffled = [*values]
    random.shuffle(shuffled)
    assert naming.canonical_json(naming.unordered(values)) == naming.canonical_json(naming.unordered(shuffled))


@given(json_values, json_values)
def test_what_was_merged_in_is_contained(current: Any, wanted: Any) -> None:
    assert contains(wanted, wanted)
    if isinstance(current, dict) and isinstance(wanted, dict):
        assert contains(merging.merge(current, {}, wanted), wanted)


marks = st.lists(
    st.builds(
        conditions.Mark,
        st.sampled_from(("Ready", "Verified", "InUse", "Available")),
        st.sampled_from(("True", "False", "Unknown")),
        st.sampled_from([reason.value for reason in Reason]),
        st.text(max_size=20),
    ),
    unique_by=lambda mark: mark.type,
    max_size=4,
)


@given(marks, marks, st.integers(1, 10_000))
def test_times_move_with_the_status_and_nothing_is_lost(first: Any, second: Any, seconds: int) -> None:
    later = START + timedelta(seconds=seconds)
    before = [api.Condition.model_validate(item) for item in conditions.merge([], first, generation=1, now=START)]
    after = conditions.merge(before, second, generation=2, now=later)
    assert [item["type"] for item in after] == [mark.type for mark in second]
    for item in after:
        known = conditions.find(before, item["type"])
        kept = known is not None and known.status == item["status"]
        assert item["lastTransitionTime"] == conditions.rfc3339(START if kept else later)


pods = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.dictionaries(st.sampled_from(("team", "cost")), st.sampled_from(("x", "y"))),
        "tolerations": st.lists(
            st.builds(lambda key: {"key": key, "operator": "Exists"}, st.sampled_from(("a", "b", "c"))), max_size=3
        ),
        "imagePullSecrets": st.lists(st.builds(lambda name: {"name": name}, st.sampled_from(("r", "s"))), max_size=2),
    },
)


def revision(**spec: Any) -> str:
    deployment = api.Deployment.model_validate(make.deployment().spec(**spec).stored())
    return serving.revision_hash(deployment, api.ModelVersion.model_validate(make.verified("a").stored()))


@given(pods, st.integers(0, 9), st.integers(10, 1000), st.randoms(use_true_random=False))
def test_a_revision_is_what_the_pods_run(pod: dict[str, Any], replicas: int, deadline: int, random: Any) -> None:
    """Scaling, deadlines and the order of lists restart nothing."""
    shuffled = {name: [*value] if isinstance(value, list) else value for name, value in pod.items()}
    for value in shuffled.values():
        if isinstance(value, list):
            random.shuffle(value)
    assert revision(pod=pod) == revision(pod=shuffled, replicas=replicas, progressDeadlineSeconds=deadline)


@given(pods, st.integers(2, 8))
def test_what_changes_the_pods_changes_the_revision(pod: dict[str, Any], threads: int) -> None:
    assert revision(pod=pod) != revision(pod=pod, server={"threads": threads})
    assert revision(pod=pod) == revision(pod=pod, server={"threads": 1})
