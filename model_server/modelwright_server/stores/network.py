"""Which network addresses a store may have.

Whoever writes a custom resource chooses what the pod connects to, and a web server chooses where it redirects to.
Addresses by which a cloud hands out its nodes' credentials are refused in any case, and a redirect may lead to another
host only if that is public.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from modelwright_server.stores.errors import StoreAddressError, StoreUnavailableError

_METADATA = frozenset(
    map(
        ip_address,
        # most clouds, twice AWS over IPv6, Alibaba, Oracle, Azure's wire server
        ("169.254.169.254", "fd00:ec2::254", "fd00:ec2::23", "100.100.100.200", "192.0.0.192", "168.63.129.16"),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


def resolve(host: str, port: int, *, redirected: bool) -> str:
    """Return an address of ``host`` to connect to, after all that it has were found allowed.

    Connect to the address returned, not to the name: that could have another one a moment later.

    Raises:
        StoreAddressError: it has an address that is refused.
        StoreUnavailableError: the name has no address now.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        message = f"the host {host!r} cannot be found ({error})"
        raise StoreUnavailableError(message) from error
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if why := refusal(address, redirected=redirected):
            message = f"the host {host!r} has the address {address}, {why}"
            raise StoreAddressError(message)
    return addresses[0]


def refusal(address: str, *, redirected: bool) -> str | None:
    """Return why an address is refused, or None.

    >>> refusal("169.254.169.254", redirected=False)
    'by which a cloud hands out credentials'
    >>> refusal("10.0.0.1", redirected=False), refusal("10.0.0.1", redirected=True)
    (None, 'which is not public: a redirect may not lead there')
    """
    parsed = _plain(ip_address(address.partition("%")[0]))
    if parsed in _METADATA:
        return "by which a cloud hands out credentials"
    if parsed.is_link_local:
        return "which is link-local"
    if parsed.is_multicast or parsed.is_unspecified or (parsed.is_reserved and isinstance(parsed, IPv4Address)):
        return "which is no host's"
    if redirected and not parsed.is_global:
        return "which is not public: a redirect may not lead there"
    return None


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
