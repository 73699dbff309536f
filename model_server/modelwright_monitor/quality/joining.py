"""A label and the prediction's id: what they add to which cohort.

The id says all that is needed of the prediction (`modelwright_server.contract.prediction`), so any pod joins any label,
after any restart.  Times are checked against this pod's clock with some minutes to spare, since clocks differ.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from modelwright_monitor.quality import cohorts
from modelwright_monitor.quality.cohorts import Key
from modelwright_monitor.quality.tally import BINS, Tally, score_bin
from modelwright_server.contract.prediction import PredictionId, label_text

Label = str | int | float | bool
Counted = tuple[Key, Tally]

CLOCK_SECONDS = 300.0  # that the clocks of pods and clients may differ
MAX_LABEL = 1e15  # in size: the fourth power of an error stays finite
_BINARY = 2


class Refusal(StrEnum):
    """Why a label is not counted; a metric has it as its label."""

    MALFORMED = "malformed"
    UNKNOWN_VERSION = "unknown_version"
    IN_THE_FUTURE = "in_the_future"
    TOO_LATE = "too_late"
    BEFORE_PREDICTION = "before_prediction"
    NOT_A_LABEL = "not_a_label"


class RefusedError(ValueError):
    """A label that is not counted; the text says why, for whoever sent it.

    Attributes:
        refusal: the same in a word.
    """

    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(message)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Rules:
    """What labels are taken.

    Attributes:
        max_delay_seconds: how old a prediction may be.
        versions: the keys of the versions whose predictions are known here, the one that answers first.
        classes: of a version by its key, in the model's order; what is not there is not known.
        binned: whether scores are counted, for an AUC.
    """

    max_delay_seconds: int
    versions: tuple[str, ...]
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    binned: bool = False

    @property
    def width(self) -> int:
        """How many days a cohort has."""
        return cohorts.width_days(self.max_delay_seconds)


def join(prediction: PredictionId, label: Label, time: float, rules: Rules, now: float) -> Counted:
    """Return what a label adds to which cohort.

    Args:
        prediction: what the id says.
        label: the truth.
        time: when it was known, in seconds since 1970.
        rules: what labels are taken.
        now: this pod's clock.

    Raises:
        RefusedError: it is not counted.
    """
    _check(prediction, time, rules, now)
    tally = Tally(labels=1, delay_seconds=max(0, round(time - prediction.time)))
    if prediction.label:
        _classified(tally, prediction, label, rules)
    else:
        _measured(tally, prediction, label)
    return cohorts.key(prediction.version_key, prediction.time, rules.width), tally


def _check(prediction: PredictionId, time: float, rules: Rules, now: float) -> None:
    if prediction.version_key not in rules.versions:
        message = (
            f"version {prediction.version_key} neither answers requests of this Deployment, nor is it tried, nor was "
            "it the one before"
        )
        raise RefusedError(Refusal.UNKNOWN_VERSION, message)
    if max(prediction.time, time) > now + CLOCK_SECONDS:
        what = "prediction" if prediction.time > now + CLOCK_SECONDS else "label"
        raise RefusedError(Refusal.IN_THE_FUTURE, f"the {what}'s time lies in the future")
    if prediction.time < now - rules.max_delay_seconds:
        message = f"the prediction is older than spec.monitoring.quality.maxLabelDelaySeconds={rules.max_delay_seconds}"
        raise RefusedError(Refusal.TOO_LATE, message)
    if time < prediction.time - CLOCK_SECONDS:
        raise RefusedError(Refusal.BEFORE_PREDICTION, "the label's time lies before the prediction's")


def _classified(tally: Tally, prediction: PredictionId, label: Label, rules: Rules) -> None:
    classes = rules.classes.get(prediction.version_key) or rules.classes.get(rules.versions[0], ())
    if prediction.label not in classes:  # another version's, with other classes
        classes = ()
    truth = next((name for name in classes if _same(label, name)), None)
    tally.foreign = int(bool(classes) and truth is None)
    tally.correct = int(truth == prediction.label if truth is not None else _same(label, prediction.label))
    score = prediction.score
    if rules.binned and len(classes) == _BINARY and truth is not None and score is not None and 0 <= score <= 1:
        counts = tally.positives if truth == classes[1] else tally.negatives
        counts.extend(int(at == score_bin(score)) for at in range(BINS))


def _same(label: Label, name: str) -> bool:
    """Tell whether a label as JSON has it is the class of that name.

    >>> _same("yes", "yes"), _same(1, "1"), _same(1.0, "1"), _same("01", "1"), _same(True, "true")
    (True, True, True, False, True)
    """
    if label_text(label) == name:
        return True
    if isinstance(label, str):
        return False
    if isinstance(label, bool):
        return name.lower() == str(label).lower()
    try:
        return float(name) == label
    except ValueError:
        return False


def _measured(tally: Tally, prediction: PredictionId, label: Label) -> None:
    if isinstance(label, str | bool) or not abs(label) <= MAX_LABEL:
        message = f"the model predicts numbers: the label must be one, of at most {MAX_LABEL:g} in size"
        raise RefusedError(Refusal.NOT_A_LABEL, message)
    if prediction.score is None or not math.isfinite(prediction.score) or abs(prediction.score) > MAX_LABEL:
        raise RefusedError(Refusal.NOT_A_LABEL, "the prediction id has no number that a label could be compared with")
    error = abs(prediction.score - label)
    tally.measured = 1
    tally.absolute, tally.squared, tally.fourth = error, error**2, error**4
