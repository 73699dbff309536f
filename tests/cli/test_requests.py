"""Rows become requests in the model's own words, and answers become rows; what does not fit is named."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright_cli.errors import Fault
from modelwright_cli.requests import MOST_ROWS, answers, from_csv, from_json, requests, rows_of

Object = dict[str, Any]
MATRIX: Object = {
    "inputs": [
        {
            "name": "input",
            "datatype": "FP32",
            "shape": [-1, 2],
            "parameters": {"columns": ["mean age", "fee"], "nullable": True},
        }
    ],
    "outputs": [{"name": "prediction", "datatype": "FP32", "shape": [-1, 1]}],
}
MIXED: Object = {
    "inputs": [
        {"name": "plan", "datatype": "BYTES", "shape": [-1, 1]},
        {"name": "auto_renew", "datatype": "BOOL", "shape": [-1, 1]},
        {"name": "region", "datatype": "INT64", "shape": [-1, 1]},
    ],
    "outputs": [
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2], "parameters": {"columns": ["no", "yes"]}},
    ],
}


def test_numbers_become_one_matrix() -> None:
    [request] = requests(from_csv("id,fee,mean age\n1,2.5,\n2,3,41\n"), MATRIX)
    assert request["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [2, 2], "data": [None, 2.5, 41.0, 3.0]}]


def test_columns_become_tensors_of_their_types() -> None:
    rows = from_json(
        '[{"plan": null, "auto renew": true, "region": 7}, {"plan": "x", "auto renew": "0", "region": "8"}]'
    )
    [request] = requests(rows, MIXED)
    assert [item["data"] for item in request["inputs"]] == [["", "x"], [True, False], [7, 8]]


def test_many_rows_become_several_requests() -> None:
    rows = from_csv("fee,mean age\n" + "1,2\n" * (MOST_ROWS + 1))
    assert [rows_of(request) for request in requests(rows, MATRIX)] == [MOST_ROWS, 1]


def test_answers_become_rows() -> None:
    answer = {
        "outputs": [
            {"name": "label", "data": ["no", "yes"]},
            {"name": "probabilities", "data": [0.75, 0.25, 0.5, 0.5]},
        ]
    }
    assert answers(answer, MIXED, 2) == [
        {"label": "no", "probabilities[no]": 0.75, "probabilities[yes]": 0.25},
        {"label": "yes", "probabilities[no]": 0.5, "probabilities[yes]": 0.5},
    ]
    with pytest.raises(Fault, match="3 values of 'label' for 2 rows"):
        answers({"outputs": [{"name": "label", "data": [1, 2, 3]}]}, MIXED, 2)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "there is no row"),
        ([{"plan": "x", "auto_renew": "true"}], "row 1, column 'region': there is none"),
        ([{"plan": "x", "auto_renew": "true", "region": ""}], "row 1, column 'region': there is no value"),
        ([{"plan": "x", "auto_renew": "maybe", "region": "1"}], "row 1, column 'auto_renew': 'maybe' is no BOOL"),
        ([{"plan": "x", "auto_renew": "true", "region": "1.5"}], "row 1, column 'region': '1.5' is no INT64"),
    ],
)
def test_what_does_not_fit_is_named(rows: list[Object], words: str) -> None:
    with pytest.raises(Fault, match=words):
        list(requests(rows, MIXED))


@pytest.mark.parametrize("number", ["inf", "nan", "x", [1]])
def test_only_finite_numbers_are_numbers(number: object) -> None:
    with pytest.raises(Fault, match="is no FP32"):
        list(requests([{"mean age": 1, "fee": number}], MATRIX))


@pytest.mark.parametrize("content", ["[", "3", '["x"]', "[" * 100_000])
def test_json_must_be_objects(content: str) -> None:
    with pytest.raises(Fault):
        from_json(content)


@given(st.text())
def test_csv_may_be_anything(content: str) -> None:
    with contextlib.suppress(Fault):
        list(requests(from_csv(content), MIXED))
