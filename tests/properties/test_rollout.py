"""The rollout's machine under anything that may happen, in any order: 5 000 walks through it.

Every other walk is of a Deployment whose size an autoscaler moves all the time. After each look: shares are shares, the
canary is no more than one, what answers never loses pods, and by hand there is always a way back. From wherever a walk
ended, good news lead to the version that is wanted.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from modelwright_operator import api
from modelwright_operator.decide import rollout
from modelwright_operator.decide.actions import Actions
from modelwright_operator.decide.course import ACTIVE, Course, Judgement, Pods, Seen
from modelwright_operator.decide.pods import Problem
from modelwright_operator.reasons import Reason

WALKS: Final = 5_000
LOOKS: Final = 25
ENDED: Final = {"Complete", "RolledBack", "Superseded", "Withdrawn"}
START: Final = datetime(2026, 3, 1, tzinfo=UTC)
NAMES: Final = ("a", "b", "c")
GOOD, BAD = Judgement("Promote", "fine"), Judgement("Rollback", "17 of 60 were bad")
OPEN, NOTHING = Judgement("Undecided", "few"), Judgement("Inconclusive", "none")
CRASH: Final = Problem(Reason.CRASH_LOOPING, "it ends", lasting=True)
PULL: Final = Problem(Reason.IMAGE_PULL_FAILED, "no such image", lasting=True)


def revision(name: str) -> api.Revision:
    return api.Revision(revision=f"rev-{name}", version=f"churn-{name}", model="churn", digest="sha256:" + "0" * 64)


def rules(generator: random.Random) -> api.Rollout:
    """Return any rollout that the CRD lets pass."""
    steps: list[dict[str, object]] = [
        {"shadowPercent": generator.choice((10, 100))} for _ in range(generator.randrange(2))
    ]
    weights = sorted(generator.sample(range(1, 101), generator.randrange(1, 4)))
    for weight in weights:
        hold = {"minSeconds": generator.choice((0, 60)), "minRequests": generator.choice((1, 50)), "maxSeconds": 600}
        step: dict[str, object] = {"weight": weight, "hold": hold}
        steps.append({**step, "approval": "Required"} if generator.random() < 0.2 else step)
    return api.Rollout.model_validate(
        {
            "steps": steps,
            "postPromotionWatchSeconds": generator.choice((0, 120)),
            "analysis": {"onInconclusive": generator.choice(("Hold", "Rollback"))},
        }
    )


@dataclass
class Walk:
    """A Deployment, and what becomes of it."""

    generator: random.Random
    rollout: api.Rollout
    replicas: int
    autoscaled: bool = False
    course: Course = field(default_factory=lambda: Course(revision("a")))
    now: datetime = START
    target: str = "a"
    reference: int = 0
    phases: set[str] = field(default_factory=set[str])

    def size(self, item: api.Revision) -> int:
        return rollout.size(self.course, item, self.replicas, self.rollout)

    def tracks(self) -> list[api.Revision]:
        course = self.course
        kept = [course.stable, course.canary, course.previous if course.phase == "Watching" else None]
        return [item for item in kept if item is not None]

    def pods(self, name: str) -> Pods:
        """Return any state that a revision's pods may be in."""
        item = revision(name)
        if item.revision not in {kept.revision for kept in self.tracks()}:
            return Pods()
        wanted = self.size(item)
        if self.autoscaled and self.generator.random() < 0.3:  # the count has just moved: its pods have not yet
            wanted = max(1, wanted + self.generator.randrange(-4, 5))
        luck = self.generator.random()
        if luck < 0.75:
            return Pods(wanted, wanted)
        problem = self.generator.choice((None, None, CRASH, PULL))
        return Pods(
            wanted, self.generator.randrange(wanted + 1), problem, self.generator.choice((None, None, "it died"))
        )

    def actions(self) -> Actions:
        current = self.course.rollout
        if current is None or self.generator.random() < 0.7:
            return Actions()
        named = (current.revision, self.generator.choice((current.step, current.step, 1)))
        kind = self.generator.choice(("approve", "skip", "promote", "abort", "pause", "retry"))
        return replace(Actions(), **{kind: named})

    def seen(self) -> Seen:
        """Return any look."""
        pods = {f"rev-{name}": self.pods(name) for name in NAMES}
        return Seen(
            now=self.now,
            name="scores",
            rollout=self.rollout,
            replicas=self.replicas,
            deadline=300,
            target=None if self.generator.random() < 0.05 else revision(self.target),
            reference=str(self.reference),
            pods=pods,
            actions=self.actions(),
            judgement=self.generator.choice((GOOD, GOOD, OPEN, NOTHING, BAD)),
            requests=self.generator.choice((0, 1, 1000)),
            stable_down=self.generator.random() < 0.02,
        )

    def fortune(self, *, abort: bool = False) -> Seen:
        """Return a look at which all is well, and everybody says yes; or one at which somebody says no."""
        current = self.course.rollout
        pods = {item.revision: Pods(self.size(item), self.size(item)) for item in self.tracks()}
        named = (current.revision, current.step) if current is not None else ("", 0)
        rejected = next((item for item in self.course.rejected if item.revision == f"rev-{self.target}"), None)
        retry = (rejected.revision, rejected.attempts) if rejected is not None else None
        return Seen(
            now=self.now,
            name="scores",
            rollout=self.rollout,
            replicas=self.replicas,
            deadline=300,
            target=revision(self.target),
            reference=str(self.reference),
            pods=pods,
            actions=Actions(abort=named) if abort else Actions(approve=named, retry=retry),
            judgement=GOOD,
            requests=10_000,
        )

    def look(self, seen: Seen) -> None:
        before = self.course
        self.course = replace(rollout.advance(before, seen), happened=())
        self.check(before, seen)

    def check(self, before: Course, seen: Seen) -> None:
        """Assert what must hold after any look."""
        after, current = self.course, self.course.rollout
        assert after.sequence >= before.sequence
        assert after.canary is None or after.canary.revision != after.stable.revision
        assert self.size(after.stable) == self.replicas, "what answers keeps its size"
        if current is None:
            return
        assert current.phase in ACTIVE | ENDED
        self.phases.add(current.phase)
        assert 0 <= current.weight <= 100
        assert 0 <= current.shadow_percent <= 100
        assert (after.canary is not None) == (current.phase in {"Starting", "Stepping", "Promoting"})
        if current.phase == "Starting" or current.phase in ENDED:
            assert (current.weight, current.shadow_percent) == (0, 0)
        if after.stable.revision != before.stable.revision:
            pods = seen.pods[after.stable.revision]
            enough = pods.able(self.replicas) if before.phase == "Watching" else pods.full(self.replicas)
            assert enough, "traffic moves to pods that are ready"
        if after.canary is not None:
            raised = before.rollout is None or current.weight > before.rollout.weight
            if raised and current.weight:
                assert seen.pods[after.canary.revision].ready > 0, "traffic goes to pods that are ready"
            assert after.canary.revision not in {
                item.revision for item in after.rejected if seen.actions.retry != (item.revision, item.attempts)
            } or (before.canary is not None and before.canary.revision == after.canary.revision)

    def wander(self) -> None:
        for _ in range(LOOKS):
            self.now += timedelta(seconds=self.generator.choice((1, 5, 60, 60, 400)))
            if self.generator.random() < 0.1:
                self.target = self.generator.choice(NAMES)
                self.reference += self.generator.random() < 0.3  # following, it stays
            if self.generator.random() < 0.1:
                self.replicas = self.generator.choice((1, 2, 10))
            if self.autoscaled and self.generator.random() < 0.5:
                self.replicas = self.generator.randrange(1, 21)
            if self.generator.random() < 0.05:
                self.rollout = rules(self.generator)
            self.look(self.seen())


def walk(seed: int) -> Walk:
    generator = random.Random(seed)
    started = Walk(generator, rules(generator), generator.choice((1, 2, 10)), autoscaled=seed % 2 == 1)
    started.wander()
    return started


@pytest.mark.parametrize("block", range(10))
def test_from_every_state_there_is_a_way_back_and_a_way_on(block: int) -> None:
    for seed in range(block * WALKS // 10, (block + 1) * WALKS // 10):
        somewhere = walk(seed)
        phase, course, now = somewhere.course.phase, somewhere.course, somewhere.now
        if phase is not None:
            back = course.previous if phase == "Watching" else course.stable
            wanted = somewhere.target
            tried = course.stable if phase == "Watching" else course.canary
            assert tried is not None
            somewhere.target = tried.version.removeprefix("churn-")
            somewhere.look(somewhere.fortune(abort=True))
            assert back is not None
            assert somewhere.course.stable.revision == back.revision, f"walk {seed}: no way back from {phase}"
            assert somewhere.course.phase is None
            somewhere.course, somewhere.target, somewhere.now = course, wanted, now
        for _ in range(60):
            somewhere.now += timedelta(seconds=130)
            somewhere.look(somewhere.fortune())
        assert somewhere.course.stable.revision == f"rev-{somewhere.target}", f"walk {seed}: no way on from {phase}"
        assert somewhere.course.phase is None, f"walk {seed}: never ends from {phase}"


def test_looking_again_at_a_rollout_that_is_over_changes_nothing() -> None:
    for seed in range(200):
        somewhere = walk(seed)
        for _ in range(60):
            somewhere.now += timedelta(seconds=130)
            somewhere.look(somewhere.fortune())
        before = somewhere.course
        somewhere.now += timedelta(days=1)
        somewhere.look(somewhere.fortune())
        assert somewhere.course == before


def test_the_walks_reach_every_phase() -> None:
    """Else what was walked proves little."""
    phases: set[str] = set()
    for seed in range(300):
        phases |= walk(seed).phases
    assert phases == ACTIVE | ENDED
