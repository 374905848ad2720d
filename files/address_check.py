"""Keeps requests to addresses that others choose away from this machine and its private networks.

The check is made on the address of the socket that is about to connect, so that a name that resolves
differently a moment later (DNS rebinding) makes no difference.
"""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

# All of the public IPv6 internet.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# An IPv6 address that a translator on the way turns into the IPv4 address in its last four bytes (RFC 6052).
_TRANSLATED = IPv6Network("64:ff9b::/96")

# What getaddrinfo returns: family, kind, protocol, canonical name, address.
AddressInfo = tuple[int, int, int, str, Sequence[Any]]


class AddressNotAllowed(OSError):
    """The address is not a public one. An OSError, since that is what HTTP clients expect of a socket."""

    def __init__(self) -> None:
        super().__init__("the address is not a public one")


def is_public(address: str) -> bool:
    """Whether an IP address is outside of every private, local and special network."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(
        inner.is_global and not inner.is_multicast and (inner.version == 4 or inner in _GLOBAL_UNICAST)
        for inner in _with_embedded(parsed)
    )


def public_socket(info: AddressInfo) -> socket.socket:
    """A socket for a public address; aiohttp's `socket_factory`. Raises AddressNotAllowed."""
    family, kind, protocol, _, address = info
    if not is_public(address[0]):
        raise AddressNotAllowed
    return socket.socket(family, kind, protocol)


def _with_embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """The address, or the IPv4 addresses that packets to it can reach instead."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _TRANSLATED:
        return [IPv4Address(address.packed[-4:])]
    embedded = [address.sixtofour, *(address.teredo or ())]
    return [address, *(inner for inner in embedded if inner is not None)]
