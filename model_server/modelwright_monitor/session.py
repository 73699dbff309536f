"""Monitoring, while `spec.monitoring` is there: rows are counted, windows closed, and what they show is written.

Three threads: one counts, one closes windows, which may wait for others, and one answers the sidecars that close them.
A lock is between them, never held while anything is waited for but the file in memory.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from modelwright_drift.baseline import Baseline
from modelwright_monitor import exposition
from modelwright_monitor.apiserver import ApiError
from modelwright_monitor.clock import now_seconds
from modelwright_monitor.conditions import rfc3339
from modelwright_monitor.deployment import Object, conditions_of, document_of, part, sequence_of, track_of, version_of
from modelwright_monitor.distributions import Distributions
from modelwright_monitor.listener import Answer, Request
from modelwright_monitor.model import Model
from modelwright_monitor.pace import SHORTEST_SECONDS, Pace
from modelwright_monitor.peers import Answers, Part, Peers, together
from modelwright_monitor.report import Report, Rules, Window, report
from modelwright_monitor.tail import Tail
from modelwright_monitor.tally import Tally, most_bytes
from modelwright_monitor.windows import CLOSE_SECONDS, Closed, Frozen, NotNowError, Windows
from modelwright_monitor.writer import TooLateError, Writer
from modelwright_server.contract import STABLE, monitoring
from modelwright_server.contract.monitoring import MonitoringReason as Reason
from modelwright_server.logs import log, log_error

_STATE: Final = "state.json"
_TICK_SECONDS = 1.0
# A window that is due is looked for so often by the first replica, and more seldom by each further one.
_LOOK_SECONDS = (1.0, 10.0)


def closed_of(seen: Object | None, track: str) -> Closed:
    """Return what the status says of a track's last window."""
    found = document_of(seen, track)
    window = part(found, "window")
    return Closed(
        sequence=sequence_of(found),
        by=str(window.get("closedBy", "")),
        missing=frozenset(map(str, window.get("missing") or ())),
    )


@dataclass(frozen=True, slots=True)
class Pod:
    """Who this is.

    Attributes:
        name: of the pod.
        deployment: it belongs to.
        namespace: of both.
        revision: it runs.
    """

    name: str
    deployment: str
    namespace: str
    revision: str


@dataclass(frozen=True, slots=True)
class Folders:
    """Where things are in the pod.

    Attributes:
        model: what the server serves.
        ring: what it answered.
        windows: what was counted.
    """

    model: Path
    ring: Path
    windows: Path


class Session:
    """Counts and closes; made anew whenever monitoring is switched on."""

    def __init__(self, pod: Pod, folders: Folders, peers: Callable[[Baseline], Peers], writer: Writer) -> None:
        """Take up what an earlier worker of this pod left.

        Raises:
            UnfitError: the model cannot be monitored.
            OSError: what the fetch container left cannot be read.
        """
        self._pod = pod
        self._model = model = Model.load(folders.model)
        self._windows = Windows(folders.windows / _STATE, model.baseline, model.digest)
        positions = self._windows.state.positions
        self._tail = Tail(folders.ring, model.schema, model.digest, model.columns, positions)
        self._peers = peers(model.baseline)
        self.shown = Distributions(pod.name, model.digest, model.baseline, self._windows)
        self._writer = writer
        self._lock = threading.Lock()
        self._seen: Object | None = None
        self._closed = self._refused = 0
        self._look_at = self._tick_at = float("-inf")
        self._pace = Pace()
        self._leaving = self._left = False

    # what the counting thread does

    def count(self, seen: Object | None) -> float:
        """Count what has come; return after how many seconds to come again."""
        if not self._leaving:
            self._count(seen)
            self._pace.take(self._tail.filled)
        return self._pace.seconds

    def _count(self, seen: Object | None) -> None:
        self._seen = seen
        track = track_of(seen, self._pod.revision)
        with self._lock:
            due = time.monotonic() >= self._tick_at or track != self._windows.state.track
            if due:  # before anything is counted: what comes now is the new track's
                self._windows.follow(track, closed_of(seen, track))
            self._windows.count(self._tail.count, lambda: self._tail.positions)
            if due:
                self._windows.thaw()
                self._windows.keep()
                self._tick_at = time.monotonic() + _TICK_SECONDS

    def leave(self, look: Callable[[], Object | None], seconds: float) -> None:
        """Leave to another replica what was counted for the open window, since this pod ends; nothing is counted after.

        A part that somebody closes just now is waited for, and left as it is: it may be in. Where no other replica
        counts the same version on the same track, the rows are written as lost.
        """
        end = time.monotonic() + seconds
        self._leaving = True
        while True:
            self._tick_at = float("-inf")
            self._count(look())
            with self._lock:
                state = self._windows.state
                if state.frozen is None or time.monotonic() > end - seconds / 2:
                    self._left = True
                    tally, opened_at, track = self._windows.give(), state.opened_at, state.track
                    break
            time.sleep(SHORTEST_SECONDS)
        if not track or not tally.rows + tally.lost:
            return
        part = self._part(tally, opened_at, track)
        if self._peers.hand(part, end):
            log("rows handed over", rows=tally.rows, lost=tally.lost)
            return
        try:
            told = self._writer.lose(track, self._model.digest, tally.rows + tally.lost)
        except ApiError as error:
            log_error("rows go with the pod", rows=tally.rows, problem=str(error))
        else:
            log_error("rows go with the pod", rows=tally.rows, reported=told)

    def end(self) -> None:
        """Keep what was counted, and give the rings back."""
        with self._lock:
            self._windows.keep()
            self._tail.close()

    # what the closing thread does

    def look(self, seen: Object | None) -> None:
        """Close the window if it is due."""
        with self._lock:
            track = self._windows.state.track
            age = self._windows.age_seconds()
        if not track or seen is None or self._leaving:
            return
        rules = Rules.from_document(part(seen, "spec", "monitoring"))
        if age < rules.min_seconds or time.monotonic() < self._look_at:
            return
        low, high = _LOOK_SECONDS
        self._look_at = time.monotonic() + min(max(rules.min_seconds / 10, low), high) * (1 + self._peers.rank())
        if self._due(rules, age, track):
            self._close(rules, track)

    def _due(self, rules: Rules, age: float, track: str) -> bool:
        """Tell whether a window is full, or old enough and not empty; rows are those that a cut would get."""
        with self._lock:
            state = self._windows.state
            own = (state.frozen.tally if state.frozen is not None else state.open).rows
        others = self._peers.ask(self._model.digest, track, brief="1").parts.values()
        rows = own + sum(part.rows for part in others)
        return rows >= rules.rows or (age >= rules.max_seconds and (rows > 0 or self._news(track)))

    def _news(self, track: str) -> bool:
        """Tell whether an empty window has something to say: that the ring cannot be read."""
        said = any(
            item.get("type") == monitoring.MONITORING_HEALTHY and item.get("reason") == Reason.RING_INVALID
            for item in conditions_of(self._seen)
        )
        return bool(self._tail.problem) and track == STABLE and not said

    def _close(self, rules: Rules, track: str) -> None:
        deadline = time.monotonic() + CLOSE_SECONDS
        with self._lock:
            sequence = self._windows.state.closed + 1
            if self._windows.state.track != track:
                return
            try:
                own = self._windows.cut(sequence, self._pod.name, "")
            except NotNowError as error:
                log_error("the window cannot be closed", problem=str(error))
                return
        answers = self._peers.ask(self._model.digest, track, sequence=str(sequence), by=self._pod.name)
        window = self._window(own, answers, track)
        identity = {
            "version": version_of(self._seen, track),
            "digest": self._model.digest,
            "revision": self._pod.revision,
        }

        def made(before: Mapping[str, Any]) -> Report:
            return self.shown.judged(track, window, report(window, self._model.baseline, rules, identity, before))

        try:
            if self._writer.close(track, sequence, made, deadline):
                self._closed += 1
                self.shown.keep()
                log("window closed", track=track, sequence=sequence, rows=window.tally.rows, lost=window.tally.lost)
        except (ApiError, TooLateError) as error:
            self._refused += 1
            log_error("the window cannot be written", sequence=sequence, problem=str(error))

    def _window(self, own: Frozen, answers: Answers, track: str) -> Window:
        parts = [self._part(own.tally, own.opened_at, track), *answers.parts.values()]
        tally = together(parts)
        problems = [f"{part.pod}: {part.problem}" for part in parts if part.problem]
        return Window(
            sequence=own.sequence,
            opened_at=rfc3339(min(part.opened_at for part in parts if part.tally is not None)),
            closed_at=rfc3339(now_seconds()),
            by=self._pod.name,
            tally=tally if tally is not None else own.tally,
            replicas=len(parts) + len(answers.missing),
            reported=len(parts),
            missing=tuple(sorted(answers.missing)),
            problems=tuple(problems),
        )

    # what the answering threads do

    def answer_window(self, request: Request) -> Answer:
        """Say what is in this replica's window, or cut it for the one who closes it.

        Counts are given to anybody; a cut only to a sidecar of this Deployment.
        """
        query, track = request.query, self._windows.state.track
        if "sequence" not in query or (query.get("digest"), query.get("track")) != (self._model.digest, track):
            with self._lock:
                state = self._windows.state
                shown = state.frozen if state.frozen is not None else None
                tally, opened_at = (
                    (shown.tally, shown.opened_at) if shown is not None else (state.open, state.opened_at)
                )
            part = self._part(tally, opened_at, state.track, brief="brief" in query or ("sequence" in query))
            return Answer.document(part.to_document())
        if request.client not in self._peers.addresses(known=request.client):
            return Answer.problem(HTTPStatus.FORBIDDEN, "only sidecars of this Deployment close its windows")
        try:
            with self._lock:
                if self._windows.state.track != track:
                    return Answer.problem(HTTPStatus.CONFLICT, "the track has changed")
                frozen = self._windows.cut(int(query["sequence"]), query.get("by", "")[:253], request.server)
        except (NotNowError, ValueError) as error:
            return Answer.problem(HTTPStatus.CONFLICT, str(error))
        return Answer.document(self._part(frozen.tally, frozen.opened_at, track).to_document())

    def take_part(self, request: Request) -> Answer:
        """Take in what a replica counted that ends."""
        if request.client not in self._peers.addresses(known=request.client):
            return Answer.problem(HTTPStatus.FORBIDDEN, "only sidecars of this Deployment leave rows behind")
        body = request.body(most_bytes(self._model.baseline))
        try:
            part = Part.from_document(json.loads(body or b""), self._model.baseline, self._model.digest)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            return Answer.problem(HTTPStatus.BAD_REQUEST, f"{type(error).__name__}: {error}"[:500])
        with self._lock:
            mine = self._windows.state.track == part.track and not self._left
            if part.tally is None or not mine or not self._windows.take(part.tally):
                return Answer.problem(HTTPStatus.CONFLICT, "these rows cannot be counted here")
        return Answer.document({"rows": part.rows})

    def answer_metrics(self, _request: Request) -> Answer:
        """Return the page for Prometheus."""
        state = self._windows.state
        pod = {
            monitoring.METRIC_ROWS: float(state.rows),
            monitoring.METRIC_LOST: float(state.lost),
            monitoring.METRIC_WINDOWS: float(self._closed),
            monitoring.METRIC_REFUSED: float(self._refused),
            monitoring.METRIC_OPEN_ROWS: float(state.open.rows),
        }
        common = {
            "namespace": self._pod.namespace,
            "deployment": self._pod.deployment,
            "version": version_of(self._seen, state.track),
            "track": state.track,
        }
        page = exposition.text(common, pod, document_of(self._seen, state.track) if state.track else {})
        return Answer(HTTPStatus.OK, page.encode(), exposition.CONTENT_TYPE)

    def _part(self, tally: Tally, opened_at: float, track: str, *, brief: bool = False) -> Part:
        return Part(
            pod=self._pod.name,
            track=track,
            digest=self._model.digest,
            rows=tally.rows,
            lost=tally.lost,
            opened_at=opened_at,
            problem=self._tail.problem or self._windows.problem,
            tally=None if brief else tally,
        )
