"""Cohorts, what is kept of them, and how each label gets into the totals once, whoever writes."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from modelwright_monitor.quality.cohorts import LIMIT, MOST_COHORTS, Cohorts, Key, day_text, key, width_days
from modelwright_monitor.quality.ledger import MARK_SECONDS, MOST_PARTS, Ledger, Mark, Offer, Totals
from modelwright_monitor.quality.memory import Memory
from modelwright_monitor.quality.tally import BINS, Tally, TallyError

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400
TODAY = 20_779
NOW = TODAY * DAY + 5000.0
KEY = Key("9f2c41ab07", TODAY)


def test_tallies_add() -> None:
    one, other = Tally(labels=1, correct=1, squared=2.5), Tally(labels=2, positives=[1] * BINS)
    one.add(other)
    one.add(other)
    assert one == Tally(labels=5, correct=1, squared=2.5, positives=[2] * BINS)
    assert other.positives == [1] * BINS
    assert Tally.from_document(json.loads(json.dumps(one.to_document()))) == one
    assert Tally().to_document() == {}


@pytest.mark.parametrize(
    "document",
    [
        {"labels": -1},
        {"labels": 1.0},
        {"labels": True},
        {"labels": 2**60},
        {"counts": {"squared": float("nan")}},
        {"counts": {"squared": "1"}},
        {"counts": {"correct": -1}},
        {"counts": []},
        {"positives": [1]},
        {"positives": [1.5] * BINS},
        {"negatives": {}},
        {"negatives": None},
    ],
)
def test_what_is_no_tally_is_refused(document: Any) -> None:
    with pytest.raises(TallyError):
        Tally.from_document(document)


def test_cohorts_are_days_or_as_many_as_keep_them_few() -> None:
    assert [width_days(days * DAY) for days in (1, 14, 30, 31, 90, 720)] == [1, 1, 1, 2, 3, 24]
    assert key("v", NOW, 1) == Key("v", TODAY)
    assert key("v", NOW, 7).day == TODAY - TODAY % 7
    assert day_text(TODAY) == "2026-11-22"


def test_cohorts_go_through_the_status_and_back() -> None:
    source = Cohorts()
    for day in range(40):
        source.add(Key("9f2c41ab07", TODAY - day), Tally(labels=day, predictions=100))
    read = Cohorts.from_documents(json.loads(json.dumps(source.to_documents())))
    assert read == source
    assert source.to_documents()[0] == {"version": "9f2c41ab07", "day": "2026-10-14", "predictions": 100, "labels": 39}


@pytest.mark.parametrize(
    "documents",
    [
        None,
        {},
        [3],
        [{}] * (LIMIT + 1),
        [{"version": "v", "day": "today"}],
        [{"version": "v", "day": "1969-12-31"}],
        [{"version": "", "day": "2026-11-22"}],
        [{"version": 3, "day": "2026-11-22"}],
        [{"version": "v", "day": 3}],
        [{"version": "v", "day": "2026-11-22", "labels": "many"}],
    ],
)
def test_what_are_no_cohorts_is_refused(documents: Any) -> None:
    with pytest.raises(TallyError):
        Cohorts.from_documents(documents)


def test_what_is_kept_is_bounded_whatever_the_clock_does() -> None:
    source = Cohorts()
    for version in ("new", "old", "gone"):
        for day in range(-100, 100):
            source.add(Key(version, TODAY + day), Tally(labels=1))
    found = source.kept(("new", "old"), NOW, 1)
    assert {item.version for item in found.tallies} == {"new", "old"}
    days = sorted(item.day - TODAY for item in found.tallies if item.version == "new")
    assert days == [*range(1 - MOST_COHORTS, 1), 1, 2, 3, 4]
    assert len(found.tallies) <= LIMIT
    # A clock that was years ahead for a while has not removed anything for good by moving out of what is looked at.
    assert found.total("new", TODAY - 14, TODAY + 1).labels == 16


def test_wider_cohorts_take_up_narrower_ones() -> None:
    source = Cohorts()
    for day in range(10):
        source.add(Key("v", TODAY - day), Tally(labels=1))
    found = source.kept(("v",), NOW, 7)
    assert sum(tally.labels for tally in found.tallies.values()) == 10
    assert all(item.day % 7 == 0 for item in found.tallies)


class World:
    """Pods, and a status that is written on the version that was read; which of it happens when is up to chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.ledgers = [Ledger() for _ in range(3)]
        self.status = json.dumps(Totals().to_documents())
        self.version = 0
        self.under_way: list[tuple[int, str]] = []
        self.counted = 0

    def step(self) -> None:
        at = self.chance.randrange(len(self.ledgers))
        happens = self.chance.choice([self.label, self.label, self.collect, self.write, self.look, self.restart])
        happens(at)

    def label(self, at: int) -> None:
        self.ledgers[at].add([(KEY, Tally(labels=1, correct=1))])
        self.counted += 1

    def collect(self, _: int) -> None:
        """Some pod reads the status, and asks all others; some do not answer."""
        totals = Totals.from_documents(*json.loads(self.status))
        offers = [ledger.offer() for ledger in self.ledgers if self.chance.random() < 0.8]
        if totals.take([Offer.from_document(json.loads(json.dumps(item.to_document()))) for item in offers], NOW):
            self.under_way.append((self.version, json.dumps(totals.to_documents())))

    def write(self, _: int) -> None:
        if self.under_way:
            version, status = self.under_way.pop(self.chance.randrange(len(self.under_way)))
            if version == self.version:
                self.version, self.status = version + 1, status

    def look(self, at: int) -> None:
        self.ledgers[at].confirm(Totals.from_documents(*json.loads(self.status)).marks)

    def restart(self, at: int) -> None:
        self.ledgers[at] = Ledger.from_json(self.ledgers[at].to_json())

    @property
    def total(self) -> int:
        totals = Totals.from_documents(*json.loads(self.status))
        return sum(tally.labels for tally in totals.cohorts.tallies.values())


@pytest.mark.parametrize("seed", range(40))
def test_each_label_gets_into_the_status_once(seed: int) -> None:
    world = World(seed)
    for _ in range(1000):
        world.step()
        assert world.total <= world.counted
    for _ in range(MOST_PARTS + 2):
        world.under_way.clear()
        for at in range(3):
            world.look(at)
        totals = Totals.from_documents(*json.loads(world.status))
        totals.take([ledger.offer() for ledger in world.ledgers], NOW)
        world.status = json.dumps(totals.to_documents())
    for at in range(3):
        world.look(at)
    assert world.total == world.counted
    assert [ledger.labels for ledger in world.ledgers] == [0, 0, 0]


def test_a_pod_that_nobody_asks_keeps_a_bounded_number_of_parts() -> None:
    ledger = Ledger()
    for _ in range(100):
        ledger.add([(KEY, Tally(labels=1))])
        ledger.offer()
    assert ledger.labels == 100
    assert len(json.loads(ledger.to_json())["parts"]) == MOST_PARTS
    totals = Totals()
    assert totals.take([ledger.offer()], NOW)
    ledger.confirm(totals.marks)
    assert totals.take([ledger.offer()], NOW)
    assert sum(tally.labels for tally in totals.cohorts.tallies.values()) == 100


def test_marks_of_pods_that_are_gone_are_removed() -> None:
    totals = Totals(marks={"0" * 12: Mark(3, int(NOW - MARK_SECONDS - 1)), "1" * 12: Mark(3, int(NOW) - 5)})
    totals.forget([], NOW)
    assert list(totals.marks) == ["1" * 12]
    totals.marks = {f"{at:012x}": Mark(1, at) for at in range(5000)}
    totals.forget([f"{at:012x}" for at in range(5000)], NOW)
    assert len(totals.marks) == 1000
    assert min(mark.at for mark in totals.marks.values()) == 4000


def test_a_status_set_back_stops_no_pod() -> None:
    ledger, totals = Ledger(), Totals()
    for _ in range(3):
        ledger.add([(KEY, Tally(labels=1))])
        totals.take([ledger.offer()], NOW)
        ledger.confirm(totals.marks)
    ledger.add([(KEY, Tally(labels=1))])
    for marks in ({}, {ledger.pod: Mark(1, 0)}):
        older = Totals(marks=marks)
        assert older.take([ledger.offer()], NOW)
        assert older.cohorts.tallies[KEY].labels == 1


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"pod": "me", "after": 0, "upto": 1, "cohorts": []},
        {"pod": "0" * 12, "after": 2, "upto": 1, "cohorts": []},
        {"pod": "0" * 12, "after": -1, "upto": 1, "cohorts": []},
        {"pod": "0" * 12, "after": 0, "upto": 1.5, "cohorts": []},
        {"pod": "0" * 12, "after": 0, "upto": 1, "cohorts": {}},
    ],
)
def test_what_is_no_offer_is_refused(document: Any) -> None:
    with pytest.raises(TallyError):
        Offer.from_document(document)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"3", b'{"pod": "x"}', b"[" * 100_000, b"\xff"])
def test_what_is_no_ledger_is_refused(data: bytes) -> None:
    with pytest.raises(TallyError):
        Ledger.from_json(data)


@pytest.mark.parametrize("marks", [None, {}, [3], [{"pod": "x", "part": 1, "at": 1}], [{}] * 1001])
def test_what_are_no_marks_is_refused(marks: Any) -> None:
    with pytest.raises(TallyError):
        Totals.from_documents([], marks)


def test_labels_sent_twice_are_noticed() -> None:
    memory = Memory(slots=1024)
    assert memory.add("a")
    assert not memory.add("a")
    for number in range(400):
        assert memory.add(f"x{number}")
    assert not memory.add("a"), "the last half of the slots is known"
    for number in range(100_000):
        memory.add(f"y{number}")
    assert memory.add("a"), "in the end it is forgotten"


def test_the_next_worker_knows_which_predictions_have_a_label(tmp_path: Path) -> None:
    file = tmp_path / "labelled"
    first = Memory(file, slots=1024)
    for number in range(1500):
        assert first.add(f"x{number}")
    second = Memory(file, slots=1024)
    assert not any(second.add(f"x{number}") for number in range(1000, 1500))
    assert second.add("new")
    file.write_bytes(b"broken")
    assert Memory(file, slots=1024).add("new")
    file.write_bytes(b"\xff" * 8 * (2 + 2048))
    assert Memory(file, slots=1024).add("new"), "a broken table is begun anew"
