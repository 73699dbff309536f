"""The standard health service: https://github.com/grpc/grpc/blob/master/doc/health-checking.md.

grpcio's own keeps statuses of its own, which could differ from the data plane's, and stops telling all who watch a
service once one of them leaves.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from modelwright_server.grpc.refusal import refuse

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

_Context = grpc.aio.ServicerContext[Any, Any]
_SERVING = HealthCheckResponse(status=HealthCheckResponse.SERVING)
_NOT_SERVING = HealthCheckResponse(status=HealthCheckResponse.NOT_SERVING)
_UNKNOWN = HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)


class HealthService:
    """Tells whether traffic is wanted, for the server (the empty name) and each of its services."""

    def __init__(self, ready: Callable[[], bool], services: tuple[str, ...]) -> None:
        self._ready = ready
        self._known = frozenset({"", *services})
        self._changed = asyncio.Event()
        self._closed = False

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the service as grpcio takes it."""
        read, written = HealthCheckRequest.FromString, HealthCheckResponse.SerializeToString
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, read, written),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch, read, written),
        }
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def changed(self) -> None:
        """Tell all who watch that readiness may have changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """Be ready no more, and let all who watch go."""
        self._closed = True
        self.changed()

    def _status(self, service: str) -> HealthCheckResponse:
        if service not in self._known:
            return _UNKNOWN
        return _SERVING if self._ready() and not self._closed else _NOT_SERVING

    async def _check(self, request: HealthCheckRequest, context: _Context) -> HealthCheckResponse:
        status = self._status(request.service)
        if status is _UNKNOWN:
            await refuse(context, grpc.StatusCode.NOT_FOUND, f"unknown service {request.service!r:.80}")
        return status

    async def _watch(self, request: HealthCheckRequest, _: _Context) -> AsyncIterator[HealthCheckResponse]:
        """Send the status now and whenever it is another."""
        told: HealthCheckResponse | None = None
        while True:
            changed, status = self._changed, self._status(request.service)
            if status is not told:
                told = status
                yield status
            if self._closed:
                return
            await changed.wait()
