"""The life of the server: listen, load, be ready, drain, end.

Ending without a failed request: the pod's endpoints disappear only some time after SIGTERM, and
keep-alive connections outlive them.  So the listener stays open for a while, not ready, and each
answer tells its client to close the connection; clients come back by way of the Service, elsewhere.
"""

import asyncio
import contextlib
import gc
import hashlib
import logging
import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path

from modelwright_server import artifact, model, termination
from modelwright_server.contract import ExitCode, ServerSettings
from modelwright_server.dataplane import DataPlane
from modelwright_server.grpc import service as grpc_service
from modelwright_server.grpc.forwarding import GrpcForwarding
from modelwright_server.http.forwarding import RestForwarding
from modelwright_server.http.inference import RestExchange
from modelwright_server.http.listener import Listener
from modelwright_server.http.messages import KEPT_HEADERS, Limits
from modelwright_server.http.rest import NOTED_HEADERS, RestApplication
from modelwright_server.journal import Journal, open_journal
from modelwright_server.logs import log
from modelwright_server.prediction import NONCE_DIGITS, Issuer
from modelwright_server.rejection import ModelRejectedError
from modelwright_server.ring import NONCE_BYTES, RingWriter
from modelwright_server.routing.comparison import Comparison
from modelwright_server.routing.shadow import Shadow
from modelwright_server.routing.traffic import Traffic
from modelwright_server.schema import Schema
from modelwright_server.telemetry import Snapshot, Telemetry
from modelwright_server.worker import Worker

LAST_ANSWERS_SECONDS = 20.0
# Ours leave the collector nothing, but each call of grpcio does, 5 objects: ten times as many before a collection would
# take 6 MiB more and make it a pause of 8 ms.
_GC_THRESHOLDS = (5_000, 20, 10)
_KILLED = "the process ended while it loaded the model and let it answer rows of zeros"
_LOG = logging.getLogger("modelwright.server")


async def serve(settings: ServerSettings, worker: Worker | None = None) -> ExitCode:
    """Serve until SIGTERM or SIGINT; return the exit code.

    A worker, one of several processes, listens only once it is warm, and leaves the metrics to its supervisor.
    """
    start = time.perf_counter()
    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)

    counts = Telemetry(settings.model_name, settings.model_version, settings.deployment, settings.namespace)
    dataplane = DataPlane(
        settings.model_name, settings.model_version, settings.max_rows, counts, batch_rows=settings.batch_max_rows
    )
    journal = open_journal(settings, counts)
    traffic = Traffic(settings.revision)
    ports = _Ports(settings, dataplane, counts, journal, traffic, shared=worker is not None)
    if worker is None:
        await ports.open()
        log("listening", model=settings.model_name, version=settings.model_version, **ports.numbers)
    else:
        await worker.connect(ports.snapshot, traffic.evidence.document, on_signal)
    loaded = await _loaded(settings)
    if loaded is None:
        return ExitCode.PERMANENT
    digest = _digest(settings)
    nonce = secrets.token_bytes(NONCE_BYTES)
    version_key = digest.removeprefix("sha256:")[:10]
    issuer = Issuer(loaded.schema, version_key=version_key, nonce=nonce.hex()[:NONCE_DIGITS])
    dataplane.attach(loaded, issuer, _ring(settings, worker, loaded.schema, digest, nonce))
    ports.route(loaded.schema)
    gc.collect()
    gc.freeze()
    gc.collect()  # else the next full one came only when a quarter of what is frozen had been added
    gc.set_threshold(*_GC_THRESHOLDS)
    if worker is not None:
        await ports.open()
    ports.readiness_changed()
    facts = {"seconds": round(time.perf_counter() - start, 3), "callMicroseconds": round(loaded.cost.call * 1e6, 1)}
    if worker is None:
        log("ready", **facts, **ports.numbers)
    else:
        log("worker ready", **facts)
        worker.ready(**facts, **ports.numbers)

    await stop.wait()
    dataplane.drain()
    ports.drain()
    log("draining", seconds=settings.drain_seconds)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(settings.drain_seconds):
            await hurry.wait()
    complete = await ports.close()
    dataplane.close()
    if journal is not None:
        await journal.close()
    log("stopped", allAnswered=complete)
    return ExitCode.DONE


class _Ports:
    """All that this process listens on.

    Attributes:
        numbers: the ports, by what the log calls them.
    """

    def __init__(  # noqa: PLR0913 - what is listened for
        self,
        settings: ServerSettings,
        dataplane: DataPlane,
        counts: Telemetry,
        journal: Journal | None,
        traffic: Traffic,
        *,
        shared: bool,
    ) -> None:
        """Prepare; ``shared`` ports are several processes', whose metrics somebody else shows."""
        self.numbers: dict[str, int] = {}
        self._settings = settings
        self._dataplane = dataplane
        self._counts = counts
        self._journal = journal
        self._traffic = traffic
        self._shared = shared
        self._application = application = RestApplication(dataplane, counts, settings.max_body_bytes, journal)
        self._clients = Listener(
            application,
            Limits(body=settings.max_body_bytes, buffered=4 * settings.max_body_bytes),
            counts,
            exchange=RestExchange,
            shortcut=application if journal is None else None,  # the journal wants to see each head
            kept_headers=KEPT_HEADERS if journal is None else NOTED_HEADERS,
        )
        self._collectors = None if shared else _collectors(counts, self.snapshot, traffic)
        self._forwarding: RestForwarding | None = None
        self._grpc_forwarding: GrpcForwarding | None = None
        self._calls: grpc_service.GrpcServer | None = None

    async def open(self) -> None:
        """Listen.

        Raises:
            OSError: an address cannot be listened on.
        """
        settings = self._settings
        rest = await self._clients.start(settings.host, settings.rest_port, reuse_port=self._shared)
        self._calls = await grpc_service.start(self._dataplane, self._counts, settings, self._journal)
        self._route_calls()
        self.numbers |= {"restPort": rest, "grpcPort": self._calls.port}
        if self._collectors is not None:
            self.numbers["metricsPort"] = await self._collectors.start(settings.host, settings.metrics_port)

    def route(self, schema: Schema) -> None:
        """Follow the traffic table, if this pod's revision is known."""
        settings, traffic = self._settings, self._traffic
        if not settings.revision:
            return
        shadow = Shadow(Comparison(schema))
        traffic.follow(lambda: self._dataplane.serve(traffic.track))
        self._forwarding = RestForwarding(
            self._application, self._clients.names, traffic, shadow, settings.max_body_bytes
        )
        self._grpc_forwarding = GrpcForwarding(traffic, shadow, settings.max_body_bytes)
        self._route_calls()
        traffic.watch(Path(settings.control_dir))

    def _route_calls(self) -> None:
        """Route the calls of gRPC, once they are listened for and there is somewhere to route them to."""
        if self._calls is not None and self._grpc_forwarding is not None:
            self._calls.route(self._grpc_forwarding, self._traffic)

    def snapshot(self) -> Snapshot:
        """Return all counts of this process."""
        return {**self._counts.snapshot(), **self._traffic.snapshot()}

    def readiness_changed(self) -> None:
        """Tell whom it matters to that the data plane became ready, or is no more."""
        if self._calls is not None:
            self._calls.readiness_changed()

    def drain(self) -> None:
        """Let each further answer be the last of its connection."""
        self._clients.draining = True
        self.readiness_changed()

    async def close(self) -> bool:
        """Stop listening, the metrics last; return whether all clients got their answers."""
        ends = [self._clients.stop(LAST_ANSWERS_SECONDS)]
        if self._calls is not None:
            ends.append(self._calls.stop(LAST_ANSWERS_SECONDS))
        complete = all(await asyncio.gather(*ends))
        self._traffic.close()
        if self._forwarding is not None:
            self._forwarding.close()
        if self._grpc_forwarding is not None:
            await self._grpc_forwarding.close()
        if self._collectors is not None:
            await self._collectors.stop(0)
        return complete


def _collectors(counts: Telemetry, snapshot: Callable[[], Snapshot], traffic: Traffic) -> Listener:
    """Return the listener that shows the counts."""
    from modelwright_server.metrics_page import LIMITS, Boot, MetricsPage  # noqa: PLC0415 - a worker does without

    return Listener(MetricsPage(counts.info, snapshot, traffic.evidence.document, Boot(traffic.revision)), LIMITS)


async def _loaded(settings: ServerSettings) -> model.Model | None:
    """Return the model; None after saying why it cannot be had."""
    try:
        with termination.if_killed(settings.termination_log, _KILLED):
            return await asyncio.get_running_loop().run_in_executor(None, _load, settings)
    except (ModelRejectedError, artifact.ArtifactError) as error:
        cause = error.cause if isinstance(error, ModelRejectedError) else None
        log("model rejected", reason=error.reason, cause=cause, problem=str(error))
        termination.write(settings.termination_log, termination.failure("serve", error.reason, str(error), cause))
        return None


def _load(settings: ServerSettings) -> model.Model:
    return model.load(Path(settings.model_dir), threads=settings.threads)


def _digest(settings: ServerSettings) -> str:
    """Return the artifact's digest; where fetch has not left a manifest, one of the version's name."""
    try:
        identity = (Path(settings.model_dir) / artifact.MANIFEST).read_bytes()
    except FileNotFoundError:
        identity = settings.model_version.encode()
    return "sha256:" + hashlib.sha256(identity).hexdigest()


def _ring(
    settings: ServerSettings, worker: Worker | None, schema: Schema, digest: str, nonce: bytes
) -> RingWriter | None:
    """Return the ring for monitoring if one is wanted; serving goes on without."""
    if not settings.ring_dir:
        return None
    try:
        return RingWriter.create(
            Path(settings.ring_dir),
            f"ring-{worker.index if worker is not None else 0}",
            schema,
            model=settings.model_name,
            version=settings.model_version,
            digest=digest,
            nonce=nonce,
        )
    except OSError as error:
        _LOG.warning("no ring for monitoring", extra={"fields": {"folder": settings.ring_dir, "problem": str(error)}})
        return None
