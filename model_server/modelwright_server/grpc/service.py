"""The gRPC server: its life, its limits, and the services on it."""

import asyncio
import os
import socket
from collections.abc import Sequence
from time import perf_counter

# grpcio's core would write lines of its own to stderr, where ours are JSON; what matters comes back as errors.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from grpc_reflection.v1alpha import reflection

from modelwright_server.contract import ServerSettings
from modelwright_server.dataplane import DataPlane
from modelwright_server.grpc import health, inference
from modelwright_server.grpc.forwarding import GrpcForwarding
from modelwright_server.journal import Journal
from modelwright_server.routing.traffic import Traffic
from modelwright_server.telemetry import Telemetry

# A server of grpcio takes in one call after the other, with a few changes of thread for each. Several, between which
# the kernel spreads the connections, take in several calls in a turn of the event loop: measured at 32 connections,
# four need a quarter less time for a call, and batching finds something to batch.
LANES = 4
# Of each of them: calls at the same time, with those whose message is still coming and those that watch the health.
MAX_CALLS = 256
_MAX_CONNECTIONS = 250
# Calls of one connection; its further ones wait on the client's side.
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
        lanes: Sequence[grpc.aio.Server],
        port: int,
        dataplane: DataPlane,
        service: inference.InferenceService,
        checks: health.HealthService,
    ) -> None:
        self.port = port
        self._lanes = lanes
        self._dataplane = dataplane
        self._service = service
        self._checks = checks
        self._drained = 0.0

    def readiness_changed(self) -> None:
        """Tell who watches the health service that the data plane became ready, or is no more."""
        if not self._dataplane.ready:
            self._drained = perf_counter()
        self._checks.changed()

    def route(self, forwarding: GrpcForwarding, traffic: Traffic) -> None:
        """Have inference calls answered by whose turn it is."""
        self._service.route(forwarding, traffic)

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
        left = max(0.0, end - perf_counter())
        await asyncio.gather(*(lane.stop(left) for lane in self._lanes))
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
    if settings.processes == 1:
        _check_free(settings.host, settings.grpc_port)
    lanes: list[grpc.aio.Server] = []
    port = settings.grpc_port
    for _ in range(LANES):
        lane = grpc.aio.server(
            handlers=[service.handler(), checks.handler()],
            options=_options(settings),
            maximum_concurrent_rpcs=MAX_CALLS,
        )
        reflection.enable_server_reflection((inference.SERVICE, health.SERVICE, reflection.SERVICE_NAME), lane)
        lanes.append(lane)
        port = _bound(lane, settings.host, port)
        await lane.start()
    return GrpcServer(lanes, port, dataplane, service, checks)


def _check_free(host: str, port: int) -> None:
    """Find out what grpcio does not say of a port that may be shared: that somebody else listens on it.

    Raises:
        OSError: somebody does.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise _not_bound(host, port) from error


def _bound(lane: grpc.aio.Server, host: str, port: int) -> int:
    """Have a server listen, on any free port for 0; return the port.

    Raises:
        OSError: it cannot.
    """
    try:
        return lane.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except RuntimeError as error:
        raise _not_bound(host, port) from error


def _not_bound(host: str, port: int) -> OSError:
    return OSError(f"cannot listen on {host}:{port}, the gRPC address")


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    """Return grpcio's channel arguments: https://grpc.github.io/grpc/core/group__grpc__arg__keys.html."""
    second = 1000
    return [
        ("grpc.max_receive_message_length", settings.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", _MAX_STREAMS),
        ("grpc.max_allowed_incoming_connections", _MAX_CONNECTIONS),
        ("grpc.so_reuseport", 1),
        ("grpc.max_connection_age_ms", int(CONNECTION_SECONDS * second)),
        ("grpc.max_connection_age_grace_ms", _GRACE_SECONDS * second),
        ("grpc.server_handshake_timeout_ms", 10 * second),
        # Clients may ask for a sign of life now and then, without a call as well; who does not stop asking is cut off.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5 * second),
        ("grpc.http2.max_ping_strikes", 5),
    ]
