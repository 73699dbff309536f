"""What the stage says of the tables it left, for the stages after it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelwright_training.contract import Reason
from modelwright_training.contract.checks import check_digest
from modelwright_training.errors import StageError
from modelwright_training.strict_json import StrictJsonError, decode, dumps, loads

FILE: Final = "features.json"


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
