"""Tell by which addresses and names this machine is reached: by itself alone, and under which Host."""

import ipaddress
import re
import socket
from functools import lru_cache

HOST_AND_PORT = re.compile(r"(\[[0-9a-f:.]+\]|[^][:,\s]+)(?::[0-9]*)?")
PLAIN_NAME = re.compile(r"(?![0-9]+$)[^.]+")
"""A name without dots, but not a number, which is an address to a browser."""

LONGEST_NAME = 300
"""Characters of a Host header that can be meant: a name has 253 at most."""

PRIVATE_ENDINGS = (".localhost", ".internal", ".local", ".lan", ".home.arpa")
"""How names end that nobody can register, such as host.docker.internal."""


def is_this_machine(address: object) -> bool:
    """Tell whether a socket's address (host first) is one that no other machine can have; False if that is unclear."""
    if not isinstance(address, tuple) or not address:
        return False
    try:
        ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


def is_own_name(host_header: str, names: frozenset[str] = frozenset()) -> bool:
    """Tell whether a Host header can be meant for this proxy.

    A page that rebinds its own name to our address names itself in it, and that name is one of the public ones, which
    are refused unless they are among `names`. An address cannot be rebound, nor can a name that nobody can register.
    """
    return _is_own_name(host_header, names) if len(host_header) <= LONGEST_NAME else False


@lru_cache(256)
def _is_own_name(host_header: str, names: frozenset[str]) -> bool:
    match = HOST_AND_PORT.fullmatch(host_header.strip().lower())
    if match is None:
        return False
    name = match[1].removesuffix(".")
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name in names or name.endswith(PRIVATE_ENDINGS) or PLAIN_NAME.fullmatch(name) is not None
    return True


def machine_names() -> frozenset[str]:
    """Return the names by which other machines may know this one; asking for them can wait for the network."""
    return frozenset({socket.gethostname().lower(), socket.getfqdn().lower()})
