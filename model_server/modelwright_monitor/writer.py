"""Writing what a window showed into the Deployment's status: the first to write has closed the window.

The whole of the monitor's part is applied onto the version of the Deployment that was read, with the number of the
window one more than the last.  Whoever comes second gets a conflict, reads again, finds the number taken and stops; a
conflict for any other reason is tried again.  So there is one write for each window, however many replicas there are.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from modelwright_monitor.apiserver import change_status
from modelwright_monitor.conditions import Mark, holds, merged, rfc3339
from modelwright_monitor.deployment import Object, conditions_of, document_of, monitored, part, sequence_of, track_of
from modelwright_monitor.follow import Connect
from modelwright_monitor.labels import Counted, Labels
from modelwright_monitor.quality.ledger import Offer
from modelwright_monitor.report import Report, brief
from modelwright_server.contract import CANARY, STABLE, monitoring


class TooLateError(Exception):
    """The window cannot be written any more: its parts may have been put back."""


class Writer:
    """Writes for one pod."""

    def __init__(
        self,
        connect: Connect,
        now: Callable[[], float],
        sleep: Callable[[float], object],
        labels: Labels | None = None,
    ) -> None:
        self._connect = connect
        self._labels = labels
        self._now = now
        self._sleep = sleep

    def close(self, track: str, sequence: int, make: Callable[[Mapping[str, Any]], Report], deadline: float) -> bool:
        """Close a window; tell whether it was this pod that did.

        Args:
            track: whose window.
            sequence: its number.
            make: gives the report, from the track's document before.
            deadline: on the monotonic clock, after which nothing may be written.

        Raises:
            ApiError: it was not taken.
            TooLateError: the deadline is over.
        """
        offers = self._labels.gather() if self._labels is not None else []

        def closed(seen: Object) -> dict[str, Any] | None:
            before = document_of(seen, track)
            if not monitored(seen) or sequence_of(before) != sequence - 1:
                return None
            report = make(before)
            if track_of(seen, report.document["revision"]) != track:
                return None  # a promotion that this pod was not told of yet: the track's windows are another version's
            status = self._status(seen, track, report, offers)
            if time.monotonic() >= deadline:
                message = f"window {sequence} was not closed in time"
                raise TooLateError(message)
            return status

        with self._connect() as connection:
            return change_status(connection, closed, self._sleep)

    def tell(self, marks: tuple[Mark, ...], identity: Mapping[str, str]) -> bool:
        """Write conditions that no window says, where they are not said yet; tell whether that was needed.

        Args:
            marks: the conditions.
            identity: version, digest and revision that they are about.

        Raises:
            ApiError: they were not taken.
        """

        def told(seen: Object) -> dict[str, Any] | None:
            known = conditions_of(seen)
            if not monitored(seen) or track_of(seen, identity["revision"]) != STABLE:
                return None
            if all(holds(known, mark) for mark in marks):
                return None
            window = {"sequence": sequence_of(document_of(seen, STABLE)), "rows": 0}
            return {"monitoring": {"window": window, **identity}, "conditions": self._merged(seen, marks)}

        with self._connect() as connection:
            return change_status(connection, told, self._sleep)

    def lose(self, track: str, digest: str, rows: int) -> bool:
        """Write that rows of an open window went with their pod; tell whether there is a report to write it in.

        Raises:
            ApiError: it was not taken.
        """

        def lost(seen: Object) -> dict[str, Any] | None:
            before = document_of(seen, track)
            total = part(before, "total")
            if not monitored(seen) or before.get("digest") != digest or not total:
                return None
            document = {**before, "total": {**total, "lost": int(total.get("lost", 0)) + rows}}
            whole = document if track == STABLE else {**document_of(seen, STABLE), CANARY: document}
            return {"monitoring": whole, "conditions": self._merged(seen, ())}

        with self._connect() as connection:
            return change_status(connection, lost, self._sleep)

    def _status(self, seen: Object, track: str, report: Report, offers: Sequence[Offer]) -> dict[str, Any]:
        stable, canary = document_of(seen, STABLE), document_of(seen, CANARY)
        if track == STABLE:
            document = dict(report.document)
            if canary and canary.get("revision") == part(seen, "status", "traffic", CANARY).get("revision"):
                document["canary"] = canary
            marks = report.marks
        else:
            told = {mark.kind: mark for mark in report.marks}
            verdict = [told[kind] for kind in (monitoring.DATA_DRIFT, monitoring.DATA_QUALITY)]
            findings = [{"type": mark.kind, "status": mark.status, "message": mark.message[:1024]} for mark in verdict]
            features = [brief(item) for item in report.document["features"]]
            document = {**stable, "canary": {**report.document, "features": features, "findings": findings}}
            marks = ()
        rows = report.document["window"]["rows"] + report.document["lost"]
        quality, verdict_on_labels = self._quality(seen, offers, Counted(report.document["digest"], rows))
        document.pop("quality", None)
        if quality is None:
            return {"monitoring": document, "conditions": self._merged(seen, marks, without={monitoring.MODEL_QUALITY})}
        conditions = self._merged(seen, (*marks, *verdict_on_labels))
        return {"monitoring": {**document, "quality": quality}, "conditions": conditions}

    def _quality(
        self, seen: Object, offers: Sequence[Offer], counted: Counted
    ) -> tuple[dict[str, Any] | None, tuple[Mark, ...]]:
        """Return what labels say, with those that come along; windows themselves say nothing of it."""
        if self._labels is None:
            return None, ()
        return self._labels.into(seen, offers, counted)

    def _merged(self, seen: Object, marks: tuple[Mark, ...], without: Collection[str] = ()) -> list[dict[str, Any]]:
        """Return all of the monitor's conditions, those not given as they are: what is left out goes."""
        now, generation = rfc3339(self._now()), int(part(seen, "metadata").get("generation", 0))
        known = conditions_of(seen)
        told = {mark.kind for mark in marks}
        others = [dict(item) for item in known if item.get("type") not in told | set(without)]
        return [*others, *merged(known, marks, generation=generation, now=now)]
