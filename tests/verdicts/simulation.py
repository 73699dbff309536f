"""Thousands of rollouts at once: what the verdicts do if an operator looks every five seconds.

The arithmetic of decide/{evidence,clustering,sequential,verdict}.py, over arrays of runs. That it is the same is not
believed: `mismatches` asks the real modules about a sample of the states that a simulation went through.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from modelwright_operator.decide import evidence
from modelwright_operator.decide.clustering import windows
from modelwright_operator.decide.sequential import FACTORS, Counts, Stratum
from modelwright_operator.decide.verdict import STICKY_SHARE_TOLERANCE, Kind, Rules, judge

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK_SECONDS = 5
_WORTH_KEEPING = 0.8  # share of runs that still go on; the others are computed along until then
_RULES = Rules(share_tolerance=STICKY_SHARE_TOLERANCE)
_LOG_FACTORS = np.log(np.array(FACTORS))

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Scenario:
    """A service and its canary.

    Attributes:
        name: what is unusual about it.
        risk: how many times as likely to be bad the canary's answers are.
        looks: how often it is looked at.
        weights: percent that the canary gets, for equal parts of the time.
        sticky: how far the realised share wanders about the asked one (standard deviation of its logarithm).
        cluster: bad answers that come together, on average (geometric); 1: single ones.
        cluster_looks: over how many looks a cluster is spread.
        bad: share of stable's answers that are bad, on average; it rises and falls by half.
        requests_per_second: of both arms together.
    """

    name: str
    risk: float = 1.0
    looks: int = 720
    weights: tuple[int, ...] = (10,)
    sticky: float = 0.0
    cluster: float = 1.0
    cluster_looks: int = 1
    bad: float = 0.01
    requests_per_second: float = 50.0
    tolerated: float = 1.0


@dataclass
class Outcome:
    """What became of each run; looks are numbered from 1, 0: it did not happen.

    Attributes:
        rolled_back: the first look with evidence for a rollback, though others may have promoted it before.
        promoted: the first look with evidence for a promotion.
    """

    scenario: Scenario
    rolled_back: NDArray[np.int64]
    promoted: NDArray[np.int64]
    mismatches: list[str] = field(default_factory=list)

    @property
    def ever_rolled_back(self) -> float:
        """Share of the runs with a rollback at any look, whatever came before."""
        return float((self.rolled_back > 0).mean())

    @property
    def first_rolled_back(self) -> float:
        """Share of the runs whose first verdict is a rollback."""
        return float(((self.rolled_back > 0) & ((self.promoted == 0) | (self.rolled_back <= self.promoted))).mean())

    @property
    def first_promoted(self) -> float:
        """Share of the runs whose first verdict is a promotion."""
        return float(((self.promoted > 0) & ((self.rolled_back == 0) | (self.promoted < self.rolled_back))).mean())

    def median_minutes(self, when: NDArray[np.int64]) -> float:
        """Return the median over all runs of the minutes to an event; infinite if most never saw it."""
        return float(np.median(np.where(when > 0, when, np.inf)) * LOOK_SECONDS / 60)


def simulate(scenario: Scenario, runs: int, seed: int, stop: bool = True, sample: int = 30) -> Outcome:
    """Run a scenario many times.

    Args:
        scenario: what is simulated.
        runs: how often.
        seed: of the random numbers.
        stop: leave a run once it is rolled back or promoted; without it is looked at to the end, but for rollbacks.
        sample: states that the real modules are asked about.
    """
    random = np.random.default_rng(seed)
    world = _World(scenario, runs, random)
    outcome = Outcome(scenario, np.zeros(runs, dtype=np.int64), np.zeros(runs, dtype=np.int64))
    asked: dict[int, list[int]] = {}
    for _ in range(sample):
        asked.setdefault(int(random.integers(scenario.looks)), []).append(int(random.integers(runs)))
    ledger = _Ledger(world, np.arange(runs))
    going = np.ones(runs, dtype=np.bool_)
    for look in range(scenario.looks):
        ledger.add(look)
        places = ledger.candidates(outcome.promoted[ledger.rows] > 0)
        places = places[going[ledger.rows[places]]]
        if places.size:
            rollback, promote, _, broken = ledger.judged(places)
            rows = ledger.rows[places]
            worse = (rollback >= np.log(1 / _RULES.rollback_alpha)) | broken
            better = (promote >= np.log(1 / _RULES.promote_alpha)) & ~worse & (outcome.promoted[rows] == 0)
            outcome.rolled_back[rows[worse]] = look + 1
            outcome.promoted[rows[better]] = look + 1
            going[rows[worse | better if stop else worse]] = False
        for row in asked.get(look, ()):
            outcome.mismatches += [
                said for place in np.flatnonzero(ledger.rows == row) for said in ledger.mismatches(int(place))
            ]
        if going[ledger.rows].mean() < _WORTH_KEEPING:
            ledger.keep(going[ledger.rows])
        if not ledger.rows.size:
            break
    return outcome


class _World:
    """The counts of all runs at all looks."""

    def __init__(self, scenario: Scenario, runs: int, random: np.random.Generator) -> None:
        looks = scenario.looks
        self.scenario = scenario
        self.steps = [look * len(scenario.weights) // looks for look in range(looks)]
        share = np.array([scenario.weights[step] / 100 for step in self.steps])[None, :]
        if scenario.sticky:
            share = np.minimum(share * np.exp(scenario.sticky * _wandering(runs, looks, random)), 0.95)
        requests = random.poisson(scenario.requests_per_second * LOOK_SECONDS, (runs, looks))
        # Weights are kept to exactly (permuted blocks of 100), sticky users are not.
        canary = random.binomial(requests, share) if scenario.sticky else np.rint(requests * share)
        self.canary_requests = canary.astype(np.float64)
        self.stable_requests = requests - self.canary_requests
        phase = random.uniform(0, 2 * np.pi, (runs, 1))
        chance = scenario.bad * (1 + 0.5 * np.sin(4 * np.pi * np.arange(looks) / 720 + phase))
        self.canary_bad = _bad(self.canary_requests, chance * scenario.risk, scenario, random)
        self.stable_bad = _bad(self.stable_requests, chance, scenario, random)
        if scenario.cluster > 1:  # a client that asks again and again: its requests are more than there would have been
            self.canary_requests += self.canary_bad
            self.stable_requests += self.stable_bad


def _wandering(runs: int, looks: int, random: np.random.Generator) -> Numbers:
    """Return paths of variance one that forget themselves within some ten minutes."""
    kept = 0.99
    path = np.empty((runs, looks))
    path[:, 0] = random.normal(size=runs)
    for look in range(1, looks):
        path[:, look] = kept * path[:, look - 1] + np.sqrt(1 - kept * kept) * random.normal(size=runs)
    return path


def _bad(requests: Numbers, chance: Numbers, scenario: Scenario, random: np.random.Generator) -> Numbers:
    if scenario.cluster == 1:
        return random.binomial(requests.astype(np.int64), np.minimum(chance, 1)).astype(np.float64)
    clusters = random.poisson(requests * chance / scenario.cluster)
    more = random.negative_binomial(np.maximum(clusters, 1), 1 / scenario.cluster)
    left = np.where(clusters > 0, clusters + more, 0)
    spread = np.zeros_like(left)
    for later in range(scenario.cluster_looks):
        now = random.binomial(left, 1 / (scenario.cluster_looks - later))
        left -= now
        spread[:, later:] += now[:, : now.shape[1] - later]
    return spread.astype(np.float64)


class _Ledger:
    """The evidence of all runs that go on, as evidence.added would keep it."""

    def __init__(self, world: _World, rows: NDArray[np.int64]) -> None:
        self._world = world
        self._shape: tuple[Stratum, ...] = ()
        self.rows = rows
        self._counts: list[Numbers] = []  # of each stratum: bad and requests of the canary, of stable
        self._ratios: list[Numbers] = []  # of each stratum: above tolerated, below the most that is allowed
        self._sums: dict[int, Numbers] = {}  # the same of each step

    def add(self, look: int) -> None:
        world = self._world
        step = world.steps[look]
        # Which strata are joined depends on steps and lengths only.
        marker = Stratum(step, world.scenario.weights[step], LOOK_SECONDS, Counts(), Counts(1))
        before, self._shape = (*self._shape, marker), evidence.added(self._shape, marker)
        arrays = (world.canary_bad, world.canary_requests, world.stable_bad, world.stable_requests)
        self._insert(len(self._counts), step, np.stack([array[self.rows, look] for array in arrays]))
        if len(before) > len(self._shape):
            index = next(place for place, (old, new) in enumerate(zip(before, self._shape, strict=False)) if old != new)
            first, second = self._remove(index, before[index].step), self._remove(index, before[index + 1].step)
            self._insert(index, before[index].step, first + second)

    def _insert(self, index: int, step: int, counts: Numbers) -> None:
        ratios = self._of(counts)
        self._counts.insert(index, counts)
        self._ratios.insert(index, ratios)
        self._sums[step] = self._sums[step] + ratios if step in self._sums else ratios

    def _remove(self, index: int, step: int) -> Numbers:
        self._sums[step] = self._sums[step] - self._ratios.pop(index)
        return self._counts.pop(index)

    def keep(self, which: NDArray[np.bool_]) -> None:
        self.rows = self.rows[which]
        self._counts = [item[:, which] for item in self._counts]
        self._ratios = [item[:, which] for item in self._ratios]
        self._sums = {step: item[:, which] for step, item in self._sums.items()}

    def _of(self, counts: Numbers) -> Numbers:
        """Return the log ratios of one stratum of each run."""
        bad, requests, others, stable = counts
        known = (requests > 0) & (stable > 0) & (bad + others > 0)
        odds = np.where(known, requests / np.where(stable > 0, stable, 1), 1)
        bad, both = np.where(known, bad, 0)[:, None], np.where(known, bad + others, 0)[:, None]
        result = np.empty((2, len(requests), len(FACTORS)))
        for place, (bound, sign) in enumerate(((self._world.scenario.tolerated, 1), (_RULES.max_relative_risk, -1))):
            share = (bound * odds / (1 + bound * odds))[:, None]
            result[place] = sign * bad * _LOG_FACTORS - both * np.log1p(np.expm1(sign * _LOG_FACTORS) * share)
        return result

    def candidates(self, without_promotion: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the places of runs that may get a verdict: their highest ratio reaches a limit, which the mean must.

        Args:
            without_promotion: runs whose promotion is no news.
        """
        since = np.zeros(())
        worse = np.zeros(len(self.rows), dtype=np.bool_)
        for step in sorted(self._sums, reverse=True):
            since = since + self._sums[step]
            worse |= since[0].max(axis=1) >= np.log(1 / _RULES.rollback_alpha)
        better = since[1].max(axis=1) >= np.log(1 / _RULES.promote_alpha)
        return np.flatnonzero(worse | (better & ~without_promotion) | self._broken(self._counts))

    def _broken(self, counts: list[Numbers]) -> NDArray[np.bool_]:
        """Return which canaries answer hardly anything properly, in two looks at least."""
        found = np.zeros(counts[0].shape[1], dtype=np.bool_)
        if self._world.scenario.cluster == 1:
            return found  # so many single failures do not happen
        canary, stable, seconds = np.zeros((2, len(found))), np.zeros((2, len(found))), np.zeros(len(found))
        for shape, item in zip(reversed(self._shape), reversed(counts), strict=True):
            if shape.step != self._shape[-1].step:
                break
            canary, stable = canary + item[:2], stable + item[2:]
            seconds += np.where(item[0] > 0, shape.seconds, 0)
            evidence_of = canary[0] * np.log(0.95 / 0.25) + (canary[1] - canary[0]) * np.log(0.05 / 0.75)
            alone = stable[0] * canary[1] <= 0.5 * canary[0] * stable[1]
            found |= (seconds >= 6) & (evidence_of >= np.log(1e4 / _RULES.rollback_alpha)) & alone
        return found

    def judged(self, places: NDArray[np.int64]) -> tuple[Numbers, Numbers, Numbers, NDArray[np.bool_]]:
        """Return the log e-values for rollback and promotion, the inflation, and which canaries are broken."""
        ratios = np.stack([item[:, places] for item in self._ratios], axis=2)
        inflation = self._inflation(np.stack([item[:, places] for item in self._counts], axis=2))
        promote = _log_e(ratios[1].sum(axis=1), inflation)
        steps = [item.step for item in self._shape]
        starts = [index for index, step in enumerate(steps) if index == 0 or step != steps[index - 1]]
        total = np.full(len(places), -np.inf)
        for number, start in enumerate(starts):
            part = 0.95 if number == 0 else 0.05 / (number * (number + 1))
            worse = _log_e(ratios[0][:, start:].sum(axis=1), inflation)
            within = _log_e(ratios[1][:, start:].sum(axis=1), inflation) >= np.log(1 / _RULES.promote_alpha)
            suspect = np.flatnonzero((worse >= np.log(1 / _RULES.rollback_alpha)) & ~within)
            worse[suspect] = self._doubted(ratios[0][suspect, start:], start, worse[suspect], inflation[suspect])
            total = np.logaddexp(total, np.where(within, -np.inf, np.log(part) + worse))
        return total, promote, inflation, self._broken([item[:, places] for item in self._counts])

    def _doubted(self, ratios: Numbers, start: int, worse: Numbers, inflation: Numbers) -> Numbers:
        whole = ratios.sum(axis=1)
        for window in windows(self._shape[start:]):
            worse = np.minimum(worse, 4 * _log_e(whole - ratios[:, window].sum(axis=1), inflation))
        return worse

    def _inflation(self, counts: Numbers) -> Numbers:
        estimate = np.full(counts.shape[1], 8.0)
        slices = list(_slices(self._shape))
        for weight, arms in ((4.0, True), (8.0, False)):
            for scale in (1, 2, 4, 8):
                distances, variances, squares = np.zeros((3, counts.shape[1]))
                for part in slices:
                    seconds = _joined(np.array([[[item.seconds for item in self._shape[part]]]], dtype=float), scale)
                    brief = np.maximum(seconds[0, 0, :-1], seconds[0, 0, 1:]) <= 60 if arms else slice(None)
                    bad, requests, others, stable = _joined(counts[:, :, part], scale)
                    pairs = ((requests, bad), (stable, others)) if arms else ((bad + others, bad),)
                    for of, marked in pairs:
                        distance, variance = (item[:, brief] for item in _spread(of, marked))
                        distances += distance.sum(axis=1)
                        variances += variance.sum(axis=1)
                        squares += (variance**2).sum(axis=1)
                known = squares > 0
                effective = np.divide(variances**2, squares, out=np.zeros_like(squares), where=known)
                ratio = np.divide(distances, variances, out=np.zeros_like(squares), where=known)
                estimate = (effective * ratio + weight * estimate) / (effective + weight)
        return np.where(estimate > 1.5, estimate, 1)

    def mismatches(self, place: int) -> list[str]:
        """Return what the real modules say differently about one run."""
        rollback, promote, inflation, broken = (float(item[0]) for item in self.judged(np.array([place])))
        strata = [
            Stratum(shape.step, shape.weight, shape.seconds, Counts(stable, others), Counts(requests, bad))
            for shape, (bad, requests, others, stable) in zip(
                self._shape, (item[:, place].tolist() for item in self._counts), strict=True
            )
        ]
        rules = Rules(share_tolerance=STICKY_SHARE_TOLERANCE, tolerated_relative_risk=self._world.scenario.tolerated)
        verdict = judge(strata, rules, strata[-1].step, strata[-1].weight)
        found = [
            f"{self._world.scenario.name}: {name} is {real}, simulated {here}"
            for name, real, here in (
                ("e_rollback", verdict.e_rollback, np.exp(rollback)),
                ("e_promote", verdict.e_promote, np.exp(promote)),
                ("inflation", verdict.inflation, inflation),
            )
            if not np.isclose(real, here, rtol=1e-6, atol=1e-12)
        ]
        if (verdict.kind is Kind.ROLLBACK) != (rollback >= np.log(1 / rules.rollback_alpha) or bool(broken)):
            found.append(f"{self._world.scenario.name}: {verdict.kind}, simulated e-value {np.exp(rollback)}")
        return found


def _log_e(ratios: Numbers, inflation: Numbers) -> Numbers:
    scaled = ratios / inflation[:, None]
    highest = scaled.max(axis=1)
    return np.asarray(highest + np.log(np.exp(scaled - highest[:, None]).mean(axis=1)))


def _slices(shape: tuple[Stratum, ...]) -> Iterator[slice]:
    start = 0
    for _, items in groupby(shape, key=lambda item: item.step):
        end = start + len(list(items))
        yield slice(start, end)
        start = end


def _joined(counts: Numbers, scale: int) -> Numbers:
    """Join every `scale` strata, the newest in full."""
    short = -counts.shape[2] % scale
    padded = np.concatenate([np.zeros((*counts.shape[:2], short)), counts], axis=2)
    joined: Numbers = padded.reshape(*counts.shape[:2], -1, scale).sum(axis=3)
    return joined


def _spread(of: Numbers, marked: Numbers) -> tuple[Numbers, Numbers]:
    first, second = of[:, :-1], of[:, 1:]
    both, all_marked = first + second, marked[:, :-1] + marked[:, 1:]
    known = both > 1
    safe = np.where(known, both, 2)
    distance = np.where(known, (marked[:, :-1] - first * all_marked / safe) ** 2, 0)
    variance = first / safe * (second / safe) * all_marked * ((both - all_marked) / (safe - 1))
    return distance, np.where(known, np.maximum(variance, 0), 0)
