"""Delayed labels, while `spec.monitoring.quality` is there: they are taken, kept, and added to the status.

    POST ──► Feedback ──► Ledger ──sealed parts──► whoever writes the status next: the sidecar that closes a window,
                            │                      this one where none closes, and each one before it ends
                            └──► a file that survives the worker

Labels are nobody's of a track: any pod takes those of any version, and whoever writes asks all pods for theirs.
"""

import contextlib
import hashlib
import http.client
import json
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from modelwright_monitor import exposition
from modelwright_monitor.apiserver import ApiError, change_status
from modelwright_monitor.clock import now_seconds
from modelwright_monitor.conditions import Mark, merged, rfc3339
from modelwright_monitor.deployment import Object, conditions_of, document_of, part
from modelwright_monitor.feedback.handover import Handover
from modelwright_monitor.feedback.intake import Feedback, Wanted
from modelwright_monitor.feedback.listener import Listener
from modelwright_monitor.follow import Connect
from modelwright_monitor.listener import STACK_BYTES, Answer, Request
from modelwright_monitor.quality import cohorts, report, wanted
from modelwright_monitor.quality.joining import Rules
from modelwright_monitor.quality.ledger import Ledger, Offer, Totals
from modelwright_monitor.quality.memory import Memory
from modelwright_monitor.quality.tally import Tally, TallyError
from modelwright_server import artifact, schema
from modelwright_server.contract import STABLE, MonitorSettings, monitoring
from modelwright_server.logs import log, log_error

_FILE = "labels.json"
_MEMORY = "labelled"
_MAX_FILE_BYTES = 8 << 20
_MAX_OFFER_BYTES = 2 << 20
_ASK_SECONDS = 3.0
_AT_ONCE = 8
_LOOK_SECONDS = 5.0
_MAX_SECONDS = 3600  # the API's default of spec.monitoring.window.maxSeconds
_CLOSE_SECONDS = 0.3
# A clock that was set back so far makes a report seem to come from the future: it counts as old.
_CLOCK_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Counted:
    """Rows of a closed window.

    Attributes:
        digest: of the version that answered them.
        rows: their number, with those that were lost.
    """

    digest: str
    rows: int


class Labels:
    """The labels of one pod."""

    def __init__(
        self,
        settings: MonitorSettings,
        address: str,
        find: Callable[[], Iterable[str]],
        connect: Connect,
        now: Callable[[], float] = now_seconds,
    ) -> None:
        """Take up what an earlier worker of this pod left.

        Args:
            settings: of the sidecar.
            address: the pod's own.
            find: gives the addresses of all sidecars; raises OSError where they cannot be found.
            connect: to the API server.
            now: seconds since 1970.
        """
        self._settings = settings
        self._address = address
        self._find = find
        self._connect = connect
        self._now = now
        self._seen: Object | None = None
        self._file = Path(settings.windows_dir) / _FILE
        self._file_lock = threading.Lock()
        self._trouble = ""
        self._ledger = self._read()
        self._handover = Handover(Path(settings.labels_dir), now) if settings.labels_dir else None
        self._feedback = Feedback(self._ledger, self._remembered, self._keep, now, self._handover)
        self._listener: Listener | None = None
        self._started = now()
        self._changed = threading.Event()
        self._classes = dict[str, tuple[str, ...]]()

    # what the sidecar tells

    def start(self) -> None:
        """Listen, and look after labels that no window takes along, in threads of their own."""
        threading.stack_size(STACK_BYTES)
        threading.Thread(target=self._run, name="labels", daemon=True).start()

    def take(self, seen: Object | None) -> None:
        """Take in the Deployment as it is now; None: it is gone.

        Whatever it may be: the one who calls this follows the traffic table.
        """
        try:
            self._take(seen)
        except Exception as error:  # noqa: BLE001 - see above
            self._say(f"the Deployment cannot be read: {type(error).__name__}: {error}"[:500])

    def _take(self, seen: Object | None) -> None:
        self._seen = seen
        requirement = wanted.requirement(seen)
        if requirement is None:
            self._feedback.wanted = None
            return
        self._classes = self._classes or _classes(Path(self._settings.model_dir))
        self._changed.set()
        with contextlib.suppress(TallyError):
            self._ledger.confirm(report.totals_of(part(document_of(seen, STABLE), "quality")).marks)
        versions = wanted.versions(seen)
        rules = Rules(
            max_delay_seconds=requirement.max_delay_seconds,
            versions=versions,
            classes=self._classes,
            binned=requirement.metric == "roc_auc",
        )
        self._feedback.wanted = Wanted(wanted.models(seen), rules) if versions else None

    def end(self) -> None:
        """Take no further labels, and write those that nobody has yet."""
        if self._listener is not None:
            self._listener.close(_CLOSE_SECONDS)
        if self._ledger.labels and wanted.requirement(self._seen) is not None:
            try:
                self._write(lambda: [self._ledger.offer()])
            except ApiError as error:
                log_error("labels cannot be written", labels=self._ledger.labels, problem=str(error))

    def answer(self, _request: Request) -> Answer:
        """Offer another sidecar what this pod has counted."""
        offer = self._ledger.offer()
        self._keep()
        return Answer.document(offer.to_document())

    def page(self) -> bytes:
        """Return what Prometheus reads of labels."""
        common = {"namespace": self._settings.namespace, "deployment": self._settings.deployment}
        dropped = self._handover.dropped if self._handover is not None else None
        return exposition.of_labels(common, self._feedback.counts(), dropped).encode()

    # what is written

    def gather(self) -> list[Offer]:
        """Return what all pods offer, this one first."""
        if wanted.requirement(self._seen) is None:
            return []
        own = self._ledger.offer()
        self._keep()
        others = sorted(self._addresses() - {self._address})
        found = [own]
        if others:
            with ThreadPoolExecutor(min(_AT_ONCE, len(others))) as pool:
                found.extend(offer for offer in pool.map(self._ask, others) if offer is not None)
        return found

    def into(
        self, seen: Object, offers: Iterable[Offer], counted: Counted | None = None
    ) -> tuple[dict[str, Any] | None, tuple[Mark, ...]]:
        """Return ``status.monitoring.quality`` with what is offered, and the condition.

        Args:
            seen: the Deployment onto which it is written.
            offers: of all pods.
            counted: rows of the window that is closed with it.

        Returns:
            None and no condition where no labels are wanted.
        """
        requirement, versions = wanted.requirement(seen), wanted.versions(seen)
        if requirement is None:
            return None, ()
        if not versions:
            return dict(part(document_of(seen, STABLE), "quality")) or None, ()
        now, offers = self._now(), list(offers)
        totals = self._totals(seen)
        totals.take(offers, now)
        totals.forget([offer.pod for offer in offers], now)
        if counted is not None and counted.rows:
            width = cohorts.width_days(requirement.max_delay_seconds)
            key = cohorts.key(wanted.key_of(counted.digest), now, width)
            totals.cohorts.add(key, Tally(predictions=counted.rows))
        totals.cohorts = report.trimmed(totals, requirement, versions, now)
        tally = report.considered(totals, requirement, versions[0], now)
        name = wanted.answering(seen)
        document = report.document(requirement, totals, tally, name, rfc3339(now))
        return document, (report.mark(requirement, tally, name),)

    def _write(self, gather: Callable[[], list[Offer]]) -> bool:
        """Write what is offered, if there is anything new; tell whether there was.

        Raises:
            ApiError: it was not taken.
        """
        offers = gather()

        def counted(seen: Object) -> dict[str, Any] | None:
            if not self._totals(seen).take(offers, self._now()) and _judged(seen):
                return None
            document, marks = self.into(seen, offers)
            if document is None:
                return None
            known = conditions_of(seen)
            told = {mark.kind for mark in marks}
            generation = int(part(seen, "metadata").get("generation", 0))
            others = [dict(item) for item in known if item.get("type") not in told]
            return {
                "monitoring": {**document_of(seen, STABLE), "quality": document},
                "conditions": [*others, *merged(known, marks, generation=generation, now=rfc3339(self._now()))],
            }

        with self._connect() as connection:
            return change_status(connection, counted)

    def _totals(self, seen: Object) -> Totals:
        try:
            return report.totals_of(part(document_of(seen, STABLE), "quality"))
        except TallyError as error:
            self._say(f"status.monitoring.quality cannot be read, and is begun anew: {error}")
            return Totals()

    # where no window closes

    def _run(self) -> None:
        while True:
            try:
                if wanted.requirement(self._seen) is not None:
                    self._listen()
                    self._look()
            except Exception as error:  # noqa: BLE001 - whatever it is: the next look is in some seconds
                self._say(f"{type(error).__name__}: {error}"[:500])
            self._changed.clear()
            self._changed.wait(_LOOK_SECONDS)

    def _listen(self) -> None:
        if self._listener is None:
            self._listener = Listener(self._settings.host, self._settings.feedback_port, self._feedback.answer)
            self._listener.start()
            log("labels are taken", port=self._listener.port)

    def _look(self) -> None:
        """Write what no window took along for as long as one may last: labels, or a verdict by other rules."""
        news = self._ledger.labels or not _judged(self._seen)
        if news and self._due() and self._write(self.gather):
            log("labels written, since no window closes")

    def _due(self) -> bool:
        """Tell whether the last report is that old; the pods come one after the other, so that one of them writes."""
        window = part(self._seen, "spec", "monitoring", "window")
        document = document_of(self._seen, STABLE)
        last = [part(document, "window").get("closedAt"), part(document, "quality").get("updatedAt")]
        age = self._now() - max(self._started, *map(_seconds, last))
        rank = sum(address < self._address for address in self._addresses())
        patience = int(window.get("maxSeconds", _MAX_SECONDS)) + (1 + rank) * _LOOK_SECONDS
        return age >= patience or age < -_CLOCK_SECONDS

    def _addresses(self) -> set[str]:
        try:
            return set(self._find())
        except OSError:
            return set()

    def _ask(self, address: str) -> Offer | None:
        connection = http.client.HTTPConnection(address, self._settings.window_port, timeout=_ASK_SECONDS)
        try:
            connection.request("GET", monitoring.LABELS_PATH)
            response = connection.getresponse()
            data = response.read(_MAX_OFFER_BYTES + 1)
            if response.status != http.HTTPStatus.OK or len(data) > _MAX_OFFER_BYTES:
                return None
            return Offer.from_document(json.loads(data))
        except (OSError, http.client.HTTPException, ValueError, RecursionError):
            return None
        finally:
            connection.close()

    # what survives

    def _keep(self) -> None:
        """Write what is here and not yet in the status where it survives the worker."""
        with self._file_lock:
            new = self._file.with_name(f".{_FILE}.new")
            try:
                new.write_bytes(self._ledger.to_json())
                new.replace(self._file)
            except OSError as error:
                self._say(f"labels would not survive the worker: {error.strerror}")

    def _read(self) -> Ledger:
        try:
            with self._file.open("rb") as file:
                return Ledger.from_json(file.read(_MAX_FILE_BYTES))
        except FileNotFoundError:
            return Ledger()
        except (OSError, TallyError) as error:
            self._say(f"what an earlier worker left cannot be read: {error}")
            return Ledger()

    def _remembered(self) -> Memory:
        try:
            return Memory(self._file.with_name(_MEMORY))
        except OSError as error:
            self._say(f"which predictions have a label would not survive the worker: {error.strerror}")
            return Memory()

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            log_error("trouble with labels", problem=trouble)


def _classes(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the classes of the model that this pod serves, in its order, by the version's key."""
    try:
        digest = hashlib.sha256((folder / artifact.MANIFEST).read_bytes()).hexdigest()
        stated = schema.parse((folder / artifact.SCHEMA).read_bytes())
    except (OSError, artifact.ArtifactInvalidError):
        return {}
    columns = next((spec.columns for spec in stated.outputs if spec.datatype in schema.FLOATS), ())
    return {digest[:10]: columns} if stated.task is schema.Task.CLASSIFICATION and columns else {}


def _judged(seen: Object | None) -> bool:
    """Tell whether the verdict is by the rules as they are now."""
    generation = part(seen, "metadata").get("generation")
    return any(
        item.get("type") == monitoring.MODEL_QUALITY and item.get("observedGeneration") == generation
        for item in conditions_of(seen)
    )


def _seconds(time_text: object) -> float:
    try:
        return datetime.fromisoformat(str(time_text)).timestamp()
    except ValueError:
        return 0.0
