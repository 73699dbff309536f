"""How a store is reached."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StoreAccess:
    """How an object store or web server is reached; `secret` is a Secret's name, whose keys the container has."""

    endpoint: str | None = field(default=None, metadata={"omit": True})
    region: str | None = field(default=None, metadata={"omit": True})
    secret: str | None = field(default=None, metadata={"omit": True})
