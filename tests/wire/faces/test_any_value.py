"""No face fails on anything that a server sends."""

import re

from hypothesis import given
from hypothesis import strategies as st

from moonpalace_addons.wire.chat import api_error
from moonpalace_addons.wire.faces.face import Face
from moonpalace_addons.wire.faces.summary import Summary, summarize
from moonpalace_addons.wire.faces.table import FACES, UNKNOWN
from moonpalace_addons.wire.json_value import mapping

KEYS = st.sampled_from(
    re.findall(
        r"\w+",
        """type index delta message content_block usage content text partial_json citations choices object role
        tool_calls function arguments finish_reason error stop_reason id response item part output
        output_index content_index item_id name status summary""",
    )
)
WORDS = st.sampled_from(
    re.findall(
        r"[\w.{]+",
        """message_start message_delta message_stop content_block_start content_block_delta content_block_stop message
        error text_delta thinking_delta input_json_delta citations_delta signature_delta response.created
        response.completed response.output_item.added response.output_text.delta response tool_use stop {
        response.function_call_arguments.delta chat.completion.chunk text_completion""",
    )
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | st.floats() | st.text(max_size=2) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
EVENTS = st.lists(st.dictionaries(KEYS, VALUES, max_size=6) | VALUES, max_size=6)


@given(events=EVENTS, asked=VALUES)
def test_nothing_is_raised(events: list[object], asked: object) -> None:
    """Events of any shape are merged, checked, shown and ended."""
    for face in (*FACES, UNKNOWN):
        check(face, events, asked)


def check(face: Face, events: list[object], asked: object) -> None:
    """Feed events and a request body to a face."""
    merger, progress, channels = face.make_merger(), face.make_progress(), face.make_channels()
    for value in events:
        error = api_error.find(value)
        merger.feed(value, error)
        progress.feed(value, error)
        assert all(text for _, _, text in channels.texts(value))
        assert face.token_channel(value) in (None, "visible", "reasoning")
        fields = mapping(value)
        face.owns(fields), face.joins(fields), face.only_text(value), [*face.event_parts(fields)]
    assert isinstance(face.write_events(progress.ending()), bytes)
    for value in progress.ending():
        merger.feed(value)
    answer = merger.result()
    for value in (answer, *events, asked):
        assert isinstance(summarize(value, face=face), Summary)
        face.request_turns(value), face.answer_turns(value), face.finish_reasons(mapping(value))
        assert all(map(str, face.warnings(mapping(asked), mapping(value), streamed=True)))
    assert list(merger.doubts) == list(dict.fromkeys(merger.doubts))
