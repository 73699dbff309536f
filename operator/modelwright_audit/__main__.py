"""One export: `python -m modelwright_audit`, as the chart's CronJob runs it.

It reads histories and appends what is new.  The head is in its log and in a ConfigMap, away from the store: before
anything is appended, the store must still have what the ConfigMap says it had.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from modelwright_audit.apiserver import ApiError, ApiServer, Object
from modelwright_audit.chain import BEGINNING, BrokenError, Head, link
from modelwright_audit.histories import news
from modelwright_audit.places import Objects, access_of
from modelwright_audit.segments import MOST_RECORDS, Kept, Log, Place
from modelwright_server import stores

_PREFIX: Final = "MODELWRIGHT_AUDIT_"
_STORE: Final = "MODELWRIGHT_AUDIT_STORE_"
_KINDS: Final = {"modelversions": "ModelVersion", "modeldeployments": "Deployment"}
_TRIES: Final = 5


class Keeper(Protocol):
    """What remembers the log away from the store."""

    def read(self) -> Kept:
        """Return what is remembered."""
        ...

    def write(self, kept: Kept) -> None:
        """Remember something else."""
        ...


class _ConfigMap:
    def __init__(self, api: ApiServer, namespace: str, name: str) -> None:
        self._api, self._namespace, self._name = api, namespace, name

    def read(self) -> Kept:
        data = self._api.remembered(self._namespace, self._name)
        sequence = data.get("sequence", "0")
        head = Head(int(sequence) if sequence.isdecimal() else 0, data.get("head", BEGINNING))
        return Kept(head, data.get("last", ""), data.get("cursor", ""))

    def write(self, kept: Kept) -> None:
        data = {"sequence": str(kept.head.sequence), "head": kept.head.hash, "last": kept.last, "cursor": kept.cursor}
        self._api.remember(self._namespace, self._name, data)


def export(objects: Sequence[Object], place: Place, keeper: Keeper, now: str) -> tuple[int, Head]:
    """Append what is new; return the number of records, and the head.

    Raises:
        BrokenError: the log was changed, or another export is at work all the time.
        stores.StoreError: the store cannot be read or written.
        ApiError: the head cannot be kept.
    """
    kept, written = keeper.read(), 0
    for _ in range(_TRIES):
        log = Log(place)
        log.open(kept)
        appended, whole = _append(log, news(objects, log.recorded, now))
        written += appended
        if log.kept != kept:
            log.save()
            kept = log.kept
            keeper.write(kept)
        if whole:
            return written, log.head
    where, problem = "the log", "others append to it all the time: is there one export alone?"
    raise BrokenError(where, problem)


def _append(log: Log, entries: Sequence[Object]) -> tuple[int, bool]:
    """Append entries; return how many, and whether nobody came in between."""
    done = 0
    for start in range(0, len(entries), MOST_RECORDS):
        some = entries[start : start + MOST_RECORDS]
        lines, head = link(some, log.head)
        if not log.append(lines, head):
            return done, False
        done += len(some)
    return done, True


def main(environment: Mapping[str, str] = os.environ) -> int:
    """Export once; return the exit code."""
    namespaces = [name for name in environment.get(f"{_PREFIX}NAMESPACES", "").split(",") if name] or [""]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: TID251  # when it is recorded
    try:
        api = ApiServer(environment)
        keeper = _ConfigMap(api, environment[f"{_PREFIX}HEAD_NAMESPACE"], environment[f"{_PREFIX}HEAD_NAME"])
        objects = [
            item
            for namespace in namespaces
            for plural, kind in _KINDS.items()
            for item in api.list(plural, kind, namespace)
        ]
        place = Objects(environment[f"{_PREFIX}URI"], access_of(environment, _STORE))
        written, head = export(objects, place, keeper, now)
    except (ApiError, BrokenError, stores.StoreError, KeyError) as error:
        _say(level="error", event="the audit log was not exported", problem=str(error))
        return 1
    _say(level="info", event="exported", records=written, sequence=head.sequence, head=head.hash)
    return 0


def _say(**values: object) -> None:
    sys.stdout.write(json.dumps({"logger": "modelwright.audit.export", **values}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
