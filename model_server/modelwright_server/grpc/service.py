"""The gRPC server: its life, its limits, and the services on it."""

import asyncio
import os
from time import perf_counter

# grpcio's core would write lines of its own to stderr, where ours are JSON; what matters comes back as errors.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from grpc_reflection.v1alpha import reflection

from modelwright_server.contract import ServerSettings
from modelwright_server.dataplane import DataPlane
from modelwright_server.grpc import health, inference
from modelwright_server.journal import Journal
from modelwright_server.telemetry import Telemetry

# Calls at the same time, with those whose message is still coming and those that watch the health.
MAX_CALLS = 512
_MAX_CONNECTIONS = 1000
# As many calls of one connection; its further ones wait on the client's side.
_MAX_STREAMS = 128
# After so long a connection takes no more calls and its client makes another, which no call notices. Through a Service
# that one may be to another pod: so load follows scaling, and clients have left a pod before it ends.
CONNECTION_SECONDS = 10.0
_JITTER = 1.1  # grpcio's, which may make it so much longer
_GRACE_SECONDS = 60  # for calls on a connection after that: neither slow senders nor slow readers hold one for ever
# Without a call for so long, no client has one under way.
_QUIET_SECONDS = 0.5


class GrpcServer:
    """A running server.

    Attributes:
        port: what it listens on.
    """

    def __init__(
        self,
        server: grpc.aio.Server,
        port: int,
        dataplane: DataPlane,
        service: inference.InferenceService,
        checks: health.HealthService,
    ) -> None:
        self.port = port
        self._server = server
        self._dataplane = dataplane
        self._service = service
        self._checks = checks
        self._drained = 0.0

    def readiness_changed(self) -> None:
        """Tell who watches the health service that the data plane became ready, or is no more."""
        if not self._dataplane.ready:
            self._drained = perf_counter()
        self._checks.changed()

    async def stop(self, seconds: float) -> bool:
        """Let clients leave and calls end, then stop; cancel what has not ended within ``seconds``.

        A call that comes while grpcio stops is lost.  So it stops when no more calls come, at the latest when every
        connection that is older than the drain has been given up.

        Returns:
            Whether all had ended.
        """
        end = perf_counter() + seconds
        left = min(end, (self._drained or perf_counter()) + _JITTER * CONNECTION_SECONDS)
        while (pause := min(left, self._service.called + _QUIET_SECONDS) - perf_counter()) > 0:  # noqa: ASYNC110 - to tell of each call costs more
            await asyncio.sleep(pause)
        self._checks.close()
        await self._server.stop(max(0.0, end - perf_counter()))
        return perf_counter() < end


async def start(
    dataplane: DataPlane, telemetry: Telemetry, settings: ServerSettings, journal: Journal | None = None
) -> GrpcServer:
    """Listen on the settings' gRPC port, shared with other processes if there are several.

    Raises:
        OSError: the address cannot be listened on.
    """
    service = inference.InferenceService(dataplane, telemetry, journal)
    checks = health.HealthService(lambda: dataplane.ready, (inference.SERVICE, health.SERVICE))
    server = grpc.aio.server(
        handlers=[service.handler(), checks.handler()],
        options=_options(settings),
        maximum_concurrent_rpcs=MAX_CALLS,
    )
    reflection.enable_server_reflection((inference.SERVICE, health.SERVICE, reflection.SERVICE_NAME), server)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        port = server.add_insecure_port(f"{host}:{settings.grpc_port}")
    except RuntimeError as error:
        problem = f"cannot listen on {host}:{settings.grpc_port}, the gRPC address"
        raise OSError(problem) from error
    await server.start()
    return GrpcServer(server, port, dataplane, service, checks)


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    """Return grpcio's channel arguments: https://grpc.github.io/grpc/core/group__grpc__arg__keys.html."""
    second = 1000
    return [
        ("grpc.max_receive_message_length", settings.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", _MAX_STREAMS),
        ("grpc.max_allowed_incoming_connections", _MAX_CONNECTIONS),
        ("grpc.so_reuseport", int(settings.processes > 1)),
        ("grpc.max_connection_age_ms", int(CONNECTION_SECONDS * second)),
        ("grpc.max_connection_age_grace_ms", _GRACE_SECONDS * second),
        ("grpc.server_handshake_timeout_ms", 10 * second),
        # Clients may ask for a sign of life now and then, without a call as well; who does not stop asking is cut off.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5 * second),
        ("grpc.http2.max_ping_strikes", 5),
    ]
