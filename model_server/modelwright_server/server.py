"""The life of the server: listen, load, be ready, drain, end.

Ending without a failed request: the pod's endpoints disappear only some time after SIGTERM, and
keep-alive connections outlive them.  So the listener stays open for a while, not ready, and each
answer tells its client to close the connection; clients come back by way of the Service, elsewhere.
"""

import asyncio
import gc
import hashlib
import json
import logging
import signal
import sys
import time
from pathlib import Path
from typing import Any

from modelwright_server import artifact, model, termination
from modelwright_server.contract import ExitCode, Reason, ServerSettings
from modelwright_server.dataplane import DataPlane
from modelwright_server.grpc import service as grpc_service
from modelwright_server.http.listener import Listener
from modelwright_server.http.messages import Limits
from modelwright_server.http.rest import MetricsApplication, RestApplication
from modelwright_server.prediction import Issuer
from modelwright_server.ring import RingWriter
from modelwright_server.schema import Schema
from modelwright_server.telemetry import Telemetry

LAST_ANSWERS_SECONDS = 20.0
_GC_THRESHOLDS = (50_000, 20, 100)  # requests make no cycles
_LOG = logging.getLogger("modelwright.server")


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, and what the call gave as ``extra={"fields": …}``."""

    def __init__(self) -> None:
        super().__init__()
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
        line: dict[str, Any] = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging() -> None:
    """Send log lines to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


async def serve(settings: ServerSettings) -> ExitCode:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    start = time.perf_counter()
    loop = asyncio.get_running_loop()
    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)

    counts = Telemetry(settings.model_name, settings.model_version, settings.deployment, settings.namespace)
    dataplane = DataPlane(
        settings.model_name, settings.model_version, settings.max_rows, counts, batch_rows=settings.batch_max_rows
    )
    limits = Limits(body=settings.max_body_bytes, buffered=4 * settings.max_body_bytes)
    clients = Listener(RestApplication(dataplane, counts, settings.max_body_bytes), limits, counts)
    collectors = Listener(MetricsApplication(counts), Limits(body=0, connections=100))
    calls = await grpc_service.start(dataplane, counts, settings)
    ports = {
        "restPort": await clients.start(settings.host, settings.rest_port),
        "grpcPort": calls.port,
        "metricsPort": await collectors.start(settings.host, settings.metrics_port),
    }
    _log("listening", model=settings.model_name, version=settings.model_version, **ports)
    try:
        loading = loop.run_in_executor(None, _load, settings)
        loaded = await loading
    except (model.ModelError, artifact.ArtifactError) as error:
        _log("model rejected", problem=str(error))
        message = termination.failure("serve", Reason.MODEL_REJECTED, str(error))
        termination.write(settings.termination_log, message)
        return ExitCode.PERMANENT
    digest = _digest(settings)
    issuer = Issuer(loaded.schema, version_key=digest.removeprefix("sha256:")[:10])
    dataplane.attach(loaded, issuer, _ring(settings, loaded.schema, digest))
    calls.readiness_changed()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    seconds = round(time.perf_counter() - start, 3)
    _log("ready", seconds=seconds, callMicroseconds=round(loaded.cost.call * 1e6, 1), **ports)

    await stop.wait()
    dataplane.drain()
    calls.readiness_changed()
    clients.draining = True
    _log("draining", seconds=settings.drain_seconds)
    try:
        async with asyncio.timeout(settings.drain_seconds):
            await hurry.wait()
    except TimeoutError:
        pass
    complete, _ = await asyncio.gather(clients.stop(LAST_ANSWERS_SECONDS), calls.stop(LAST_ANSWERS_SECONDS))
    dataplane.close()
    await collectors.stop(0)
    _log("stopped", allAnswered=complete)
    return ExitCode.DONE


def _load(settings: ServerSettings) -> model.Model:
    return model.load(Path(settings.model_dir), threads=settings.threads)


def _digest(settings: ServerSettings) -> str:
    """Return the artifact's digest; where fetch has not left a manifest, one of the version's name."""
    try:
        identity = (Path(settings.model_dir) / artifact.MANIFEST).read_bytes()
    except FileNotFoundError:
        identity = settings.model_version.encode()
    return "sha256:" + hashlib.sha256(identity).hexdigest()


def _ring(settings: ServerSettings, schema: Schema, digest: str) -> RingWriter | None:
    """Return the ring for monitoring if one is wanted; serving goes on without."""
    if not settings.ring_dir:
        return None
    try:
        return RingWriter.create(
            Path(settings.ring_dir),
            "ring-0",
            schema,
            model=settings.model_name,
            version=settings.model_version,
            digest=digest,
        )
    except OSError as error:
        _LOG.warning("no ring for monitoring", extra={"fields": {"folder": settings.ring_dir, "problem": str(error)}})
        return None


def _log(event: str, **fields: object) -> None:
    _LOG.info(event, extra={"fields": fields})
