"""Customers who may leave: their labelled rows for the lake, and requests about them; at some time they change."""

from __future__ import annotations

import http.client
import io
import json
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tests.e2e.fixtures import rows_body

if TYPE_CHECKING:
    from types import TracebackType

Array = npt.NDArray[Any]

COLUMNS = ("hours", "income", "visits", "tenure")
SHIFTED = "visits"
_ROWS = 10  # of a request


def draw(rng: np.random.Generator, rows: int, *, shifted: bool) -> tuple[Array, Array]:
    """Return customers [rows, 4] in float32, and which of them leave.

    Those who come later visit twice as often, and visits then no longer mean that somebody stays.
    """
    visits = rng.gamma(5.0, 2.0 if shifted else 1.0, rows)
    values = np.stack(
        [rng.normal(38, 8, rows), rng.lognormal(3.4, 0.4, rows), visits, rng.exponential(4, rows)], axis=1
    )
    values = np.round(values, 2).astype(np.float32)
    leaning = (values[:, 0] - 38) / 8 - (values[:, 3] - 4) / 4
    leaning += (visits - 10) / 4 if shifted else (5 - visits) / 2
    return values, rng.random(rows) < 1 / (1 + np.exp(-2 * leaning))


def file_of(rng: np.random.Generator, rows: int, first_minute: int, *, shifted: bool) -> bytes:
    """Return labelled customers as Parquet, one a minute from a minute of the year on."""
    values, leaves = draw(rng, rows, shifted=shifted)
    minutes = np.datetime64("2026-01-01T00:00:00", "ms") + np.arange(first_minute, first_minute + rows) * 60_000
    table = pa.table(
        {"seen_at": minutes, **dict(zip(COLUMNS, values.T, strict=True)), "churned": np.where(leaves, "yes", "no")}
    )
    written = io.BytesIO()
    pq.write_table(table, written)
    return written.getvalue()


class Traffic:
    """Asks about customers until it is left.

    Attributes:
        shifted: whether they are those who come later.
        answers: how many requests each version answered; also what else came, which should be nothing.
    """

    def __init__(self, address: str, path: str, pace: float = 40) -> None:
        self.shifted = False
        self.answers: Counter[str] = Counter()
        self._address = address
        self._path = path
        self._pace = pace
        self._rng = np.random.default_rng(3)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def rows(self) -> int:
        """How many were asked about."""
        return _ROWS * sum(self.answers.values())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(1 / self._pace):
            values, _ = draw(self._rng, _ROWS, shifted=self.shifted)
            connection = http.client.HTTPConnection(self._address, 80, timeout=10)
            try:
                body = json.dumps(rows_body(values.tolist()))
                connection.request("POST", self._path, body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                said = json.loads(answer.read())
                self.answers[str(said.get("model_version") or f"{answer.status} {said}")] += 1
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.answers[repr(error)] += 1
            finally:
                connection.close()
