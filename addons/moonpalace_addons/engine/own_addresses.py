"""Check whether an address is loopback, and whether a Host header names this machine."""

import ipaddress
import re
import socket
from functools import lru_cache

HOST_AND_PORT = re.compile(r"(\[[0-9a-f:.]+\]|[^][:,\s]+)(?::[0-9]*)?")
SINGLE_LABEL = re.compile(r"(?![0-9]+$)[^.]+")
"""A name without dots; not a number, which browsers take for an address."""

MAX_HOST_LENGTH = 300
"""Characters of a Host header that is checked: a host name has at most 253."""

PRIVATE_SUFFIXES = (".localhost", ".internal", ".local", ".lan", ".home.arpa")
"""Suffixes of names that cannot be registered publicly, such as host.docker.internal."""


def is_this_machine(address: object) -> bool:
    """Tell whether a socket's address (a tuple that begins with the host) is a loopback address."""
    if not isinstance(address, tuple) or not address:
        return False
    try:
        ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


def is_loopback_name(host: str) -> bool:
    """Tell whether a host, as a URL names it, is a loopback address, without asking DNS."""
    if host.lower().rstrip(".").endswith("localhost"):
        return True
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        try:
            ip = ipaddress.ip_address(socket.inet_aton(host))  # 127.1 and the like
        except OSError:
            return False
    return ip.is_unspecified or is_this_machine((str(ip),))


def is_own_name(host_header: str, names: frozenset[str] = frozenset()) -> bool:
    """Tell whether a Host header may refer to this proxy.

    A page that rebinds its own name to our address (DNS rebinding) sends that name, which is a public one: those are
    refused unless they are in `names`. Addresses and names that cannot be registered cannot be rebound.
    """
    return _is_own_name(host_header, names) if len(host_header) <= MAX_HOST_LENGTH else False


@lru_cache(256)
def _is_own_name(host_header: str, names: frozenset[str]) -> bool:
    match = HOST_AND_PORT.fullmatch(host_header.strip().lower())
    if match is None:
        return False
    name = match[1].removesuffix(".")
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name in names or name.endswith(PRIVATE_SUFFIXES) or SINGLE_LABEL.fullmatch(name) is not None
    return True


def machine_names() -> frozenset[str]:
    """Return the names of this machine on the network; may block on DNS."""
    return frozenset({socket.gethostname().lower(), socket.getfqdn().lower()})
