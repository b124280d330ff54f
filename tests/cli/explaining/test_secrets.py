"""Tests that no secret of a call reaches the wire, whatever place it has in the call."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import batched
from typing import TYPE_CHECKING

from moonpalace_addons.settings.endpoints import Endpoint
from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records import idempotency
from moonpalace_cli.explaining.asking import Asking
from moonpalace_cli.explaining.prompt import make_prompt
from moonpalace_cli.explaining.record import Subject, make_record
from moonpalace_cli.explaining.target import Target
from tests.e2e.secret_places import PLACES
from tests.e2e.test_secret_places import put_by_hand, spellings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tests.cli.conftest import Store

ANSWER = b'{"choices": [{"message": {"role": "assistant", "content": "so"}, "finish_reason": "stop"}]}'


class Listener(HTTPServer):
    """Keeps all bytes that come, and answers each request with an explanation."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.seen: list[bytes] = []


class Answering(BaseHTTPRequestHandler):
    """Answers in one piece, as servers without streams do."""

    def do_POST(self) -> None:
        """Keep the request, and answer it."""
        assert isinstance(self.server, Listener)
        self.server.seen.append(str(self.headers).encode() + self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def send(engine: Engine, rows: Sequence[int], target: Target) -> None:
    """Send what explains these calls."""
    subject = Subject(rows, len(rows), None, "English")
    record = make_record(engine, subject, limit=8_000, pattern=None)
    prompt = make_prompt(record, question=None, language="English", calls=len(rows))
    assert not list(Asking(target, prompt.body("kimi-k3"), 10).run())  # no stream


def test_no_secret_reaches_the_wire(store: Store) -> None:
    """Each place has a key and a word of its own, stored as if there were no gate; none of them is sent."""
    with writing(store.engine) as connection:
        idempotency.ensure_run(connection, {"id": "r", "host": "h", "pid": 1, "version": "0"})
    rows = [put_by_hand(store.engine, number, place) for number, place in enumerate(PLACES)]
    assert len(rows) >= 60
    groups = [[row] for row in rows] + [list(some) for some in batched(rows, 4)]
    with Listener() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        for group in groups:
            send(store.engine, group, Target(Endpoint(f"http://127.0.0.1:{server.server_port}"), "kimi-k3"))
        server.shutdown()
        thread.join()
    assert len(server.seen) == len(groups)
    wire = b"\n".join(server.seen)
    found = [
        f"{place.name}: {spelling.decode()}"
        for number, place in enumerate(PLACES)
        for spelling in spellings(number)
        if spelling in wire
    ]
    assert found == []
