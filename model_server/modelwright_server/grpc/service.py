"""The gRPC server: its life, its limits, and the services on it."""

import os

# grpcio's core would write lines of its own to stderr, where ours are JSON; what matters comes back as errors.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from grpc_reflection.v1alpha import reflection

from modelwright_server.contract import ServerSettings
from modelwright_server.dataplane import DataPlane
from modelwright_server.grpc import health, inference
from modelwright_server.telemetry import Telemetry

# Calls at the same time, with those whose message is still coming and those that watch the health.
MAX_CALLS = 512
_MAX_CONNECTIONS = 1000
# As many calls of one connection; its further ones wait on the client's side.
_MAX_STREAMS = 128
_IDENTITY_ONLY = 1  # bit set of codings: grpcio would inflate a message without a limit


class GrpcServer:
    """A running server.

    Attributes:
        port: what it listens on.
    """

    def __init__(self, server: grpc.aio.Server, checks: health.HealthService, telemetry: Telemetry, port: int) -> None:
        self.port = port
        self._server = server
        self._checks = checks
        self._telemetry = telemetry

    def readiness_changed(self) -> None:
        """Tell who watches the health service that the data plane became ready, or is no more."""
        self._checks.changed()

    async def stop(self, seconds: float) -> None:
        """Stop listening, send clients elsewhere, let calls end, and cancel what has not ended within ``seconds``."""
        self._checks.close()
        await self._server.stop(seconds)


async def start(dataplane: DataPlane, telemetry: Telemetry, settings: ServerSettings) -> GrpcServer:
    """Listen on the settings' gRPC port, shared with other processes if there are several.

    Raises:
        OSError: the address cannot be listened on.
    """
    checks = health.HealthService(lambda: dataplane.ready, (inference.SERVICE, health.SERVICE))
    server = grpc.aio.server(
        handlers=[inference.InferenceService(dataplane, telemetry).handler(), checks.handler()],
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
    return GrpcServer(server, checks, telemetry, port)


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    """Return grpcio's channel arguments: https://grpc.github.io/grpc/core/group__grpc__arg__keys.html."""
    second = 1000
    return [
        ("grpc.max_receive_message_length", settings.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_ONLY),
        ("grpc.max_concurrent_streams", _MAX_STREAMS),
        ("grpc.max_allowed_incoming_connections", _MAX_CONNECTIONS),
        ("grpc.so_reuseport", int(settings.processes > 1)),
        # A client has its connection for a while, then is told to make another, which by way of the Service may be to
        # another pod; and whoever holds calls open without sending or reading loses them.
        ("grpc.max_connection_age_ms", 300 * second),
        ("grpc.max_connection_age_grace_ms", 60 * second),
        ("grpc.max_connection_idle_ms", 300 * second),
        ("grpc.server_handshake_timeout_ms", 10 * second),
        # Ask silent clients for a sign of life, and bear with clients that ask us, but not with a flood of it.
        ("grpc.keepalive_time_ms", 60 * second),
        ("grpc.keepalive_timeout_ms", 20 * second),
        ("grpc.http2.min_ping_interval_without_data_ms", 10 * second),
        ("grpc.http2.max_ping_strikes", 5),
    ]
