"""What a container with the user's own image finds and leaves: docs/own-code.md is this file for its readers."""

from dataclasses import dataclass
from typing import Final

from modelwright_training.contract.checks import check_digest

OWN_DATA_DIR: Final = "/workspace/data"  # what it reads
OWN_PREPARED_DIR: Final = "/workspace/prepared"  # what prepare writes
OWN_MODEL_DIR: Final = "/workspace/model"  # what train writes

ENV_DATA_DIR: Final = "MODELWRIGHT_DATA_DIR"
ENV_OUTPUT_DIR: Final = "MODELWRIGHT_OUTPUT_DIR"
ENV_MODEL: Final = "MODELWRIGHT_MODEL"
ENV_TARGET: Final = "MODELWRIGHT_TARGET"
ENV_TASK: Final = "MODELWRIGHT_TASK"
ENV_SEED: Final = "MODELWRIGHT_SEED"
OWN_ENV_PREFIX: Final = "MODELWRIGHT_"  # no variable of the user's begins so

# Folders below the handover directory, as our own stages see them; each is a volume of its own.
TO_PREPARE: Final = "to-prepare"  # fetch writes, prepare reads
FROM_PREPARE: Final = "from-prepare"  # prepare writes, split reads
TO_TRAIN: Final = "to-train"  # split writes, the user's train reads
FROM_TRAIN: Final = "from-train"  # the user's train writes, evaluate reads

# Files of the user's train stage.
TRAIN_TABLE: Final = "train"  # .parquet: the rows to train on
TRAIN_COLUMNS: Final = "columns.json"  # what its columns are
MODEL_JOBLIB: Final = "model.joblib"  # what it leaves,
MODEL_ONNX: Final = "model.onnx"  # or, in its place,
PREDICTIONS: Final = "predictions.parquet"  # and what that model says of the rows to train on


@dataclass(frozen=True, slots=True)
class OwnCode:
    """What runs in the user's own image: the image as it was named, and the digest of command, args and env."""

    image: str
    digest: str

    def __post_init__(self) -> None:
        """Refuse a digest that is none."""
        check_digest(self.digest)
