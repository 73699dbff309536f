"""What a table's columns must be, or were found to be."""

from dataclasses import dataclass, field
from enum import StrEnum


class ColumnType(StrEnum):
    """The type of a column, to people; a date has no time of day."""

    NUMBER = "Number"
    INTEGER = "Integer"
    BOOLEAN = "Boolean"
    TEXT = "Text"
    DATE = "Date"
    TIMESTAMP = "Timestamp"


@dataclass(frozen=True, slots=True)
class ColumnSchema:
    """A column's type, whether values may be missing, the texts or whole numbers it may hold, and their bounds."""

    name: str
    type: ColumnType
    nullable: bool
    categories: tuple[str, ...] | None = field(default=None, metadata={"omit": True})
    min: float | None = field(default=None, metadata={"omit": True})
    max: float | None = field(default=None, metadata={"omit": True})
