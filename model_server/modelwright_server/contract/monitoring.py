"""What sidecar and operator agree on: the Service and port of windows, who writes what, and why.

The sidecars of one track keep one window together.  Each counts what its own server answered; whoever closes the window
asks the others for their counts (`WINDOW_PATH`), judges the sum, and writes `status.monitoring` and `CONDITIONS` as
`FIELD_MANAGER`.  Where no sidecar lives, the operator writes there under the same name.  Standard library only.
"""

from enum import StrEnum

WINDOW_PORT = 8084
WINDOW_PATH = "/window"
LABELS_PATH = "/labels"
COUNTS_PATH = "/counts"
FEEDBACK_PORT = 8083
FIELD_MANAGER = "modelwright-monitor"

MONITORING_HEALTHY = "MonitoringHealthy"
DATA_DRIFT = "DataDriftDetected"
PREDICTION_DRIFT = "PredictionDriftDetected"
DATA_QUALITY = "DataQualityDegraded"
MODEL_QUALITY = "ModelQualityDegraded"
CONDITIONS = (MONITORING_HEALTHY, DATA_DRIFT, PREDICTION_DRIFT, DATA_QUALITY, MODEL_QUALITY)

ASSUMED = "NoConceptDrift"  # by an estimated accuracy
MOST_SHOWN = 100  # features of which a sidecar shows the counts
MOST_FEATURES = 20  # of a report, those that differ most
MOST_MISSING = 50  # addresses of replicas that did not answer
MOST_RECENT = 10  # windows that a report remembers
MOST_COHORTS = 216  # of predictions, by version and day
MOST_MARKS = 1000  # pods whose labels are in a report
SCORE_BINS = 64

METRIC_PSI = "modelwright_monitor_psi"
METRIC_P_VALUE = "modelwright_monitor_p_value"
METRIC_ROWS = "modelwright_monitor_rows_total"
METRIC_LOST = "modelwright_monitor_rows_lost_total"
METRIC_WINDOWS = "modelwright_monitor_windows_total"
METRIC_REFUSED = "modelwright_monitor_writes_refused_total"
METRIC_FEEDBACK = "modelwright_monitor_feedback_labels_total"
METRIC_NOT_CAPTURED = "modelwright_monitor_labels_not_captured_total"
METRIC_OPEN_ROWS = "modelwright_monitor_window_rows"


def service_name(deployment: str) -> str:
    """Return the name of the headless Service by which sidecars find each other."""
    return f"{deployment}-monitor"


class MonitoringReason(StrEnum):
    """The reasons of the monitor's conditions; the operator knows each of them."""

    WINDOWS_CLOSE = "WindowsClose"
    REPLICAS_MISSING = "ReplicasMissing"
    ROWS_LOST = "RowsLost"
    RING_INVALID = "RingInvalid"
    NO_BASELINE = "NoBaseline"
    BASELINE_MISMATCH = "BaselineMismatch"
    AWAITING_FIRST_WINDOW = "AwaitingFirstWindow"
    INSUFFICIENT_ROWS = "InsufficientRows"
    BASELINE_CHANGED = "BaselineChanged"
    REPORT_STALE = "ReportStale"
    DRIFT_DETECTED = "DriftDetected"
    NO_DRIFT = "NoDrift"
    MISSING_VALUES = "MissingValues"
    VALUES_OUT_OF_RANGE = "ValuesOutOfRange"
    UNSEEN_CATEGORIES = "UnseenCategories"
    DATA_AS_EXPECTED = "DataAsExpected"
    BROKEN_DATA = "BrokenData"
    QUALITY_DEGRADED = "QualityDegraded"
    QUALITY_SUFFICIENT = "QualitySufficient"
    INSUFFICIENT_LABELS = "InsufficientLabels"
