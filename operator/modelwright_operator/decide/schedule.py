"""Cron expressions of five fields, in UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cronsim import CronSim, CronSimError

if TYPE_CHECKING:
    from datetime import datetime


def next_after(expression: str, time: datetime) -> datetime | None:
    """Return the first time after `time` that an expression names; None: there is none, or it is no expression.

    >>> from datetime import UTC, datetime
    >>> str(next_after("0 3 * * 0", datetime(2026, 11, 22, 9, tzinfo=UTC)))
    '2026-11-29 03:00:00+00:00'
    >>> next_after("0 25 * * 0", datetime(2026, 11, 22, 9, tzinfo=UTC)) is None
    True
    """
    try:
        return next(CronSim(expression, time), None)
    except (CronSimError, AssertionError, TypeError, ValueError):  # what it raises for odd expressions, too
        return None
