"""Connect a socket to the first address of a host that answers (Happy Eyeballs, RFC 8305).

asyncio's own implementation fails on Python 3.13.0 with the eager tasks that mitmproxy sets.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain, zip_longest

ATTEMPT_DELAY = 0.25
"""Seconds before the next address is tried in parallel (RFC 8305, section 5)."""

type Address = tuple[socket.AddressFamily, tuple[object, ...]]


async def dial(host: str, port: int, local: tuple[str, int] | None = None) -> socket.socket:
    """Return a connected socket; raise OSError, or an ExceptionGroup with the errors of all addresses."""
    waiting = await addresses(host, port)
    if len(waiting) == 1:  # saves the task
        return await _connect(*waiting[0], local)
    attempts: set[asyncio.Task[socket.socket]] = set()
    errors: list[OSError] = []
    try:
        while waiting or attempts:
            if waiting:
                family, address = waiting.pop(0)
                attempts.add(asyncio.create_task(_connect(family, address, local)))
            done, attempts = await asyncio.wait(
                attempts, timeout=ATTEMPT_DELAY if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                if (error := attempt.exception()) is None:
                    attempts |= done - {attempt}  # another may have connected at the same time
                    return attempt.result()
                if not isinstance(error, OSError):
                    raise error
                errors.append(error)
    finally:
        await _cancel(attempts)
    raise errors[0] if len(errors) == 1 else ExceptionGroup(f"no address of {host} answers", errors)


async def addresses(host: str, port: int) -> list[Address]:
    """Return the addresses of a host in the order of attempts; names are resolved in a thread."""
    if known := numeric(host, port):
        return list(known)
    infos = await asyncio.to_thread(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    return interleave((family, address) for family, _, _, _, address in infos)


@lru_cache(64)
def numeric(host: str, port: int) -> tuple[Address, ...]:
    """Return the address of a host given as an IP address, nothing for a name."""
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return ()
    return tuple((family, address) for family, _, _, _, address in infos)


async def _connect(
    family: socket.AddressFamily, address: tuple[object, ...], local: tuple[str, int] | None
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if local is not None:
            sock.bind(local)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _cancel(attempts: set[asyncio.Task[socket.socket]]) -> None:
    """Cancel attempts, and close sockets that they have connected anyway."""
    for attempt in attempts:
        attempt.cancel()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            (await attempt).close()


def interleave(found: Iterable[Address]) -> list[Address]:
    """Return unique addresses with alternating families, starting with that of the first."""
    every = list(dict.fromkeys(found))
    first = [each for each in every if each[0] == every[0][0]]
    others = [each for each in every if each[0] != every[0][0]]
    return [each for each in chain.from_iterable(zip_longest(first, others)) if each is not None]
