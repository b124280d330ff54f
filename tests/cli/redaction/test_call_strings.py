"""Tests of passing every text of a call to a visitor."""

from collections.abc import Callable, Sequence
from typing import get_type_hints

import pytest

from moonpalace_addons.store.exchange import Exchange
from moonpalace_addons.store.fields import STORED
from moonpalace_cli.calls.reading import Call
from moonpalace_cli.redaction.call_strings import rewrite
from moonpalace_cli.redaction.replacing import Place, Replacement

EVENTS = b'data: {"choices":[{"index":0,"delta":{"content":"@"}}]}\n\ndata: [DONE]\n\n'


class Mark:
    """Replace `@` by `(at)`, bytes by their number, and record the places."""

    def __init__(self) -> None:
        self.places: list[str] = []

    def text(self, place: Place, text: str) -> Sequence[Replacement]:
        """Replace each @."""
        found = [Replacement(at, at + 1, "(at)") for at, character in enumerate(text) if character == "@"]
        self.places += [str(place)] * len(found)
        return found

    def binary(self, place: Place, data: bytes) -> bytes:
        """Count bytes."""
        self.places.append(str(place))
        return str(len(data)).encode()


def test_every_part_is_shown(call: Callable[..., Call]) -> None:
    """Every text of a call is visited with its place, and replaced; ids, times and states are unchanged."""
    given = call(
        b'{"messages":[{"content":"@"}]}',
        b'{"id":"@"}',
        EVENTS,
        ("a@b",),
        path="/v1/@",
        query="a=1&x%40y=%40+z",
        request_headers="X-A: @\r\nX-B: b\r\n",
        response_headers="Msh-Uid: @\r\n",
        msh_uid="@",
        msh_gid="@",
        client_request_id="@",
        error_message="@",
        note="@",
        warnings=("@", "no"),
    )
    mark = Mark()
    changed = rewrite(given, mark)
    assert mark.places == [
        "tag",
        "request path",
        "request query, x@y",
        "request header",
        "request header, X-A",
        "error",
        "warning",
        "response header, Msh-Uid",
        "response header, Msh-Gid",
        "response header, Msh-Uid",
        "note",
        "request body, messages.0.content",
        "response events, 0.choices.0.delta.content",
        "response body, id",
    ]
    row = changed.exchange
    assert (row.path, row.query, row.note, row.warnings) == ("/v1/(at)", "a=1&x%40y=%28at%29+z", "(at)", ("(at)", "no"))
    assert (row.request_headers, row.response_headers) == ("X-A: (at)\r\nX-B: b\r\n", "Msh-Uid: (at)\r\n")
    assert changed.bodies.request == b'{"messages":[{"content":"(at)"}]}'
    assert changed.bodies.event_stream == EVENTS.replace(b"@", b"(at)")
    assert changed.tags == ("a(at)b",)
    assert (row.id, row.started_at, row.chatcmpl_id) == (1, given.exchange.started_at, "chatcmpl-00000001")


def test_all_texts_come_by(call: Callable[..., Call]) -> None:
    """Every text of the row is replaced except those that the catalogue calls public, so that none is forgotten."""
    hints = get_type_hints(Exchange)
    texts = {name: ("@",) if "tuple" in str(hint) else "@" for name, hint in hints.items() if "str" in str(hint)}
    texts |= dict.fromkeys(("request_headers", "response_headers"), "X: @\r\n")
    row = rewrite(call(**texts), Mark()).exchange
    left = {name for name in texts if "@" in str(getattr(row, name))}
    assert left == {field.source for field in STORED if field.public} - {"state"}


def test_call_with_nothing_to_replace_stays_as_it_is(call: Callable[..., Call]) -> None:
    """Without a replacement nothing changes, not even the whitespace of a header."""
    given = call(b'{ "a": 1.10 }', b"<html>", request_headers="X-A:  b \r\n", query="&a=%7e&&b", response_headers=None)
    assert rewrite(given, Mark()) == given


@pytest.mark.parametrize(
    ("request_body", "expected"),
    [(None, None), (b"", b""), (b"\xff\x00", b"2"), (b"plain @", b"plain (at)"), (b'"\\ud800@"', b'"\\ud800(at)"')],
)
def test_bodies_that_are_no_json(call: Callable[..., Call], request_body: bytes | None, expected: bytes | None) -> None:
    """Text is visited as text, bytes as bytes; half a surrogate pair stays an escape."""
    assert rewrite(call(request_body), Mark()).bodies.request == expected


def test_stream_that_merges_to_nothing(call: Callable[..., Call]) -> None:
    """If the events themselves are the answer, both are replaced alike."""
    events = b": @\n\n"
    bodies = rewrite(call(response=events, events=events), Mark()).bodies
    assert bodies.event_stream == bodies.response == b": (at)\n\n"


def test_answer_under_way(call: Callable[..., Call]) -> None:
    """The received part of an answer that is not a stream is visited, too."""
    given = call(response=None, events=b'{"half": "@', is_stream=False, response_content_type="application/json")
    assert rewrite(given, Mark()).bodies.event_stream == b'{"half": "(at)'
