"""Addresses of computers: which are this one's own, and who is behind one."""

from __future__ import annotations

import ipaddress


def is_address(name: str) -> bool:
    """Whether it is an address of the internet protocol, and no name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """Whether it is an address of this computer that others cannot reach."""
    return is_address(address) and ipaddress.ip_address(address).is_loopback


def client_at(address: str) -> str:
    """The client behind an address: of IPv6, which hands them out by the billion, the network of 64 bits."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(known, ipaddress.IPv6Address):
        if known.ipv4_mapped is not None:
            return str(known.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(known) >> 64 << 64, 64)))
    return str(known)
