"""Answers equal scikit-learn's, for every kind of model and form of request."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.server.models import BUILDERS, Built
from tests.server.process import INFER, NAME, VERSION, Server

Builder = Callable[[str], Built]
Serving = Callable[[str], Server]


def outputs(answer: Any) -> dict[str, Any]:
    return {item["name"]: np.array(item["data"]).reshape(item["shape"]) for item in answer.json["outputs"]}


def check(built: Built, rows: pd.DataFrame, found: dict[str, Any]) -> None:
    data = rows if len(built.schema["inputs"]) > 1 else rows.to_numpy()
    if built.schema["task"] == "Regression":
        wanted = built.estimator.predict(data)
        np.testing.assert_allclose(found["prediction"][:, 0], wanted, rtol=1e-5, atol=1e-5)
    else:
        np.testing.assert_allclose(found["probabilities"], built.estimator.predict_proba(data), atol=1e-5)
        assert found["label"].tolist() == built.estimator.predict(data).tolist()


@pytest.mark.parametrize("name", list(BUILDERS))
def test_all_rows_at_once_equal_scikit_learn(name: str, built: Builder, serving: Serving) -> None:
    model = built(name)
    answer = serving(name).infer({"inputs": model.inputs(model.rows)})
    assert answer.status == 200, answer.body
    check(model, model.rows, outputs(answer))


@pytest.mark.parametrize("name", list(BUILDERS))
def test_single_rows_equal_scikit_learn(name: str, built: Builder, serving: Serving) -> None:
    model = built(name)
    with serving(name).client() as client:
        for at in range(0, 60, 3):
            rows = model.rows.iloc[at : at + 1]
            answer = client.request("POST", INFER, {"inputs": model.inputs(rows)})
            assert answer.status == 200, answer.body
            check(model, rows, outputs(answer))


def test_nested_and_flat_data_are_the_same(built: Builder, logistic: Server, mixed: Server) -> None:
    for server, model in ((logistic, built("logistic")), (mixed, built("mixed"))):
        flat = model.inputs(model.rows.iloc[:5])
        nested = [{**tensor, "data": np.array(tensor["data"], dtype=object).reshape(5, -1).tolist()} for tensor in flat]
        assert server.infer({"inputs": flat}).body == server.infer({"inputs": nested}).body


@pytest.mark.parametrize("name", ["filled", "filled-regressor", "boosted-with-gaps"])
def test_null_is_a_missing_number(name: str, built: Builder, serving: Serving) -> None:
    """In every place, alone and with others, flat and nested."""
    model = built(name)
    width = model.rows.shape[1]
    rows = pd.concat([model.rows.iloc[1:2]] * (width + 2), ignore_index=True).ffill(axis=1).bfill(axis=1)
    for at in range(width):
        rows.iloc[at, at] = np.nan
    rows.iloc[width] = np.nan
    rows.iloc[width + 1, ::2] = np.nan
    (flat,) = model.inputs(rows)
    assert flat["data"].count(None) == width + width + (width + 1) // 2
    answer = serving(name).infer({"inputs": [flat]})
    assert answer.status == 200, answer.body
    check(model, rows, outputs(answer))
    nested = {**flat, "data": [flat["data"][at : at + width] for at in range(0, len(flat["data"]), width)]}
    assert serving(name).infer({"inputs": [nested]}).body == answer.body


def test_null_is_taken_next_to_inputs_that_refuse_it(built: Builder, serving: Serving) -> None:
    rows = built("columns-with-gaps").rows.iloc[:3].assign(age=[np.nan, 30, np.nan], spent=[5, 80, 200])
    answer = serving("columns-with-gaps").infer({"inputs": built("columns-with-gaps").inputs(rows)})
    assert answer.status == 200, answer.body
    check(built("columns-with-gaps"), rows, outputs(answer))


def test_order_of_inputs_does_not_matter(built: Builder, mixed: Server) -> None:
    inputs = built("mixed").inputs(built("mixed").rows.iloc[:4])
    assert mixed.infer({"inputs": inputs}).body == mixed.infer({"inputs": inputs[::-1]}).body


def test_id_and_parameters_come_back_and_names_are_stated(built: Builder, logistic: Server) -> None:
    inputs = built("logistic").inputs(built("logistic").rows.iloc[:1])
    answer = logistic.infer({"id": 'a"b: é', "parameters": {"trace": "x:y", "n": 1, "b": True}, "inputs": inputs}).json
    assert answer["id"] == 'a"b: é'
    assert answer["parameters"] == {"trace": "x:y", "n": 1, "b": True}
    assert (answer["model_name"], answer["model_version"]) == (NAME, VERSION)
    plain = logistic.infer({"inputs": inputs}).json
    assert set(plain) == {"model_name", "model_version", "outputs"}


def test_wanted_outputs_come_in_the_wanted_order(built: Builder, logistic: Server) -> None:
    inputs = built("logistic").inputs(built("logistic").rows.iloc[:2])

    def names(*wanted: str) -> list[str]:
        outputs = [{"name": name, "parameters": {"binary_data": False}} for name in wanted]
        return [item["name"] for item in logistic.infer({"inputs": inputs, "outputs": outputs}).json["outputs"]]

    assert names("probabilities") == ["probabilities"]
    assert names("probabilities", "label") == ["probabilities", "label"]
    assert names() == ["label", "probabilities"]


def test_members_the_protocol_does_not_know_are_ignored(built: Builder, logistic: Server) -> None:
    inputs = built("logistic").inputs(built("logistic").rows.iloc[:1])
    inputs[0]["parameters"] = {"content_type": "np"}
    assert logistic.infer({"inputs": inputs, "model_name": NAME, "extra": {"a": [1, {"b": 2}]}}).status == 200


def test_unseen_category_is_no_error(built: Builder, mixed: Server) -> None:
    rows = built("mixed").rows.iloc[:1].assign(plan="never seen\x00\U0001f600")
    answer = mixed.infer({"inputs": built("mixed").inputs(rows)})
    check(built("mixed"), rows, outputs(answer))


def test_versioned_path_and_query_and_absolute_target(built: Builder, logistic: Server) -> None:
    body = {"inputs": built("logistic").inputs(built("logistic").rows.iloc[:1])}
    expected = logistic.infer(body).body
    for path in (
        f"/v2/models/{NAME}/versions/{VERSION}/infer",
        f"{INFER}?verbose=1",
        f"http://somewhere.example{INFER}",
        "/v2/models/%63hurn/infer",
    ):
        assert logistic.request("POST", path, body).body == expected


def test_metadata(built: Builder, logistic: Server, mixed: Server) -> None:
    server = logistic.request("GET", "/v2").json
    assert server["name"] == "modelwright"
    assert server["extensions"] == ["binary_tensor_data"]
    for path in (f"/v2/models/{NAME}", f"/v2/models/{NAME}/versions/{VERSION}"):
        model = logistic.request("GET", path).json
        assert (model["name"], model["versions"], model["platform"]) == (NAME, [VERSION], "onnx_onnxv1")
        assert model["inputs"][0]["shape"] == [-1, 30]
        assert model["inputs"][0]["parameters"]["columns"] == list(built("logistic").rows.columns)
        assert model["outputs"][1]["parameters"]["columns"] == ["0", "1"]
    tensors = mixed.request("GET", f"/v2/models/{NAME}").json["inputs"]
    assert [tensor["datatype"] for tensor in tensors] == ["BYTES", "FP32", "INT64", "BOOL", "BYTES"]
    assert not any("parameters" in tensor for tensor in tensors)


def test_metadata_says_which_inputs_take_missing_values(built: Builder, serving: Serving, logistic: Server) -> None:
    def stated(server: Server) -> list[Any]:
        return [tensor.get("parameters") for tensor in server.request("GET", f"/v2/models/{NAME}").json["inputs"]]

    assert stated(serving("columns-with-gaps")) == [{"nullable": True}, None]
    assert stated(serving("filled")) == [{"columns": list(built("filled").rows.columns), "nullable": True}]
    assert "nullable" not in stated(logistic)[0]


def test_health(logistic: Server) -> None:
    assert logistic.request("GET", "/v2/health/live").json == {"live": True}
    assert logistic.request("GET", "/v2/health/ready").json == {"ready": True}
    for path in (f"/v2/models/{NAME}/ready", f"/v2/models/{NAME}/versions/{VERSION}/ready"):
        assert logistic.request("GET", path).json == {"name": NAME, "ready": True}
