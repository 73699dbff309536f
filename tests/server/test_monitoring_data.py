"""What a running server leaves for monitoring: ids that say what was answered, and the rows in its ring."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from modelwright_server.contract.prediction import parse
from modelwright_server.ring import Record, RingReader
from tests.server.process import DEADLINE, NAME, VERSION, Answer, Server, settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.server.models import Built


def outputs(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    return {item["name"]: item["data"] for item in answer.json["outputs"]}


def read(reader: RingReader, rows: int) -> list[Record]:
    """Return records with that many rows together, as soon as they are there."""
    records: list[Record] = []
    deadline = time.monotonic() + DEADLINE
    while sum(record.rows for record in records) < rows:
        assert time.monotonic() < deadline
        records += reader.poll()
    return records


def rows_of(tensors: dict[str, Any], width: dict[str, int], rows: int) -> list[tuple[Any, ...]]:
    """Return flat tensors row by row."""
    return [
        tuple(value for name, data in tensors.items() for value in data[row * width[name] : (row + 1) * width[name]])
        for row in range(rows)
    ]


@pytest.mark.parametrize("name", ["logistic", "mixed", "boosted", "slow", "filled-regressor"])
def test_the_ring_has_every_answered_row_and_ids_say_what_was_answered(
    name: str, built: Callable[[str], Built], tmp_path: Path
) -> None:
    model = built(name)
    started = time.time_ns()
    with Server(settings(model.folder, tmp_path, ring_dir=str(tmp_path))) as server:
        server.wait_until_ready()
        with ThreadPoolExecutor(8) as clients:  # calls of the model with rows of several clients
            bodies = [{"inputs": model.inputs(model.rows.iloc[at : at + 1])} for at in range(40)]
            single = list(clients.map(server.infer, bodies))
        wanted = [{"name": spec["name"]} for spec in model.schema["outputs"]] + [{"name": "prediction_id"}]
        batch = {"inputs": model.inputs(model.rows.iloc[40:60]), "outputs": wanted}
        many = server.infer(batch)
        reader = RingReader.open(tmp_path / "ring-0")
        records = read(reader, 60)
    assert (reader.lost_rows, reader.damaged) == (0, 0)
    assert (reader.origin.model, reader.origin.version, reader.origin.digest) == (NAME, VERSION, model.digest)
    assert reader.origin.schema.to_document() == model.schema

    width = {spec.name: spec.width for spec in (*reader.origin.schema.inputs, *reader.origin.schema.outputs)}
    answered = [rows_of(outputs(answer), width, 1)[0] for answer in single]
    answers = outputs(many)
    ids = [answer.headers["x-prediction-id"] for answer in single] + answers.pop("prediction_id")
    answered += rows_of(answers, width, 20)
    asked = [row for body, rows in [*((body, 1) for body in bodies), (batch, 20)] for row in request_rows(body, rows)]
    found = [
        values
        for record in records
        for values in rows_of(
            {key: array.ravel().tolist() for key, array in (record.features | record.outputs).items()},
            width,
            record.rows,
        )
    ]
    expected = [row + out for row, out in zip(asked, answered, strict=True)]
    assert sorted(as_held(model, row) for row in found) == sorted(as_held(model, row) for row in expected)

    assert "x-prediction-id" not in many.headers
    assert len(set(ids)) == 60
    for text, row in zip(ids, answered, strict=True):
        said = parse(text)
        assert (said.version_key, said.track) == (model.digest.removeprefix("sha256:")[:10], "stable")
        assert started // 1_000_000 <= round(said.time * 1000) <= time.time_ns() // 1_000_000
        if model.schema["task"] == "Regression":
            assert said.label == ""
            assert said.score == pytest.approx(row[0], rel=1e-6)
        else:
            assert said.label == str(row[0])
            assert said.score == pytest.approx(row[2] if len(row) == 3 else max(row[1:]), rel=1e-6)


def request_rows(body: dict[str, Any], rows: int) -> list[tuple[Any, ...]]:
    width = {tensor["name"]: tensor["shape"][1] for tensor in body["inputs"]}
    return rows_of({tensor["name"]: tensor["data"] for tensor in body["inputs"]}, width, rows)


def as_held(model: Built, row: tuple[Any, ...]) -> str:
    """Return a row as the tensors hold it, since JSON says floats in decimal, and null for NaN."""
    specs = [spec for side in ("inputs", "outputs") for spec in model.schema[side]]
    kinds = [spec["datatype"] for spec in specs for _ in range(spec["shape"][1] if len(spec["shape"]) > 1 else 1)]
    values = [float("nan") if value is None else value for value in row]
    return repr([float(np.float32(v)) if kind == "FP32" else v for kind, v in zip(kinds, values, strict=True)])


def test_a_restarted_server_is_followed(built: Callable[[str], Built], tmp_path: Path) -> None:
    model = built("logistic")
    body = {"inputs": model.inputs(model.rows.iloc[:3])}
    given = settings(model.folder, tmp_path, ring_dir=str(tmp_path))
    with Server(given) as server:
        server.wait_until_ready()
        reader = RingReader.open(tmp_path / "ring-0")
        assert server.infer(body).status == 200
        records = read(reader, 3)  # a call is recorded once its requests are answered
        server.process.kill()
    with Server(given) as server:
        server.wait_until_ready()
        assert server.infer(body).status == 200
        records += read(reader, 3)
    assert [record.rows for record in records] == [3, 3]
    assert records[0].origin.nonce != records[1].origin.nonce
    assert (reader.restarts, reader.lost_rows) == (1, 0)


def test_without_room_for_a_ring_serving_goes_on(built: Callable[[str], Built], tmp_path: Path) -> None:
    model = built("logistic")
    with Server(settings(model.folder, tmp_path, ring_dir=str(tmp_path / "missing"))) as server:
        server.wait_until_ready()
        assert server.infer({"inputs": model.inputs(model.rows.iloc[:1])}).status == 200
        assert any(line["event"] == "no ring for monitoring" for line in server.log)


def test_large_calls_become_several_records_and_what_is_too_much_is_counted(
    built: Callable[[str], Built], tmp_path: Path
) -> None:
    model = built("logistic")
    with Server(settings(model.folder, tmp_path, ring_dir=str(tmp_path))) as server:
        server.wait_until_ready()
        reader = RingReader.open(tmp_path / "ring-0")
        for rows, found in ((2000, 2000), (18_000, 15_416)):  # half of the ring: eight records, 136 bytes a row
            body = {"inputs": model.inputs(model.rows.sample(rows, replace=True, random_state=0))}
            answer = server.infer(body)
            records = read(reader, found)
            assert sum(record.rows for record in records) == found
            labels = np.concatenate([record.outputs["label"] for record in records])
            assert labels.tolist() == outputs(answer)["label"][:found]
        reader.poll()
        assert (reader.lost_rows, reader.damaged) == (18_000 - 15_416, 0)
