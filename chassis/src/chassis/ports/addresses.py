"""Addresses, and which of them only this machine reaches."""

import ipaddress


def address_in(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None for a name; for an IPv4-mapped IPv6 address the IPv4 address."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(host: str) -> bool:
    return host == "localhost" if (address := address_in(host)) is None else address.is_loopback
