"""An answered inference request, as the access log and the traces see it."""

from typing import NamedTuple
from urllib.parse import unquote


class Record(NamedTuple):
    """What a transport says of an inference request it has answered; headers are as they came.

    Attributes:
        protocol: ``rest`` or ``grpc``.
        method: HTTP method; of gRPC always POST.
        path: as sent, without a query; of gRPC ``/inference.GRPCInferenceService/ModelInfer``.
        status: HTTP status, or the number of gRPC's.
        seconds: from the complete request to its answer.
        rows: rows answered, 0 for an error.
        bytes_in: size of the request's body.
        bytes_out: size of the answer's body.
        client: address it came from, with the port; also in gRPC's form, ``ipv4:…`` or ``ipv6:…``.
        user_agent: that header, or empty.
        prediction_id: of an answer with one row, else empty.
        traceparent: that header or gRPC metadata, or empty.
        tracestate: likewise; several joined by commas.
        track: that answered, if it was not the server's own.
    """

    protocol: str
    method: str | bytes
    path: str | bytes
    status: int
    seconds: float
    rows: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    client: str = ""
    user_agent: str | bytes = b""
    prediction_id: str | bytes = b""
    traceparent: str | bytes = b""
    tracestate: str | bytes = b""
    track: str = ""


def text(value: str | bytes, most: int) -> str:
    """Return at most so many characters of what a client sent."""
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else value)[:most]


def address(client: str) -> str:
    """Return a client as host:port, whatever the form it came in."""
    kind, _, rest = client.partition(":")
    return unquote(rest) if kind in {"ipv4", "ipv6"} else client
