"""Clients of a Deployment in the simulated world: stable pods spread their requests by the table, and count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelwright_operator import naming
from modelwright_operator.api.rollout_status import Answers, Copies, StepEvidence
from modelwright_operator.cluster.store import Owner
from modelwright_operator.decide.pages import Page
from tests.support import kubelet
from tests.support.builders import NAMESPACE

if TYPE_CHECKING:
    from tests.support.world import World

Raw = dict[str, Any]
LOOK = 5


class Traffic:
    """Requests at a steady rate, and what one stable pod counts of them.

    Attributes:
        rate: requests in a second.
        bad_canary: one of so many of the canary's answers is bad; 0: none.
        bad_stable: one of so many of the stable version's answers is bad; 0: none.
        unready: revisions none of whose pods gets ready.
    """

    def __init__(self, world: World, *, rate: int = 50, bad_canary: int = 0, bad_stable: int = 0) -> None:
        self.world = world
        self.rate, self.bad_canary, self.bad_stable = rate, bad_canary, bad_stable
        self.unready: set[str] = set()
        self.name = "churn"
        self.forwarded: dict[str, int] = {}
        self._counted: dict[int, StepEvidence] = {}

    @property
    def status(self) -> Raw:
        status: Raw = self.world.get(naming.DEPLOYMENTS, self.name).get("status", {})
        return status

    async def flow(self, seconds: float, every: int = LOOK) -> None:
        """Let time go on with requests coming, and the cluster doing what it is told, every so many seconds."""
        end = self.world.clock.seconds() + seconds
        while self.world.clock.seconds() < end:
            self.kubernetes()
            self.answer(every)
            await self.world.settle(every)

    def kubernetes(self) -> None:
        """Let each workload have its pods."""
        for workload in list(self.world.cluster.all(naming.WORKLOADS)):
            revision = workload["metadata"]["labels"][naming.LABEL_REVISION]
            ready = 0 if revision in self.unready else None
            if workload.get("status") != kubelet.workload_status(workload, ready):
                kubelet.scale(self.world.cluster, workload, ready)

    @property
    def page(self) -> Page:
        """What the pod has counted."""
        return Page("boot", dict(self._counted))

    def answer(self, seconds: int, *, told: bool = True) -> None:
        """Have so many seconds' worth of requests answered by the table there is; the operator may be told of it."""
        if self.name not in self.world.cluster.names(naming.DEPLOYMENTS):
            return
        table = dict(self.status.get("traffic", {}))
        canary = table.get("canary")
        if not canary:
            return
        assert canary["revision"] not in self.unready, "requests go to pods that are not ready"
        table |= self._by_route()
        requests = self.rate * seconds
        mirrored = requests if table.get("mirrored") else 0
        share, copies = requests * table.get("weight", 0) // 100, requests * table.get("shadowPercent", 0) // 100
        key = table["sequence"]
        before = self._counted.get(key, StepEvidence(sequence=table["sequence"], step=0))
        self.forwarded[canary["revision"]] = self.forwarded.get(canary["revision"], 0) + share
        self._counted[key] = before.model_copy(
            update={
                "stable": _more(before.stable, requests - share, self.bad_stable),
                "canary": _more(before.canary, share + mirrored, self.bad_canary),
                "shadow": _copied(before.shadow, copies),
            }
        )
        if told:
            self.tell()

    def _by_route(self) -> Raw:
        """Return the shares that a gateway goes by; its copies are counted by the canary like any request."""
        routes = [raw for raw in self.world.cluster.all(naming.HTTP_ROUTES) if raw["metadata"]["name"] == self.name]
        if not routes:
            return {}
        rule = routes[0]["spec"]["rules"][-1]
        weights = {item["name"]: item["weight"] for item in rule["backendRefs"]}
        assert sum(weights.values()) == 100
        return {"weight": weights.get(f"{self.name}-canary", 0), "mirrored": bool(rule.get("filters"))}

    def tell(self) -> None:
        """Let the operator read the pod's page, as it does every few seconds."""
        owner = Owner(naming.DEPLOYMENT, NAMESPACE, self.name)
        if self.world.store.put_page(owner, "pod-1", self.page):
            self.world.agenda.add(owner, background=True)


def _more(before: Answers, requests: int, one_bad_of: int) -> Answers:
    total = before.requests + requests
    bad = before.bad + (requests // one_bad_of if one_bad_of else 0)
    return before.model_copy(update={"requests": total, "bad": bad, "errors": bad})


def _copied(before: Copies, copies: int) -> Copies:
    return before.model_copy(
        update={
            "sent": before.sent + copies,
            "compared": before.compared + copies,
            "agreed": before.agreed + copies,
        }
    )
