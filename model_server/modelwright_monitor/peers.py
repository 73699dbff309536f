"""The other sidecars of a Deployment: found by the headless Service, asked for their counts over HTTP.

What they say is read up to a limit, in a short time, and believed only as far as it can be counts on this baseline.
"""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import Any, cast
from urllib.parse import urlencode

from modelwright_drift.baseline import Baseline
from modelwright_monitor.tally import Tally, most_bytes
from modelwright_server.contract.monitoring import WINDOW_PATH

FORMAT = 1
_SECONDS = 3.0
_HAND_SECONDS = 1.0
_AT_ONCE = 8
_MOST_ADDRESSES = 1000
_LOOK_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Part:
    """What a replica says of its window.

    Attributes:
        pod: its name.
        track: which it is on.
        digest: of the version whose rows it counts.
        rows: in its window.
        lost: in its window.
        opened_at: when it began to count.
        problem: what is wrong there, or empty.
        tally: its counts, where they were asked for.
    """

    pod: str
    track: str
    digest: str
    rows: int
    lost: int
    opened_at: float
    problem: str
    tally: Tally | None

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "format": FORMAT,
            "pod": self.pod,
            "track": self.track,
            "digest": self.digest,
            "rows": self.rows,
            "lost": self.lost,
            "openedAt": self.opened_at,
            "problem": self.problem,
            "tally": self.tally.to_document() if self.tally is not None else None,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any], baseline: Baseline, digest: str) -> "Part":
        """Read it; the counts of another version than this are left out.

        Raises:
            ValueError: it is none.
            KeyError: something is missing.
            TypeError: something is of another type.
        """
        if document["format"] != FORMAT:
            message = f"format {document['format']!r} is not known"
            raise ValueError(message)
        tally = document["tally"] if document["digest"] == digest else None
        return cls(
            pod=str(document["pod"])[:253],
            track=str(document["track"])[:16],
            digest=str(document["digest"])[:80],
            rows=max(0, int(document["rows"])),
            lost=max(0, int(document["lost"])),
            opened_at=float(document["openedAt"]),
            problem=str(document["problem"])[:500],
            tally=Tally.from_document(tally, baseline) if tally is not None else None,
        )


@dataclass(frozen=True, slots=True)
class Answers:
    """What the other replicas said.

    Attributes:
        parts: by address, of those that answered for this version and track.
        missing: addresses that did not answer.
    """

    parts: Mapping[str, Part]
    missing: frozenset[str]


class Peers:
    """Finds and asks them."""

    def __init__(self, find: Callable[[], Iterable[str]], port: int, baseline: Baseline, own: str) -> None:
        """Remember whom to ask.

        Args:
            find: gives the addresses of all sidecars (`addresses.by_name`); raises OSError where they cannot be found.
            port: on which sidecars answer.
            baseline: whose counts are expected.
            own: the own pod's address, which is not asked.
        """
        self._find = find
        self._port = port
        self._baseline = baseline
        self._own = own
        self._addresses: frozenset[str] = frozenset()
        self._looked_at = float("-inf")
        self._lock = threading.Lock()

    def addresses(self, *, known: str = "") -> frozenset[str]:
        """Return the addresses of all sidecars, the own one too; looked up anew unless ``known`` is among them."""
        with self._lock:
            if known in self._addresses or time.monotonic() - self._looked_at < _LOOK_AGAIN_SECONDS:
                return self._addresses
            self._looked_at = time.monotonic()
            with contextlib.suppress(OSError):
                self._addresses = frozenset(sorted(set(self._find()))[:_MOST_ADDRESSES])
            return self._addresses

    def rank(self) -> int:
        """Return this pod's place among all: whoever comes first closes windows, the others if it does not."""
        return sum(address < self._own for address in self.addresses())

    def ask(self, digest: str, track: str, **query: str) -> Answers:
        """Ask all others at once; those of other versions and tracks do not matter."""
        query = {"digest": digest, "track": track, **query}
        others = sorted(self.addresses() - {self._own})
        parts: dict[str, Part] = {}
        missing: set[str] = set()
        if others:
            with ThreadPoolExecutor(min(_AT_ONCE, len(others))) as pool:
                asked = pool.map(self._part, others, repeat(query))
                for address, part in zip(others, asked, strict=True):
                    if part is None:
                        missing.add(address)
                    elif (part.digest, part.track) == (digest, track):
                        parts[address] = part
        return Answers(parts, frozenset(missing))

    def _part(self, address: str, query: Mapping[str, str]) -> Part | None:
        most = most_bytes(self._baseline)
        connection = http.client.HTTPConnection(address, self._port, timeout=_SECONDS)
        try:
            connection.request("GET", f"{WINDOW_PATH}?{urlencode(query)}")
            response = connection.getresponse()
            data = response.read(most + 1)
            if response.status != http.HTTPStatus.OK or len(data) > most:
                return None
            return Part.from_document(cast("dict[str, Any]", json.loads(data)), self._baseline, query["digest"])
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        finally:
            connection.close()

    def hand(self, part: Part, end: float) -> bool:
        """Give a part to another that counts the same; tell whether one has it, or may have it.

        Whoever says no, or is not reached, has not got it; one that was asked and said nothing may have.

        Args:
            part: what this pod counted.
            end: on the monotonic clock, after which no further one is asked.
        """
        body = json.dumps(part.to_document(), separators=(",", ":")).encode()
        for address in sorted(self.addresses() - {self._own}):
            left = end - time.monotonic()
            if left <= 0:
                break
            connection = http.client.HTTPConnection(address, self._port, timeout=min(left, _HAND_SECONDS))
            try:
                connection.connect()
            except OSError:
                continue
            try:
                connection.request("POST", WINDOW_PATH, body)
                if connection.getresponse().status == http.HTTPStatus.OK:
                    return True
            except (OSError, http.client.HTTPException):
                return True
            finally:
                connection.close()
        return False


def together(parts: Iterable[Part]) -> Tally | None:
    """Return the sum of the parts' counts; None: there are none."""
    total: Tally | None = None
    for part in parts:
        if part.tally is not None:
            total = part.tally if total is None else total + part.tally
    return total
