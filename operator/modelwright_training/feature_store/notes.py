"""What the stage says of the tables it left, for the stages after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelwright_training.contract import Reason
from modelwright_training.contract.checks import check_digest
from modelwright_training.errors import StageError
from modelwright_training.strict_json import StrictJsonError, decode, dumps, loads

FILE: Final = "features.json"
_NAMES_BYTES: Final = 900  # of the termination message, which says other things as well
_MAX_NAMES: Final = 100  # that a status holds
_MAX_NAME: Final = 253


@dataclass(frozen=True, slots=True)
class Notes:
    """What was joined.

    Attributes:
        features: names of the columns added, in order.
        left_out: columns that were only needed to look features up: keys and time.
        registry: digest of the registry's file.
        sources: digest over the files that features were read from.
        feast: the library's version.
        missing: rows of all data sets for which nothing was found, by feature.
        seconds: how long it took.
    """

    features: tuple[str, ...]
    left_out: tuple[str, ...]
    registry: str
    sources: str
    feast: str
    missing: Mapping[str, int]
    seconds: float

    def __post_init__(self) -> None:
        """Refuse digests that are none."""
        check_digest(self.registry)
        check_digest(self.sources)


def shown(names: Sequence[str]) -> tuple[str, ...]:
    """Return the first of the names, as many as fit into a termination message and a status.

    >>> shown(["spent", "x" * 300, "calls"])
    ('spent',)
    """
    kept: list[str] = []
    left = _NAMES_BYTES
    for name in names[:_MAX_NAMES]:
        left -= len(name.encode()) * 2 + 3  # escaped, it may be longer
        if left < 0 or len(name) > _MAX_NAME:
            break
        kept.append(name)
    return tuple(kept)


def write(folder: Path, notes: Notes) -> None:
    """Leave the notes beside the tables."""
    (folder / FILE).write_text(dumps(notes), encoding="utf-8")


def read(folder: Path) -> Notes:
    """Read the notes.

    Raises:
        StageError: FeaturesInvalid; the stage's image is of another release.

    """
    try:
        return decode(Notes, loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, StrictJsonError, ValueError) as error:
        message = f"stage features left no {FILE} that can be read ({error}); install its image from the same release"
        raise StageError(Reason.FEATURES_INVALID, message) from error
