"""Features that are joined to the rows as they were at each row's time, from a feature store."""

from dataclasses import dataclass, field
from typing import Final

from modelwright_training.contract.access import StoreAccess

# Folders below the handover directory; each is a volume of its own.
TO_FEATURES: Final = "to-features"  # fetch writes tables and repository, features reads
FROM_FEATURES: Final = "from-features"  # features writes tables and what it says of them, prepare or split reads
REPOSITORY_FOLDER: Final = "repository"  # below to-features


@dataclass(frozen=True, slots=True)
class Feast:
    """A Feast repository, and what is wanted of it: a feature service, or features as `view:feature`.

    `uri` is the folder of its feature_store.yaml, `timestamp` the data's column with each row's time. With
    `full_feature_names` a column is called `view__feature`, else `feature`.
    """

    uri: str
    timestamp: str
    service: str | None = field(default=None, metadata={"omit": True})
    features: tuple[str, ...] = field(default=(), metadata={"omit": True})
    full_feature_names: bool = False
    access: StoreAccess | None = field(default=None, metadata={"omit": True})

    def __post_init__(self) -> None:
        """Refuse what no single field shows."""
        if (self.service is None) == (not self.features):
            message = "features.feast has either a service or features"
            raise ValueError(message)
        if len(set(self.features)) != len(self.features):
            message = "features.feast.features must be different"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class FeatureSource:
    """Exactly one feature store."""

    feast: Feast
