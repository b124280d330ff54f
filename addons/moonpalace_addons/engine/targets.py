"""Request targets (RFC 9112, section 3.2) and the endpoint."""

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from moonpalace_addons.engine.errors import RequestError
from moonpalace_addons.engine.events import RequestHead

type Via = tuple[str, tuple[str, int]]


class Target(NamedTuple):
    """A server and the outgoing proxy to reach it; the key of the connection pool."""

    scheme: str
    host: str
    port: int
    via: Via | None


def path_of(head: RequestHead) -> bytes:
    """Return the path and query; raise RequestError for a target that a reverse proxy does not serve."""
    target = head.target
    if target.startswith(b"/"):
        return target
    if target == b"*" and head.method == b"OPTIONS":
        return target
    if head.method == b"CONNECT":
        raise RequestError("CONNECT is not supported: this is not a forward proxy", 405)
    return _absolute(head)


def _absolute(head: RequestHead) -> bytes:
    scheme, separator, rest = head.target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise RequestError("the request's target is neither a path nor a URL")
    ends = [at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0]
    authority, path = (rest[: min(ends)], rest[min(ends) :]) if ends else (rest, b"/")
    host = head.named.get(b"host", authority)
    if b"@" in authority or host.lower() != authority.lower():
        raise RequestError("the request's Host and the host in its target differ")
    return path if path.startswith(b"/") else b"/" + path


@lru_cache(64)
def authority_of(scheme: str, host: str, port: int) -> bytes:
    """Return the value of the Host header for a server. Cached, as most calls have the same server."""
    shown = f"[{host}]" if ":" in host else host
    standard = port == (443 if scheme == "https" else 80)
    return (shown if standard else f"{shown}:{port}").encode("idna" if not shown.isascii() else "ascii")


def parse_endpoint(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an endpoint's URL; raise ValueError if it is invalid."""
    parts = urlsplit(url if "://" in url else f"https://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError(f"{url!r} is not the URL of a host such as https://api.moonshot.cn")
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
