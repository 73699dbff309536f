"""What people ask of a rollout by annotations: each names a revision and a step, so that none outlives it.

An annotation is no field of the manifest, so neither `kubectl apply` nor a GitOps tool takes it away or puts it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from modelwright_operator import naming

if TYPE_CHECKING:
    from collections.abc import Mapping

APPROVE: Final = f"{naming.GROUP}/approve"
SKIP: Final = f"{naming.GROUP}/skip"
PROMOTE: Final = f"{naming.GROUP}/promote"
ABORT: Final = f"{naming.GROUP}/abort"
PAUSE: Final = f"{naming.GROUP}/pause"


@dataclass(frozen=True)
class Actions:
    """What is asked; None: nothing.

    Attributes:
        approve: revision and step that may end.
        skip: revision and step that is not to be waited for.
        promote: revision that is to be promoted now, and the step it is at.
        abort: revision that is to be rolled back now, and the step it is at.
        pause: revision and step that is not to end.
        retry: revision, and how often it was rolled back, that is to be tried again.
    """

    approve: tuple[str, int] | None = None
    skip: tuple[str, int] | None = None
    promote: tuple[str, int] | None = None
    abort: tuple[str, int] | None = None
    pause: tuple[str, int] | None = None
    retry: tuple[str, int] | None = None


def _numbered(text: str | None) -> tuple[str, int] | None:
    revision, _, number = (text or "").strip().partition("/")
    return (revision, int(number)) if number.isascii() and number.isdigit() and len(number) <= 6 else None  # noqa: PLR2004


def asked(annotations: Mapping[str, str]) -> Actions:
    """Return what the annotations of a Deployment ask; what cannot be read asks nothing.

    >>> asked({"modelwright.dev/approve": "9f2c41ab07/2"}).approve
    ('9f2c41ab07', 2)
    """
    return Actions(
        approve=_numbered(annotations.get(APPROVE)),
        skip=_numbered(annotations.get(SKIP)),
        promote=_numbered(annotations.get(PROMOTE)),
        abort=_numbered(annotations.get(ABORT)),
        pause=_numbered(annotations.get(PAUSE)),
        retry=_numbered(annotations.get(naming.ANNOTATION_RETRY)),
    )
