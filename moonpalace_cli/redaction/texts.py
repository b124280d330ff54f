"""Collect the texts of a call: those that a visitor of `call_strings.rewrite` gets, without their places, and faster.

Numbers are left out: no secret is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from moonpalace_cli.calls.content import holds_events
from moonpalace_cli.redaction.call_strings import rewrite_exchange
from moonpalace_cli.redaction.event_texts import event_texts
from moonpalace_cli.redaction.json_texts import texts_in
from moonpalace_cli.redaction.replacing import Place, Replacement

if TYPE_CHECKING:
    from moonpalace_cli.calls.reading import Call


class Collector:
    """Collect all texts, and replace none."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def text(self, _: Place, text: str) -> Sequence[Replacement]:
        """Note a text."""
        self.texts.append(text)
        return []

    def binary(self, _: Place, data: bytes) -> bytes:
        """Note a body that is not text."""
        self.texts.append(data.decode("latin-1"))
        return data


def texts_of(call: Call) -> list[str]:
    """Return the texts of a call; some more than once."""
    collector = Collector()
    rewrite_exchange(call.exchange, collector)
    bodies, texts = call.bodies, [*call.tags, *collector.texts]
    if bodies.event_stream is not None:
        texts += (
            event_texts(bodies.event_stream) if holds_events(call.exchange, bodies) else body_texts(bodies.event_stream)
        )
    for body in (bodies.request, None if bodies.response == bodies.event_stream else bodies.response):
        texts += body_texts(body or b"")
    return texts


def body_texts(data: bytes) -> list[str]:
    """Return the texts of a body; one that is not UTF-8 is a text as far as possible."""
    try:
        return texts_in(data.decode())
    except UnicodeDecodeError:
        return [data.decode("latin-1")]
