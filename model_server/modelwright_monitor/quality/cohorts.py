"""Tallies by version and day of the prediction.

A cohort is what one version predicted from some day on (UTC): one day, or where labels may take longer than a month as
many days as keep the cohorts of a version few.  Labels that come early are not like those that come late, so figures
are by when a row was predicted, never by when its label came.

What is kept is bounded by number and not by the clock, which may jump: figures look at cohorts of the right age only,
and one that a wrong clock made is passed over by them and goes in its turn.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, cast

from modelwright_monitor.quality.tally import Tally, TallyError
from modelwright_server.contract import monitoring

DAY_SECONDS = 86_400
MOST_COHORTS = 32  # of a version, without those from the future
_MOST_FUTURE = 4
MOST_VERSIONS = 3  # stable, canary, previous
LIMIT = monitoring.MOST_COHORTS  # of a document: twice as many, since others may have been the versions before
_MAX_KEY = 32
_LAST_DAY = 2_932_896  # 9999-12-31


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Which cohort.

    Attributes:
        version: first ten hex digits of the version's digest, as in prediction ids.
        day: the first one, in days since 1970.
    """

    version: str
    day: int


def width_days(max_delay_seconds: int) -> int:
    """Return how many days a cohort has, so that no more than 30 cover the time that labels may take.

    >>> width_days(14 * 86400), width_days(90 * 86400)
    (1, 3)
    """
    return max(1, -(-max_delay_seconds // (30 * DAY_SECONDS)))


def key(version: str, time: float, width: int) -> Key:
    """Return the cohort of a prediction made at that time, in seconds since 1970."""
    day = int(time // DAY_SECONDS)
    return Key(version, day - day % width)


@dataclass(slots=True)
class Cohorts:
    """A tally for each cohort."""

    tallies: dict[Key, Tally] = field(default_factory=dict[Key, Tally])

    def add(self, key: Key, tally: Tally) -> None:
        """Add to one cohort."""
        self.tallies.setdefault(key, Tally()).add(tally)

    def merge(self, other: Self) -> None:
        """Add all of the other's cohorts."""
        for key, tally in other.tallies.items():
            self.add(key, tally)

    def kept(self, versions: Sequence[str], now: float, width: int) -> "Cohorts":
        """Return the cohorts of these versions that are to be kept, on days of this width."""
        found = Cohorts()
        for key_, tally in self.tallies.items():
            if key_.version in versions:
                found.add(Key(key_.version, key_.day - key_.day % width), tally)
        today = int(now // DAY_SECONDS)
        keep: set[Key] = set()
        for version in versions:
            days = sorted(key_.day for key_ in found.tallies if key_.version == version)
            past = [day for day in days if day <= today]
            future = [day for day in days if day > today]
            keep |= {Key(version, day) for day in (*past[-MOST_COHORTS:], *future[:_MOST_FUTURE])}
        return Cohorts({key_: tally for key_, tally in found.tallies.items() if key_ in keep})

    def newest(self) -> "Cohorts":
        """Return as many cohorts as a document may have, the newest ones."""
        keep = sorted(self.tallies, key=lambda key_: key_.day)[-LIMIT:]
        return Cohorts({key_: self.tallies[key_] for key_ in keep})

    def total(self, version: str, first_day: int, last_day: int) -> Tally:
        """Return all that is counted of a version's cohorts that begin on these days."""
        found = Tally()
        for key_, tally in self.tallies.items():
            if key_.version == version and first_day <= key_.day <= last_day:
                found.add(tally)
        return found

    def to_documents(self) -> list[dict[str, Any]]:
        """Return a document for each cohort, oldest first."""
        return [
            {"version": key_.version, "day": day_text(key_.day), **self.tallies[key_].to_document()}
            for key_ in sorted(self.tallies)
        ]

    @classmethod
    def from_documents(cls, documents: object) -> Self:
        """Read what `to_documents` gave.

        Raises:
            TallyError: it is something else.
        """
        items = cast("list[object]", documents) if isinstance(documents, list) else None
        if items is None or len(items) > LIMIT:
            message = f"cohorts must be a list of at most {LIMIT}"
            raise TallyError(message)
        found = cls()
        for item in items:
            if not isinstance(item, dict):
                message = "a cohort must be an object"
                raise TallyError(message)
            values = cast("dict[str, object]", item)
            found.add(_key(values), Tally.from_document(values))
        return found


def day_text(day: int) -> str:
    """Return a day as people write it.

    >>> day_text(20_779)
    '2026-11-22'
    """
    return (dt.date(1970, 1, 1) + dt.timedelta(days=min(day, _LAST_DAY))).isoformat()


def _key(document: Mapping[str, object]) -> Key:
    version, day = document.get("version"), document.get("day")
    if not isinstance(version, str) or not 1 <= len(version) <= _MAX_KEY:
        message = f"a cohort's version must be a text of 1 to {_MAX_KEY} characters"
        raise TallyError(message)
    try:
        since = dt.date.fromisoformat(day if isinstance(day, str) else "") - dt.date(1970, 1, 1)
    except ValueError:
        message = "a cohort's day must be a date, as in 2026-11-22"
        raise TallyError(message) from None
    if since.days < 0:
        message = "a cohort's day must not be before 1970-01-01"
        raise TallyError(message)
    return Key(version, since.days)
