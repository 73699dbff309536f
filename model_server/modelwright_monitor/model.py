"""What is known of the model that the pod serves: its schema, and the baseline that its rows are compared with."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from modelwright_drift import document
from modelwright_drift.baseline import Baseline, BaselineError
from modelwright_monitor.columns import Columns, MismatchError
from modelwright_monitor.conditions import Mark
from modelwright_server import artifact, schema
from modelwright_server.contract import monitoring
from modelwright_server.contract.monitoring import MonitoringReason as Reason


class UnfitError(Exception):
    """This model cannot be monitored.

    Attributes:
        reason: of the conditions that say so.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Model:
    """What is known of the model that the pod serves."""

    baseline: Baseline
    schema: schema.Schema
    columns: Columns
    digest: str

    @classmethod
    def load(cls, folder: Path) -> "Model":
        """Read what the fetch container left, which has checked it against the digest.

        Raises:
            UnfitError: there is no baseline, or it is not the model's.
            OSError: it cannot be read.
        """
        try:
            data = _read(folder / document.NAME, document.MAX_BYTES)
        except FileNotFoundError:
            message = "the artifact has no baseline.json: train the model with a TrainingJob, or import one with it"
            raise UnfitError(Reason.NO_BASELINE, message) from None
        try:
            stated = schema.parse(_read(folder / artifact.SCHEMA, artifact.MAX_SCHEMA_BYTES))
            baseline = document.load(data)
            columns = Columns(stated, baseline)
        except (BaselineError, MismatchError, artifact.ArtifactInvalidError) as error:
            raise UnfitError(Reason.BASELINE_MISMATCH, str(error)[:900]) from None
        return cls(baseline, stated, columns, digest_of(folder))


def digest_of(folder: Path) -> str:
    """Return the digest of the artifact in a folder.

    Raises:
        OSError: it cannot be read.
    """
    return "sha256:" + hashlib.sha256(_read(folder / artifact.MANIFEST, artifact.MAX_MANIFEST_BYTES)).hexdigest()


def unfit_marks(error: UnfitError) -> tuple[Mark, ...]:
    """Return the conditions of a model that cannot be monitored."""
    others = (monitoring.DATA_DRIFT, monitoring.PREDICTION_DRIFT, monitoring.DATA_QUALITY)
    return (
        Mark(monitoring.MONITORING_HEALTHY, "False", error.reason, str(error)),
        *(Mark(kind, "Unknown", error.reason, str(error)) for kind in others),
    )


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise UnfitError(Reason.BASELINE_MISMATCH, f"{path.name} has more than {most} bytes")
    return data
