"""Whether there is monitoring: switched on and off by `spec.monitoring`, and begun anew whenever it fails.

It runs in a thread beside the one that follows the Deployment, so that whatever becomes of it, the traffic table is
kept.  NumPy and all that counts are imported only once they are wanted: without monitoring the sidecar stays small.
"""

import os
import threading
import time
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from modelwright_monitor.addresses import by_name
from modelwright_monitor.apiserver import ApiError
from modelwright_monitor.clock import now_seconds
from modelwright_monitor.conditions import holds
from modelwright_monitor.deployment import Object, conditions_of, monitored, track_of, version_of
from modelwright_monitor.follow import Connect
from modelwright_monitor.labels import Labels
from modelwright_monitor.listener import STACK_BYTES, Answer, Listener, Request
from modelwright_server.contract import STABLE, MonitorSettings, monitoring
from modelwright_server.logs import log, log_error

if TYPE_CHECKING:
    from modelwright_monitor.model import UnfitError
    from modelwright_monitor.session import Session
    from modelwright_monitor.writer import Writer

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 2.0, 60.0
_LOOK_SECONDS = 0.5
METRICS_PATH = "/metrics"


class Keeper:
    """Keeps a session as long as one is wanted."""

    def __init__(self, settings: MonitorSettings, pod: str, address: str, connect: Connect, labels: Labels) -> None:
        """Remember who this is; nothing is begun.

        Args:
            settings: of the sidecar.
            pod: its name.
            address: its own, as others reach it.
            connect: to the API server.
            labels: that come back to this pod.
        """
        self._settings = settings
        self._pod = pod
        self._address = address
        self._connect = connect
        self._labels = labels
        self._changed = threading.Condition()
        self._seen: Object | None = None
        self._session: Session | None = None
        self._listener: Listener | None = None
        self._unfit = False

    def take(self, seen: Object | None) -> None:
        """Take in the Deployment as it is now; None: it is gone."""
        with self._changed:
            self._seen = seen
            self._changed.notify_all()

    def start(self) -> None:
        """Keep it from now on, in a thread of its own."""
        threading.stack_size(STACK_BYTES)  # the whole of it counts against the worker's limit on memory
        threading.Thread(target=self._keep, name="keeper", daemon=True).start()

    def end(self, seconds: float) -> None:
        """Leave what was counted to others, since this pod ends; within so many seconds."""
        made = self._session
        if made is None:
            return
        try:
            made.leave(lambda: self._seen, seconds)
        except Exception as error:  # noqa: BLE001 - labels are to be written as well
            log_error("rows cannot be left to others", problem=f"{type(error).__name__}: {error}"[:500])

    def _keep(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            self._wait(None)
            began = time.monotonic()
            try:
                self._listen()
                self._watch()
            except Exception as error:  # noqa: BLE001 - whatever it is: the table is followed in another thread
                log_error("monitoring failed", problem=f"{type(error).__name__}: {error}"[:500])
            if time.monotonic() - began > _LONGEST_PAUSE_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            with self._changed:
                self._changed.wait_for(lambda: False, pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _wanted(self) -> bool:
        return bool(self._settings.revision) and monitored(self._seen)

    def _wait(self, seconds: float | None) -> None:
        """Wait until monitoring is wanted."""
        with self._changed:
            self._changed.wait_for(self._wanted, seconds)

    def _watch(self) -> None:
        """Monitor until it is no longer wanted."""
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its buffers for each would be most of the memory
        from modelwright_monitor import model, session  # noqa: PLC0415 - see above
        from modelwright_monitor.peers import Peers  # noqa: PLC0415 - see above
        from modelwright_monitor.writer import Writer  # noqa: PLC0415 - see above

        settings = self._settings
        pod = session.Pod(self._pod, settings.deployment, settings.namespace, settings.revision)
        folders = session.Folders(Path(settings.model_dir), Path(settings.ring_dir), Path(settings.windows_dir))
        service = f"{monitoring.service_name(settings.deployment)}.{settings.namespace}.svc"
        writer = Writer(self._connect, now_seconds, time.sleep, self._labels)
        try:
            made = session.Session(
                pod,
                folders,
                lambda baseline: Peers(partial(by_name, service), settings.window_port, baseline, self._address),
                writer,
            )
        except model.UnfitError as error:
            self._unfit = True
            self._tell(writer, error)
            return
        self._unfit = False
        log("monitoring", deployment=settings.deployment, revision=settings.revision)
        self._session = made
        closer = threading.Thread(target=self._close, args=(made,), name="closer", daemon=True)
        closer.start()
        try:
            while self._wanted():
                time.sleep(made.count(self._seen))
        finally:
            self._session = None
            closer.join()
            made.end()

    def _close(self, made: "Session") -> None:
        """Close windows as long as there is this session."""
        while self._session is made:
            try:
                made.look(self._seen)
            except Exception as error:  # noqa: BLE001 - whatever it is: rows are counted in another thread
                log_error("looking at the window failed", problem=f"{type(error).__name__}: {error}"[:500])
            time.sleep(_LOOK_SECONDS)

    def _tell(self, writer: "Writer", error: "UnfitError") -> None:
        """Say that this model cannot be monitored, if it is the one that clients reach."""
        from modelwright_monitor import model  # noqa: PLC0415 - it is loaded already

        seen, marks = self._seen, model.unfit_marks(error)
        said = all(holds(conditions_of(seen), mark) for mark in marks)
        if track_of(seen, self._settings.revision) != STABLE or said:
            return
        identity = {
            "version": version_of(seen, STABLE),
            "digest": model.digest_of(Path(self._settings.model_dir)),
            "revision": self._settings.revision,
        }
        try:
            if writer.tell(marks, identity):
                log_error("this model cannot be monitored", problem=str(error))
        except ApiError as refused:
            log_error("conditions cannot be written", problem=str(refused))

    def _listen(self) -> None:
        if self._listener is not None:
            return
        paths = {
            monitoring.WINDOW_PATH: self._answer_window,
            monitoring.LABELS_PATH: self._labels.answer,
            monitoring.COUNTS_PATH: self._answer_counts,
            METRICS_PATH: self._answer_metrics,
        }
        posted = {monitoring.WINDOW_PATH: self._take_part}
        self._listener = Listener(self._settings.host, self._settings.window_port, paths, posted)
        self._listener.start()

    def _answer_window(self, request: Request) -> Answer:
        made = self._session
        if made is not None:
            return made.answer_window(request)
        return Answer.document(NO_PART) if self._unfit else _NOT_NOW

    def _take_part(self, request: Request) -> Answer:
        made = self._session
        return made.take_part(request) if made is not None else _NOT_NOW

    def _answer_counts(self, request: Request) -> Answer:
        made = self._session
        return made.shown.answer(request) if made is not None else _NOT_NOW

    def _answer_metrics(self, request: Request) -> Answer:
        made = self._session
        if made is None:
            return _NOT_NOW
        page = made.answer_metrics(request)
        return Answer(page.status, page.body + self._labels.page(), page.content_type)


# Of a pod whose model cannot be monitored: it is in no window, and missing from none.
NO_PART = {
    "format": 1,
    "pod": "",
    "track": "",
    "digest": "",
    "rows": 0,
    "lost": 0,
    "openedAt": 0,
    "problem": "",
    "tally": None,
}
_NOT_NOW = Answer.problem(HTTPStatus.SERVICE_UNAVAILABLE, "there is no monitoring now")
