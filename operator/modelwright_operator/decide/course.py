"""Where a Deployment's traffic stands, and what one look at the cluster tells about it: the rollout's vocabulary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from modelwright_operator.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from modelwright_operator import api
    from modelwright_operator.decide.actions import Actions
    from modelwright_operator.decide.pods import Problem

ACTIVE: Final = frozenset({"Starting", "Stepping", "Promoting", "Watching"})


@dataclass(frozen=True)
class Pods:
    """What is seen of one revision's pods.

    Attributes:
        wanted: number asked for.
        ready: number of ready ones.
        problem: the worst of what keeps them from running.
        crash: how the server of one of them ended, if one did.
    """

    wanted: int = 0
    ready: int = 0
    problem: Problem | None = None
    crash: str | None = None

    def full(self, size: int) -> bool:
        """Tell whether so many pods are asked for and ready."""
        return self.wanted == size and self.ready >= size

    def able(self, size: int) -> bool:
        """Tell whether it can take over from what is worse: half its pods are ready, as when they are being scaled."""
        return self.ready > 0 and 2 * self.ready >= size


@dataclass(frozen=True)
class Judgement:
    """What the evidence says.

    Attributes:
        kind: the verdict; Inconclusive: it cannot be trusted, or there is next to none.
        message: the verdict in words, with its figures.
        reason: the same in a word.
        note: why there is none yet, without figures: it stands in conditions, which should not change all the time.
    """

    kind: Literal["Rollback", "Promote", "Undecided", "Inconclusive"]
    message: str
    reason: Reason = Reason.COLLECTING_EVIDENCE
    note: str = ""


@dataclass(frozen=True)
class Seen:
    """What one look at the cluster tells.

    Attributes:
        name: of the Deployment.
        replicas: full size of a track.
        deadline: seconds that pods have to become ready.
        target: the revision wanted; None: none can be told.
        reference: hash of spec.model.
        pods: by revision, what is seen of its pods.
        judgement: of the canary; in the watch, of the revision that was promoted.
        requests: answers of the canary, or copies it answered, in the present step.
        stable_down: whether the stable revision answers nothing, and will not by itself.
        spreads: whether the stable revision's pods can spread requests: they have the sidecar that tells them how.
        gateway: why a gateway that is to spread requests does not; empty: it does, or none is to.
        switched: whether others spread the requests from now on than until now: the stable pods, or a gateway.
    """

    now: datetime
    name: str
    rollout: api.Rollout
    replicas: int
    deadline: int
    target: api.Revision | None
    reference: str
    pods: Mapping[str, Pods]
    actions: Actions
    judgement: Judgement
    requests: int = 0
    stable_down: bool = False
    spreads: bool = True
    gateway: str = ""
    switched: bool = False

    def of(self, revision: api.Revision | None) -> Pods:
        """Return what is seen of a revision's pods."""
        return self.pods.get(revision.revision, Pods()) if revision is not None else Pods()

    def seconds_since(self, time: datetime | None) -> float:
        """Return the seconds since then; 0 where there is no such time."""
        return (self.now - time).total_seconds() if time is not None else 0.0


@dataclass(frozen=True)
class Happened:
    """Something to be told and remembered."""

    reason: Reason
    version: str
    message: str


@dataclass(frozen=True)
class Course:
    """Where the traffic stands.

    Attributes:
        stable: what answers.
        canary: what is tried.
        previous: what answered before.
        rollout: the one under way, or the last one.
        sequence: grows whenever counting begins anew.
        happened: what came about in this pass.
    """

    stable: api.Revision
    canary: api.Revision | None = None
    previous: api.Revision | None = None
    rollout: api.RolloutStatus | None = None
    rejected: tuple[api.Rejection, ...] = ()
    sequence: int = 0
    happened: tuple[Happened, ...] = ()

    @property
    def phase(self) -> str | None:
        """The phase of the rollout under way; None: there is none."""
        return self.rollout.phase if self.rollout is not None and self.rollout.phase in ACTIVE else None

    def told(self, reason: Reason, version: str, message: str) -> Course:
        """Return the course with one more thing that happened."""
        return replace(self, happened=(*self.happened, Happened(reason, version, message)))

    def turned(self, **values: Any) -> Course:  # noqa: ANN401  # fields of the rollout's status
        """Return the course with other values of its rollout, if there is one."""
        if self.rollout is None:
            return self
        return replace(self, rollout=self.rollout.model_copy(update=values))

    def ended(self, phase: str, message: str, now: datetime) -> Course:
        """Return the course with its rollout ended, the canary gone and counting begun anew."""
        over = self.turned(
            phase=phase,
            message=message,
            ended_at=now,
            weight=0,
            shadow_percent=0,
            awaiting=None,
            waiting_since=None,
            watch_until=None,
        )
        return replace(over, canary=None, sequence=self.sequence + 1)
