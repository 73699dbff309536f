"""One pod's capture: rings into the spool, the spool into the store, labels beside them.

    rings ──chosen rows──► spool ──a file at a time──► Parquet ──► store
                                 labels of the sidecar ──────────────┘

Reading goes on whatever the store does: files are sent by a thread of their own, one at a time, and what there is no
room for is dropped and counted.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from modelwright_capture import labels, parquet, rows, spool
from modelwright_capture.counts import CHOSEN, DROPPED, LOST, UNREADABLE, WRITTEN, Counts
from modelwright_capture.source import News, Source
from modelwright_capture.spool import Frame, FullError, Spool
from modelwright_capture.store import Store
from modelwright_capture.table import Layout, model_of
from modelwright_server import stores
from modelwright_server.contract import capture
from modelwright_server.contract.capture import CaptureSettings
from modelwright_server.logs import log, log_error

BUSY_SECONDS, IDLE_SECONDS = 0.1, 0.25
HANGS_SECONDS = 900.0
_PAUSES: Final = (1.0, 30.0)
_LABEL_FILES = 500
_SAID_SECONDS = 60.0


class Capture:
    """What the container does, step by step."""

    def __init__(
        self, settings: CaptureSettings, pod: str, store: Store, counts: Counts, now: Callable[[], float]
    ) -> None:
        """Go on where an earlier worker of this pod ended.

        Args:
            settings: of the container.
            pod: its name.
            store: where files go.
            counts: what became of rows.
            now: seconds since 1970.

        Raises:
            RedactError: what is to be left out is no feature.
            ArtifactInvalidError: the model has no schema.
            OSError: the spool cannot be used.
        """
        signature, digest = model_of(Path(settings.model_dir))
        self._layout = Layout(signature, digest, settings.redacted)
        self._folder = f"version={digest.removeprefix('sha256:')[: capture.VERSION_DIGITS]}"
        self._settings, self._pod, self._store, self._counts, self._now = settings, pod, store, counts, now
        self._spool = Spool(Path(settings.spool_dir), now())
        self._source = Source(Path(settings.ring_dir), signature, digest, self._spool.positions)
        self._sender = ThreadPoolExecutor(1, "sender")
        self._sending: Future[Callable[[], None]] | None = None
        self._sending_since = 0.0
        self._pause = 0.0
        self._again_at = 0.0
        self._said: dict[str, float] = {}
        counts.works = True

    def step(self) -> float:
        """Look at rings, spool and labels once; return the seconds until the next look.

        Raises:
            TimeoutError: a file is being sent for so long that only another worker can get on.
        """
        now = self._now()
        busy = self._read(now)
        if self._spool.age(now) >= self._settings.flush_seconds:
            self._turn(now)
        self._collect()
        if self._sending is not None and time.monotonic() - self._sending_since > HANGS_SECONDS:
            message = f"a file has not been sent within {HANGS_SECONDS} s"
            raise TimeoutError(message)
        if self._sending is None and now >= self._again_at:
            self._send(now, old=self._settings.flush_seconds)
        self._counts.waiting_bytes = self._spool.waiting_bytes
        return BUSY_SECONDS if busy else IDLE_SECONDS

    def end(self, deadline: float) -> None:
        """Read and send what is left, until a time since 1970."""
        self._read(self._now())
        self._turn(self._now())
        while (left := deadline - self._now()) > 0:
            if self._sending is None:
                self._send(self._now(), old=0)
            if self._sending is None:
                break
            try:
                self._sending.exception(left)
            except TimeoutError:
                break
            self._collect()
            if self._again_at > self._now():  # failed: once more would hardly help
                break
        if self._spool.closed():
            log_error("rows are left that the store has not got", bytes=self._spool.waiting_bytes)
        self._source.close()
        self._spool.close()

    def _read(self, now: float) -> bool:
        busy = False
        for news in self._source.poll():
            self._counts.add(capture.METRIC_ROWS, LOST, news.lost)
            if news.records:
                busy = True
                self._keep(news, now)
        if self._source.problem:
            self._say("a ring cannot be read", self._source.problem)
        return busy

    def _keep(self, news: News, now: float) -> None:
        chosen, unreadable = rows.cut(news.records, self._settings.sample_percent)
        count = sum(len(chunk.marks) for chunk in chosen)
        self._counts.add(capture.METRIC_ROWS, UNREADABLE, unreadable)
        self._counts.add(capture.METRIC_ROWS, CHOSEN, count + unreadable)
        if not chosen:
            return
        try:
            self._spool.add(news, chosen, now)
        except FullError:
            self._counts.add(capture.METRIC_ROWS, DROPPED, count)
            self._say("rows are dropped", "the store is too slow, or away: there is no room for more")
        except OSError as error:
            self._counts.add(capture.METRIC_ROWS, DROPPED, count)
            self._say("rows are dropped", f"the spool cannot be written: {error.strerror}")

    def _turn(self, now: float) -> None:
        try:
            self._spool.turn(now)
        except OSError as error:
            self._say("the spool cannot be written", str(error))

    def _send(self, now: float, *, old: float) -> None:
        """Begin to send the oldest file of rows, or labels if those have waited for so many seconds."""
        self._sending_since = time.monotonic()
        closed = self._spool.closed()
        if closed:
            self._sending = self._sender.submit(self._send_rows, closed[0])
            return
        waiting = labels.waiting(Path(self._settings.labels_dir))
        if waiting and (len(waiting) >= _LABEL_FILES or labels.age(waiting[0], now) >= old):
            self._sending = self._sender.submit(self._send_labels, waiting)

    def _collect(self) -> None:
        """Take note of a file that was sent, or could not be."""
        if self._sending is None or not self._sending.done():
            return
        done, self._sending = self._sending, None
        low, high = _PAUSES
        try:
            done.result()()
        except stores.StoreError as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is: rows come from the rings all the same
            self._failed(f"{type(error).__name__}: {error}")
        else:
            self._pause, self._again_at, self._counts.works = 0.0, 0.0, True
            self._counts.add(capture.METRIC_UPLOADS, "succeeded")
            return
        self._pause = min(max(low, 2 * self._pause), high)
        self._again_at = self._now() + self._pause

    def _failed(self, problem: str) -> None:
        self._counts.works = False
        self._counts.add(capture.METRIC_UPLOADS, "failed")
        self._say("the store takes no rows", problem)

    def _send_rows(self, path: Path) -> Callable[[], None]:
        """Send a file, in the thread; return what to do once that is known."""
        frames = spool.read(path)
        written, data = self._encoded(path, frames)
        self._spool.tried()
        if data:
            day = datetime.fromtimestamp(frames[0].chunks[0].time // 10**9, UTC).date()
            self._store.put(f"{self._folder}/date={day}/{self._pod}-{spool.number_of(path)}.parquet", data)

        def done() -> None:
            self._spool.sent(path)
            whole = sum(len(chunk.marks) for frame in frames for chunk in frame.chunks)
            self._counts.add(capture.METRIC_ROWS, WRITTEN, written)
            self._counts.add(capture.METRIC_ROWS, UNREADABLE, whole - written)

        return done

    def _encoded(self, path: Path, frames: Sequence[Frame]) -> tuple[int, bytes]:
        """Return how many rows of a file can be written, and those as Parquet.

        What fails, or ended the worker before, would do so again and again, and hold up all other rows: it is given up.
        """
        if not self._spool.trying(path):
            self._say("rows are given up", "the worker ended at them, several times")
            return 0, b""
        try:
            filled = self._layout.fill(frames)
            return filled.rows, parquet.write(filled.columns) if filled.rows else b""
        except Exception as error:  # noqa: BLE001 - see above
            self._say("rows are given up", f"{type(error).__name__}: {error}")
            return 0, b""

    def _send_labels(self, paths: list[Path]) -> Callable[[], None]:
        columns, used = labels.read(paths)
        count = len(columns[capture.PREDICTION_ID])
        if count:
            self._store.put(labels.key(used[0], self._pod), parquet.write(columns))

        def done() -> None:
            for path in used:
                path.unlink(missing_ok=True)
            self._counts.add(capture.METRIC_LABELS, WRITTEN, count)

        return done

    def _say(self, event: str, problem: str) -> None:
        """Log a problem, once a minute each."""
        now = self._now()
        if now - self._said.get(event, 0.0) >= _SAID_SECONDS:
            self._said[event] = now
            log_error(event, problem=problem[:500])


def announce(settings: CaptureSettings) -> None:
    """Say what is captured."""
    log("capturing", uri=settings.uri, samplePercent=settings.sample_percent, redact=list(settings.redacted))
