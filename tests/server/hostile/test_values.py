"""Values that every model's arithmetic can come to grief on: the client's doing, and nobody else's trouble."""

import json
import socket
from typing import Any

import numpy as np
import pytest

from tests.server.process import DEADLINE, INFER, VERSION, Server, read_all

LARGE = 3.4e38


def body(*values: float, outputs: list[dict[str, Any]] | None = None) -> bytes:
    rows = [[value, -value] * 15 for value in values]
    document: dict[str, Any] = {
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [len(rows), 30], "data": rows}]
    }
    return json.dumps(document | ({"outputs": outputs} if outputs else {})).encode()


def post(content: bytes, *headers: str) -> bytes:
    lines = [f"POST {INFER} HTTP/1.1", "Host: a", f"Content-Length: {len(content)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content


@pytest.mark.parametrize("values", [(LARGE,), (1.0, LARGE)])
def test_an_answer_that_is_not_finite_is_no_fault_of_the_server(logistic: Server, values: tuple[float, ...]) -> None:
    answer = logistic.infer(body(*values))
    assert answer.status == 422, answer.body
    assert "output 'probabilities': the model's answer to these values is not finite" in answer.json["error"]
    assert logistic.infer(body(*values, outputs=[{"name": "label"}])).status == 200


def test_raw_form_can_say_it(logistic: Server) -> None:
    wanted = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    for values in ((LARGE,), (1.0, LARGE)):
        answer = logistic.infer(body(*values, outputs=wanted))
        assert answer.status == 200, answer.body
        raw = answer.body[int(answer.headers["inference-header-content-length"]) :]
        found = np.frombuffer(raw, "<f4").reshape(len(values), 2)
        assert np.isnan(found[-1]).any()
        assert np.isfinite(found[:-1]).all()


def test_requests_of_the_same_call_are_answered(logistic: Server) -> None:
    """What is there at once runs in one call of the model: one request's values must not spoil the others."""
    good, bad = post(body(1.0)), post(body(LARGE))
    with socket.create_connection(("127.0.0.1", logistic.port), timeout=DEADLINE) as connection:
        connection.sendall((good + bad) * 10 + post(body(1.0), "Connection: close"))
        answers = read_all(connection).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200", b"422"] * 10 + [b"200"]
    assert VERSION.encode() in answers[0]
    alone = logistic.infer(body(1.0)).body
    assert {answer.split(b"\r\n\r\n", 1)[1] for answer in answers[::2]} == {alone}
