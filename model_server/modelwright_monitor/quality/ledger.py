"""What a pod counted and the status does not have yet: each label gets there once, whoever writes.

A pod seals what it counted into parts, numbered from 1.  Whoever writes the status asks all pods for their sealed
parts, adds them to the totals there, and writes beside them, in one write on the version it read, up to which part of
which pod they go:

    totals' = totals + parts (mark, sealed] of each pod        marks' = sealed of each pod

A pod drops its parts once it sees its mark in the status.  An offer says from which mark on it is: one that does not
begin where the status ends (the pod has not seen the last write yet) is left for the next time.
"""

import json
import re
import secrets
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, cast

from modelwright_monitor.quality.cohorts import Cohorts
from modelwright_monitor.quality.joining import Counted
from modelwright_monitor.quality.tally import TallyError
from modelwright_server.contract import monitoring

MOST_PARTS = 16  # sealed and not yet seen in the status: then what is open waits
MOST_MARKS = monitoring.MOST_MARKS
MARK_SECONDS = 2 * 86_400  # that the mark of a pod is kept which does not answer any more
_POD = re.compile(r"[0-9a-f]{12}")
_MAX_PART = 2**53


@dataclass(frozen=True, slots=True)
class Offer:
    """A pod's sealed parts, together.

    Attributes:
        pod: twelve hex digits, the pod's own.
        after: the last part that the pod saw in the status.
        upto: the last one in here.
        cohorts: what was counted in between.
    """

    pod: str
    after: int
    upto: int
    cohorts: Cohorts

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {"pod": self.pod, "after": self.after, "upto": self.upto, "cohorts": self.cohorts.to_documents()}

    @classmethod
    def from_document(cls, document: object) -> Self:
        """Read an offer.

        Raises:
            TallyError: it is none.
        """
        values = _object(document)
        pod, after, upto = _pod(values.get("pod")), _part(values.get("after")), _part(values.get("upto"))
        if after > upto:
            message = "an offer must not end before it begins"
            raise TallyError(message)
        return cls(pod, after, upto, Cohorts.from_documents(values.get("cohorts")))


@dataclass(frozen=True, slots=True)
class Mark:
    """Up to which of a pod's parts the totals go.

    Attributes:
        part: its number.
        at: when that was written, in seconds since 1970.
    """

    part: int
    at: int


@dataclass(slots=True)
class Totals:
    """What the status has.

    Attributes:
        cohorts: of all pods together, of those that are gone as well.
        marks: by pod.
    """

    cohorts: Cohorts = field(default_factory=Cohorts)
    marks: dict[str, Mark] = field(default_factory=dict[str, Mark])

    def take(self, offers: Iterable[Offer], now: float) -> bool:
        """Add what pods offer, each part once; tell whether there was anything new."""
        news = False
        for offer in offers:
            mark = self.marks.get(offer.pod)
            # Where there is no mark any more, or an older one, the pod saw a later one: what came before was counted.
            if offer.upto == offer.after or (mark is not None and mark.part > offer.after):
                continue
            self.cohorts.merge(offer.cohorts)
            self.marks[offer.pod] = Mark(offer.upto, int(now))
            news = True
        return news

    def forget(self, answering: Iterable[str], now: float) -> None:
        """Remove the marks of pods that are gone for long."""
        here = set(answering)
        recent = [(pod, mark) for pod, mark in self.marks.items() if pod in here or not mark.at < now - MARK_SECONDS]
        self.marks = dict(sorted(recent, key=lambda item: item[1].at)[-MOST_MARKS:])

    def to_documents(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the cohorts and the marks as the status has them."""
        marks = [{"pod": pod, "part": mark.part, "at": mark.at} for pod, mark in sorted(self.marks.items())]
        return self.cohorts.to_documents(), marks

    @classmethod
    def from_documents(cls, cohorts: object, marks: object) -> Self:
        """Read what `to_documents` gave.

        Raises:
            TallyError: it is something else.
        """
        items = cast("list[object]", marks) if isinstance(marks, list) else None
        if items is None or len(items) > MOST_MARKS:
            message = f"marks must be a list of at most {MOST_MARKS}"
            raise TallyError(message)
        found: dict[str, Mark] = {}
        for item in items:
            values = _object(item)
            found[_pod(values.get("pod"))] = Mark(_part(values.get("part")), _part(values.get("at")))
        return cls(Cohorts.from_documents(cohorts), found)


class Ledger:
    """A pod's own counts; used by the threads that take labels and the one that writes the status."""

    def __init__(self, pod: str | None = None) -> None:
        self.pod = pod or secrets.token_hex(6)
        self._lock = threading.Lock()
        self._open = Cohorts()
        self._parts: list[tuple[int, Cohorts]] = []
        self._after = self._upto = 0

    def add(self, counted: Iterable[Counted]) -> None:
        """Count."""
        with self._lock:
            for key, tally in counted:
                self._open.add(key, tally)

    @property
    def labels(self) -> int:
        """How many labels are here that the status was not seen to have."""
        with self._lock:
            everything = [self._open, *(part for _, part in self._parts)]
            return sum(tally.labels for part in everything for tally in part.tallies.values())

    def offer(self) -> Offer:
        """Seal what was counted, and return all parts that the status was not seen to have."""
        with self._lock:
            if self._open.tallies and len(self._parts) < MOST_PARTS:
                self._upto += 1
                self._parts.append((self._upto, self._open))
                self._open = Cohorts()
            together = Cohorts()
            for _, part in self._parts:
                together.merge(part)
            return Offer(self.pod, self._after, self._upto, together.newest())

    def confirm(self, marks: Mapping[str, Mark]) -> None:
        """Drop the parts that the status has."""
        with self._lock:
            mark = marks.get(self.pod)
            if mark is not None and self._after < mark.part <= self._upto:
                self._after = mark.part
                self._parts = [(number, part) for number, part in self._parts if number > mark.part]

    def to_json(self) -> bytes:
        """Return all of it, for a worker that starts after this one in the same pod."""
        with self._lock:
            parts = [{"part": number, "cohorts": part.to_documents()} for number, part in self._parts]
            document = {"pod": self.pod, "after": self._after, "upto": self._upto, "parts": parts}
            return json.dumps({**document, "open": self._open.to_documents()}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Go on where another worker ended.

        Raises:
            TallyError: these are not its bytes.
        """
        try:
            document = json.loads(data)
            found = cls(_pod(document["pod"]))
            found._after, found._upto = _part(document["after"]), _part(document["upto"])
            found._open = Cohorts.from_documents(document["open"])
            found._parts = [
                (_part(item["part"]), Cohorts.from_documents(item["cohorts"])) for item in document["parts"]
            ]
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            message = f"no ledger: {error!r}"
            raise TallyError(message) from error
        return found


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        message = "must be an object"
        raise TallyError(message)
    return cast("dict[str, object]", value)


def _pod(value: object) -> str:
    if not isinstance(value, str) or not _POD.fullmatch(value):
        message = "pod must be twelve hex digits"
        raise TallyError(message)
    return value


def _part(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_PART:
        message = "the number of a part, and a time, must be whole numbers from 0 to 2^53"
        raise TallyError(message)
    return value
