"""Every stream that the mock can send, read whole, byte by byte and cut at every position."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import pytest

from moonpalace_addons.wire.chat.stream_editor import Plan, StreamEditor
from moonpalace_addons.wire.codings.encodings import Decoder as ContentDecoder
from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS
from moonpalace_addons.wire.loops.loop_guard import LoopGuard
from moonpalace_addons.wire.loops.repeat import Detector
from moonpalace_addons.wire.sse import Decoder, Event
from moonpalace_cli.mock.api import Call
from moonpalace_cli.mock.scenarios import Times
from tests.cuts import every_cut, pieces_of
from tests.scenarios.all_scenarios import scenarios
from tests.scenarios.server import Api
from tests.tables import for_each
from tests.wire.merging import merge_events

TOOLS = [
    {
        "type": "function",
        "function": {"name": name, "parameters": {"properties": {"city": {"type": "string"}}}},
    }
    for name in ("weather", "tide")
]
QUESTION = {"messages": [{"role": "user", "content": "Hi 月🌙!"}], "tools": TOOLS}
CUT = ("mock-cut", "mock-reset", "mock-stall", "mock-error-in-stream")
"""Scenarios whose streams end prematurely, so that they must never give an answer."""
LONG = 20_000
"""Bytes from which a stream is too long to be fed by single bytes, or to be cut at every position."""
NAMED = re.compile(rb'"(?:id|model|created)": ?("[^"]*"|\d+)|mock-[a-z0-9-]+')
"""Differences between streams of scenarios that are otherwise the same."""


@dataclass(frozen=True)
class Recorded:
    """A stream as sent over the wire; `events` is the number of its events."""

    encoding: str
    data: bytes
    events: int

    @property
    def text(self) -> bytes:
        """Return the stream without its content encoding."""
        decoder = ContentDecoder(self.encoding)
        text = decoder.feed(self.data) + decoder.close()
        assert decoder.error is None
        return text


def record(name: str, *, include_usage: bool = False) -> Recorded | None:
    """Return the mock's stream for a scenario, without sockets; None if it sends none."""
    body = QUESTION | {"model": name, "stream": True, "stream_options": {"include_usage": include_usage}}
    headers = {"Authorization": "Bearer sk-test"}
    answer = Api(Times()).answer(Call("POST", "/v1/chat/completions", headers, json.dumps(body).encode()))
    if answer.stream is None or answer.delivery.ending == "mute":
        return None
    sent = list(answer.stream)
    if answer.delivery.ending != "clean":
        sent = sent[: answer.delivery.stop_after]
    encoding = dict(answer.headers).get("Content-Encoding", "")
    return Recorded(encoding, b"".join(piece.data for piece in sent), sent[-1].events)


RECORDED = {name: found for name in scenarios(Times()) if (found := record(name, include_usage=True)) is not None}
DISTINCT = list({NAMED.sub(b"", found.text): name for name, found in reversed(RECORDED.items())}.values())
"""The scenarios with distinct streams, apart from their encodings."""


def cuts(data: bytes) -> Iterable[list[bytes]]:
    """Cut a stream at every position, a long one at many."""
    return every_cut(data) if len(data) < LONG else [pieces_of(data, 61), pieces_of(data, 997), pieces_of(data, 4_099)]


def decoded(pieces: list[bytes]) -> list[Event]:
    """Return the events of a stream."""
    decoder = Decoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.close()


def edited(plan: Plan, pieces: list[bytes]) -> bytes:
    """Return the client's part of a stream."""
    editor = StreamEditor(plan)
    output = []
    for piece in pieces:
        editor.feed(piece)
        output.append(editor.take())
    editor.close()
    return b"".join([*output, editor.take()])


def guarded() -> LoopGuard:
    """Return a guard that never finds anything."""
    return LoopGuard(CHAT_COMPLETIONS, lambda: Detector(0.5, 1 << 30))


def test_there_are_enough_streams() -> None:
    """At least twenty distinct streams are tested, and most are cut at every position."""
    assert len(DISTINCT) >= 20
    assert len([name for name in DISTINCT if len(RECORDED[name].text) < LONG]) >= 20


@for_each("name", RECORDED)
def test_all_events_are_found(name: str) -> None:
    """A whole stream has as many events as the mock sent, each of them JSON or [DONE]."""
    events = decoded([RECORDED[name].text])
    assert len(events) == RECORDED[name].events
    assert all(event.data == "[DONE]" or json.loads(event.data) for event in events)


@pytest.mark.parametrize("name", DISTINCT)
def test_cut_at_every_position(name: str) -> None:
    """Cut anywhere, a stream has the same events and the same merged answer, and passes unchanged."""
    text = RECORDED[name].text
    events = decoded([text])
    merged = edited(Plan(CHAT_COMPLETIONS, coerce=True), [text])
    assert merged == b"" if name in CUT else json.loads(merged) == merge_events(events)
    for pieces in cuts(text):
        assert decoded(pieces) == events, pieces
        assert edited(Plan(CHAT_COMPLETIONS), pieces) == text, pieces
        assert edited(Plan(CHAT_COMPLETIONS, coerce=True), pieces) == merged, pieces


@pytest.mark.parametrize("name", DISTINCT)
def test_a_guard_that_finds_nothing_changes_nothing(name: str) -> None:
    """Under a guard that finds nothing, a stream passes unchanged, however it is cut."""
    text = RECORDED[name].text[:LONG]
    for pieces in (pieces_of(text, len(text) // 3), pieces_of(text[:2000])):
        assert edited(Plan(CHAT_COMPLETIONS, make_guard=guarded), pieces) == b"".join(pieces)


@pytest.mark.parametrize("name", DISTINCT)
def test_hidden_usage(name: str) -> None:
    """A stream with hidden usage has the events of one without usage, wherever it is cut."""
    text = RECORDED[name].text
    not_asked = record(name)
    assert not_asked is not None
    expected = [event.data for event in decoded([not_asked.text])]
    whole = edited(Plan(CHAT_COMPLETIONS, hide_usage=True), [text])
    results = [event.data for event in decoded([whole])]
    assert results == expected
    for pieces in islice(cuts(text), 0, None, 7):
        assert edited(Plan(CHAT_COMPLETIONS, hide_usage=True), pieces) == whole, pieces


@pytest.mark.parametrize("name", [name for name, found in RECORDED.items() if found.encoding])
def test_encoded_streams_decode_alike(name: str) -> None:
    """A compressed stream decodes to the same bytes whole, byte by byte and cut at every position."""
    recorded = RECORDED[name]
    for pieces in every_cut(recorded.data):
        decoder = ContentDecoder(recorded.encoding)
        assert b"".join(map(decoder.feed, pieces)) + decoder.close() == recorded.text
        assert decoder.error is None
