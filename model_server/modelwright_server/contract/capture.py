"""What operator, capture and whoever reads captured rows agree on: settings, keys, columns, metrics.

    <uri>/<namespace>/<deployment>/version=<12 hex>/date=YYYY-MM-DD/<pod>-<number>.parquet      rows
    <uri>/<namespace>/<deployment>/labels/date=YYYY-MM-DD/<pod>-<number>.parquet                labels of rows

Standard library only.
"""

import json
from dataclasses import dataclass
from typing import cast

from modelwright_server.contract import (
    DEFAULT_MODEL_DIR,
    DEFAULT_RING_DIR,
    ENV_DEPLOYMENT,
    ENV_HOST,
    ENV_LABELS_DIR,
    ENV_MODEL_DIR,
    ENV_NAMESPACE,
    ENV_RING_DIR,
)
from modelwright_server.contract.settings import (
    Settings,
    SettingsError,
    optional_address,
    optional_text,
    setting,
    text,
    whole,
)

PORT = 8085
DEFAULT_SPOOL_DIR = "/spool"
DEFAULT_LABELS_DIR = "/labels"
DEFAULT_SECRET_DIR = "/store-secret"  # noqa: S105 - a folder
MOST_REDACTED = 100

ENV_URI = "MODELWRIGHT_CAPTURE_URI"
ENV_ENDPOINT = "MODELWRIGHT_CAPTURE_ENDPOINT"
ENV_REGION = "MODELWRIGHT_CAPTURE_REGION"
ENV_SECRET = "MODELWRIGHT_CAPTURE_SECRET"  # noqa: S105 - a name
ENV_SAMPLE_PERCENT = "MODELWRIGHT_CAPTURE_SAMPLE_PERCENT"
ENV_REDACT = "MODELWRIGHT_CAPTURE_REDACT"
ENV_FLUSH_SECONDS = "MODELWRIGHT_CAPTURE_FLUSH_SECONDS"
ENV_SPOOL_DIR = "MODELWRIGHT_SPOOL_DIR"
ENV_SECRET_DIR = "MODELWRIGHT_STORE_SECRET_DIR"  # noqa: S105 - a name
ENV_PORT = "MODELWRIGHT_CAPTURE_PORT"
ENV_LOG_URL = "MODELWRIGHT_PAYLOAD_LOG_URL"
ENV_LOG_MODE = "MODELWRIGHT_PAYLOAD_LOG_MODE"
ENV_LOG_PERCENT = "MODELWRIGHT_PAYLOAD_LOG_PERCENT"
ENV_LOG_REDACT = "MODELWRIGHT_PAYLOAD_LOG_REDACT"
ALL, REQUESTS, RESPONSES = "All", "Request", "Response"

METRIC_ROWS = "modelwright_capture_rows_total"
METRIC_LABELS = "modelwright_capture_labels_total"
METRIC_EVENTS = "modelwright_payload_events_total"
METRIC_UPLOADS = "modelwright_capture_uploads_total"
METRIC_WAITING = "modelwright_capture_waiting_bytes"
METRIC_WORKS = "modelwright_capture_works"

LABELS = "labels"  # the folder of labels beside those of versions
VERSION_DIGITS = 12
PREDICTION_ID = "prediction_id"
PREDICTION_TIME = "prediction_time"
PREDICTION_VERSION = "prediction_version"
PREDICTION_DIGEST = "prediction_digest"
PREDICTION_TRACK = "prediction_track"
META = (PREDICTION_ID, PREDICTION_TIME, PREDICTION_VERSION, PREDICTION_DIGEST, PREDICTION_TRACK)
OUTPUT_PREFIX = "predicted_"
LABEL, LABEL_TIME, TAKEN_AT = "label", "label_time", "taken_at"  # beside the id, in files of labels


def place(uri: str, namespace: str, deployment: str) -> str:
    """Return the address below which a Deployment's rows and labels are.

    >>> place("s3://lake/captured/", "team", "churn")
    's3://lake/captured/team/churn'
    """
    return f"{uri.removesuffix('/')}/{namespace}/{deployment}"


def _names(value: str) -> tuple[str, ...]:
    found: object = json.loads(value) if value else []
    names = cast("list[str]", found) if isinstance(found, list) else [None]
    if not all(isinstance(name, str) for name in names):
        message = f"{value!r} must be a JSON list of names"
        raise SettingsError(message)
    return tuple(cast("list[str]", names))


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureSettings(Settings):
    """Settings of the capture container: ``python -m modelwright_capture``.

    Attributes:
        deployment: name of the Deployment, its pod's own.
        namespace: its namespace.
        uri: place in an object store; empty: no rows are kept.
        endpoint: base URL of the object store, empty for the cloud's own.
        region: region of the bucket, empty for none.
        secret: name of the Secret whose keys are in `secret_dir`, empty for the pod's own identity.
        sample_percent: of the rows that are kept.
        redact: JSON list of the features that are left out.
        flush_seconds: how old a row may become before it is sent.
        ring_dir: folder of the rings with what the server answered.
        model_dir: folder with the model's schema.
        labels_dir: folder in which the sidecar leaves labels.
        spool_dir: folder, its own, in which rows wait for the store.
        secret_dir: folder with the Secret's keys.
        log_url: where payloads go as CloudEvents; empty: nowhere.
        log_mode: `All`, `Request` or `Response`.
        log_percent: of the rows whose payloads go there.
        log_redact: JSON list of the features that are left out there.
        host: address to listen on.
        port: port of its metrics, 0 for any free one.
    """

    deployment: str = setting(ENV_DEPLOYMENT, text)
    namespace: str = setting(ENV_NAMESPACE, text)
    uri: str = setting(ENV_URI, optional_text, "")
    endpoint: str = setting(ENV_ENDPOINT, optional_address, "")
    region: str = setting(ENV_REGION, optional_text, "")
    secret: str = setting(ENV_SECRET, optional_text, "")
    sample_percent: int = setting(ENV_SAMPLE_PERCENT, whole(1, 100), 100)
    redact: str = setting(ENV_REDACT, optional_text, "")
    flush_seconds: int = setting(ENV_FLUSH_SECONDS, whole(1, 3600), 300)
    ring_dir: str = setting(ENV_RING_DIR, text, DEFAULT_RING_DIR)
    model_dir: str = setting(ENV_MODEL_DIR, text, DEFAULT_MODEL_DIR)
    labels_dir: str = setting(ENV_LABELS_DIR, text, DEFAULT_LABELS_DIR)
    spool_dir: str = setting(ENV_SPOOL_DIR, text, DEFAULT_SPOOL_DIR)
    secret_dir: str = setting(ENV_SECRET_DIR, text, DEFAULT_SECRET_DIR)
    log_url: str = setting(ENV_LOG_URL, optional_address, "")
    log_mode: str = setting(ENV_LOG_MODE, optional_text, ALL)
    log_percent: int = setting(ENV_LOG_PERCENT, whole(1, 100), 100)
    log_redact: str = setting(ENV_LOG_REDACT, optional_text, "")
    host: str = setting(ENV_HOST, text, "0.0.0.0")  # noqa: S104 - Prometheus comes to it
    port: int = setting(ENV_PORT, whole(0, 65535), PORT)

    @property
    def redacted(self) -> tuple[str, ...]:
        """The features that are left out.

        Raises:
            SettingsError: `redact` is no list of names.
        """
        return _names(self.redact)

    @property
    def log_redacted(self) -> tuple[str, ...]:
        """The features that are left out of payloads.

        Raises:
            SettingsError: `log_redact` is no list of names.
        """
        return _names(self.log_redact)
