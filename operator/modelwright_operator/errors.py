"""What can go wrong between the operator and the API server.

OperatorError
├── ClusterUnavailable   the API server did not answer, or asked to wait: try again with back-off
├── Conflict             the world moved since it was read: gather and decide again at once
├── NotFound             the object is gone
├── NamespaceTerminating nothing can be made there any more; all of it is about to go
└── Refused              the API server will not take a child as rendered: shown in the owner's status
    └── NotOurs          a child's name is taken by an object we do not own

Raised only in `cluster/`; the pure floors return verdicts instead.
"""

from __future__ import annotations


class OperatorError(Exception):
    """Any error of this package."""


class SettingsError(OperatorError):
    """An environment variable has a value that cannot be used."""


class ClusterUnavailable(OperatorError):
    """The API server cannot be reached, is overloaded or failed."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Conflict(OperatorError):
    """The object changed since it was read."""


class NotFound(OperatorError):
    """The object does not exist."""


class NamespaceTerminating(OperatorError):
    """The object's namespace is being deleted."""


class Refused(OperatorError):
    """The API server refused a write for good.

    Attributes:
        kind: Kubernetes kind of the child.
        name: its name.
        code: HTTP status of the refusal.
    """

    def __init__(self, kind: str, name: str, code: int, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.name = name
        self.code = code


class NotOurs(Refused):
    """An object of that name exists and is not controlled by the resource being reconciled."""
