"""How a call is refused."""

from typing import Any

import grpc


async def refuse(
    context: grpc.aio.ServicerContext[Any, Any],
    code: grpc.StatusCode,
    details: str,
    metadata: tuple[tuple[str, str], ...] = (),
) -> None:
    """End a call with a status; what its handler returns after that goes nowhere.

    grpcio ends a call by an exception, which the call keeps and grpcio raises once more when the handler returns.  Here
    it gets no further and loses its way so far: that way knows the call's context, and the context the call, so
    together they would wait for the garbage collector.
    """
    try:
        await context.abort(code, details, metadata)
    except grpc.aio.AbortError as abort:
        abort.__traceback__ = abort.__context__ = None
