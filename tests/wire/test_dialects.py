"""Streams of servers that deviate from the API, read whole, byte by byte and cut at every position."""

import json

import pytest

from moonpalace_addons.wire.chat.stream_editor import Plan
from tests.cuts import every_cut, pieces_of
from tests.dialects import STREAMS
from tests.wire.merging import decoded, edited, face_of_events, merge_events

FAILED = [
    name
    for name, dialect in STREAMS.items()
    if dialect.answer.get("error") or any("without response.completed" in warning for warning in dialect.warnings)
]
"""Streams that failed or have no end, from which a forced stream makes no answer."""


@pytest.mark.parametrize("name", STREAMS)
def test_the_answer_of_a_dialect_at_every_cut(name: str) -> None:
    """However it is cut, a stream merges to the answer without streaming; a requested stream passes unchanged."""
    data, expected = STREAMS[name].data, STREAMS[name].answer
    events = decoded([data])
    assert merge_events(events, face_of_events(events)) == expected
    for pieces in every_cut(data):
        assert decoded(pieces) == events, pieces


@pytest.mark.parametrize("name", STREAMS)
def test_a_forced_stream_of_a_dialect(name: str) -> None:
    """A client that did not ask for a stream gets the same answer, unless the stream failed or has no end."""
    data, expected = STREAMS[name].data, STREAMS[name].answer
    face = face_of_events(decoded([data]))
    assert edited(Plan(face), pieces_of(data)) == data
    for pieces in every_cut(data):
        answer = edited(Plan(face, coerce=True), pieces)
        assert answer == b"" if name in FAILED else json.loads(answer) == expected, pieces
