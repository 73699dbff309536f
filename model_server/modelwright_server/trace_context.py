"""The W3C Trace Context headers (https://www.w3.org/TR/trace-context/), parsed.

Whatever does not keep to the specification is ignored as a whole, as that asks: a request never
fails for its headers.  Pure; standard library only.
"""

import re
from dataclasses import dataclass

_SAMPLED = 1
_MAX_MEMBERS = 32
_MAX_STATE = 8192  # far above the 512 characters that everyone has to pass on
# version 00 is exactly this; a later one may have more behind another dash
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?", re.ASCII)
_KEY = r"[a-z][_0-9a-z\-*/]{0,255}|[a-z0-9][_0-9a-z\-*/]{0,240}@[a-z][_0-9a-z\-*/]{0,13}"
_MEMBER = re.compile(rf"(?P<key>{_KEY})=(?P<value>[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e])")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where in which trace a request comes from.

    Attributes:
        trace_id: 32 lower-case hexadecimal digits, not all zero.
        parent_id: the caller's span, 16 such digits, not all zero.
        flags: from 0 to 255.
        state: members of ``tracestate``, in their order.
    """

    trace_id: str
    parent_id: str
    flags: int
    state: tuple[tuple[str, str], ...] = ()

    @property
    def sampled(self) -> bool:
        """Whether the caller may have recorded its span."""
        return bool(self.flags & _SAMPLED)

    def traceparent(self) -> str:
        """Return the header, in version 00."""
        return f"00-{self.trace_id}-{self.parent_id}-{self.flags:02x}"

    def tracestate(self) -> str:
        """Return the header, empty if there is nothing to say."""
        return ",".join(f"{key}={value}" for key, value in self.state)


def parse(traceparent: str | bytes, tracestate: str | bytes = "") -> TraceContext | None:
    """Return what the headers say; several ``tracestate`` headers come joined by commas.

    Returns:
        None for a ``traceparent`` that is not valid; without a state for a ``tracestate`` that is not.
    """
    found = _PARENT.fullmatch(_text(traceparent).strip(" \t"))
    if found is None:
        return None
    version, trace_id, parent_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    if not (trace_id.strip("0") and parent_id.strip("0")):
        return None
    known = int(flags, 16) if version == "00" else int(flags, 16) & _SAMPLED
    return TraceContext(trace_id, parent_id, known, _state(_text(tracestate)))


def _state(header: str) -> tuple[tuple[str, str], ...]:
    """Return the members of a ``tracestate``, none if any is wrong."""
    members: dict[str, str] = {}
    parts = [part.strip(" \t") for part in header.split(",")] if len(header) <= _MAX_STATE else [""]
    for part in filter(None, parts):
        member = _MEMBER.fullmatch(part)
        if member is None or member["key"] in members:
            return ()
        members[member["key"]] = member["value"]
    return tuple(members.items()) if len(members) <= _MAX_MEMBERS else ()


def _text(header: str | bytes) -> str:
    return header.decode("latin-1") if isinstance(header, bytes) else header
