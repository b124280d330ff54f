"""Tests that no secret of a call is sent, in any part of the call."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import batched
from pathlib import Path

import pytest
from sqlalchemy import Engine

from moonpalace_addons.settings.endpoints import Endpoint
from moonpalace_addons.settings.values import resolve
from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.records import idempotency
from moonpalace_cli.explaining.asking import Asking
from moonpalace_cli.explaining.prompt import make_prompt
from moonpalace_cli.explaining.record import Subject, make_record
from moonpalace_cli.explaining.target import Target
from moonpalace_cli.redaction.patterns import redactor
from moonpalace_cli.reporting.message import Message, compose
from moonpalace_cli.reporting.receivers.webhooks import Slack, Webhook
from moonpalace_cli.web.explainer import Explainer, Topic
from tests.cli.conftest import Store
from tests.e2e.secret_places import PLACES
from tests.e2e.test_secret_places import put_by_hand, spellings
from tests.waiting import until

ANSWER = b'{"choices": [{"message": {"role": "assistant", "content": "so"}, "finish_reason": "stop"}]}'


class Listener(HTTPServer):
    """Records all received bytes, and answers each request with an explanation."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.seen: list[bytes] = []


class Answering(BaseHTTPRequestHandler):
    """Answers in one piece, like servers without streams."""

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
    """Send the request that explains these calls, as the command does."""
    subject = Subject(rows, len(rows), None, "English")
    record = make_record(engine, subject, limit=8_000, pattern=None)
    prompt = make_prompt(record, question=None, language="English", calls=len(rows))
    assert not list(Asking(target, prompt.body("kimi-k3"), 10).run())  # no stream


def press(explainer: Explainer, row: int) -> None:
    """Send the request that explains a call, as the console does."""
    request = explainer.start(row, explainer.propose(Topic(row, [row], 1), "", "English").name)
    until(lambda: request.is_over)
    assert request.error == ""


def report(message: Message, url: str) -> None:
    """Report a call to a webhook, which gets all of it, and to a chat."""
    for receiver in (Webhook(url), Slack(url)):
        receiver.send(message)


@pytest.fixture
def server() -> Iterator[Listener]:
    """Return a server that records what it gets."""
    with Listener() as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def rows(store: Store) -> list[int]:
    """Store a call for each place, without the gate: it has a separate key and word there."""
    with writing(store.engine) as connection:
        idempotency.ensure_run(connection, {"id": "r", "host": "h", "pid": 1, "version": "0"})
    results = [put_by_hand(store.engine, number, place) for number, place in enumerate(PLACES)]
    assert len(results) >= 60
    return results


def sent_secrets(server: Listener) -> list[str]:
    """Return the places whose secrets were sent, in any encoding."""
    wire = b"\n".join(server.seen)
    return [
        f"{place.name}: {spelling.decode()}"
        for number, place in enumerate(PLACES)
        for spelling in spellings(number)
        if spelling in wire
    ]


def test_no_secret_reaches_a_model(store: Store, rows: list[int], server: Listener, tmp_path: Path) -> None:
    """Neither the command, alone or in groups, nor the console sends any of them."""
    url = f"http://127.0.0.1:{server.server_port}"
    settings = resolve({}, {"MOONPALACE_HOME": str(tmp_path)})
    settings = replace(settings, explain=replace(settings.explain, endpoint=url))
    explainer = Explainer(store.engine, settings, {})
    for row in rows:
        press(explainer, row)
    groups = list(batched(rows, 4))
    for group in groups:
        send(store.engine, list(group), Target(Endpoint(url), "kimi-k3"))
    assert len(server.seen) == len(rows) + len(groups)
    assert sent_secrets(server) == []


def test_no_secret_reaches_a_receiver(store: Store, rows: list[int], server: Listener) -> None:
    """Neither the text of a report, nor its title, nor the call's JSON has any of them."""
    hidden = redactor(store.engine, None)
    for row in rows:
        report(compose(store.engine, row, hidden), f"http://127.0.0.1:{server.server_port}")
    assert len(server.seen) == 2 * len(rows)
    assert sent_secrets(server) == []
