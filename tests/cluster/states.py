"""What `status` reports."""

from dataclasses import dataclass


@dataclass(frozen=True)
class State:
    """One line of the status table; no problem means well."""

    name: str
    pid: int | None
    problem: str
