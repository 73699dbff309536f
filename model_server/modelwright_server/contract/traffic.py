"""The traffic table: which share of a Deployment's requests its stable pods give to the canary.

One meaning from the Deployment's ``status.traffic``, where the operator writes it, by way of the sidecar, which
replaces `FILE` in the control folder, to the server, which acts on it.  `Table.from_json` is strict in what it knows:
a value out of bounds is refused with its name, and whoever reads keeps the table it had.  Members it does not know are
passed over, since pods live on while operators are replaced by newer ones.  Standard library only.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar, cast

FILE = "traffic.json"
FORMAT = 1
MAX_BYTES = 64 << 10  # of the file; a table takes less than 2 KiB

REVISION = re.compile(r"[0-9a-f]{10}")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")  # RFC 9110, a token
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]{0,254}[!-~])?")
_VERSION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
# Headers that say how a message is framed or who forwarded it: they choose no track.
RESERVED_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "inference-header-content-length",
        "keep-alive",
        "modelwright-forwarded",
        "modelwright-track",
        "modelwright-version",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_UNDERLINED = re.compile(r"_([a-z])")
MAX_PORT = 65535
MAX_SEQUENCE = 2**53
MAX_TIMEOUT_MILLISECONDS = 600_000

IN_SERVER, GATEWAY_API = "InServer", "GatewayAPI"
MODES = (IN_SERVER, GATEWAY_API)

_V = TypeVar("_V")


class TableError(ValueError):
    """This is no traffic table; the text names the member and what it must be."""

    def __init__(self, *, problem: str) -> None:
        super().__init__(problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stable:
    """The track that clients reach.

    Attributes:
        revision: ten hex digits; only its pods route.
        version: name of its ModelVersion.
    """

    revision: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """The track on trial.

    Attributes:
        revision: ten hex digits.
        version: name of its ModelVersion.
        host: name or address of its Service.
        rest_port: the Service's port for REST.
        grpc_port: the Service's port for gRPC.
    """

    revision: str
    version: str
    host: str
    rest_port: int
    grpc_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Requests with this header always go to the canary; they say nothing of the others, and no verdict counts them.

    Attributes:
        header: its name, in any case.
        value: its value, exactly.
    """

    header: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Where requests go; its document has the same names in camelCase.

    Attributes:
        stable: the track that answers whatever goes nowhere else.
        canary: the track on trial, None for none.
        sequence: grows with each step of each rollout; with the canary's revision the key of the evidence.
        weight: whole percent of requests forwarded to the canary.
        shadow_percent: whole percent of requests copied to the canary once they are answered.
        match: requests that always go to the canary, while it gets any traffic.
        sticky_header: header whose value decides instead of chance, so that one value stays on one track.
        canary_timeout_milliseconds: after so long without an answer, stable answers.
        latency_threshold_milliseconds: an answer that takes longer is slow; None if none is.
        mode: who spreads the requests: the stable pods (`IN_SERVER`), or a gateway before both tracks (`GATEWAY_API`).
            Then weight and shadow_percent are 0, and the pods of each track count what they answer.
    """

    stable: Stable
    canary: Canary | None = None
    sequence: int = 0
    weight: int = 0
    shadow_percent: int = 0
    match: Match | None = None
    sticky_header: str | None = None
    canary_timeout_milliseconds: int = 1000
    latency_threshold_milliseconds: int | None = None
    mode: str = IN_SERVER

    @classmethod
    def from_json(cls, document: bytes | Mapping[str, Any]) -> "Table":
        """Read a table: the file's bytes, or ``status.traffic`` as the API server gives it (null members absent).

        Raises:
            TableError: it is none.
        """
        members = _Members("", _parsed(document) if isinstance(document, bytes) else document)
        members.whole("format", FORMAT, FORMAT, FORMAT)
        table = cls(
            stable=_stable(members.object("stable")),
            canary=members.optional("canary", lambda: _canary(members.object("canary"))),
            sequence=members.whole("sequence", 0, MAX_SEQUENCE, 0),
            weight=members.whole("weight", 0, 100, 0),
            shadow_percent=members.whole("shadowPercent", 0, 100, 0),
            match=members.optional("match", lambda: _match(members.object("match"))),
            sticky_header=members.optional("stickyHeader", lambda: members.header("stickyHeader")),
            canary_timeout_milliseconds=members.whole("canaryTimeoutMilliseconds", 1, MAX_TIMEOUT_MILLISECONDS, 1000),
            latency_threshold_milliseconds=members.optional(
                "latencyThresholdMilliseconds",
                lambda: members.whole("latencyThresholdMilliseconds", 1, MAX_TIMEOUT_MILLISECONDS),
            ),
            mode=members.optional("mode", lambda: members.one_of("mode", MODES)) or IN_SERVER,
        )
        if table.mode == GATEWAY_API and (table.weight or table.shadow_percent):
            raise TableError(problem="weight and shadowPercent must be 0 where a gateway spreads the requests")
        if table.canary is None and (table.weight or table.shadow_percent):
            raise TableError(problem="weight and shadowPercent must be 0 where there is no canary")
        if table.canary is not None and table.canary.revision == table.stable.revision:
            raise TableError(problem="canary.revision must not be stable's")
        return table

    def to_document(self) -> dict[str, Any]:
        """Return the members as they go into ``status.traffic``, null ones left out."""
        return _document(asdict(self))

    def to_json(self) -> bytes:
        """Return the file's bytes; ``from_json(to_json(table)) == table``."""
        return json.dumps({"format": FORMAT, **self.to_document()}, separators=(",", ":")).encode() + b"\n"


class _Members:
    """The members of an object in the document, each of them checked when it is read."""

    def __init__(self, path: str, members: Mapping[str, Any]) -> None:
        self._path = path
        self._members = members

    def object(self, name: str) -> "_Members":
        """Return a member that is an object."""
        value = self._members.get(name)
        if not isinstance(value, Mapping):
            raise TableError(problem=f"{self._path}{name} must be an object, is {value!r:.80}")
        return _Members(f"{self._path}{name}.", cast("Mapping[str, Any]", value))

    def optional(self, name: str, read: Callable[[], _V]) -> _V | None:
        """Return a member that may be null or absent."""
        return None if self._members.get(name) is None else read()

    def whole(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """Return a whole number in [low, high]."""
        value = self._members.get(name, default)
        if type(value) is not int or not low <= value <= high:
            must = f"must be {low}" if low == high else f"must be a whole number from {low} to {high}"
            raise TableError(problem=f"{self._path}{name} {must}, is {value!r:.80}")
        return value

    def text(self, name: str, pattern: re.Pattern[str], kind: str) -> str:
        """Return a text of a kind."""
        value = self._members.get(name)
        if type(value) is not str or not pattern.fullmatch(value):
            raise TableError(problem=f"{self._path}{name} must be {kind}, is {value!r:.80}")
        return value

    def one_of(self, name: str, known: tuple[str, ...]) -> str:
        """Return one of some known texts."""
        value = self._members.get(name)
        if value not in known:
            raise TableError(problem=f"{self._path}{name} must be one of {', '.join(known)}, is {value!r:.80}")
        return str(value)

    def header(self, name: str) -> str:
        """Return the name of a header that may choose a track."""
        value = self.text(name, HEADER_NAME, "the name of a header, at most 128 characters")
        if value.lower() in RESERVED_HEADERS:
            raise TableError(problem=f"{self._path}{name} must not be {value!r}, which says how a message travels")
        return value


def _parsed(data: bytes) -> Mapping[str, Any]:
    if len(data) > MAX_BYTES:
        raise TableError(problem=f"the table has {len(data)} bytes, more than {MAX_BYTES}")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise TableError(problem=f"the table is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise TableError(problem="the table must be a JSON object")
    return cast("dict[str, Any]", document)


def _stable(members: _Members) -> Stable:
    return Stable(
        revision=members.text("revision", REVISION, "ten hex digits"),
        version=members.text("version", _VERSION, "the name of a ModelVersion"),
    )


def _canary(members: _Members) -> Canary:
    return Canary(
        revision=members.text("revision", REVISION, "ten hex digits"),
        version=members.text("version", _VERSION, "the name of a ModelVersion"),
        host=members.text("host", _HOST, "the name of a Service, or an IPv4 address"),
        rest_port=members.whole("restPort", 1, MAX_PORT),
        grpc_port=members.whole("grpcPort", 1, MAX_PORT),
    )


def _match(members: _Members) -> Match:
    return Match(
        header=members.header("header"),
        value=members.text("value", _HEADER_VALUE, "1 to 256 printable characters, no space at either end"),
    )


def _document(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        _UNDERLINED.sub(lambda found: found[1].upper(), name): _document(value) if isinstance(value, dict) else value  # pyright: ignore[reportUnknownArgumentType]
        for name, value in attributes.items()
        if value is not None
    }
