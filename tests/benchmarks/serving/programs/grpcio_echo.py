"""What grpcio itself takes: a fixed answer of the same size to the same call, nothing decoded, on uvloop.

`python grpcio_echo.py PORT ANSWER_BYTES`
"""

import asyncio
import sys
from typing import Any

import grpc
import uvloop

SERVICE, METHOD = "inference.GRPCInferenceService", "ModelInfer"


async def serve(port: int, size: int) -> None:
    """Serve until the process is ended."""
    answer = bytes(size)

    async def infer(_request: bytes, _context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        return answer

    handler: Any = grpc.unary_unary_rpc_method_handler(infer)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})])
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), int(sys.argv[2])))
