"""Laws of prediction ids: what goes in comes out, in characters that any header and URL takes."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from modelwright_server.contract.prediction import MAX_LENGTH, label_text, parse
from modelwright_server.prediction import Issuer
from modelwright_server.schema import Datatype, Schema, Task, TensorSpec

SCHEMA = Schema(
    (TensorSpec("input", Datatype.FP32, (-1, 1)),),
    (TensorSpec("label", Datatype.BYTES, (-1,)), TensorSpec("probabilities", Datatype.FP32, (-1, 2))),
    Task.CLASSIFICATION,
)
labels = st.text(st.characters(codec=None), max_size=80) | st.text(st.characters(), max_size=80)


@given(
    st.lists(st.tuples(labels, st.floats(width=32, allow_nan=False)), min_size=1, max_size=20),
    st.integers(0, (1 << 63) - 1),
    st.sampled_from(["stable", "canary"]),
)
def test_what_goes_in_comes_out(rows: list[tuple[str, float]], time: int, track: str) -> None:
    issuer = Issuer(SCHEMA, version_key="9f2c41ab07", track=track, now=lambda: time)
    arrays = [
        np.array([label for label, _ in rows], dtype=object),
        np.array([[0, score] for _, score in rows], dtype=np.float32),
    ]
    ids = [text.decode("ascii") for text in issuer.ids(arrays)]
    assert len(set(ids)) == len(rows)
    for number, ((label, score), text) in enumerate(zip(rows, ids, strict=True)):
        assert len(text) <= MAX_LENGTH
        assert re.fullmatch(r"[A-Za-z0-9._~-]+", text)
        assert quote(text, safe="") == text == unquote(text)
        read = parse(text)
        assert (read.version_key, read.track, read.number) == ("9f2c41ab07", track, number)
        assert read.label == label_text(label)
        assert read.score == score
        assert read.time == time // 1_000_000 / 1000


@given(labels)
def test_a_short_label_is_itself(label: str) -> None:
    whole = label.encode("utf-8", "replace").decode()
    kept = label_text(label)
    assert whole.startswith(kept)
    assert kept == whole or 60 < len(kept.encode()) <= 64


@given(st.text() | st.text("0123456789abcdef.~s1%", max_size=300))
def test_no_text_is_more_than_an_error(text: str) -> None:
    for candidate in (text, f"1.a.s.00ff00ff00ff.0.0.{text}", f"1.a.s.00ff00ff00ff.0.0..{text}"):
        try:
            read = parse(candidate)
        except ValueError as refused:
            problem = str(refused)
        else:
            problem = ""
            assert label_text(read.label) == read.label
        assert problem == "" or problem.startswith("prediction id: ")
        assert len(problem) < 400
