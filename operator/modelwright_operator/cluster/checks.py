"""Reading the numbers that checks are about, from Prometheus and from Services: little, soon, and from nowhere else.

Queries and hooks come from custom resources, so whoever may write these makes the operator send requests. What
keeps it from being their proxy:

- a query goes to the one Prometheus of the operator's settings, a hook to a Service in the namespace of the object
  that asks;
- a Service that leads elsewhere (an alias of another name, an address of this pod, of this node's link or of a metadata
  service) is refused once its name has been resolved, and the connection goes to the address that was looked at;
- GET only, no credentials, no cookies, no redirects, no proxies of the environment;
- 5 seconds and 64 KiB, and what was answered is never shown: only the number in it.

Whatever goes wrong is a reading, too: nothing is raised.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING, Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from modelwright_operator.decide.checks import (
    Reading,
    filled,
    from_hook,
    from_prometheus,
    invalid,
    printable,
    unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from modelwright_operator import api

SECONDS: Final = 5.0
"""A request that takes longer is given up, from the look-up of the name to the last byte."""
BYTES: Final = 65_536
"""A longer answer is given up."""
_AT_ONCE: Final = 8

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def outside(address: Address) -> bool:
    """Return whether no Service can have this address: this pod, this link (metadata services), or nobody.

    >>> [outside(ipaddress.ip_address(text)) for text in ("10.96.0.7", "127.0.0.1", "169.254.169.254", "::1")]
    [False, True, True, True]
    """
    inner = getattr(address, "ipv4_mapped", None)
    if inner is not None:
        return outside(inner)
    return address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified


class CheckClient:
    """Reads checks; an asynchronous context manager."""

    def __init__(self, prometheus_url: str = "", resolver: AbstractResolver | None = None) -> None:
        """Open nothing yet.

        Args:
            prometheus_url: of the operator's settings; `{namespace}` in it stands for the namespace of the object that
                asks, for a proxy that keeps tenants apart. Empty: queries are refused.
            resolver: of the names of Services, instead of the system's.
        """
        self._prometheus_url = prometheus_url
        self._resolver = resolver
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def __aenter__(self) -> Self:
        self._services = _session(self._resolver or ServiceResolver())
        self._prometheus = _session(None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._services.close()
        await self._prometheus.close()

    async def read(self, check: api.Check, names: Mapping[str, str]) -> Reading:
        """Return what a check's number is now.

        Args:
            check: whose source is read.
            names: `namespace` of the object that asks, and the others that may stand in queries and paths.
        """
        async with self._slots:
            if check.hook is not None:
                return await self._called(check, check.hook, names)
            if check.prometheus is not None:
                return await self._queried(check, check.prometheus, names)
            return invalid(f"check {check.name} says neither prometheus nor hook")

    async def _queried(self, check: api.Check, source: api.PrometheusQuery, names: Mapping[str, str]) -> Reading:
        if not self._prometheus_url:
            return invalid(
                f"check {check.name} asks Prometheus, and the operator's settings name none: set prometheus.url in the "
                "chart's values, or use a hook"
            )
        base = URL(self._prometheus_url.replace("{namespace}", names["namespace"]))
        url = base.joinpath("api/v1/query").with_query(base.query).update_query(query=filled(source.query, names))
        answer = await _answer(self._prometheus, url, f"Prometheus, for check {check.name},")
        return answer if isinstance(answer, Reading) else from_prometheus(check, *answer)

    async def _called(self, check: api.Check, hook: api.Hook, names: Mapping[str, str]) -> Reading:
        host = f"{hook.service}.{names['namespace']}.svc"
        url = URL.build(scheme="http", host=host, port=hook.port, path=filled(hook.path, names))
        answer = await _answer(self._services, url, f"the hook of {check.name} at {host}:{hook.port}")
        return answer if isinstance(answer, Reading) else from_hook(check, *answer)


class ServiceResolver(AbstractResolver):
    """The system's resolver, for names of Services only: it refuses aliases and addresses no Service has."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a Service.

        Raises:
            OSError: there are none, or not all of them are a Service's.
        """
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME
        )
        vetted(host, [(item[3], str(item[4][0])) for item in found])
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Keep nothing open."""


def vetted(host: str, found: list[tuple[str, str]]) -> None:
    """Check what a name was resolved to.

    Args:
        host: `<service>.<namespace>.svc`.
        found: canonical name (or none) and address of each.

    Raises:
        OSError: an alias of another name (an ExternalName Service), or an address that no Service has.
    """
    for canonical, address in found:
        if canonical and canonical.rstrip(".") != host and not canonical.startswith(f"{host}."):
            message = f"{host} is only another name of {canonical}: the Service must have pods of its own"
            raise OSError(message)
        if outside(ipaddress.ip_address(address.partition("%")[0])):
            message = f"{host} has the address {address}, which no Service may have"
            raise OSError(message)


def _session(resolver: AbstractResolver | None) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=resolver, limit=_AT_ONCE, use_dns_cache=False, force_close=True),
        timeout=aiohttp.ClientTimeout(total=SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "modelwright-operator"},
        auto_decompress=False,
    )


async def _answer(session: aiohttp.ClientSession, url: URL, who: str) -> tuple[int, bytes] | Reading:
    """Return status and body of an answer, or the reading of what went wrong."""
    try:
        async with session.get(url, allow_redirects=False) as response:
            body = b""
            while chunk := await response.content.read(BYTES + 1 - len(body)):
                body += chunk
                if len(body) > BYTES:
                    return unavailable(f"{who} answered more than {BYTES} bytes")
            return response.status, body
    except TimeoutError:
        return unavailable(f"{who} did not answer within {SECONDS:g} s")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # A connector's error hides the system's, which says more.
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        return unavailable(f"{who} cannot be asked: {printable(str(cause)) or type(error).__name__}")
