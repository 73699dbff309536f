"""Labels that come back: what a request with them says, and what is answered.

    {"prediction_id": "1.9f2c…", "label": "yes", "time": "2026-11-22T10:00:00Z"}      or a list of such

Each label is taken or refused by itself, and the answer tells which; a request is refused as a whole where it cannot be
read.  A label that was counted by this pod is not counted again, so a request may be repeated.
"""

import datetime as dt
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn, cast

from modelwright_monitor.feedback.handover import Handover, Taken
from modelwright_monitor.quality.joining import Counted, Label, Refusal, RefusedError, Rules, join
from modelwright_monitor.quality.ledger import Ledger
from modelwright_monitor.quality.memory import Memory
from modelwright_server.contract.prediction import PredictionId, label_text, parse

MOST_LABELS = 1000  # in one request
MOST_TOLD = 20  # of the refused ones in an answer
ACCEPTED, DUPLICATE = "accepted", "duplicate"
_FIELDS = {"prediction_id", "label", "time"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered.

    Attributes:
        status: of HTTP.
        document: the body.
    """

    status: HTTPStatus
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What labels a Deployment wants.

    Attributes:
        models: names of the models whose predictions these may be.
        rules: what labels are taken.
    """

    models: frozenset[str]
    rules: Rules


class Feedback:
    """Takes labels; called by several threads."""

    def __init__(
        self,
        ledger: Ledger,
        remembered: Callable[[], Memory],
        kept: Callable[[], object],
        now: Callable[[], float],
        handover: Handover | None = None,
    ) -> None:
        """Begin without anything wanted.

        Args:
            ledger: where labels are counted.
            remembered: gives what is known of labels before; called once, when the first ones come.
            kept: called after each request that changed it, before it is answered.
            now: seconds since 1970.
            handover: where labels are left for capture, if it wants them.
        """
        self.wanted: Wanted | None = None
        self._ledger = ledger
        self._kept = kept
        self._now = now
        self._handover = handover
        self._remembered = remembered
        self._memory: Memory | None = None
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def counts(self) -> dict[str, int]:
        """Return how many labels there were by what became of them."""
        outcomes = (ACCEPTED, DUPLICATE, *Refusal)
        with self._lock:
            return {str(outcome): self._counts[outcome] for outcome in outcomes}

    def answer(self, model: str, body: bytes) -> Answer:
        """Take the labels of a request for a model."""
        wanted = self.wanted
        if wanted is None:
            return refused(
                HTTPStatus.NOT_FOUND, "spec.monitoring.quality of the Deployment is not set: no labels are taken"
            )
        if model not in wanted.models:
            known = ", ".join(sorted(wanted.models))
            return refused(HTTPStatus.NOT_FOUND, f"model {model[:60]!r} is not served here, only {known}")
        with self._lock:  # one body in memory as objects at a time
            try:
                items = _items(body)
            except ValueError as error:
                return refused(HTTPStatus.BAD_REQUEST, str(error))
            return self._take(items, wanted.rules)

    def _take(self, items: list[object], rules: Rules) -> Answer:
        now = self._now()
        memory = self._memory = self._memory or self._remembered()
        counted, taken = list[Counted](), list[Taken]()
        told: list[dict[str, object]] = []
        outcomes: Counter[str] = Counter()
        for at, item in enumerate(items):
            try:
                text, label, time = _item(item, now)
                prediction = _parsed(text)
                found = join(prediction, label, time, rules, now)
            except RefusedError as error:
                outcomes[error.refusal] += 1
                if len(told) < MOST_TOLD:
                    told.append({"index": at, "reason": str(error.refusal), "error": str(error)})
                continue
            # Also one that was known before: whoever repeats a request may never have had an answer.
            taken.append(Taken(text, label_text(label), time, now))
            if memory.add(f"{prediction.version_key}.{prediction.nonce}.{prediction.number}"):
                outcomes[ACCEPTED] += 1
                counted.append(found)
            else:
                outcomes[DUPLICATE] += 1
        self._counts.update(outcomes)
        if taken and self._handover is not None:
            self._handover.give(taken)
        if counted:
            self._ledger.add(counted)
            self._kept()
        refusals = len(items) - outcomes[ACCEPTED] - outcomes[DUPLICATE]
        document = {"accepted": outcomes[ACCEPTED], "duplicates": outcomes[DUPLICATE], "refused": refusals}
        if refusals < len(items):
            return Answer(HTTPStatus.OK, {**document, "refusals": told})
        return Answer(HTTPStatus.BAD_REQUEST, {"error": told[0]["error"], **document, "refusals": told})


def refused(status: HTTPStatus, problem: str) -> Answer:
    """Return the answer to a request that is refused as a whole, as the Open Inference Protocol has it."""
    return Answer(status, {"error": problem})


def _items(body: bytes) -> list[object]:
    try:
        document = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        message = f"the body is no JSON: {error!s:.200}"
        raise ValueError(message) from None
    items = cast("list[object]", document) if isinstance(document, list) else [document]
    if not 1 <= len(items) <= MOST_LABELS:
        message = f"the body has {len(items)} labels, must have 1 to {MOST_LABELS}"
        raise ValueError(message)
    return items


def _item(item: object, now: float) -> tuple[str, Label, float]:
    """Read one label.

    Raises:
        RefusedError: it is none.
    """
    if not isinstance(item, dict):
        _malformed('a label must be an object: {"prediction_id": …, "label": …, "time": …}')
    fields = cast("dict[str, object]", item)
    if odd := sorted(fields.keys() - _FIELDS):
        _malformed(f"the field {odd[0][:60]!r} is unknown; there are prediction_id, label and time")
    text, label = fields.get("prediction_id"), fields.get("label")
    if not isinstance(text, str):
        _malformed("prediction_id must be a text: the answer's header X-Prediction-Id, or the output prediction_id")
    if not isinstance(label, str | int | float):
        _malformed("label must be a text, a number, true or false")
    return text, label, _time(fields["time"]) if "time" in fields else now


def _parsed(text: str) -> PredictionId:
    try:
        return parse(text)
    except ValueError as error:
        _malformed(str(error))


def _time(value: object) -> float:
    try:
        if isinstance(value, str) and (parsed := dt.datetime.fromisoformat(value[:40])).tzinfo is not None:
            return parsed.timestamp()
    except ValueError:
        pass
    if type(value) in {int, float} and abs(cast("float", value)) < 2**53:
        return float(cast("float", value))
    return _malformed("time must be a time with its zone, as in 2026-11-22T10:00:00Z, or seconds since 1970")


def _malformed(message: str) -> NoReturn:
    raise RefusedError(Refusal.MALFORMED, message)


def _no_constant(name: str) -> NoReturn:
    message = f"{name} is not a number"
    raise ValueError(message)
