"""Clients that keep a Service busy while something happens to it."""

from __future__ import annotations

import http.client
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tests.e2e.fixtures import rows_body

if TYPE_CHECKING:
    from types import TracebackType

ROW = [[14.0] * 30]
MOST_REQUESTS = 200_000


@dataclass
class Clients:
    """Clients that send request after request to one Service, over kept and fresh connections, until told to stop."""

    address: str
    path: str
    kept: int = 4
    fresh: int = 2
    answers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._body = json.dumps(rows_body(ROW)).encode()
        keeps = [True] * self.kept + [False] * self.fresh
        self._threads = [threading.Thread(target=self._run, args=(keep,)) for keep in keeps]

    def _run(self, keep: bool) -> None:
        connection = http.client.HTTPConnection(self.address, 80, timeout=10)
        for _ in range(MOST_REQUESTS // (self.kept + self.fresh)):
            if self._stop.is_set():
                break
            try:
                connection.request("POST", self.path, self._body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                said = json.loads(answer.read())
                outcome = str(said.get("model_version") or f"{answer.status} {said}")
            except (OSError, http.client.HTTPException, ValueError) as error:
                outcome = repr(error)
                connection.close()
            with self._lock:
                self.answers[outcome] = self.answers.get(outcome, 0) + 1
            if not keep:
                connection.close()
        connection.close()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
