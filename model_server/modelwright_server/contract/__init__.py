"""What the operator and the model server agree on: names, ports, paths, exit codes, settings.

Standard library only: the operator imports this module (and nothing else of this package) to
render pods, so a name that changes here changes on both sides at once.  The settings are frozen
values with `to_env` for the one who renders and `from_env` for the one who is started;
``from_env(to_env(s)) == s`` for every valid ``s``.  What goes to running servers is in `traffic`,
what sidecars find in `monitoring`.
"""

import hashlib
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from modelwright_server.contract.monitoring import FEEDBACK_PORT, WINDOW_PORT
from modelwright_server.contract.settings import (
    Settings,
    optional_address,
    optional_revision,
    optional_text,
    setting,
    switch,
    text,
    whole,
)
from modelwright_server.contract.settings import (
    SettingsError as SettingsError,
)
from modelwright_server.contract.signing import parse_keys

REST_PORT = 8080
GRPC_PORT = 8081
METRICS_PORT = 8082

LIVE_PATH = "/v2/health/live"
READY_PATH = "/v2/health/ready"
METRICS_PATH = "/metrics"
EVIDENCE_PATH = "/evidence"  # beside the metrics

SERVER_MODULE = "modelwright_server"
FETCH_MODULE = "modelwright_server.fetch"
MONITOR_MODULE = "modelwright_monitor"
CAPTURE_MODULE = "modelwright_capture"
VERIFY_FLAG = "--verify"

ENV_MODEL_NAME = "MODELWRIGHT_MODEL_NAME"
ENV_MODEL_VERSION = "MODELWRIGHT_MODEL_VERSION"
ENV_DEPLOYMENT = "MODELWRIGHT_DEPLOYMENT"
ENV_NAMESPACE = "MODELWRIGHT_NAMESPACE"
ENV_THREADS = "MODELWRIGHT_THREADS"
ENV_MODEL_DIR = "MODELWRIGHT_MODEL_DIR"
ENV_DRAIN_SECONDS = "MODELWRIGHT_DRAIN_SECONDS"
ENV_HOST = "MODELWRIGHT_HOST"
ENV_REST_PORT = "MODELWRIGHT_REST_PORT"
ENV_GRPC_PORT = "MODELWRIGHT_GRPC_PORT"
ENV_METRICS_PORT = "MODELWRIGHT_METRICS_PORT"
ENV_MAX_BODY_BYTES = "MODELWRIGHT_MAX_BODY_BYTES"
ENV_MAX_ROWS = "MODELWRIGHT_MAX_ROWS"
ENV_BATCH_MAX_ROWS = "MODELWRIGHT_BATCH_MAX_ROWS"
ENV_PROCESSES = "MODELWRIGHT_PROCESSES"
ENV_RING_DIR = "MODELWRIGHT_RING_DIR"
ENV_REVISION = "MODELWRIGHT_REVISION"
ENV_CONTROL_DIR = "MODELWRIGHT_CONTROL_DIR"
ENV_CREDENTIALS_DIR = "MODELWRIGHT_CREDENTIALS_DIR"
ENV_WINDOWS_DIR = "MODELWRIGHT_WINDOWS_DIR"
ENV_WINDOW_PORT = "MODELWRIGHT_WINDOW_PORT"
ENV_FEEDBACK_PORT = "MODELWRIGHT_FEEDBACK_PORT"
ENV_LABELS_DIR = "MODELWRIGHT_LABELS_DIR"
ENV_ACCESS_LOG = "MODELWRIGHT_ACCESS_LOG"
ENV_TRACING_ENDPOINT = "MODELWRIGHT_TRACING_ENDPOINT"
ENV_ARTIFACT_URI = "MODELWRIGHT_ARTIFACT_URI"
ENV_ARTIFACT_DIGEST = "MODELWRIGHT_ARTIFACT_DIGEST"
ENV_ARTIFACT_ENDPOINT = "MODELWRIGHT_ARTIFACT_ENDPOINT"
ENV_ARTIFACT_REGION = "MODELWRIGHT_ARTIFACT_REGION"
ENV_ARTIFACT_SECRET = "MODELWRIGHT_ARTIFACT_SECRET"  # noqa: S105 - a name
ENV_STORES_DIR = "MODELWRIGHT_STORES_DIR"
ENV_MAX_ARTIFACT_BYTES = "MODELWRIGHT_MAX_ARTIFACT_BYTES"
ENV_VERIFY_MEMORY_BYTES = "MODELWRIGHT_VERIFY_MEMORY_BYTES"
ENV_VERIFY_SECONDS = "MODELWRIGHT_VERIFY_SECONDS"
ENV_TRUSTED_KEYS = "MODELWRIGHT_TRUSTED_KEYS"
ENV_SIGNATURE_REQUIRED = "MODELWRIGHT_SIGNATURE_REQUIRED"
ENV_TERMINATION_LOG = "MODELWRIGHT_TERMINATION_LOG"

SECRET_PREFIX = "MODELWRIGHT_SECRET_"  # noqa: S105 - how the names of variables begin

DEFAULT_MODEL_DIR = "/model"
DEFAULT_STORES_DIR = "/stores"
DEFAULT_RING_DIR = "/ring"
DEFAULT_CONTROL_DIR = "/run/modelwright"
DEFAULT_WINDOWS_DIR = "/windows"
DEFAULT_CREDENTIALS_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"
DEFAULT_TERMINATION_LOG = "/dev/termination-log"
MAX_TERMINATION_BYTES = 1536

METRIC_REQUESTS = "modelwright_server_requests_total"
METRIC_REFUSED = "modelwright_server_requests_refused_total"
METRIC_OVERLOADED = "modelwright_server_requests_overloaded_total"
METRIC_DURATION = "modelwright_server_request_duration_seconds"
METRIC_IN_FLIGHT = "modelwright_server_requests_in_flight"
METRIC_ROWS = "modelwright_server_rows_total"
METRIC_QUEUE_WAIT = "modelwright_server_queue_wait_seconds"
METRIC_QUEUE_DEPTH = "modelwright_server_queue_depth"
METRIC_BATCH_ROWS = "modelwright_server_batch_rows"
METRIC_BATCH_REQUESTS = "modelwright_server_batch_requests"
METRIC_CALL = "modelwright_server_model_call_seconds"
METRIC_PROCESSES = "modelwright_server_processes"
METRIC_RECORDS_DROPPED = "modelwright_server_records_dropped_total"
METRIC_CONNECTIONS = "modelwright_server_connections"
METRIC_READY = "modelwright_server_ready"
METRIC_FORWARDED = "modelwright_server_forwarded_requests_total"
METRIC_FORWARD_DURATION = "modelwright_server_forward_duration_seconds"
METRIC_SHADOW = "modelwright_server_shadow_requests_total"
METRIC_SHADOW_ROWS = "modelwright_server_shadow_rows_total"
METRIC_BREAKERS_OPEN = "modelwright_server_canary_breakers_open"
METRIC_TABLES = "modelwright_server_traffic_tables_total"
METRIC_MODEL_INFO = "modelwright_server_model_info"

VERSION_HEADER = "Modelwright-Version"  # of an answer: the version that gave it
TRACK_HEADER = "Modelwright-Track"  # of an answer: stable or canary
FORWARDED_HEADER = "Modelwright-Forwarded"  # of a request: the revision that forwarded or copied it
STABLE = "stable"
CANARY = "canary"

_MIB = 1 << 20


def secret_prefix(name: str) -> str:
    """Return the prefix under which a container finds the keys of the Secret ``name`` in its environment.

    >>> secret_prefix("lake")
    'MODELWRIGHT_SECRET_6F021F02_'
    """
    return f"{SECRET_PREFIX}{hashlib.sha256(name.encode()).hexdigest()[:8].upper()}_"


def optional_keys(value: str) -> str:
    """Take PEM blocks of public keys, or nothing."""
    parse_keys(value)
    return value


class ExitCode(IntEnum):
    """How a container ends: the operator retries 1 and never 2."""

    DONE = 0
    RETRY = 1
    PERMANENT = 2


class Reason(StrEnum):
    """The reasons a fetch, a verification or a server puts in its termination message."""

    ARTIFACT_NOT_FOUND = "ArtifactNotFound"
    ARTIFACT_INVALID = "ArtifactInvalid"
    DIGEST_MISMATCH = "DigestMismatch"
    SIGNATURE_INVALID = "SignatureInvalid"
    MODEL_REJECTED = "ModelRejected"
    STORAGE_UNAVAILABLE = "StorageUnavailable"
    STORAGE_FORBIDDEN = "StorageForbidden"


class Cause(StrEnum):
    """Why a model is rejected: the ``cause`` beside the reason ModelRejected."""

    NOT_ONNX = "NotONNX"
    EXTERNAL_DATA = "ExternalData"
    UNSUPPORTED_OPERATOR = "UnsupportedOperator"
    LOCAL_FUNCTIONS = "LocalFunctions"
    SCHEMA_MISMATCH = "SchemaMismatch"
    LOAD_FAILED = "LoadFailed"
    RUN_FAILED = "RunFailed"
    OUT_OF_MEMORY = "OutOfMemory"
    TIMED_OUT = "TimedOut"
    CRASHED = "Crashed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings(Settings):
    """Settings of the server container: ``python -m modelwright_server``.

    Attributes:
        model_name: the model's name in Open Inference Protocol paths and answers.
        model_version: the version's label there (the ModelVersion's name).
        deployment: name of the Deployment served for, a metrics label.
        namespace: its namespace, a metrics label.
        threads: intra-op threads of the inference session.
        model_dir: folder with ``model.onnx`` and ``schema.json``, already verified by fetch.
        drain_seconds: how long the listener stays open after SIGTERM, at least.
        host: address to listen on.
        rest_port: port of the REST listener, 0 for any free one.
        grpc_port: port of the gRPC listener, 0 for any free one.
        metrics_port: port of the metrics listener, 0 for any free one.
        max_body_bytes: largest request body that is read.
        max_rows: most rows in one request.
        batch_max_rows: most rows of several requests that are put into one call of the model; 1 turns that off.
        processes: serving processes that share the ports, each with its own session.
        ring_dir: folder of the rings that monitoring reads, empty for none.
        revision: of the Deployment's revisions the one this pod runs, ten hex digits; empty: it routes no request.
        control_dir: folder in which the sidecar leaves the traffic table.
        access_log: whether each answered request is a line in the log.
        tracing_endpoint: where OpenTelemetry spans go (OTLP over HTTP), empty for nowhere.
        termination_log: where the last message goes.
    """

    model_name: str = setting(ENV_MODEL_NAME, text)
    model_version: str = setting(ENV_MODEL_VERSION, text)
    deployment: str = setting(ENV_DEPLOYMENT, optional_text, "")
    namespace: str = setting(ENV_NAMESPACE, optional_text, "")
    threads: int = setting(ENV_THREADS, whole(1, 256), 1)
    model_dir: str = setting(ENV_MODEL_DIR, text, DEFAULT_MODEL_DIR)
    drain_seconds: int = setting(ENV_DRAIN_SECONDS, whole(0, 600), 5)
    host: str = setting(ENV_HOST, text, "0.0.0.0")  # noqa: S104 - a pod's server listens to its Service
    rest_port: int = setting(ENV_REST_PORT, whole(0, 65535), REST_PORT)
    grpc_port: int = setting(ENV_GRPC_PORT, whole(0, 65535), GRPC_PORT)
    metrics_port: int = setting(ENV_METRICS_PORT, whole(0, 65535), METRICS_PORT)
    max_body_bytes: int = setting(ENV_MAX_BODY_BYTES, whole(1024, 1024 * _MIB), 16 * _MIB)
    max_rows: int = setting(ENV_MAX_ROWS, whole(1, 10_000_000), 100_000)
    batch_max_rows: int = setting(ENV_BATCH_MAX_ROWS, whole(1, 4096), 512)
    processes: int = setting(ENV_PROCESSES, whole(1, 64), 1)
    ring_dir: str = setting(ENV_RING_DIR, optional_text, "")
    revision: str = setting(ENV_REVISION, optional_revision, "")
    control_dir: str = setting(ENV_CONTROL_DIR, text, DEFAULT_CONTROL_DIR)
    access_log: bool = setting(ENV_ACCESS_LOG, switch, False)  # noqa: FBT003 - the default of a field
    tracing_endpoint: str = setting(ENV_TRACING_ENDPOINT, optional_address, "")
    termination_log: str = setting(ENV_TERMINATION_LOG, text, DEFAULT_TERMINATION_LOG)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchSettings(Settings):
    """Settings of the fetch container and the verification Job: ``python -m modelwright_server.fetch``.

    Attributes:
        artifact_uri: the artifact's folder, ``pvc://claim/path`` or an object store's.
        artifact_digest: ``sha256:<64 hex>`` of its ``manifest.json``.
        artifact_endpoint: base URL of the object store, empty for the cloud's own.
        artifact_region: region of the bucket, empty for none.
        artifact_secret: name of the Secret whose keys are in the environment, empty for the pod's own identity.
        stores_dir: folder under which each claim is mounted by its name.
        model_dir: folder the artifact is copied to.
        max_artifact_bytes: largest artifact that is copied.
        verify_memory_bytes: memory the model may take while it is verified; 0 takes three
            quarters of the container's limit, or 2 GiB where there is none.
        verify_seconds: time the model may take while it is verified.
        trusted_keys: public keys, as PEM blocks, of which one may have signed the artifact; empty: nobody is asked.
        signature_required: whether one of them must have.
        termination_log: where the last message goes.
    """

    artifact_uri: str = setting(ENV_ARTIFACT_URI, text)
    artifact_digest: str = setting(ENV_ARTIFACT_DIGEST, text)
    artifact_endpoint: str = setting(ENV_ARTIFACT_ENDPOINT, optional_address, "")
    artifact_region: str = setting(ENV_ARTIFACT_REGION, optional_text, "")
    artifact_secret: str = setting(ENV_ARTIFACT_SECRET, optional_text, "")
    stores_dir: str = setting(ENV_STORES_DIR, text, DEFAULT_STORES_DIR)
    model_dir: str = setting(ENV_MODEL_DIR, text, DEFAULT_MODEL_DIR)
    max_artifact_bytes: int = setting(ENV_MAX_ARTIFACT_BYTES, whole(1, 1 << 40), 2048 * _MIB)
    verify_memory_bytes: int = setting(ENV_VERIFY_MEMORY_BYTES, whole(0, 1 << 40), 0)
    verify_seconds: int = setting(ENV_VERIFY_SECONDS, whole(1, 1200), 120)
    trusted_keys: str = setting(ENV_TRUSTED_KEYS, optional_keys, "")
    signature_required: bool = setting(ENV_SIGNATURE_REQUIRED, switch, False)  # noqa: FBT003 - the default of a field
    termination_log: str = setting(ENV_TERMINATION_LOG, text, DEFAULT_TERMINATION_LOG)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorSettings(Settings):
    """Settings of the sidecar: ``python -m modelwright_monitor``.

    Attributes:
        deployment: name of the Deployment it follows, its pod's own.
        namespace: its namespace.
        revision: of the Deployment's revisions the one this pod runs; empty: its pod cannot be monitored.
        control_dir: folder in which it leaves the traffic table for the server.
        credentials_dir: folder with the token it shows the API server, and the certificate it expects there.
        ring_dir: folder of the rings with what the server answered.
        model_dir: folder with the model's schema and baseline.
        windows_dir: folder, its own, in which counts survive the worker.
        host: address to listen on.
        window_port: port at which other sidecars ask for counts, 0 for any free one.
        feedback_port: port at which clients post labels, 0 for any free one.
        labels_dir: folder in which labels are left for capture, empty for none.
    """

    deployment: str = setting(ENV_DEPLOYMENT, text)
    namespace: str = setting(ENV_NAMESPACE, text)
    revision: str = setting(ENV_REVISION, optional_revision, "")
    control_dir: str = setting(ENV_CONTROL_DIR, text, DEFAULT_CONTROL_DIR)
    credentials_dir: str = setting(ENV_CREDENTIALS_DIR, text, DEFAULT_CREDENTIALS_DIR)
    ring_dir: str = setting(ENV_RING_DIR, text, DEFAULT_RING_DIR)
    model_dir: str = setting(ENV_MODEL_DIR, text, DEFAULT_MODEL_DIR)
    windows_dir: str = setting(ENV_WINDOWS_DIR, text, DEFAULT_WINDOWS_DIR)
    host: str = setting(ENV_HOST, text, "0.0.0.0")  # noqa: S104 - the other pods' sidecars come to it
    window_port: int = setting(ENV_WINDOW_PORT, whole(0, 65535), WINDOW_PORT)
    feedback_port: int = setting(ENV_FEEDBACK_PORT, whole(0, 65535), FEEDBACK_PORT)
    labels_dir: str = setting(ENV_LABELS_DIR, optional_text, "")
