"""Find the outgoing proxy in the standard variables HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY."""

import ipaddress
import re
from collections.abc import Mapping

from moonpalace_addons.settings.kinds import DEFAULT_PORTS, is_loopback, parse_url


def environment_proxy(endpoint: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the variable and its value that name the proxy for `endpoint`, or None.

    As in Go, a loopback endpoint has no proxy.
    """
    url = parse_url(endpoint, "https")
    port = url.port or DEFAULT_PORTS[url.scheme]
    if is_loopback(url.host) or _excepted(url.host, port, environ.get("no_proxy") or environ.get("NO_PROXY") or ""):
        return None
    for lower in (f"{url.scheme}_proxy", "all_proxy"):
        for name in (lower, lower.upper()):
            if environ.get(name):
                return name, environ[name]
    return None


def _excepted(host: str, port: str, exceptions: str) -> bool:
    """Tell whether NO_PROXY matches the host.

    Its entries are `*`, a domain (with its subdomains), an address or a network, each optionally with a port.
    """
    for entry in exceptions.lower().replace(",", " ").split():
        match = re.fullmatch(r"(\[.*\]|[^:]*)(?::([0-9]+))?", entry)
        name, only = (match[1].strip("[]"), match[2]) if match else (entry, None)
        if only not in (None, port):
            continue
        domain = name.removeprefix("*").removeprefix(".")
        if name == "*" or (domain and f".{host}".endswith(f".{domain}")) or _in_network(host, name):
            return True
    return False


def _in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
