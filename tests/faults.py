"""Load for proxies that will be disturbed, and the check that their store has everything that clients got."""

import asyncio
import itertools
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import Engine

from moonpalace_addons.store.records import contents, exchanges
from moonpalace_addons.store.tasks import State

KEY = "sk-faults-0123456789"
STOPPED = 503
PRESSURES = [Path("/proc/pressure", name) for name in ("cpu", "io", "memory")]
WORDS = "the moon palace is cold and the osmanthus blooms " * 4


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer that a client got: the bytes of the body, and their time (seconds of the monotonic clock).

    `stalled` are the seconds for which processes of this machine may have waited by then.
    """

    status: int
    body: bytes
    at: float
    stalled: float


def stalled() -> float:
    """Return the seconds for which a process may have waited for a processor, a disk or memory since the boot.

    The system gives a mean of its processors, weighted by their work: on one of them it may have been as long as on all
    together. 0 if the system does not have these figures.
    """
    try:
        totals = [path.read_text().split("total=")[1].split()[0] for path in PRESSURES]
    except (OSError, LookupError):
        return 0.0
    return sum(map(int, totals)) / 1e6 * (os.cpu_count() or 1)


@dataclass(slots=True)
class Got:
    """The data of an answer so far; `is_whole` once its end has been read."""

    status: int | None = None
    body: bytes = b""
    is_whole: bool = False


@dataclass
class Load:
    """Clients that call without a pause, half of them for streams, until they are stopped or lose the proxy.

    `answers` are the complete ones, by the `X-Request-Id` of the call; `broken` is the number of calls without one.
    """

    url: str
    clients: int = 20
    name: str = "load"
    pause: float = 0.0
    answers: dict[str, Answer] = field(default_factory=dict)
    broken: int = 0

    def __post_init__(self) -> None:
        """Start."""
        self._numbers = itertools.count()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the calls in progress end, and stop."""
        self._stopping.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    async def _run(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(self.clients)))

    async def _client(self) -> None:
        address = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1 << 22)
        try:
            while not self._stopping.is_set():
                await self._call(reader, writer, next(self._numbers))
                await asyncio.sleep(self.pause)
        except (OSError, asyncio.IncompleteReadError):
            self.broken += 1
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        name = f"{self.name}-{number}"
        messages = [{"role": "user", "content": f"{name} {WORDS}"}]
        body = json.dumps({"model": "mock-echo", "stream": number % 2 == 0, "messages": messages}).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
            f"X-Request-Id: {name}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        got = Got()
        await read_answer(reader, got)
        waited = stalled()  # first: a wait between these two lines counts for neither
        self.answers[name] = Answer(got.status or 0, got.body, time.monotonic(), waited)


@dataclass
class Lasting:
    """Clients whose calls take a given time, and which continue beyond the end of the proxy.

    `got` is the data of each call, by its `X-Request-Id`. `delays` are the seconds between events, `events` their
    number; for calls without a stream, the seconds before the answer. A client stops when it is refused.
    """

    url: str
    clients: int
    delay: float
    events: int
    name: str = "lasting"
    got: dict[str, Got] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until all are refused."""
        self._thread.join(60)
        assert not self._thread.is_alive()

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self.clients)))

    async def _client(self, number: int) -> None:
        address = urlsplit(self.url)
        for turn in itertools.count():
            with suppress(asyncio.IncompleteReadError, ConnectionResetError, BrokenPipeError):
                try:
                    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1 << 22)
                except ConnectionRefusedError:
                    return
                try:
                    for call in itertools.count():
                        await self._call(reader, writer, f"{self.name}-{number}-{turn}-{call}", stream=number % 3 != 0)
                finally:
                    writer.close()

    async def _call(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str, *, stream: bool
    ) -> None:
        got = self.got[name] = Got()
        model = "mock-repeat" if stream else "mock-slow-headers"
        body = json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": name}]}).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
            f"X-Mock-Delay: {self.delay}\r\nX-Mock-Events: {self.events}\r\n"
            f"X-Request-Id: {name}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await read_answer(reader, got)


async def read_answer(reader: asyncio.StreamReader, got: Got) -> None:
    """Read an HTTP/1.1 response, chunked or not, into `got`, until it ends or breaks off."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    got.status = int(head.split()[1])
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    if headers.get("transfer-encoding") != "chunked":
        got.body = await reader.readexactly(int(headers["content-length"]))
        got.is_whole = True
        return
    while size := int(await reader.readuntil(b"\r\n"), 16):
        try:
            got.body += (await reader.readexactly(size + 2))[:size]
        except asyncio.IncompleteReadError as cut:
            got.body += cut.partial[:size]
            raise
    await reader.readexactly(2)
    got.is_whole = True


def assert_stored(engine: Engine, answers: dict[str, Answer]) -> None:
    """Check that each of these answers is in the store, once and byte for byte, and that no call is stored twice."""
    rows = exchanges.latest(engine, limit=None)
    counts = Counter(row.client_request_id for row in rows)
    assert [name for name, count in counts.items() if count > 1] == []
    by_name = {row.client_request_id: row for row in rows}
    assert sorted(answers.keys() - by_name.keys()) == []
    unfinished = {name: by_name[name].state for name in answers if by_name[name].state is not State.COMPLETED}
    assert unfinished == {}
    for name, answer in answers.items():
        row = by_name[name]
        kept = contents.bodies(engine, row.id)
        assert row.status_code == answer.status
        assert (kept.event_stream or kept.response) == answer.body
        assert name.encode() in (kept.request or b"")


def assert_told(engine: Engine, got: dict[str, Got]) -> Counter[str]:
    """Check that the rows after a stop equal each client's data, byte for byte; count the calls by their ends."""
    rows = {row.client_request_id: row for row in exchanges.latest(engine, limit=None)}
    assert rows.keys() <= got.keys()
    ends = Counter[str]()
    for name, seen in got.items():
        row = rows.get(name)
        if row is None:
            assert seen == Got()  # it never was read
            ends["unread"] += 1
            continue
        kept = contents.bodies(engine, row.id)
        if seen.is_whole and seen.status == STOPPED:
            assert (row.state, json.loads(seen.body)["error"]["type"]) == (State.PROXY_DIED, row.error_kind)
            ends["refused"] += 1
        elif seen.is_whole:
            assert (row.state, row.status_code) == (State.COMPLETED, seen.status), (name, row.state, seen)
            assert (kept.event_stream or kept.response) == seen.body, (name, seen, kept)
            ends["whole"] += 1
        else:
            # One that lacks nothing but the end of its transfer has had its answer.
            last = (kept.event_stream or b"").rpartition(b"data: ")[2]
            is_told = last == b"[DONE]\n\n" or (b'"usage"' in last and last.endswith(b"\n\n"))
            expected = (State.COMPLETED, None) if is_told else (State.PROXY_DIED, "proxy_stopped")
            assert (row.state, row.error_kind) == expected, (name, row.state, row.error_kind, seen, kept)
            assert (kept.event_stream or b"") == seen.body, (name, seen, kept)
            ends["told" if is_told else "cut"] += 1
    return ends


def all_over(engine: Engine, names: Iterable[str]) -> bool:
    """Return whether all these calls have ended in the store."""
    rows = exchanges.latest(engine, limit=None)
    return set(names) <= {row.client_request_id for row in rows if row.state is not State.IN_FLIGHT}
