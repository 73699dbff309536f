"""A window's counts against a baseline: which features drifted, and which values are no longer what they were.

Two families of tests, each with a false alarm in a share of at most alpha of the windows (Bonferroni): the shape of
each feature (drift), and each share of missing, out-of-range and unseen values (data quality).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from modelwright_drift import divergence
from modelwright_drift.baseline import Feature, Numeric
from modelwright_drift.counts import Counts


class Share(StrEnum):
    """A share of rows that says something about the data's quality."""

    MISSING = "missing"
    OUT_OF_RANGE = "outOfRange"
    UNSEEN = "unseen"


@dataclass(frozen=True, slots=True)
class Settings:
    """What counts as drift.

    Attributes:
        alpha: probability of a false alarm a window, over all features.
        tolerated_psi: the margin m.
        least_rows: with fewer in the window, nothing is said.
    """

    alpha: float = 0.001
    tolerated_psi: float = 0.02
    least_rows: int = 500


@dataclass(frozen=True, slots=True)
class Quality:
    """One share of live rows; `expected` is the baseline's."""

    share: Share
    live: float
    expected: float
    p: float
    flagged: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """One feature.

    Attributes:
        name: its name.
        p: of its shape.
        psi: for people.
        psi_debiased: less what chance alone gives.
        psi_lower: divergence beyond which alpha leaves no doubt; 0 where nothing drifted.
        drifted: whether its shape did.
        quality: its shares.
    """

    name: str
    p: float
    psi: float
    psi_debiased: float
    psi_lower: float
    drifted: bool
    quality: tuple[Quality, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """All features of a window; `enough` says whether there were rows enough to judge, else nothing is flagged."""

    rows: int
    enough: bool
    findings: tuple[Finding, ...]

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the features that drifted, the least likely by chance first."""
        return tuple(finding.name for finding in sorted(self.findings, key=_p) if finding.drifted)


def judge(features: Sequence[Feature], window: Sequence[Counts], settings: Settings = Settings()) -> Verdict:
    """Test a window's counts, one vector for each feature.

    Raises:
        ValueError: counts that are not of these features.
    """
    measured = [_measured(feature, counts) for feature, counts in zip(features, window, strict=True)]
    rows = max((rows for rows, _, _ in measured), default=0)
    enough = rows >= settings.least_rows
    margin = settings.tolerated_psi
    shapes = divergence.compare_all([shape for _, shape, _ in measured])
    tails = divergence.p_values(shapes, margin, [feature.inflation for feature in features])
    level = settings.alpha / max(1, sum(found.freedom > 0 for found in shapes))
    quality_level = settings.alpha / max(1, sum(len(shares) for _, _, shares in measured))
    findings: list[Finding] = []
    for feature, found, p, (_, _, shares) in zip(features, shapes, tails, measured, strict=True):
        drifted = enough and p < level
        lower = found.lower_bound(level, feature.inflation) if drifted else 0.0
        quality = tuple(_quality(*share, margin, quality_level if enough else 0.0) for share in shares)
        findings.append(Finding(feature.name, p, found.psi, found.psi_debiased, lower, drifted, quality))
    return Verdict(rows, enough, tuple(findings))


_Shares = list[tuple[Share, int, int, float, int]]  # which, hits, of rows, rows of the baseline (and prior), of rows


def _measured(feature: Feature, counts: Counts) -> tuple[int, divergence.Case, _Shares]:
    if isinstance(feature, Numeric):
        bins = len(feature.counts)
        shape, (missing, below, above) = counts[:bins], map(int, counts[bins:])
        values = int(shape.sum())
        shares: _Shares = []
        if feature.values:  # exact for independent rows: of N + 1 gaps one is below and one above (`Numeric.shares`)
            shares.append((Share.OUT_OF_RANGE, below + above, values, 2.0, feature.values))
        if feature.datatype.startswith("FP"):
            shares.insert(0, (Share.MISSING, missing, values + missing, feature.missing + 0.5, feature.rows))
        return values + missing, divergence.Case(shape, feature.shares, feature.values), shares
    shape, unlisted = counts[:-1], int(counts[-1])
    rows = int(shape.sum())
    unseen = (Share.UNSEEN, unlisted, rows, feature.unlisted + 0.5, feature.rows)
    return rows, divergence.Case(shape, feature.shares, feature.rows), [unseen]


def _quality(share: Share, hits: int, rows: int, seen: float, of: int, margin: float, level: float) -> Quality:  # noqa: PLR0913, PLR0917 - a test's numbers
    p = divergence.share_p_value(hits, rows, seen, of, margin)
    return Quality(share, hits / rows if rows else 0.0, seen / (of + 1), p, p < level)


def _p(finding: Finding) -> float:
    return finding.p
