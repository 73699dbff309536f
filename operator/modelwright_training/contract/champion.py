"""The model that a challenger has to be no worse than."""

from dataclasses import dataclass, field

from modelwright_training.contract.access import StoreAccess
from modelwright_training.contract.checks import check_digest


@dataclass(frozen=True, slots=True)
class Champion:
    """A ModelVersion and its artifact, as they were when the attempt began."""

    version: str
    uri: str
    digest: str
    access: StoreAccess | None = field(default=None, metadata={"omit": True})

    def __post_init__(self) -> None:
        """Refuse a digest that is none."""
        check_digest(self.digest)
