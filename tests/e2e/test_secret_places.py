"""A key in every possible place of a call: none is stored, and the search finds those inserted into the store."""

import base64
import gzip
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import exchanges, idempotency
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.upkeep.secret_search import search
from moonpalace_addons.store.write import derive
from moonpalace_cli.export.formats import FORMATS
from tests.carried import carry
from tests.e2e.launching import Launcher, Proxy
from tests.e2e.secret_places import EVENTS, PLACES, Place, secrets_of
from tests.e2e.test_secrets import Trace
from tests.socket_server import SocketServer, read_request

CODING = ["Content-Encoding: gzip"]
PICKY = ("openai-batch", "dataset", "events", "report")
"""The formats that do not fit some calls, or any: an error is expected."""
NUMBERED = list(enumerate(PLACES))


def text_of(number: int, text: str) -> str:
    """Return a text with the secrets of a place."""
    return PLACES[number].filled(text, *secrets_of(number))


def answer_of(number: int) -> list[bytes]:
    """Return the pieces of an answer."""
    place = PLACES[number]
    return [piece.encode() for piece in place.pieces(text_of(number, place.answer))]


def sent(place: Place, pieces: list[bytes]) -> list[bytes]:
    """Return the bytes of a body on the wire."""
    return [gzip.compress(b"".join(pieces), mtime=0)] if place.packed else pieces


class Upstream(SocketServer):
    """Answer each request as the place in it requires, and close the connection."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def serve(self, connection: socket.socket) -> None:
        """Answer one call."""
        number = int(read_request(connection)[1]["x-place"])
        self.seen.add(number)
        place, pieces = PLACES[number], sent(PLACES[number], answer_of(number))
        head = [f"HTTP/1.1 {text_of(number, place.status)}", *(text_of(number, line) for line in place.answer_headers)]
        head += CODING if place.packed else []
        head += ["Connection: close", f"Content-Length: {sum(map(len, pieces))}", "", ""]
        connection.sendall("\r\n".join(head).encode())
        for piece in pieces:
            connection.sendall(piece)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Give a running upstream."""
    with Upstream() as running:
        yield running


def ask(proxy: Proxy, number: int, place: Place) -> bytes:
    """Make the call of a place; return the whole answer."""
    host, port = proxy.url.removeprefix("http://").split(":")
    (body,) = sent(place, [text_of(number, place.body).encode()])
    lines = [f"{place.method} {text_of(number, place.target)} HTTP/1.1", f"Host: {host}:{port}", f"X-Place: {number}"]
    lines += CODING if place.packed else []
    lines += [f"Content-Length: {len(body)}", *(text_of(number, line) for line in place.headers)]
    with socket.create_connection((host, int(port)), 30) as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)
        with connection.makefile("rb") as stream:
            return stream.read()


def spellings(number: int) -> list[bytes]:
    """Return the strings that must not occur: the secrets of a place, and their possible transformations."""
    key, word = secrets_of(number)
    encoded = [base64.b64encode(f"{before}{key}".encode()).decode()[4:-4] for before in ("", "me:")]
    return [text.encode() for text in (key[:20], key[-16:], word, key.replace("-", "\\u002d"), *encoded)]


def test_no_key_is_kept_in_any_place(launch: Launcher, upstream: Upstream) -> None:
    """Clients get upstream's answer byte for byte; what is stored, logged and exported contains none of the keys."""
    trace, port = Trace(), upstream.port
    with launch.start(endpoint=f"http://127.0.0.1:{port}") as proxy:
        for number, place in NUMBERED:
            said = ask(proxy, number, place)
            assert said.endswith(b"".join(sent(place, answer_of(number)))), (place.name, said)
        assert upstream.seen == set(range(len(PLACES)))
        rows = proxy.rows(len(PLACES))
        trace.collect(proxy, "while it runs")
        export = ("export", "--all", "--allow-secrets", "--no-redact", "--format")
        printing: list[tuple[str, ...]] = [(*export, name) for name in FORMATS if name not in PICKY]
        printing += [("export", "--all", "--report", "--no-redact", "--allow-secrets")]
        commands: list[tuple[str, ...]] = [("list", "-v", "-n", "1000"), *printing]
        commands += [("inspect", "--id", str(row.id), "--print-request", "--print-response") for row in rows[::4]]
        trace.texts["output of mpal"] = proxy.mpal_all(commands)
        for name in PICKY[:2]:
            done = proxy.mpal(*export, name)
            trace.texts[name] = done.stdout + done.stderr
        hits = [(PLACES[number_of(rows, hit.call)].name, hit) for hit in search(proxy.engine)]
        for row in rows:
            bodies = proxy.bodies(row)
            kept = (bodies.request, bodies.response, bodies.event_stream)
            trace.texts[f"row {row.id}"] = repr(row).encode() + b"".join(body or b"" for body in kept)
    trace.collect(proxy, "after the end")
    assert hits == []
    found = [
        f"{place.name}: {spelling.decode()} in {name}"
        for number, place in NUMBERED
        for spelling in spellings(number)
        for name, text in trace.texts.items()
        if spelling in text
    ]
    assert found == []


def number_of(rows: list[Exchange], call: int | None) -> int:
    """Return the number of the place to which a row belongs."""
    headers = next(row.request_headers for row in rows if row.id == call)
    return int(headers.partition("X-Place: ")[2].partition("\r\n")[0])


def put_by_hand(engine: Engine, number: int, place: Place) -> int:
    """Store a call without redaction; return its number."""
    path, _, query = text_of(number, place.target).partition("?")
    headers = {
        "request_headers": "".join(f"{text_of(number, line)}\r\n" for line in place.headers),
        "response_headers": "".join(f"{text_of(number, line)}\r\n" for line in place.answer_headers),
    }
    said = {"method": place.method, "path": path, "query": query, "endpoint": "x", "state": "completed", "overhead": 0}
    columns: dict[str, Any] = (
        derive.EMPTY | said | headers | {"uuid": f"u{number}", "run_id": "r", "started_at": number}
    )
    columns |= {"is_stream": False, "is_coerced": False, "request_bytes": 0}
    answer = b"".join(answer_of(number))
    with writing(engine) as connection:
        (call,) = exchanges.insert_exchanges(connection, [columns]).values()
        is_stream = EVENTS in place.answer_headers
        events, body = (answer, None) if is_stream else (None, answer)
        carry(connection, call, request=text_of(number, place.body).encode(), stream=events, response=body)
    return call


def test_the_search_finds_a_key_in_every_place(tmp_path: Path) -> None:
    """`mpal doctor --secrets` searches for all secrets that redaction removes."""
    engine = open_store(f"sqlite:///{tmp_path / 'calls.sqlite'}", create=True)
    with writing(engine) as connection:
        idempotency.ensure_run(connection, {"id": "r", "host": "h", "pid": 1, "version": "0"})
    calls = {put_by_hand(engine, number, place): place.name for number, place in NUMBERED}
    missed = calls.keys() - {hit.call for hit in search(engine)}
    assert [calls[call] for call in missed] == []
    engine.dispose()


def test_the_table_is_long_enough() -> None:
    """Headers, queries, paths and bodies, of requests and answers, are all covered."""
    assert len(PLACES) >= 60
    for word in ("request header", "answer header", "query", "path", "request body", "answer,", "stream,", "WebSocket"):
        assert any(place.name.startswith(word) for place in PLACES)
