"""The parts by themselves: blocks, hashes, the breaker, evidence of several processes, comparisons."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright_server.contract.evidence import LATENCY_BOUNDS, MOST_STEPS, SCORE_BOUNDS
from modelwright_server.routing.answers import BrokenAnswerError, Output
from modelwright_server.routing.breaker import Breaker
from modelwright_server.routing.choice import Blocks, position
from modelwright_server.routing.comparison import Compared, Comparison, texts
from modelwright_server.routing.evidence import Evidence, merged
from modelwright_server.schema import Datatype, Schema, Task, TensorSpec


@given(st.integers(0, 100), st.integers(1, 5))
def test_each_block_has_its_share_in_an_order_of_its_own(percent: int, blocks: int) -> None:
    share = Blocks(percent)
    taken = [[share.take() for _ in range(100)] for _ in range(blocks)]
    assert [sum(block) for block in taken] == [percent] * blocks
    if percent == 50 and blocks > 1:
        assert taken[0] != taken[1]


def test_a_client_with_a_period_of_its_own_gets_a_fair_share() -> None:
    share = Blocks(10)
    tenth = [share.take() for _ in range(100_000)][::10]
    assert 850 < sum(tenth) < 1150  # of 10 000


def test_values_spread_evenly_and_anew_for_each_canary() -> None:
    users = [f"user-{at}".encode() for at in range(20_000)]
    for percent in (1, 10, 50):
        chosen = {salt: {user for user in users if position(user, salt) < percent} for salt in (b"a", b"b")}
        assert all(abs(len(found) - 200 * percent) < 30 * percent**0.5 for found in chosen.values())
        assert abs(len(chosen[b"a"] & chosen[b"b"]) - 2 * percent**2) < 30 * percent**0.5


def test_the_breaker_opens_probes_ever_less_often_and_closes() -> None:
    now = 0.0
    breaker = Breaker(lambda: now)
    for _ in range(19):
        assert breaker.allows()
        breaker.failed()
    breaker.succeeded()  # in a row, or not at all
    for _ in range(20):
        assert breaker.allows()
        breaker.failed()
    assert breaker.open
    probes = []
    while now < 300:
        if breaker.allows():
            probes.append(now)
            breaker.failed()
        now += 1
    assert probes == [5, 15, 35, 75, 135, 195, 255]
    now = 315
    assert breaker.allows()
    assert not breaker.allows()  # one probe at a time
    breaker.succeeded()
    assert all(breaker.allows() for _ in range(5))


def test_evidence_of_processes_adds_up_by_step() -> None:
    one, other = Evidence(), Evidence()
    for evidence, keys in ((one, [("a", 1), ("b", 2)]), (other, [("b", 2)])):
        for at, key in enumerate(keys):
            step = evidence.at(*key)
            step.canary.count(error=True, slow=True, timeout=True)
            step.stable.count()
            step.shadow.later(0.002)
            step.shadow.rows(3, 2, [1, 2])
            step.matched += at
    first, second = merged([one.document(), other.document()])
    assert (first["revision"], first["sequence"], first["canary"]["requests"]) == ("a", 1, 1)
    assert second["canary"] == {"requests": 2, "bad": 2, "errors": 2, "slow": 2, "invalid": 0, "timeouts": 2}
    assert second["stable"] == {"requests": 2, "bad": 0, "errors": 0, "slow": 0, "invalid": 0}
    assert (second["matched"], second["shadow"]["agreed"], second["shadow"]["scoreDifferences"][:2]) == (1, 4, [2, 4])
    assert second["shadow"]["latencyDifferences"][5] == 2
    assert len(second["shadow"]["scoreDifferences"]) == len(SCORE_BOUNDS) + 1
    assert len(second["shadow"]["latencyDifferences"]) == len(LATENCY_BOUNDS) + 1


def test_the_newest_steps_are_kept_and_one_that_returns_goes_on() -> None:
    evidence = Evidence()
    for sequence in range(2 * MOST_STEPS):
        evidence.at("a", sequence).matched = sequence
        evidence.at("a", 0).skipped += 1
    document = evidence.document()
    assert len(document) == MOST_STEPS
    assert (document[-1]["sequence"], document[-1]["skipped"]) == (0, 2 * MOST_STEPS)
    assert document[-2]["sequence"] == 2 * MOST_STEPS - 1


LABEL = TensorSpec("label", Datatype.BYTES, (-1,))
SCORES = TensorSpec("probabilities", Datatype.FP32, (-1, 3))
NUMBER = TensorSpec("prediction", Datatype.FP32, (-1, 1))
CLASSES = Comparison(Schema((NUMBER,), (LABEL, SCORES), Task.CLASSIFICATION))
NUMBERS = Comparison(Schema((NUMBER,), (NUMBER,), Task.REGRESSION))
OWN = [np.array(["yes", "no"], object), np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1]], "f4")]


def bins(*at: int) -> list[int]:
    return [at.count(number) for number in range(len(SCORE_BOUNDS) + 1)]


def test_labels_and_scores_are_compared_in_any_form() -> None:
    raw = b"".join(len(text).to_bytes(4, "little") + text for text in (b"yes", b"yes"))
    for label in (["yes", "yes"], memoryview(raw)):
        for scores in (
            [0.7, 0.2, 0.1, 0.65, 0.3, 0.05],
            [[0.7, 0.2, 0.1], [0.65, 0.3, 0.05]],
            memoryview(np.array([0.7, 0.2, 0.1, 0.65, 0.3, 0.05], "<f4").tobytes()),
        ):
            outputs = [Output("label", "BYTES", 2, label), Output("probabilities", "FP32", 2, scores)]
            found = CLASSES.compare(OWN, outputs)
            assert found is not None
            assert (found.rows, found.agreed) == (2, 1)
            assert sum(found.scores) == 2
            assert found.scores[4] == 1  # 0.05 apart: the largest of three, whichever class it is of


def test_numbers_are_compared_by_their_size() -> None:
    own = [np.array([[1000.0], [-1.0], [0.0], [5.0]], "f4")]
    found = NUMBERS.compare(own, [Output("prediction", "FP32", 4, [1005.0, 1.0, 0.0, 5.0])])
    assert found == Compared(4, 3, bins(3, 8, 0, 0))


def test_what_was_not_asked_for_is_not_compared() -> None:
    assert CLASSES.compare(OWN, [Output("probabilities", "FP32", 2, [0.0] * 6)]) is None
    assert NUMBERS.compare([np.ones((1, 1), "f4")], [Output("other", "FP32", 1, [1.0])]) is None


@pytest.mark.parametrize("values", [["yes"], ["yes"] * 3, memoryview(b"\x05\0\0\0yes"), []])
def test_another_number_of_rows_is_a_failure(values: list[str] | memoryview) -> None:
    with pytest.raises(BrokenAnswerError):
        CLASSES.compare(OWN, [Output("label", "BYTES", 2, values)])


@given(st.binary(max_size=40))
def test_raw_texts_end_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(BrokenAnswerError):
        assert sum(4 + len(text.encode()) for text in texts(memoryview(data))) >= len(data)
